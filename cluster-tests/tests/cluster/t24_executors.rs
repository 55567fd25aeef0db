//! Executors: the examples, the worker of the command line, and the choice of the least loaded.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use cluster_tests::{
    Api, ClusterOptions, ExecutorProcess, ProcessCluster, TestResult, example_program, field,
    free_address, items, node_program, skipped, text, until,
};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

/// Waits until an executor has a status, and until the tasks that it declared are there: they are
/// added one by one after it.
async fn executor(api: &Api, id: &str, status: &str) -> TestResult<Value> {
    let executor = until(&format!("executor {id} to be {status}"), async || {
        let executor = api.get(&format!("/api/v1/executors/{id}")).await?;
        if text(&executor, "status") == status {
            Ok(executor)
        } else {
            Err(format!("{executor}").into())
        }
    })
    .await?;
    for task in field(&executor, "tasks").as_array().into_iter().flatten() {
        let path = format!("/api/v1/tasks/{}", task.as_str().ok_or("a name")?);
        until("its task to be added", async || api.get(&path).await).await?;
    }
    Ok(executor)
}

/// Waits until an execution was given to an executor that accepted it.
async fn given(api: &Api, id: &str) -> TestResult<Value> {
    api.execution_when(id, |one| field(one, "executor_id").is_string()).await
}

/// Takes the example of one language through what it can do.
async fn takes_part(api: &Api, language: &str) -> TestResult<()> {
    let id = format!("{language}-example-1");
    executor(api, &id, "online").await?;
    let hello = api.trigger(&format!("{language}-hello"), &json!({"who": "world"})).await?;
    let done = api.execution(&hello, "success").await?;
    assert_eq!(text(&done, "executor_id"), id);
    assert!(text(&done, "output_tail").contains("was carried out in"), "{done}");
    assert_eq!(done.pointer("/attempts/0/detail"), Some(&json!("hello world")), "{done}");
    let sleep = api.trigger(&format!("{language}-sleep"), &json!({"seconds": 600})).await?;
    given(api, &sleep).await?;
    let stop = format!("/api/v1/executions/{sleep}/stop");
    api.send(Method::POST, &stop, None, None).await?;
    api.execution(&sleep, "cancelled").await?;
    Ok(())
}

#[tokio::test]
async fn the_example_in_rust_is_an_executor() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    let arguments = [api.base().to_owned(), free_address()?.to_string()];
    let log = cluster.folder().join("example.log");
    let example = ExecutorProcess::start(&example_program("executor")?, arguments, log)?;
    takes_part(&api, "rust").await.map_err(|error| format!("{error}\n{}", example.said()))?;
    until("the example to stop the work", async || {
        let said = example.said();
        if said.contains("stops") { Ok(()) } else { Err(said.into()) }
    })
    .await?;
    cluster.finish().await
}

