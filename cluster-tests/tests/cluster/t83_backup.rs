//! Backup and restore, and recovery from a lost majority.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cluster_tests::starts::{self, TaskReport};
use cluster_tests::{
    ClusterOptions, ProcessCluster, ProcessExit, TestResult, field, items, now_ms, shell, text,
    until,
};
use reqwest::Method;
use serde_json::{Value, json};

/// The tasks of the load. Each has a tick every second.
const TASKS: usize = 20;
const STEP: i64 = 1_000;
/// Every number of a new cluster is at least so much higher.
const LEAP: u64 = 1 << 32;

/// Tasks that write down each start as the judge of starts reads it.
fn witnessed(notes: &Path) -> Vec<Value> {
    let line = "$PUNCTUAL_TASK $PUNCTUAL_TICK $(date +%s%N) $PUNCTUAL_FENCE $PUNCTUAL_EXECUTION_ID";
    let script = format!("echo \"{line}\" >> {}", notes.display());
    let task = |number| {
        json!({"name": format!("t{number}"), "schedule": {"interval": "1s"},
            "action": shell(&script), "catch_up": {"policy": "all", "window": "1h", "max": 1_000},
            "keep": {"executions": 10_000, "ticks": 10_000}})
    };
    (0..TASKS).map(task).collect()
}

/// Types a command, which succeeds.
async fn typed(words: &[&str]) -> TestResult<ProcessExit> {
    let ended = cluster_tests::run(words).await?;
    if ended.code == Some(0) { Ok(ended) } else { Err(format!("{words:?}: {ended:?}").into()) }
}

/// What a node answers when there is a leader.
async fn read(cluster: &ProcessCluster, node: u8, path: &str) -> TestResult<Value> {
    until("an answer", async || cluster.api(node).get(path).await).await
}

/// Takes the data folder of a stopped node away, to where it is no more in use. What the node
/// started may still write there.
fn lose(cluster: &ProcessCluster, node: u8) -> TestResult<PathBuf> {
    let lost = cluster.folder().join(format!("lost-{node}"));
    fs::rename(cluster.data(node), &lost)?;
    Ok(lost)
}

/// Waits until so many starts are written down.
async fn started(notes: &Path, more_than: usize) -> TestResult<usize> {
    until("starts", async || match starts::read(notes)?.len() {
        count if count > more_than => Ok(count),
        count => Err(format!("{count} starts").into()),
    })
    .await
}

/// Waits until so many starts of the new cluster are written down. Its numbers tell them.
async fn started_anew(notes: &Path, more_than: usize) -> TestResult<()> {
    until("starts of the new cluster", async || {
        let count = starts::read(notes)?.iter().filter(|line| line.fence > LEAP).count();
        if count > more_than { Ok(()) } else { Err(format!("{count} starts").into()) }
    })
    .await
}

/// The highest fence of an execution of the first task.
async fn highest_fence(cluster: &ProcessCluster, node: u8) -> TestResult<u64> {
    let path = "/api/v1/tasks/t0/executions";
    let executions = until("an answer", async || cluster.api(node).all(path).await).await?;
    let fences = executions.iter().filter_map(|one| field(one, "fence").as_u64());
    fences.max().ok_or_else(|| "no execution".into())
}

/// Types the command behind a word of a message, at a node.
async fn type_behind(said: &str, word: &str, server: &str) -> TestResult<ProcessExit> {
    let (_, command) = said.split_once(word).ok_or_else(|| format!("no `{word}` in {said}"))?;
    let command = command.lines().next().unwrap_or_default();
    let words = command.split_whitespace().filter(|word| *word != "punctual");
    let words: Vec<&str> = words.chain(["--server", server]).collect();
    typed(&words).await
}

