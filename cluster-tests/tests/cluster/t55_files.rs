//! A node with a low limit of open files works: excess work waits, and none is lost.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use cluster_tests::{ClusterOptions, FileLimit, ProcessCluster, TestResult, field, skipped, until};
use punctual::Timestamp;
use reqwest::Method;
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// The limit of open files of the node.
const FILES: u32 = 256;
/// Number of tasks that are due at the same time.
const TASKS: u64 = 300;
/// Number of connections on which nothing is sent.
const SILENT: usize = 400;

async fn total(cluster: &ProcessCluster, query: &str) -> TestResult<u64> {
    let page = cluster.api(1).get(&format!("/api/v1/executions?page_size=1{query}")).await?;
    Ok(field(&page, "total").as_u64().unwrap_or(0))
}

/// Opens connections and sends nothing on them.
async fn silent(address: SocketAddr) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..SILENT {
        if let Ok(stream) = TcpStream::connect(address).await {
            open.push(stream);
        }
    }
    open
}

#[tokio::test]
async fn few_files_delay_work_and_lose_none() -> TestResult<()> {
    let files = Some(FileLimit::Fixed(FILES));
    let options = ClusterOptions { files, ..ClusterOptions::default() };
    let mut cluster = ProcessCluster::start(1, options).await?;
    let address = cluster.api(1).base().trim_start_matches("http://").parse()?;
    let connections = silent(address).await;
    let now = SystemTime::now() + Duration::from_secs(5);
    let at = now.duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let at = Timestamp(i64::try_from(at)?).to_string();
    let tasks: Vec<Value> = (0..TASKS)
        .map(|n| {
            json!({"name": format!("t{n}"), "schedule": {"at": at},
                "action": {"shell": {"argv": ["true"]}}})
        })
        .collect();
    let made = until("the tasks", async || {
        let body = json!(tasks);
        let key = Some("all");
        let api = cluster.api(1);
        let answer = api.send(Method::POST, "/api/v1/tasks/batch", key, Some(&body)).await?;
        if answer.good() { Ok(answer.body) } else { Err(format!("{answer:?}").into()) }
    });
    assert_eq!(field(&made.await?, "succeeded"), TASKS);
    until("the end of all executions", async || {
        let (all, good) = (total(&cluster, "").await?, total(&cluster, "&status=success").await?);
        let bad = total(&cluster, "&failed=true").await?;
        match (all, good, bad) {
            (TASKS, TASKS, 0) => Ok(()),
            _ => Err(format!("{good} of {all} ended well, {bad} did not").into()),
        }
    })
    .await?;
    for n in [0, TASKS - 1] {
        let task = cluster.api(1).get(&format!("/api/v1/tasks/t{n}")).await?;
        assert_eq!(field(field(&task, "totals"), "fired"), 1, "{task}");
    }
    drop(connections);
    cluster.ready(1).await?;
    cluster.finish().await
}

/// Shells set a low limit by default. A node raises it as far as it can.
#[tokio::test]
async fn a_node_raises_its_limit_of_open_files() -> TestResult<()> {
    let Some(hard) = getrlimit(Resource::Nofile).maximum.filter(|hard| *hard > FILES.into()) else {
        return skipped("this process has no hard limit of open files that is above the soft one");
    };
    let files = Some(FileLimit::Raisable(FILES));
    let options = ClusterOptions { files, ..ClusterOptions::default() };
    let cluster = ProcessCluster::start(1, options).await?;
    let page = cluster.api(1).metrics_page().await?;
    let limit = page.lines().find_map(|line| line.strip_prefix("process_max_fds "));
    assert_eq!(limit, Some(hard.to_string().as_str()));
    cluster.finish().await
}
