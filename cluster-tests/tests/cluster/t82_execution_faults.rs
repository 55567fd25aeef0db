//! Faults of other schedulers on executions that no other test covers.

use std::path::Path;

use cluster_tests::{
    Api, ClusterOptions, ProcessCluster, TestResult, field, items, noted, shell, text, until,
};
use reqwest::Method;
use serde_json::json;

async fn note(notes: &Path, wanted: impl Fn(&[Vec<String>]) -> bool) -> TestResult<()> {
    until("the notes of the actions", async || {
        let found = noted(notes);
        if wanted(&found) { Ok(()) } else { Err(format!("{found:?}").into()) }
    })
    .await
}

/// How often a task's ticks fired, as a node has it.
async fn fired(api: &Api, name: &str) -> TestResult<u64> {
    let task = api.get(&format!("/api/v1/tasks/{name}")).await?;
    Ok(field(field(&task, "totals"), "fired").as_u64().ok_or("a number")?)
}

#[tokio::test]
async fn a_tick_whose_work_is_short_starts_once_in_the_whole_cluster() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let script = format!("echo $PUNCTUAL_TASK $PUNCTUAL_TICK >> {}", notes.display());
    let names: Vec<String> = (0..6).map(|number| format!("short-{number}")).collect();
    for (node, name) in (1..=3).cycle().zip(&names) {
        let task = json!({"name": name, "schedule": {"interval": "250ms"},
            "action": shell(&script)});
        cluster.api(node).post("/api/v1/tasks", &task).await?;
    }
    note(&notes, |found| found.len() >= 60).await?;
    let api = cluster.api(2);
    api.quiet().await?;
    let mut found = noted(&notes);
    let mut told = 0;
    for name in &names {
        told += fired(&api, name).await?;
    }
    assert_eq!(u64::try_from(found.len())?, told, "as many starts as fired ticks");
    found.sort();
    found.dedup();
    assert_eq!(u64::try_from(found.len())?, told, "none twice");
    cluster.finish().await
}

#[tokio::test]
async fn single_runs_and_tasks_without_parameters_survive_a_kill() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let mut cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    // The first run is in the middle of its work when its node dies; the next one ends.
    let path = notes.display();
    let script = format!("echo run >> {path}; [ $(wc -l < {path}) -gt 1 ] || exec sleep 600");
    for task in [
        json!({"name": "later", "schedule": {"delay": "2h"}, "action": shell("true")}),
        json!({"name": "bare", "schedule": {"manual": true}, "action": shell("true")}),
        json!({"name": "once", "schedule": {"immediate": true}, "action": shell(&script)}),
        json!({"name": "beat", "schedule": {"interval": "500ms"}, "action": shell("true")}),
    ] {
        api.post("/api/v1/tasks", &task).await?;
    }
    note(&notes, |found| found.len() == 1).await?;
    let before = api.get("/api/v1/tasks/later").await?;
    cluster.kill9(1)?;
    cluster.start_node(1)?;
    cluster.all_ready().await?;

    let after = api.get("/api/v1/tasks/later").await?;
    assert_eq!(text(&after, "next_tick"), text(&before, "next_tick"), "{after}");
    let run = api.trigger("bare", &json!({})).await?;
    api.execution(&run, "success").await?;
    let lost = until("the run to be lost", async || {
        let list = api.get("/api/v1/executions?task_id=once&status=lost").await?;
        items(&list).first().cloned().ok_or_else(|| "not yet".into())
    })
    .await?;
    let once = api.get("/api/v1/tasks/once").await?;
    assert_eq!((text(&once, "state"), noted(&notes).len()), ("failed", 1), "{once}");
    let retry = format!("/api/v1/executions/{}/retry", text(&lost, "id"));
    let again = api.post(&retry, &json!({})).await?;
    api.execution(text(&again, "id"), "success").await?;
    assert_eq!(noted(&notes).len(), 2);
    // Each tick of the time without a node has its verdict.
    let ticks = until("ticks to be settled", async || {
        let ticks = api.all("/api/v1/tasks/beat/ticks?empty=true").await?;
        if ticks.is_empty() { Err("none is".into()) } else { Ok(ticks) }
    })
    .await?;
    let wrong = ticks.iter().filter(|tick| text(tick, "verdict").is_empty()).count();
    assert_eq!(wrong, 0, "{ticks:?}");
    cluster.finish().await
}

