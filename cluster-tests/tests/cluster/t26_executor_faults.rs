//! Five executors under kills of nodes and executors: a good one, of which there are two, a slow one,
//! one that is killed, one that lies, one that cannot be reached. No execution is stuck, what may run
//! once runs once at most, what is to run at least once does, and of the two good ones the least loaded
//! is chosen.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use cluster_tests::loads::{APPLIED_MS, LoadFigures, ObservedLoad, least_loaded};
use cluster_tests::{
    Api, ClusterOptions, ExecutorProcess, ProcessCluster, TestResult, field, free_address, items,
    node_program, now_ms, text, until, witness_program,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How long, unless `PUNCTUAL_EXECUTOR_SECONDS` says otherwise.
const SECONDS: u64 = 60;
/// Between two kills.
const KILL_EVERY: Duration = Duration::from_secs(4);
/// What was killed is away so long.
const AWAY: Duration = Duration::from_millis(1_500);
/// The good executors, with their weights.
const GOOD: [(&str, i64); 2] = [("good-1", 1), ("good-2", 1)];
/// Their commands take no time, but every other one of this task takes as long as several ticks.
const UNEVEN: &str = "case $PUNCTUAL_TASK$PUNCTUAL_TICK in uneven*.[0-4]??Z) sleep 4 ;; esac";
/// After a node was killed, others may not have applied what it has for so long, in milliseconds.
const TAKEOVER_MS: i64 = 3_000;
/// Whoever was seen offline may have been so for so long around it, in milliseconds.
const OFFLINE_MS: i64 = 2_000;
/// Between two looks at who is offline.
const LOOK: Duration = Duration::from_millis(250);

const SETTINGS: &str = "[executors]\ndispatch_wait = \"3s\"\n\
    health_check = { interval = \"1s\", timeout = \"1s\", failure_threshold = 2, \
    recovery_threshold = 1 }\n";

fn seconds() -> u64 {
    let given = std::env::var("PUNCTUAL_EXECUTOR_SECONDS").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(SECONDS)
}

/// Starts a worker whose only command notes each start in a file, and goes on with a script.
fn worker(
    cluster: &ProcessCluster,
    name: &str,
    id: &str,
    script: &str,
    notes: &Path,
) -> TestResult<ExecutorProcess> {
    let settings = cluster.folder().join(format!("{id}.toml"));
    let witness = witness_program()?;
    let script = format!("{} {}; {script}", witness.display(), notes.display());
    fs::write(&settings, format!("[default]\nargv = [\"sh\", \"-c\", {script:?}]\ncwd = \"/\"\n"))?;
    let servers: Vec<String> =
        cluster.numbers().map(|node| cluster.api(node).base().to_owned()).collect();
    let [settings, data] = [settings, cluster.folder().join(format!("{id}-data"))]
        .map(|path| path.display().to_string());
    let (listen, servers) = (free_address()?.to_string(), servers.join(","));
    let arguments = [
        "executor", "--server", &servers, "--name", name, "--id", id, "--listen", &listen,
        "--config", &settings, "--data", &data,
    ];
    ExecutorProcess::start(&node_program()?, arguments, cluster.folder().join(format!("{id}.log")))
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

/// Adds a task that ticks each second on executors of one name, at most once, and one that does at
/// least once, whatever fails.
async fn add(api: &Api, executor: &str, at_least_once: bool) -> TestResult<()> {
    let action = json!({"executor": {"names": [executor], "balance": "least_loaded"}});
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
    if executor == "good" {
        task["name"] = json!("uneven-good");
        task["schedule"] = json!({"interval": "500ms"});
        task["timeout"] = json!("30s");
        api.post("/api/v1/tasks", &task).await?;
    }
    Ok(())
}

/// Notes when which executor was seen offline, for as long as the test lasts.
fn watch_offline(apis: Vec<Api>) -> Arc<Mutex<Vec<(i64, String)>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        for api in apis.iter().cycle() {
            let list = api.get("/api/v1/executors?consistency=stale").await.unwrap_or_default();
            let offline = items(&list).iter().filter(|one| text(one, "status") != "online");
            noted.lock().extend(offline.map(|one| (now_ms(), text(one, "id").to_owned())));
            sleep(LOOK).await;
        }
    });
    seen
}

