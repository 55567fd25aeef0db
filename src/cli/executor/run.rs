//! The executions of a worker: accepted, carried out by the commands of its file, and reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};
use url::Url;

use super::file::{WorkerCommand, WorkerFile};
use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::task::{Action, ShellAction};
use crate::domain::time::{Millis, Timestamp};
use crate::exec::executor::{SIGNATURE_HEADER, sign, unix_seconds};
use crate::exec::{
    AttemptControl, AttemptOutcome, AttemptStatus, BootInstant, Exec, GrantedAttempt,
    ParentOfAttempt, Stop,
};

/// From the request to stop to the kill.
const KILL_GRACE: Millis = Millis::from_secs(5);
/// The end of an output that goes with its callback, in bytes.
const LOGS_MAX: usize = 64 << 10;
/// A callback that nobody takes is given up after this.
const CALLBACK_LIMIT: Duration = Duration::from_secs(3_600);
/// Pauses between its tries: the first, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// An execution starts within this of being accepted.
const START_LIMIT: Millis = Millis::from_secs(600);

/// The body of `/execute`, as far as a worker needs it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ExecuteRequest {
    execution_id: String,
    task_name: String,
    callback_url: String,
    #[serde(default)]
    parameters: Value,
    #[serde(default)]
    fence: u64,
    #[serde(default = "one")]
    attempt: u32,
    tick: Option<String>,
    #[serde(default)]
    payload: String,
    #[serde(default)]
    idempotency_key: String,
    #[serde(default)]
    timeout_ms: u64,
    parent: Option<ParentOfRequest>,
}

/// The body of `/stop`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StopRequest {
    execution_id: String,
    /// None: whatever its attempt.
    fence: Option<u64>,
}

const fn one() -> u32 {
    1
}

/// The execution whose end started the one of a request.
#[derive(Clone, Debug, Deserialize)]
struct ParentOfRequest {
    task: String,
    execution_id: String,
    status: String,
    exit_code: Option<i32>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    tail: String,
}

/// What a worker answers to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It is carried out.
    Yes,
    /// No command carries the task out.
    NoCommand,
    /// There is no room.
    Full,
    /// The worker is about to end.
    Draining,
}

/// Execution and fence.
type RunKey = (String, u64);

/// The executions that a worker has.
pub(super) struct Runs {
    pub id: String,
    pub secret: Option<String>,
    pub capacity: u32,
    file: WorkerFile,
    exec: Exec,
    http: reqwest::Client,
    servers: Vec<Url>,
    running: Mutex<BTreeMap<RunKey, watch::Sender<Stop>>>,
    /// How many run or have a callback on its way.
    open: watch::Sender<usize>,
    draining: watch::Sender<bool>,
}

/// What the executions of a worker need.
pub(super) struct RunParts {
    pub id: String,
    pub secret: Option<String>,
    pub capacity: u32,
    pub file: WorkerFile,
    pub exec: Exec,
    pub http: reqwest::Client,
    pub servers: Vec<Url>,
}

impl Runs {
    pub fn new(parts: RunParts) -> Self {
        let RunParts { id, secret, capacity, file, exec, http, servers } = parts;
        let (running, open) = (Mutex::default(), watch::Sender::new(0));
        let draining = watch::Sender::new(false);
        Self { id, secret, capacity, file, exec, http, servers, running, open, draining }
    }

    /// Whether it takes no more work.
    pub fn draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Takes no more work from now on.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Returns when nothing runs and every end was told.
    pub async fn idle(&self) {
        let mut open = self.open.subscribe();
        let _ended = open.wait_for(|open| *open == 0).await;
    }

    /// Kills what runs.
    pub fn kill_all(&self) {
        for stop in self.running.lock().values() {
            stop.send_replace(Stop::Kill);
        }
    }

    /// Asks an execution to stop; whether it runs here.
    pub fn stop(&self, request: &StopRequest) -> bool {
        let StopRequest { execution_id, fence } = request;
        let running = self.running.lock();
        let mut found = false;
        for ((id, own), stop) in running.iter() {
            if id == execution_id && fence.is_none_or(|fence| fence == *own) {
                stop.send_if_modified(|asked| {
                    let stronger = *asked < Stop::Ask;
                    *asked = Stop::Ask.max(*asked);
                    stronger
                });
                found = true;
            }
        }
        found
    }