#[tokio::test]
async fn resumes_and_retries_that_are_repeated_fire_no_tick_twice() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    let script = format!("echo $PUNCTUAL_TICK >> {}", notes.display());
    for task in [
        json!({"name": "beat", "schedule": {"interval": "250ms"}, "action": shell(&script)}),
        json!({"name": "bad", "schedule": {"manual": true}, "action": shell("exit 3")}),
    ] {
        api.post("/api/v1/tasks", &task).await?;
    }
    let run = api.trigger("bad", &json!({})).await?;
    api.execution(&run, "failed").await?;
    let retry = format!("/api/v1/executions/{run}/retry");
    for _ in 0..4 {
        for verb in ["pause", "resume", "resume"] {
            let answer = api
                .send(Method::POST, &format!("/api/v1/tasks/beat/{verb}"), None, Some(&json!({})))
                .await?;
            assert!(answer.status < 500, "{answer:?}");
        }
        let again = api.post(&retry, &json!({})).await?;
        api.execution(text(&again, "id"), "failed").await?;
    }
    let seen = noted(&notes).len();
    note(&notes, |found| found.len() >= seen + 8).await?;
    api.quiet().await?;
    let mut found = noted(&notes);
    assert_eq!(u64::try_from(found.len())?, fired(&api, "beat").await?);
    let all = found.len();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), all, "none twice");
    let runs = api.all("/api/v1/executions?task_id=bad").await?;
    assert_eq!(runs.len(), 5, "the first one and a retry each: {runs:?}");
    cluster.finish().await
}

#[tokio::test]
async fn work_of_a_node_that_is_cut_off_is_killed_and_the_node_goes_on() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let options = ClusterOptions { proxied: true, ..ClusterOptions::default() };
    let mut cluster = ProcessCluster::start(3, options).await?;
    let script = format!("echo $$ $PUNCTUAL_NODE >> {}; exec sleep 600", notes.display());
    let task = json!({"name": "long", "schedule": {"manual": true}, "lost_after": "1s",
        "action": shell(&script)});
    let first = cluster.api(1);
    first.post("/api/v1/tasks", &task).await?;
    let run = first.trigger("long", &json!({})).await?;
    note(&notes, |found| found.len() == 1 && found[0].len() == 2).await?;
    let [line] = &noted(&notes)[..] else { return Err("one start".into()) };
    let (process, node) = (line[0].clone(), line[1].trim_start_matches('n').parse::<u8>()?);
    cluster.cut_off(node)?;
    until("its work to be killed", async || match Path::new("/proc").join(&process).exists() {
        true => Err(format!("{process} is there").into()),
        false => Ok(()),
    })
    .await?;
    let other = cluster.api(if node == 1 { 2 } else { 1 });
    other.execution(&run, "lost").await?;
    cluster.heal()?;
    // The process itself goes on, and takes its part again.
    cluster.all_ready().await?;
    cluster.api(node).execution(&run, "lost").await?;
    cluster.finish().await
}

#[tokio::test]
async fn what_is_made_changed_and_deleted_on_any_node_holds_at_once() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let script =
        format!("echo $PUNCTUAL_TASK $PUNCTUAL_TICK $PUNCTUAL_PAYLOAD >> {}", notes.display());
    let task = |name: &str| {
        json!({"name": name, "schedule": {"interval": "250ms"}, "payload": "first",
            "action": shell(&script)})
    };
    cluster.api(1).post("/api/v1/tasks", &task("other")).await?;
    cluster.api(2).post("/api/v1/tasks", &task("made")).await?;
    let has = |found: &[Vec<String>], task: &str, payload: &str| {
        found.iter().any(|line| line[0] == task && line.last().is_some_and(|one| one == payload))
    };
    note(&notes, |found| has(found, "made", "first")).await?;
    let change = json!({"payload": "second"});
    let changed =
        cluster.api(3).send(Method::PATCH, "/api/v1/tasks/made", None, Some(&change)).await?;
    assert!(changed.good(), "{changed:?}");
    note(&notes, |found| has(found, "made", "second")).await?;
    let deleted =
        cluster.api(1).send(Method::DELETE, "/api/v1/tasks/made?wait=true", None, None).await?;
    assert!(deleted.good(), "{deleted:?}");
    let status = cluster.api(1).get("/api/v1/scheduler/status").await?;
    let end = text(&status, "time").to_owned();
    // Ticks as they are written sort as times.
    let after = |found: &[Vec<String>], task: &str| {
        found.iter().filter(|line| line[0] == task && line[1] > end).count()
    };
    note(&notes, |found| after(found, "other") >= 8).await?;
    assert_eq!(after(&noted(&notes), "made"), 0, "{:?}", noted(&notes));
    cluster.finish().await
}
