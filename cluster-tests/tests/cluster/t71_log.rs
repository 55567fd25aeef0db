//! The log reports the events of the cluster, once, with the names of `node list`, and nothing
//! more.

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, text, until};
use reqwest::Method;
use serde_json::{Value, json};

/// Maximum number of log lines of a node in this test.
const LINES_MAX: usize = 60;

/// The messages of a node since its last start, each after its level.
fn told(cluster: &ProcessCluster, node: u8) -> Vec<String> {
    let said = cluster.said(node);
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| format!("{} {}", text(&line, "level"), text(&line, "message"))).collect()
}

fn count(cluster: &ProcessCluster, node: u8, line: &str) -> usize {
    told(cluster, node).iter().filter(|told| told.contains(line)).count()
}

async fn says(cluster: &ProcessCluster, node: u8, line: &str) -> TestResult<()> {
    until(&format!("n{node} to say: {line}"), async || match count(cluster, node, line) {
        0 => Err(format!("{:?}", told(cluster, node)).into()),
        _ => Ok(()),
    })
    .await
}

fn task(name: &str, schedule: Value, argv: &[&str]) -> Value {
    json!({"name": name, "schedule": schedule, "lost_after": "2s",
        "action": {"shell": {"argv": argv}}})
}

#[tokio::test]
async fn the_others_tell_that_a_node_is_gone_and_little_else() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    for node in cluster.numbers() {
        let calm = told(&cluster, node).into_iter().filter(|line| !line.starts_with("INFO "));
        assert_eq!(
            calm.collect::<Vec<_>>(),
            Vec::<String>::new(),
            "a healthy first start, n{node}"
        );
    }
    fails_each_second(&cluster).await?;
    let gone = cluster.leader().await?;
    let rest: Vec<u8> = cluster.numbers().filter(|node| *node != gone).collect();
    runs_there(&cluster, gone, rest[0]).await?;
    cluster.kill9(gone)?;
    for node in &rest {
        says(&cluster, *node, &format!("WARN n{gone} is down")).await?;
        says(&cluster, *node, "leads the cluster").await?;
    }
    let leader = cluster.leader().await?;
    says(&cluster, leader, &format!("on n{gone} is lost")).await?;
    until("tasks to be taken over", async || {
        let told: usize = rest.iter().map(|node| count(&cluster, *node, "took over")).sum();
        if told > 0 { Ok(()) } else { Err("none".into()) }
    })
    .await?;
    // The number of fired ticks measures the time for which the node is down.
    let fired = cluster.api(leader).metrics("punctual_executions_total").await?;
    until("the cluster to continue without it", async || {
        let mut now = 0.0;
        for node in &rest {
            now += cluster.api(*node).metrics("punctual_executions_total").await?;
        }
        if now >= fired + 5.0 { Ok(()) } else { Err(format!("{now}").into()) }
    })
    .await?;
    cluster.start_node(gone)?;
    cluster.ready(gone).await?;
    for node in &rest {
        says(&cluster, *node, &format!("n{gone} has started")).await?;
        says(&cluster, *node, &format!("n{gone} is up")).await?;
        let down = count(&cluster, *node, &format!("n{gone} is down"));
        assert_eq!(down, 1, "{:?}", told(&cluster, *node));
    }
    let failures: usize = cluster.numbers().map(|node| count(&cluster, node, "failed")).sum();
    assert!(failures <= 4, "{failures} log lines for one task that fails each second");

    tells_changes(&cluster, rest[0], rest[1]).await?;
    stops_calmly(cluster).await
}

/// Adds a task that fails each second, and thirty tasks with long executions.
async fn fails_each_second(cluster: &ProcessCluster) -> TestResult<()> {
    let mut tasks = vec![task("bad", json!({"interval": "1s"}), &["false"])];
    let mut slow = task("slow", json!({"manual": true}), &["sleep", "600"]);
    slow["timeout"] = json!("300ms");
    tasks.push(slow);
    for number in 0..30 {
        let name = format!("long-{number:02}");
        tasks.push(task(&name, json!({"interval": "1h"}), &["sleep", "600"]));
    }
    cluster.add(1, &tasks).await?;
    says(cluster, 1, "task bad was added").await?;
    says(cluster, 1, "more of the same request").await?;
    cluster.api(1).post("/api/v1/tasks/slow/trigger", &json!({})).await?;
    until("a log line for an execution that timed out", async || {
        let told: usize = cluster.numbers().map(|node| count(cluster, node, "timed out")).sum();
        if told == 1 { Ok(()) } else { Err(format!("{told} times").into()) }
    })
    .await?;
    until("a log line for the failures of a task", async || {
        let told: usize = cluster.numbers().map(|node| count(cluster, node, "failed")).sum();
        if told > 0 { Ok(()) } else { Err("there is none".into()) }
    })
    .await
}