/// Follows the steps that a restore or a recovery printed.
async fn follow_steps(cluster: &mut ProcessCluster, said: &str, first: u8) -> TestResult<()> {
    assert!(said.contains("start this node: punctual serve --config "), "{said}");
    cluster.start_node(first)?;
    cluster.ready(first).await?;
    let server = cluster.api(first).base().to_owned();
    for node in cluster.numbers().filter(|node| *node != first) {
        let step = said.lines().find(|line| line.contains(&format!("start n{node} with")));
        let step = step.ok_or_else(|| format!("no step about n{node} in {said}"))?;
        assert!(!cluster.data(node).exists(), "its data is lost");
        cluster.start_node(node)?;
        // It says the same command as the step.
        let (_, command) = step.split_once("then: punctual ").ok_or("no command")?;
        let api = cluster.api(node);
        until("the empty node to report how it is added", async || {
            let answer = api.send(Method::GET, "/readyz", None, None).await?;
            let same = text(&answer.body, "detail").contains(command);
            if same { Ok(()) } else { Err(format!("{answer:?}").into()) }
        })
        .await?;
        type_behind(step, "then: ", &server).await?;
        cluster.ready(node).await?;
    }
    cluster.all_ready().await
}

/// Waits until every tick up to now is decided, then judges all starts.
async fn judged(cluster: &ProcessCluster, node: u8, notes: &Path) -> TestResult<()> {
    let api = cluster.api(node);
    let now = now_ms();
    until("every tick up to now to be decided", async || {
        for number in 0..TASKS {
            let report = TaskReport::ask(&api, &format!("t{number}"), STEP).await?;
            if report.cursor < now {
                return Err(format!("{}: {}", report.name, report.cursor).into());
            }
        }
        Ok(())
    })
    .await?;
    api.quiet().await?;
    let mut reports = BTreeMap::new();
    let mut wrong = Vec::new();
    for number in 0..TASKS {
        let report = TaskReport::ask(&api, &format!("t{number}"), STEP).await?;
        wrong.extend(report.uncovered());
        reports.insert(report.name.clone(), report);
    }
    wrong.extend(starts::wrong_starts(&starts::read(notes)?, &reports));
    assert_eq!(wrong, Vec::<String>::new());
    Ok(())
}