/// Judges the choices among the good executors.
fn judge(attempts: &[ObservedLoad], kills: &[i64], offline: &[(i64, String)]) -> LoadFigures {
    let applied = |from: i64, to: i64| {
        let mut around = (from - OFFLINE_MS)..(to + OFFLINE_MS);
        let good = |id: &str| GOOD.iter().any(|(good, _)| *good == id);
        if offline.iter().any(|(at, id)| good(id) && around.contains(at)) {
            return None;
        }
        around.start = from - TAKEOVER_MS;
        let killed = kills.iter().any(|at| around.contains(at));
        Some(if killed { TAKEOVER_MS } else { APPLIED_MS })
    };
    least_loaded(attempts, &GOOD.into(), applied)
}

/// The same attempts, as if the good executors had been chosen in turn for each task.
fn in_turn(mut attempts: Vec<ObservedLoad>) -> Vec<ObservedLoad> {
    attempts.sort_by_key(|one| one.started);
    let mut turns: BTreeMap<String, usize> = BTreeMap::new();
    for one in attempts.iter_mut().filter(|one| one.executor.starts_with("good-")) {
        let turn = turns.entry(one.task.clone()).or_default();
        GOOD[*turn % GOOD.len()].0.clone_into(&mut one.executor);
        *turn += 1;
    }
    attempts
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

/// Kills nodes in turn, and one of the executors now and then, for so long; tells when nodes were.
async fn kill(
    cluster: &mut ProcessCluster,
    victim: &mut ExecutorProcess,
    until: Instant,
) -> TestResult<Vec<i64>> {
    let mut round = 0_u8;
    let mut kills = Vec::new();
    while Instant::now() < until {
        sleep(KILL_EVERY).await;
        if round % 2 == 1 {
            victim.kill9()?;
            sleep(AWAY).await;
            victim.again()?;
        } else {
            let node = round / 2 % 3 + 1;
            kills.push(now_ms());
            cluster.kill9(node)?;
            sleep(AWAY).await;
            cluster.start_node(node)?;
            cluster.ready(node).await?;
        }
        round = (round + 1) % 6;
    }
    Ok(kills)
}

#[tokio::test]
async fn five_executors_under_kills_keep_the_promises() -> TestResult<()> {
    let options = ClusterOptions { settings: SETTINGS.to_owned(), ..ClusterOptions::default() };
    let mut cluster = ProcessCluster::start(3, options).await?;
    let api = cluster.api(1);
    let notes = cluster.folder().join("notes");
    let good = GOOD.iter().map(|(id, _)| worker(&cluster, "good", id, UNEVEN, &notes));
    let _good: Vec<ExecutorProcess> = good.collect::<TestResult<_>>()?;
    let _slow = worker(&cluster, "slow", "slow", "sleep 2", &notes)?;
    let mut crashing = worker(&cluster, "crashing", "crashing", "sleep 0.3", &notes)?;
    register(&api, "lying", lying().await?).await?;
    register(&api, "unreachable", free_address()?).await?;
    until("all executors to register", async || {
        let list = api.get("/api/v1/executors").await?;
        if items(&list).len() == 6 { Ok(()) } else { Err(format!("{list}").into()) }
    })
    .await?;
    for executor in ["good", "slow", "crashing"] {
        add(&api, executor, true).await?;
    }
    for executor in ["lying", "unreachable"] {
        add(&api, executor, false).await?;
    }
    let offline = watch_offline(cluster.numbers().map(|node| cluster.api(node)).collect());
    let end = Instant::now() + Duration::from_secs(seconds());
    let kills = kill(&mut cluster, &mut crashing, end).await?;
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
    api.all_ended().await?;

    let starts = starts(&notes);
    let mut attempts = Vec::new();
    let mut ends: BTreeMap<(String, String), usize> = BTreeMap::new();
    for task in &tasks {
        for one in api.all(&format!("/api/v1/tasks/{task}/executions")).await? {
            attempts.extend(ObservedLoad::all_of(&one)?);
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
    let loads = judge(&attempts, &kills, &offline.lock());
    println!("{ends:?}\n{} kills of nodes; the least loaded: {loads:?}", kills.len());
    assert_eq!(loads.wrong, Vec::<String>::new());
    let dealt = judge(&in_turn(attempts), &kills, &offline.lock());
    assert!(loads.judged > 20 && !dealt.wrong.is_empty(), "the judge has no teeth: {loads:?}");
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