/// Triggers the long tasks, and waits until some run on a node.
async fn runs_there(cluster: &ProcessCluster, there: u8, by: u8) -> TestResult<()> {
    for number in 0..30 {
        let path = format!("/api/v1/tasks/long-{number:02}/trigger");
        cluster.api(by).post(&path, &json!({})).await?;
    }
    until("an execution to run on the node", async || {
        match cluster.api(there).metrics("punctual_executions_running").await? {
            running if running > 2.0 => Ok(()),
            running => Err(format!("{running}").into()),
        }
    })
    .await
}

/// Checks that the node that receives a request logs the change, and the other does not.
async fn tells_changes(cluster: &ProcessCluster, node: u8, other: u8) -> TestResult<()> {
    let api = cluster.api(node);
    api.post("/api/v1/tasks/bad/pause", &json!({"reason": "too\nloud"})).await?;
    api.post("/api/v1/tasks/bad/resume", &json!({})).await?;
    let patch = json!({"description": "fails"});
    api.send(Method::PATCH, "/api/v1/tasks/bad", None, Some(&patch)).await?;
    api.send(Method::DELETE, "/api/v1/tasks/bad", None, None).await?;
    for line in
        ["bad was paused: too loud", "bad was resumed", "bad was changed", "bad was deleted"]
    {
        says(cluster, node, line).await?;
        assert_eq!(count(cluster, other, line), 0, "the other node must not log it");
    }
    Ok(())
}

/// Stops all nodes, and checks their logs.
async fn stops_calmly(mut cluster: ProcessCluster) -> TestResult<()> {
    for node in cluster.numbers() {
        assert!(cluster.stop(node).await?.success());
        let told = told(&cluster, node);
        assert!(told.len() <= LINES_MAX, "n{node}: {} lines: {told:#?}", told.len());
        let errors: Vec<_> = told.iter().filter(|line| line.starts_with("ERROR")).collect();
        assert!(errors.is_empty(), "n{node}: {errors:?}");
    }
    cluster.finish().await
}

#[tokio::test]
async fn an_attempt_that_another_one_follows_is_told_of() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let mut again = task("again", json!({"manual": true}), &["false"]);
    again["retry"] = json!({"max_retry": 2, "delay": "100ms"});
    cluster.add(1, &[again]).await?;
    cluster.api(1).post("/api/v1/tasks/again/trigger", &json!({})).await?;
    says(&cluster, 1, "WARN attempt 1 on n1 failed: exit 1; the next one may start at").await?;
    says(&cluster, 1, "WARN the execution on n1 failed: exit 1").await?;
    // The second attempt is counted, as failures that follow each other are.
    assert_eq!(count(&cluster, 1, "attempt "), 1, "{:?}", told(&cluster, 1));
    stops_calmly(cluster).await
}

/// A node whose data folder was emptied says so as a warning, and its readmission is told.
#[tokio::test]
async fn an_empty_data_folder_is_a_warning() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let leader = cluster.leader().await?;
    let gone = cluster.numbers().find(|node| *node != leader).ok_or("no follower")?;
    cluster.kill9(gone)?;
    std::fs::remove_dir_all(cluster.data(gone))?;
    cluster.start_node(gone)?;
    says(&cluster, gone, "WARN this node's data folder is empty").await?;
    let path = format!("/api/v1/cluster/members/{gone}/replace");
    cluster.api(leader).post(&path, &json!({})).await?;
    says(&cluster, leader, &format!("n{gone} is readmitted")).await?;
    cluster.ready(gone).await?;
    cluster.finish().await
}

/// The folder of a log file is created if it does not exist, and standard error stays empty.
#[tokio::test]
async fn a_log_file_is_begun_without_a_word_elsewhere() -> TestResult<()> {
    let mut cluster = ProcessCluster::prepare(1, ClusterOptions::default()).await?;
    let logs = cluster.folder().join("logs");
    let file = logs.join("n1.log");
    cluster.rewrite(1, |text| format!("{text}\n[log]\nfile = {file:?}\n"))?;
    cluster.start_all()?;
    until("the log file to be written", async || {
        let mut names = std::fs::read_dir(&logs)?;
        let name = names.next().ok_or("there is none")??;
        match std::fs::read_to_string(name.path())? {
            text if text.contains("serving") => Ok(()),
            text => Err(text.into()),
        }
    })
    .await?;
    assert!(cluster.stop(1).await?.success());
    assert_eq!(cluster.said(1), "");
    cluster.finish().await
}

#[tokio::test]
async fn a_node_that_is_cut_off_says_so_once() -> TestResult<()> {
    let options = ClusterOptions { proxied: true, ..ClusterOptions::default() };
    let cluster = ProcessCluster::start(3, options).await?;
    let leader = cluster.leader().await?;
    let away = cluster.numbers().find(|node| *node != leader).ok_or("no follower")?;
    cluster.cut_off(away)?;
    says(&cluster, away, "WARN no leader has answered for").await?;
    let api = cluster.api(away);
    assert_eq!(api.metric("punctual_raft_has_leader").await?, 0.0);
    cluster.heal()?;
    says(&cluster, away, "a leader answers again").await?;
    assert_eq!(count(&cluster, away, "no leader has answered"), 1);
    stops_calmly(cluster).await
}