/// Takes a backup from a node, and checks what is told of it.
async fn backed_up(
    cluster: &ProcessCluster,
    node: u8,
    before: &Value,
    file: &Path,
) -> TestResult<()> {
    let (path, server) = (file.display().to_string(), cluster.api(node).base().to_owned());
    let taken = typed(&["cluster", "backup", &path, "--server", &server, "-o", "json"]).await?;
    let taken: Value = serde_json::from_str(&taken.stdout)?;
    assert_eq!(fs::metadata(file)?.permissions().mode() & 0o777, 0o600);
    assert_eq!((text(&taken, "cluster"), text(&taken, "cluster_id")), ("test", text(before, "id")));
    let index = |value: &Value| field(value, "applied_index").as_u64().unwrap_or(0);
    assert!(index(&taken) >= index(before), "it has what was acknowledged before: {taken}");
    assert_eq!((field(&taken, "tasks"), field(&taken, "calendars")), (&json!(TASKS), &json!(1)));
    // It is not replaced unasked, and what it holds is shown again.
    let again = cluster_tests::run(&["cluster", "backup", &path, "--server", &server]).await?;
    assert_eq!(again.code, Some(5), "{again:?}");
    let shown = typed(&["backup", "inspect", &path, "-o", "json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&shown.stdout)?, taken);
    Ok(())
}

/// Does what a survivor of a lost majority says, message by message, up to the new cluster.
async fn recovered(cluster: &mut ProcessCluster, node: u8) -> TestResult<ProcessExit> {
    // It names the way in every place where somebody looks.
    let settings = cluster.settings(node).display().to_string();
    let way = "punctual cluster recover --config FILE";
    let api = cluster.api(node);
    until("the survivor to name the way", async || {
        let answer = api.send(Method::GET, "/readyz", None, None).await?;
        let named = answer.body.to_string().contains(way);
        if named { Ok(()) } else { Err(format!("{answer:?}").into()) }
    })
    .await?;
    until("its log to name the way", async || {
        if cluster.said(node).contains(way) { Ok(()) } else { Err("not yet".into()) }
    })
    .await?;
    let status = cluster_tests::run(&["status", "--server", api.base()]).await?;
    assert!(status.stderr.contains(way), "{status:?}");
    let words = way.split(' ').skip(1);
    let words: Vec<&str> =
        words.map(|word| if word == "FILE" { settings.as_str() } else { word }).collect();
    let asked = cluster_tests::run(&words).await?;
    assert!(asked.code == Some(1) && asked.stderr.contains("nothing was done"), "{asked:?}");
    let (_, command) = asked.stderr.split_once("type: punctual ").ok_or("no command")?;
    assert!(command.trim_end() == format!("cluster recover --config {settings} --others-are-lost"));
    let command: Vec<&str> = command.split_whitespace().collect();
    // It is told to stop the node first.
    let held = cluster_tests::run(&command).await?;
    assert!(held.code == Some(1) && held.stderr.contains("uses this data folder"), "{held:?}");
    assert!(asked.stderr.contains("cluster status --stale` shows where its log ends"), "{asked:?}");
    let shown = read(cluster, node, "/api/v1/cluster?consistency=stale").await?;
    cluster.kill9(node)?;
    // Now the command reads it itself, and it is what the node showed.
    let asked = cluster_tests::run(&words).await?;
    let (term, index) = (field(&shown, "last_log_term"), field(&shown, "last_log_index"));
    let end = format!("this node's log ends at term {term}, index {index}: if another");
    assert!(asked.code == Some(1) && asked.stderr.contains(&end), "{end} {asked:?}");
    typed(&command).await
}

/// A member that comes back with the data of the former cluster is told so.
async fn comes_back(cluster: &mut ProcessCluster, node: u8, data: &Path) -> TestResult<()> {
    assert!(cluster.stop(node).await?.success());
    fs::rename(cluster.data(node), cluster.folder().join("good"))?;
    fs::rename(data, cluster.data(node))?;
    cluster.start_node(node)?;
    let api = cluster.api(node);
    until("the former member to be refused", async || {
        let answer = api.send(Method::GET, "/readyz", None, None).await?;
        let told = text(&answer.body, "detail").contains("is of a cluster with another id");
        if told { Ok(()) } else { Err(format!("{answer:?}").into()) }
    })
    .await
}

#[tokio::test]
async fn a_backup_taken_from_a_follower_under_load_is_restored_to_three_new_nodes() -> TestResult<()>
{
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let notes = cluster.folder().join("notes");
    cluster.add(1, &witnessed(&notes)).await?;
    let calendar = json!({"rules": [{"dates": ["2030-01-01"]}]});
    let path = "/api/v1/calendars/rest";
    let put = cluster.api(1).send(Method::PUT, path, None, Some(&calendar)).await?;
    assert!(put.good(), "{put:?}");
    started(&notes, TASKS * 2).await?;

    let leader = cluster.leader().await?;
    let follower = cluster.numbers().find(|node| *node != leader).ok_or("a follower")?;
    let file = cluster.folder().join("cluster.backup");
    let before = read(&cluster, 1, "/api/v1/cluster").await?;
    backed_up(&cluster, follower, &before, &file).await?;
    let path = file.display().to_string();

    // Everything is lost.
    let known = read(&cluster, 1, "/api/v1/tasks/t0/revisions").await?;
    let highest = highest_fence(&cluster, 1).await?;
    cluster.kill9_all()?;
    for node in cluster.numbers() {
        lose(&cluster, node)?;
    }
    let settings = cluster.settings(2).display().to_string();
    let restored = typed(&["restore", &path, "--config", &settings]).await?;
    // A folder that is in use stays as it is.
    let refused = cluster_tests::run(&["restore", &path, "--config", &settings]).await?;
    assert!(refused.code == Some(1) && refused.stderr.contains("is not empty"), "{refused:?}");
    follow_steps(&mut cluster, &restored.stdout, 2).await?;

    let after = read(&cluster, 3, "/api/v1/cluster").await?;
    assert_ne!(text(&after, "id"), text(&before, "id"));
    assert_eq!(field(&after, "tasks"), &json!(TASKS));
    assert_eq!(read(&cluster, 3, "/api/v1/tasks/t0/revisions").await?, known);
    let calendars = read(&cluster, 1, "/api/v1/calendars").await?;
    assert_eq!(items(&calendars).len(), 1, "{calendars}");
    started_anew(&notes, TASKS * 2).await?;
    assert!(highest_fence(&cluster, 1).await? > highest, "{highest}");
    let fences: Vec<u64> = starts::read(&notes)?.iter().map(|line| line.fence).collect();
    let once: BTreeSet<u64> = fences.iter().copied().collect();
    assert_eq!(once.len(), fences.len(), "a fence was issued twice");
    cluster.api(1).quiet().await?;
    cluster.agreed().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_cut_or_changed_backup_is_refused_and_says_where() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let file = cluster.folder().join("cluster.backup");
    let (path, server) = (file.display().to_string(), cluster.api(1).base().to_owned());
    typed(&["cluster", "backup", &path, "--server", &server]).await?;
    assert!(cluster.stop(1).await?.success());
    lose(&cluster, 1)?;
    let whole = fs::read(&file)?;
    let settings = cluster.settings(1).display().to_string();
    let mut changed = whole.clone();
    let at = whole.len() / 2;
    changed[at] ^= 1;
    for (bytes, says) in
        [(&whole[..at], "it was cut: it ends after"), (&changed, "it was changed:")]
    {
        fs::write(&file, bytes)?;
        for words in
            [vec!["backup", "inspect", &path], vec!["restore", &path, "--config", &settings]]
        {
            let refused = cluster_tests::run(&words).await?;
            assert!(refused.code == Some(1) && refused.stderr.contains(says), "{refused:?}");
        }
    }
    // Nothing of it was used: the folder takes the whole one.
    fs::write(&file, &whole)?;
    typed(&["restore", &path, "--config", &settings]).await?;
    cluster.start_node(1)?;
    cluster.ready(1).await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_survivor_of_a_lost_majority_says_how_it_goes_on_and_no_tick_is_doubled() -> TestResult<()>
{
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let notes = cluster.folder().join("notes");
    cluster.add(1, &witnessed(&notes)).await?;
    let begun = started(&notes, TASKS * 2).await?;
    let before = read(&cluster, 1, "/api/v1/cluster").await?;
    // From here on whatever is acknowledged is on the survivor.
    cluster.kill9(2)?;
    started(&notes, begun + TASKS * 5).await?;
    let highest = highest_fence(&cluster, 3).await?;
    cluster.kill9(1)?;
    lose(&cluster, 1)?;
    let found_later = lose(&cluster, 2)?;

    let recovered = recovered(&mut cluster, 3).await?;
    let former = cluster.data(3).join("former.1");
    assert!(former.join("identity").exists(), "{recovered:?}");
    follow_steps(&mut cluster, &recovered.stdout, 3).await?;

    let after = read(&cluster, 1, "/api/v1/cluster").await?;
    assert_ne!(text(&after, "id"), text(&before, "id"));
    started_anew(&notes, TASKS * 2).await?;
    assert!(highest_fence(&cluster, 1).await? > highest, "{highest}");
    judged(&cluster, 2, &notes).await?;
    cluster.agreed().await?;

    comes_back(&mut cluster, 2, &found_later).await?;
    cluster.finish().await
}
