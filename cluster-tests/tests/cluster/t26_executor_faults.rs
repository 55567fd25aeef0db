//! Five executors under kills of nodes and executors: a good one, a slow one, one that is killed, one
//! that lies, one that cannot be reached. No execution is stuck, what may run once runs once at most,
//! and what is to run at least once does.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use cluster_tests::{
    Api, ClusterOptions, ExecutorProcess, ProcessCluster, TestResult, field, free_address, items,
    node_program, text, until, witness_program,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How long, unless `PUNCTUAL_EXECUTOR_SECONDS` says otherwise.
const SECONDS: u64 = 45;
/// Between two kills.
const KILL_EVERY: Duration = Duration::from_secs(4);
/// What was killed is away so long.
const AWAY: Duration = Duration::from_millis(1_500);

const SETTINGS: &str = "[executors]\ndispatch_wait = \"3s\"\n\
    health_check = { interval = \"1s\", timeout = \"1s\", failure_threshold = 2, \
    recovery_threshold = 1 }\n";

fn seconds() -> u64 {
    let given = std::env::var("PUNCTUAL_EXECUTOR_SECONDS").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(SECONDS)
}

/// Starts a worker whose only command notes each start in a file, and takes `pause` seconds.
fn worker(
    cluster: &ProcessCluster,
    name: &str,
    pause: &str,
    notes: &Path,
) -> TestResult<ExecutorProcess> {
    let settings = cluster.folder().join(format!("{name}.toml"));
    let witness = witness_program()?;
    let script = format!("{} {}; sleep {pause}", witness.display(), notes.display());
    fs::write(&settings, format!("[default]\nargv = [\"sh\", \"-c\", {script:?}]\ncwd = \"/\"\n"))?;
    let servers: Vec<String> =
        cluster.numbers().map(|node| cluster.api(node).base().to_owned()).collect();
    let [settings, data] = [settings, cluster.folder().join(format!("{name}-data"))]
        .map(|path| path.display().to_string());
    let (listen, servers) = (free_address()?.to_string(), servers.join(","));
    let arguments = [
        "executor", "--server", &servers, "--name", name, "--id", name, "--listen", &listen,
        "--config", &settings, "--data", &data,
    ];
    ExecutorProcess::start(
        &node_program()?,
        arguments,
        cluster.folder().join(format!("{name}.log")),
    )
}