    /// Starts an execution, if there is room for it. The same attempt runs once, however often it
    /// is sent.
    pub fn accept(self: &Arc<Self>, request: ExecuteRequest) -> Accepted {
        let key = (request.execution_id.clone(), request.fence);
        let (command, stop) = {
            let mut running = self.running.lock();
            if running.contains_key(&key) {
                return Accepted::Yes;
            }
            if self.draining() {
                return Accepted::Draining;
            }
            if self.capacity > 0 && running.len() >= usize::try_from(self.capacity).unwrap_or(0) {
                return Accepted::Full;
            }
            let Some(command) = self.file.command(&request.task_name).cloned() else {
                return Accepted::NoCommand;
            };
            let (stop, stopped) = watch::channel(Stop::No);
            running.insert(key.clone(), stop);
            (command, stopped)
        };
        self.open.send_modify(|open| *open += 1);
        let runs = Arc::clone(self);
        tokio::spawn(async move {
            tracing::info!(execution = key.0, task = request.task_name, "an execution begins");
            let outcome = runs.carry_out(&request, &command, stop).await;
            let told = runs.callback_body(&request, &outcome).await;
            runs.running.lock().remove(&key);
            runs.call_back(&request, &told).await;
            runs.open.send_modify(|open| *open -= 1);
        });
        Accepted::Yes
    }

    async fn carry_out(
        &self,
        request: &ExecuteRequest,
        command: &WorkerCommand,
        stop: watch::Receiver<Stop>,
    ) -> AttemptOutcome {
        let (started, _begun) = oneshot::channel();
        let control = AttemptControl { gate: Arc::new(|| true), stop, started };
        let action = Action::Shell(ShellAction {
            argv: command.argv.clone(),
            env: command.env.clone(),
            cwd: command.cwd.clone().or_else(working_folder),
            stdin: String::new(),
            user: None,
        });
        self.exec.run(&action, &self.attempt(request, command), control).await
    }

    /// The request as an attempt of this machine.
    fn attempt(&self, request: &ExecuteRequest, command: &WorkerCommand) -> GrantedAttempt {
        let limits = [Millis(request.timeout_ms), command.time_limit().unwrap_or(Millis(0))];
        let timeout = limits.into_iter().filter(|limit| limit.0 > 0).min().unwrap_or(Millis(0));
        let parent = request.parent.as_ref().map(|parent| ParentOfAttempt {
            task: parent.task.clone(),
            execution: ExecutionId(parent.execution_id.parse().unwrap_or(0)),
            status: known_status(&parent.status),
            exit_code: parent.exit_code,
            reason: parent.reason.clone(),
            tail: parent.tail.clone(),
        });
        GrantedAttempt {
            execution: ExecutionId(request.execution_id.parse().unwrap_or(0)),
            fence: Fence(request.fence),
            attempt: request.attempt,
            node: self.id.clone(),
            task: request.task_name.clone(),
            tick: request.tick.as_deref().and_then(|tick| Timestamp::parse(tick).ok()),
            parent,
            idempotency_key: request.idempotency_key.clone(),
            parameters: request.parameters.to_string(),
            payload: request.payload.clone(),
            executor: None,
            timeout,
            kill_grace: KILL_GRACE,
            start_by: BootInstant::now().plus(START_LIMIT),
        }
    }

    async fn callback_body(&self, request: &ExecuteRequest, outcome: &AttemptOutcome) -> String {
        let status = match outcome.status {
            AttemptStatus::Success => "success",
            AttemptStatus::Timeout => "timeout",
            _ => "failed",
        };
        let result = match (outcome.exit_code, outcome.detail.as_str()) {
            (Some(code), "") => format!("exit {code}"),
            (_, detail) => detail.to_owned(),
        };
        let logs = self.logs(request, outcome).await;
        let execution = &request.execution_id;
        json!({"execution_id": execution, "status": status, "result": result, "logs": logs})
            .to_string()
    }