#[tokio::test]
async fn the_example_in_python_is_an_executor() -> TestResult<()> {
    let python = Path::new("/usr/bin/python3");
    if !python.exists() {
        return skipped("python3 is not installed");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/executor.py");
    let script = script.to_str().ok_or("a path")?.to_owned();
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    let arguments = [script, api.base().to_owned(), free_address()?.to_string()];
    let log = cluster.folder().join("example.log");
    let example = ExecutorProcess::start(python, arguments, log)?;
    takes_part(&api, "python").await.map_err(|error| format!("{error}\n{}", example.said()))?;
    cluster.finish().await
}

/// Starts a worker of this name whose commands are those of a file.
fn worker(
    cluster: &ProcessCluster,
    name: &str,
    id: &str,
    file: &str,
    secret: Option<&str>,
) -> TestResult<ExecutorProcess> {
    let settings = cluster.folder().join(format!("{id}.toml"));
    fs::write(&settings, file)?;
    let servers: Vec<String> =
        cluster.numbers().map(|node| cluster.api(node).base().to_owned()).collect();
    let servers = servers.join(",");
    let [settings, data] = [settings, cluster.folder().join(format!("{id}-data"))]
        .map(|path| path.display().to_string());
    let listen = free_address()?.to_string();
    let mut arguments = [
        ["executor", "--server"].as_slice(),
        &[&servers, "--name", name, "--id", id, "--listen", &listen],
        &["--config", &settings, "--data", &data],
    ]
    .concat();
    let secret_file = cluster.folder().join(format!("{id}.secret")).display().to_string();
    if let Some(secret) = secret {
        fs::write(&secret_file, secret)?;
        arguments.extend(["--secret-file", &secret_file]);
    }
    let log = cluster.folder().join(format!("{id}.log"));
    ExecutorProcess::start(&node_program()?, arguments, log)
}

#[tokio::test]
async fn workers_of_one_name_share_work_and_drain() -> TestResult<()> {
    let options = ClusterOptions {
        settings: "[executors]\nhealth_check = { interval = \"1s\", timeout = \"1s\" }\n"
            .to_owned(),
        ..ClusterOptions::default()
    };
    let mut cluster = ProcessCluster::start(3, options).await?;
    let api = cluster.api(1);
    let go = cluster.folder().join("go");
    let file = format!(
        "capacity = 2\n[tasks.load]\nargv = [\"sh\", \"-c\", \"echo $PUNCTUAL_NODE \
         $PUNCTUAL_PARAMETER_N; until [ -e {} ]; do sleep 0.1; done\"]\ncwd = \"/\"\n\
         [tasks.fail]\nargv = [\"sh\", \"-c\", \"echo no; exit 3\"]\n",
        go.display()
    );
    let mut first = worker(&cluster, "load", "w-1", &file, None)?;
    let mut second = worker(&cluster, "load", "w-2", &file, None)?;
    for id in ["w-1", "w-2"] {
        executor(&api, id, "online").await?;
    }
    let soon = json!({"lost_after": "1s"});
    let answer = api.send(Method::PATCH, "/api/v1/tasks/load", None, Some(&soon)).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let failed = api.trigger("fail", &json!({})).await?;
    let failed = api.execution(&failed, "failed").await?;
    assert!(text(&failed, "output_tail").starts_with("no\n"), "{failed}");

    // As many as both take together, and one more that waits.
    let mut ids = Vec::new();
    for number in 0..4 {
        let id = api.trigger("load", &json!({ "n": number })).await?;
        given(&api, &id).await?;
        ids.push(id);
    }
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    for id in &ids {
        let one = api.get(&format!("/api/v1/executions/{id}")).await?;
        *at.entry(text(&one, "executor_id").to_owned()).or_default() += 1;
    }
    assert_eq!(at, BTreeMap::from([("w-1".to_owned(), 2), ("w-2".to_owned(), 2)]));

    // A node goes, and a worker drains. What it has goes on for longer than `lost_after`, and its
    // end is reported to another node.
    first.ask_to_end()?;
    let draining = executor(&api, "w-1", "maintenance").await?;
    cluster.kill9(3)?;
    let mut heard = text(&draining, "last_heartbeat").to_owned();
    for beat in ["a", "another"] {
        let before = heard.clone();
        heard = until(&format!("{beat} heartbeat of the worker that drains"), async || {
            let now = api.get("/api/v1/executors/w-1").await?;
            let at = text(&now, "last_heartbeat").to_owned();
            if at == before { Err(at.into()) } else { Ok(at) }
        })
        .await?;
    }
    for id in &ids {
        api.execution(id, "running").await?;
    }
    fs::write(&go, "")?;
    for id in &ids {
        let done = api.execution(id, "success").await?;
        let by = text(&done, "executor_id").to_owned();
        assert!(text(&done, "output_tail").starts_with(&by), "{done}");
    }
    assert!(first.ended().await?.success(), "{}", first.said());
    let id = api.trigger("load", &json!({ "n": 5 })).await?;
    let done = api.execution(&id, "success").await?;
    assert_eq!(text(&done, "executor_id"), "w-2");
    second.ask_to_end()?;
    assert!(second.ended().await?.success(), "{}", second.said());
    cluster.start_node(3)?;
    cluster.all_ready().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_stops_what_it_is_told_to_and_believes_signed_requests_only() -> TestResult<()> {
    let secret = "secret-0123456789";
    let settings = format!("[executors]\nsecret = \"{secret}\"\n");
    let options = ClusterOptions { settings, ..ClusterOptions::default() };
    let cluster = ProcessCluster::start(1, options).await?;
    let api = cluster.api(1);
    let pid_file = cluster.folder().join("pid");
    let script = format!("echo $$ > {}; sleep 600", pid_file.display());
    let file = |task: &str| {
        format!(
            "[tasks.{task}-long]\nargv = [\"sh\", \"-c\", {script:?}]\n\
             [tasks.{task}-short]\nargv = [\"echo\", \"hi\"]\n"
        )
    };
    let told = worker(&cluster, "told", "told", &file("told"), Some(secret))?;
    let other = worker(&cluster, "other", "other", &file("other"), Some("another-0123456789"))?;
    for id in ["told", "other"] {
        executor(&api, id, "online").await?;
    }
    let short = api.trigger("told-short", &json!({})).await?;
    let done = api.execution(&short, "success").await?;
    assert_eq!(text(&done, "output_tail"), "hi\n", "{}", told.said());
    let short = api.trigger("other-short", &json!({})).await?;
    let refused = api.execution(&short, "failed").await?;
    assert_eq!(field(&refused, "http_status"), 403, "{refused}");

    let long = api.trigger("told-long", &json!({})).await?;
    let pid = until("the command to start", async || {
        let pid = fs::read_to_string(&pid_file)?;
        if pid.ends_with('\n') { Ok(pid.trim().to_owned()) } else { Err(pid.into()) }
    })
    .await?;
    api.send(Method::POST, &format!("/api/v1/executions/{long}/stop"), None, None).await?;
    api.execution(&long, "cancelled").await?;
    until("the command to be gone", async || {
        let there = Path::new("/proc").join(&pid).exists();
        if there { Err(told.said().into()) } else { Ok(()) }
    })
    .await?;
    drop((told, other));
    cluster.finish().await
}

/// The bodies of the requests that an executor was given.
type GivenBodies = Arc<Mutex<Vec<Value>>>;

/// An executor that accepts everything and never calls back.
async fn accepting() -> TestResult<(SocketAddr, GivenBodies)> {
    answering(|_body| std::future::ready(StatusCode::ACCEPTED)).await
}

/// An executor that answers like this.
async fn answering<A>(
    answer: impl Fn(Value) -> A + Clone + Send + Sync + 'static,
) -> TestResult<(SocketAddr, GivenBodies)>
where
    A: Future<Output = StatusCode> + Send + 'static,
{
    let work = GivenBodies::default();
    let take = Arc::clone(&work);
    let execute = post(move |Json(body): Json<Value>| {
        take.lock().push(body.clone());
        answer(body)
    });
    let router = Router::new().route("/execute", execute);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((address, work))
}

#[tokio::test]
async fn the_least_loaded_executor_is_chosen() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    let weights = [("a", 1_u64), ("b", 1), ("c", 2)];
    let mut work = BTreeMap::new();
    for (id, weight) in weights {
        let (address, given) = accepting().await?;
        let body = json!({"name": "pool", "instance_id": id, "weight": weight,
            "base_url": format!("http://{address}")});
        api.post("/api/v1/executors/register", &body).await?;
        work.insert(id, given);
    }
    let task = json!({"name": "load", "schedule": {"manual": true},
        "action": {"executor": {"names": ["pool"], "balance": "least_loaded"}}});
    api.post("/api/v1/tasks", &task).await?;
    let mut load: BTreeMap<&str, Vec<String>> = weights.map(|(id, _)| (id, Vec::new())).into();
    for round in 0..24 {
        // The fewest for its weight, the first by id among equals.
        let share =
            |(id, weight): &&(&str, u64)| (load[id].len() as u64 * 12 / weight, (*id).to_owned());
        let least = weights.iter().min_by_key(share).ok_or("an executor")?.0;
        let id = api.trigger("load", &json!({})).await?;
        let execution_given = given(&api, &id).await?;
        assert_eq!(text(&execution_given, "executor_id"), least, "round {round}: {load:?}");
        load.get_mut(least).ok_or("an executor")?.push(id);
        if round % 3 == 2 {
            // One of them ends its oldest.
            let ending = ["c", "a", "b", "c"][round / 3 % 4];
            let list = load.get_mut(ending).ok_or("an executor")?;
            if list.is_empty() {
                continue;
            }
            let id = list.remove(0);
            let url = until("the request to arrive", async || {
                let work = work[ending].lock();
                let body = work.iter().find(|body| text(body, "execution_id") == id);
                body.map(|body| text(body, "callback_url").to_owned()).ok_or_else(|| "none".into())
            })
            .await?;
            let path = url.strip_prefix(api.base()).ok_or("the node's own URL")?;
            api.post(path, &json!({"status": "success"})).await?;
            api.execution(&id, "success").await?;
        }
    }
    let list = api.get("/api/v1/executors").await?;
    for shown in items(&list) {
        let own = load[text(shown, "id")].len();
        assert_eq!(field(shown, "in_flight"), &json!(own), "{list}");
    }
    cluster.finish().await
}

/// Waits until so many requests were given to an executor.
async fn has(given: &GivenBodies, count: usize) -> TestResult<()> {
    until(&format!("{count} requests"), async || match given.lock().len() {
        now if now == count => Ok(()),
        now => Err(format!("{now} requests").into()),
    })
    .await
}

/// An executor that does not answer holds nobody up, not even what it is given itself; also while its
/// circuit is open, which only makes others be preferred.
#[tokio::test]
async fn an_executor_that_hangs_holds_up_no_other_dispatch() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    let (hangs, hanging) = answering(|body| async move {
        // What the first task gives it is refused at once, and never takes.
        if text(&body, "task_name") == "refused" {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        std::future::pending().await
    })
    .await?;
    let (works, working) = accepting().await?;
    for (id, address) in [("hangs", hangs), ("works", works)] {
        let body = json!({"name": id, "instance_id": id, "capacity": 8,
            "base_url": format!("http://{address}")});
        api.post("/api/v1/executors/register", &body).await?;
    }
    for (name, executor) in [("refused", "hangs"), ("held", "hangs"), ("other", "works")] {
        let task = json!({"name": name, "schedule": {"manual": true}, "timeout": "1h",
            "action": {"executor": {"names": [executor]}}});
        api.post("/api/v1/tasks", &task).await?;
    }
    // Closed, and then open: it opens after three failures in a row.
    for (failures, held) in [(0, 3), (5, 6)] {
        for _ in 0..failures {
            let id = api.trigger("refused", &json!({})).await?;
            api.execution(&id, "failed").await?;
        }
        for already in held - 3..held {
            api.trigger("held", &json!({})).await?;
            api.trigger("other", &json!({})).await?;
            // All of them hang by now, and nothing has ended.
            has(&hanging, failures + already + 1).await?;
            has(&working, already + 1).await?;
        }
        let running = api.get("/api/v1/executions?task_id=held&status=running").await?;
        assert_eq!(items(&running).len(), held, "{running}");
    }
    // It would wait for what hangs.
    for one in api.all("/api/v1/executions?task_id=held").await? {
        let stop = format!("/api/v1/executions/{}/stop", text(&one, "id"));
        api.post(&stop, &json!({})).await?;
    }
    cluster.finish().await
}