/// An executor that is well, and lies: it answers with rubbish, accepts and is silent, calls back
/// twice, calls back for another's execution, and floods.
async fn lying() -> TestResult<SocketAddr> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let execute = post(move |Json(body): Json<Value>| {
        let http = http.clone();
        async move {
            let number = text(&body, "execution_id").parse::<u64>().unwrap_or(0);
            let fence = field(&body, "fence").as_u64().unwrap_or(0);
            let url = text(&body, "callback_url").to_owned();
            tokio::spawn(async move {
                let send = async |url: &str, body: Value| {
                    let _refused = http.post(url).json(&body).send().await;
                };
                match fence % 4 {
                    0 => {}
                    1 => {
                        send(&url, json!({"status": "success"})).await;
                        send(&url, json!({"status": "failed"})).await;
                    }
                    2 => {
                        let other =
                            url.replace(&format!("/{number}/"), &format!("/{}/", number - 1));
                        send(&other, json!({"status": "success"})).await;
                    }
                    _ => {
                        send(&url, json!({"status": "success", "logs": "z".repeat(10 << 20)})).await
                    }
                }
            });
            (StatusCode::OK, "{\"status\": ]rubbish")
        }
    });
    let router =
        Router::new().route("/execute", execute).route("/health", get(|| async { "well" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn register(api: &Api, id: &str, address: SocketAddr) -> TestResult<()> {
    let url = format!("http://{address}");
    let body = json!({"name": id, "instance_id": id, "base_url": url,
        "health_check_url": format!("{url}/health")});
    api.post("/api/v1/executors/register", &body).await.map(|_made| ())
}

/// Adds a task that ticks each second on one executor, at most once, and one that does at least
/// once, whatever fails.
async fn add(api: &Api, executor: &str, at_least_once: bool) -> TestResult<()> {
    let action = json!({"executor": {"names": [executor]}});
    let mut task = json!({"name": format!("once-{executor}"), "schedule": {"interval": "1s"},
        "action": action, "timeout": "5s", "lost_after": "2s", "catch_up": {"policy": "all"},
        "keep": {"executions": 10_000}});
    api.post("/api/v1/tasks", &task).await?;
    if at_least_once {
        task["name"] = json!(format!("surely-{executor}"));
        task["delivery"] = json!("at_least_once");
        task["retry"] = json!({"max_retry": 100, "delay": "500ms", "backoff": "fixed"});
        api.post("/api/v1/tasks", &task).await?;
    }
    Ok(())
}

/// How often each execution was started, by its id.
fn starts(notes: &Path) -> BTreeMap<String, usize> {
    let mut starts = BTreeMap::new();
    for line in fs::read_to_string(notes).unwrap_or_default().lines() {
        let execution = line.rsplit(' ').next().unwrap_or_default();
        *starts.entry(execution.to_owned()).or_default() += 1;
    }
    starts
}

/// Kills nodes in turn, and one of the executors now and then, for so long.
async fn kill(
    cluster: &mut ProcessCluster,
    victim: &mut ExecutorProcess,
    until: Instant,
) -> TestResult<()> {
    let mut round = 0_u8;
    while Instant::now() < until {
        sleep(KILL_EVERY).await;
        if round % 2 == 1 {
            victim.kill9()?;
            sleep(AWAY).await;
            victim.again()?;
        } else {
            let node = round / 2 % 3 + 1;
            cluster.kill9(node)?;
            sleep(AWAY).await;
            cluster.start_node(node)?;
            cluster.ready(node).await?;
        }
        round += 1;
    }
    Ok(())
}

#[tokio::test]
async fn five_executors_under_kills_keep_the_promises() -> TestResult<()> {
    let options = ClusterOptions { settings: SETTINGS.to_owned(), ..ClusterOptions::default() };
    let mut cluster = ProcessCluster::start(3, options).await?;
    let api = cluster.api(1);
    let notes = cluster.folder().join("notes");
    let _good = worker(&cluster, "good", "0", &notes)?;
    let _slow = worker(&cluster, "slow", "2", &notes)?;
    let mut crashing = worker(&cluster, "crashing", "0.3", &notes)?;
    register(&api, "lying", lying().await?).await?;
    register(&api, "unreachable", free_address()?).await?;
    until("all executors to register", async || {
        let list = api.get("/api/v1/executors").await?;
        if items(&list).len() == 5 { Ok(()) } else { Err(format!("{list}").into()) }
    })
    .await?;
    for executor in ["good", "slow", "crashing"] {
        add(&api, executor, true).await?;
    }
    for executor in ["lying", "unreachable"] {
        add(&api, executor, false).await?;
    }
    kill(&mut cluster, &mut crashing, Instant::now() + Duration::from_secs(seconds())).await?;
    cluster.all_ready().await?;
    let api = cluster.api(2);
    // No more ticks; what waits and runs goes on to its end.
    let mut tasks = Vec::new();
    for one in api.all("/api/v1/tasks").await? {
        tasks.push(text(&one, "name").to_owned());
    }
    let manual = json!({"schedule": {"interval": null, "manual": true}});
    for task in &tasks {
        let path = format!("/api/v1/tasks/{task}");
        let answer = api.send(reqwest::Method::PATCH, &path, None, Some(&manual)).await?;
        assert!(answer.good(), "{answer:?}");
    }
    until("every execution to end", async || {
        for status in ["pending", "running"] {
            let live = api.get(&format!("/api/v1/executions?status={status}&limit=3")).await?;
            if !items(&live).is_empty() {
                return Err(format!("{live}").into());
            }
        }
        Ok(())
    })
    .await?;

    let starts = starts(&notes);
    let mut ends: BTreeMap<(String, String), usize> = BTreeMap::new();
    for task in &tasks {
        for one in api.all(&format!("/api/v1/tasks/{task}/executions")).await? {
            let (id, status) = (text(&one, "id"), text(&one, "status"));
            *ends.entry((task.clone(), status.to_owned())).or_default() += 1;
            let started = starts.get(id).copied().unwrap_or(0);
            if task.starts_with("once-") {
                assert!(started <= 1, "an execution at most once started {started} times: {one}");
            } else {
                assert_eq!(status, "success", "what is to run at least once did not: {one}");
                assert!(started >= 1, "nobody started it: {one}");
            }
            if status == "success" && !task.ends_with("lying") {
                assert!(started >= 1, "nobody started it: {one}");
            }
        }
    }
    println!("{ends:?}");
    let count = |task: &str, status: &str| {
        ends.get(&(task.to_owned(), status.to_owned())).copied().unwrap_or(0)
    };
    assert!(
        count("once-good", "success") > 0 && count("surely-crashing", "success") > 0,
        "{ends:?}"
    );
    assert_eq!(count("once-unreachable", "success"), 0, "{ends:?}");
    assert!(count("once-unreachable", "failed") > 0, "{ends:?}");
    assert!(count("once-lying", "timeout") > 0, "{ends:?}");
    cluster.finish().await
}