    /// The end of what an execution printed.
    async fn logs(&self, request: &ExecuteRequest, outcome: &AttemptOutcome) -> String {
        let execution = ExecutionId(request.execution_id.parse().unwrap_or(0));
        let mut bytes = Vec::new();
        let mut from = 0;
        while let Some(chunk) =
            self.exec.read_output(execution, request.attempt, from, LOGS_MAX).await
        {
            if chunk.bytes.is_empty() || chunk.next() <= from {
                break;
            }
            from = chunk.next();
            bytes.extend_from_slice(&chunk.bytes);
            bytes.drain(..bytes.len().saturating_sub(LOGS_MAX));
        }
        if bytes.is_empty() {
            bytes.clone_from(&outcome.tail);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Tells the end: at the callback URL, else at the same path of the other servers, until one of
    /// them answers.
    async fn call_back(&self, request: &ExecuteRequest, body: &str) {
        let urls = callback_urls(&request.callback_url, &self.servers);
        let give_up = Instant::now() + CALLBACK_LIMIT;
        let mut pause = PAUSE_FIRST;
        loop {
            for url in &urls {
                if self.send(url, body, &request.execution_id).await {
                    return;
                }
            }
            if Instant::now() >= give_up {
                let execution = &request.execution_id;
                tracing::error!(execution, "no server takes the callback; it is given up");
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Sends a callback; whether it was answered for good.
    async fn send(&self, url: &str, body: &str, execution: &str) -> bool {
        let mut request = self.http.post(url).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.secret {
            let signature = sign(secret, unix_seconds(), body.as_bytes());
            request = request.header(SIGNATURE_HEADER, signature);
        }
        match request.body(body.to_owned()).send().await {
            Ok(answer) if answer.status().is_success() => {
                tracing::info!(execution, "the result was reported");
                true
            }
            Ok(answer) if answer.status().is_client_error() => {
                let status = answer.status().as_u16();
                // Too many requests, or too slow ones: those are worth another try.
                if matches!(status, 408 | 429) {
                    return false;
                }
                let why = answer.text().await.unwrap_or_default();
                tracing::warn!(execution, status, why, "its end was refused");
                true
            }
            Ok(answer) => {
                tracing::debug!(execution, status = answer.status().as_u16(), "not taken yet");
                false
            }
            Err(error) => {
                tracing::debug!(execution, %error, "not taken yet");
                false
            }
        }
    }
}

/// The callback URL, and the same path and query at each server.
fn callback_urls(callback: &str, servers: &[Url]) -> Vec<String> {
    let mut urls = vec![callback.to_owned()];
    let Ok(whole) = Url::parse(callback) else { return urls };
    // What stands before the path of the API belongs to the server.
    let path = whole.path();
    let path = path.find("/api/v1/").and_then(|at| path.get(at..)).unwrap_or(path);
    for server in servers {
        let mut url = server.clone();
        url.set_path(&format!("{}{path}", server.path().trim_end_matches('/')));
        url.set_query(whole.query());
        if !urls.iter().any(|known| known == url.as_str()) {
            urls.push(url.into());
        }
    }
    urls
}

/// A word of the API for the end of an execution.
fn known_status(word: &str) -> &'static str {
    let known = ["success", "failed", "timeout", "lost", "cancelled"];
    known.into_iter().find(|known| *known == word).unwrap_or("failed")
}

/// The folder in which the worker was started.
fn working_folder() -> Option<String> {
    std::env::current_dir().ok()?.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_goes_to_every_server() {
        let servers = ["http://n1:8080/", "https://cron.example/prefix/"];
        let servers: Vec<Url> = servers.iter().map(|url| Url::parse(url).unwrap()).collect();
        let callback = "http://n2:8080/api/v1/executions/7/callback?fence=8&key=ab";
        assert_eq!(
            callback_urls(callback, &servers),
            [
                callback,
                "http://n1:8080/api/v1/executions/7/callback?fence=8&key=ab",
                "https://cron.example/prefix/api/v1/executions/7/callback?fence=8&key=ab",
            ]
        );
        let own = "http://n1:8080/api/v1/executions/7/callback?fence=8&key=ab";
        assert_eq!(callback_urls(own, &servers).len(), 2);
    }

    #[test]
    fn a_request_needs_little() {
        let request: ExecuteRequest = serde_json::from_value(json!({
            "execution_id": "7", "task_id": "a", "task_name": "a", "parameters": {"b": 1},
            "callback_url": "http://n1:8080/",
        }))
        .unwrap();
        assert_eq!((request.fence, request.attempt, request.timeout_ms), (0, 1, 0));
    }
}
