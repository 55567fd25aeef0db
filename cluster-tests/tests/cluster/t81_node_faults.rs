//! Faults of other schedulers on nodes that lose time: each tick still starts once, and a node that was
//! away takes part again.

use std::collections::BTreeSet;
use std::path::Path;

use cluster_tests::{
    Api, ClusterOptions, ProcessCluster, TestResult, field, items, noted, shell, text, until,
};
use serde_json::json;

const TASKS: usize = 8;

/// Adds tasks that fire each second and note their name, their tick, and the node.
async fn beats(cluster: &ProcessCluster, notes: &Path) -> TestResult<()> {
    let script =
        format!("echo $PUNCTUAL_TASK $PUNCTUAL_TICK $PUNCTUAL_NODE >> {}", notes.display());
    let task = |number| {
        json!({"name": format!("beat-{number}"), "schedule": {"cron": "* * * * * *"},
            "action": shell(&script)})
    };
    cluster.add(1, &(0..TASKS).map(task).collect::<Vec<_>>()).await
}

/// The names of the tasks that a node owns.
async fn owned(api: &Api, node: &str) -> TestResult<BTreeSet<String>> {
    let list = api.get("/api/v1/tasks?limit=100").await?;
    let own = items(&list).iter().filter(|task| text(task, "owner") == node);
    Ok(own.map(|task| text(task, "name").to_owned()).collect())
}

/// Waits until each of these tasks was started by a node after the notes had that many lines.
async fn started_by(
    notes: &Path,
    from: usize,
    tasks: &BTreeSet<String>,
    by: impl Fn(&str) -> bool,
) -> TestResult<()> {
    until("starts of all these tasks", async || {
        let lines = noted(notes);
        let late = lines.iter().skip(from).filter(|line| by(&line[2]));
        let started: BTreeSet<String> = late.map(|line| line[0].clone()).collect();
        if started.is_superset(tasks) { Ok(()) } else { Err(format!("{started:?}").into()) }
    })
    .await
}

/// Stops the scheduler, and compares the starts with the fired ticks of all tasks.
async fn once_each(api: &Api, notes: &Path) -> TestResult<()> {
    api.post("/api/v1/scheduler/stop", &json!({})).await?;
    // What was pending is held.
    api.none_runs().await?;
    let mut fired = 0;
    for number in 0..TASKS {
        let task = api.get(&format!("/api/v1/tasks/beat-{number}")).await?;
        fired += field(field(&task, "totals"), "fired").as_u64().ok_or("a number")?;
    }
    let lines = noted(notes);
    let starts: BTreeSet<(&str, &str)> =
        lines.iter().map(|line| (line[0].as_str(), line[1].as_str())).collect();
    assert_eq!(starts.len(), lines.len(), "a tick was started twice: {lines:?}");
    assert!(u64::try_from(starts.len())? <= fired, "more starts than fired ticks");
    Ok(())
}

#[tokio::test]
async fn a_node_that_was_stopped_for_long_loses_its_tasks_and_gets_them_again() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    beats(&cluster, &notes).await?;
    let leader = cluster.leader().await?;
    let frozen = if leader == 3 { 2 } else { 3 };
    let (name, api) = (format!("n{frozen}"), cluster.api(leader));
    let own = owned(&api, &name).await?;
    assert!(!own.is_empty(), "{name} owns none of the tasks");
    started_by(&notes, 0, &own, |node| node == name).await?;

    cluster.pause(frozen)?;
    until("the node to be down", async || {
        let nodes = api.get("/api/v1/nodes").await?;
        let node = items(&nodes).iter().find(|node| text(node, "name") == name);
        match node.map(|node| text(node, "state")) {
            Some("down") => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    })
    .await?;
    let from = noted(&notes).len();
    started_by(&notes, from, &own, |node| node != name).await?;

    cluster.resume(frozen)?;
    cluster.ready(frozen).await?;
    until("the node to own its tasks", async || {
        let again = owned(&api, &name).await?;
        if again == own { Ok(()) } else { Err(format!("{again:?}").into()) }
    })
    .await?;
    let from = noted(&notes).len();
    started_by(&notes, from, &own, |node| node == name).await?;
    once_each(&api, &notes).await?;
    cluster.finish().await
}

#[tokio::test]
async fn nodes_whose_local_zones_differ_start_each_tick_once() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let local_zones = &["Pacific/Kiritimati", "America/St_Johns", "Asia/Kathmandu"];
    let options = ClusterOptions { local_zones, ..ClusterOptions::default() };
    let mut cluster = ProcessCluster::start(3, options).await?;
    beats(&cluster, &notes).await?;
    let noon = json!({"name": "noon", "schedule": {"cron": "0 0 12 * * *"},
        "action": shell("true")});
    cluster.api(2).add(&noon).await?;
    for node in cluster.numbers() {
        let task = cluster.api(node).get("/api/v1/tasks/noon").await?;
        assert!(text(&task, "next_tick").contains("T12:00:00"), "n{node}: {task}");
    }
    let all: BTreeSet<String> = (0..TASKS).map(|number| format!("beat-{number}")).collect();
    started_by(&notes, 0, &all, |_any| true).await?;
    // Its tasks move to nodes of other zones while their ticks are due.
    let leader = cluster.leader().await?;
    cluster.kill9(leader)?;
    let from = noted(&notes).len();
    let dead = format!("n{leader}");
    started_by(&notes, from, &all, |node| node != dead).await?;
    cluster.start_node(leader)?;
    cluster.all_ready().await?;
    let from = noted(&notes).len();
    started_by(&notes, from, &all, |_any| true).await?;
    once_each(&cluster.api(leader), &notes).await?;
    cluster.finish().await
}
