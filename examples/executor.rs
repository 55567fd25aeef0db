//! An executor in Rust: it registers two tasks, carries them out and calls back.
//!
//! ```text
//! cargo run --example executor -- http://127.0.0.1:8080 127.0.0.1:9091
//! punctual run rust-hello -p who=world --wait
//! punctual run rust-sleep -p seconds=60
//! ```
//!
//! An executor is any program that answers `POST /execute` with 202 and reports the end to the
//! `callback_url` of the request. `POST /stop` and a health check are welcome. All of the protocol
//! is in this file; a real executor has work of its own in `work`.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

/// A callback is sent until a node answers, at most so often.
const CALLBACK_TRIES: u32 = 600;

/// What the requests share.
struct Executor {
    http: reqwest::Client,
    /// The attempts that run, by execution and fence, each with its switch to stop.
    running: Mutex<HashMap<(String, u64), watch::Sender<bool>>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, listen] = arguments.as_slice() else {
        return Err("usage: executor SERVER_URL LISTEN_ADDRESS".into());
    };
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let executor = Arc::new(Executor { http: http.clone(), running: Mutex::default() });
    let router = Router::new()
        .route("/execute", post(execute))
        .route("/stop", post(stop))
        .route("/health", get(|| async { "healthy" }))
        .with_state(executor);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    register(&http, server, &url).await?;
    serving.await??;
    Ok(())
}

/// Registers until a node takes it. The probes of the cluster keep it online from then on.
async fn register(http: &reqwest::Client, server: &str, url: &str) -> Result<(), Box<dyn Error>> {
    let registration = json!({
        "name": "rust-example",
        "instance_id": "rust-example-1",
        "base_url": url,
        "health_check_url": format!("{url}/health"),
        "tasks": [{"task_name": "rust-hello"}, {"task_name": "rust-sleep"}],
    });
    loop {
        let sent =
            http.post(format!("{server}/api/v1/executors/register")).json(&registration).send();
        match sent.await {
            Ok(answer) if answer.status().is_success() => {
                say(&format!("registered: {}", answer.text().await?));
                return Ok(());
            }
            // 409: the last process with this id had another address, and is not known to be gone.
            Ok(answer) if !matches!(answer.status().as_u16(), 409 | 503 | 504) => {
                return Err(answer.text().await?.into());
            }
            Ok(answer) => say(&format!("not registered yet: {}", answer.status())),
            Err(error) => say(&format!("not registered yet: {error}")),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// `POST /execute`: accepts at once, and works in the background.
async fn execute(
    State(executor): State<Arc<Executor>>,
    Json(request): Json<Value>,
) -> (StatusCode, &'static str) {
    let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let task = text("task_name");
    if !["rust-hello", "rust-sleep"].contains(&task.as_str()) {
        // A refusal is a known failure: the task may be retried, here or elsewhere.
        return (StatusCode::NOT_FOUND, "no such task");
    }
    let key = (text("execution_id"), request["fence"].as_u64().unwrap_or(0));
    let (stop, stopped) = watch::channel(false);
    // The same attempt may be sent twice; it is carried out once.
    if executor.running.lock().insert(key.clone(), stop).is_none() {
        let callback = text("callback_url");
        tokio::spawn(async move {
            let (status, result) = work(&task, &request["parameters"], stopped).await;
            executor.running.lock().remove(&key);
            let body = json!({
                "execution_id": key.0, "status": status, "result": result,
                "logs": format!("{task} was carried out in Rust"),
            });
            call_back(&executor.http, &callback, &body).await;
        });
    }
    (StatusCode::ACCEPTED, "accepted")
}

/// The work itself.
async fn work(
    task: &str,
    parameters: &Value,
    mut stopped: watch::Receiver<bool>,
) -> (&'static str, String) {
    if task == "rust-hello" {
        let who = parameters["who"].as_str().unwrap_or("nobody");
        return ("success", format!("hello {who}"));
    }
    // Parameters of the command line are texts, those of a request may be numbers.
    let seconds = &parameters["seconds"];
    let seconds = seconds.as_u64().or(seconds.as_str().and_then(|text| text.parse().ok()));
    tokio::select! {
        () = sleep(Duration::from_secs(seconds.unwrap_or(1))) => ("success", "slept".to_owned()),
        _ = stopped.wait_for(|stopped| *stopped) => ("failed", "stopped".to_owned()),
    }
}

/// Reports the end until a node answers. An answer from 400 to 499 is final: the attempt no longer
/// counts.
async fn call_back(http: &reqwest::Client, url: &str, body: &Value) {
    for _ in 0..CALLBACK_TRIES {
        match http.post(url).json(body).send().await {
            Ok(answer) if answer.status().as_u16() < 500 => {
                say(&format!("callback of {}: {}", body["execution_id"], answer.status()));
                return;
            }
            Ok(_) | Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

/// `POST /stop`: the execution is to end.
async fn stop(State(executor): State<Arc<Executor>>, Json(request): Json<Value>) -> StatusCode {
    let wanted = request["execution_id"].as_str().unwrap_or_default();
    let running = executor.running.lock();
    let mut found = StatusCode::NOT_FOUND;
    for ((execution, _fence), stop) in running.iter().filter(|((id, _), _)| id == wanted) {
        say(&format!("stops {execution}"));
        stop.send_replace(true);
        found = StatusCode::ACCEPTED;
    }
    found
}

fn say(text: &str) {
    let _unheard = writeln!(std::io::stderr(), "{text}");
}
