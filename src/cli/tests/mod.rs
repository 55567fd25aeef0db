//! Tests of whole commands against a server with predefined responses.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use clap::CommandFactory;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::cli::local::LocalClock;
use crate::cli::output::Output;
use crate::domain::spec::{self, ReadContext};
use crate::domain::time::{Millis, Timestamp};

mod apply;
mod assignment;
mod backfill;
mod changing;
mod editing;
mod events;
mod executors;
mod many;
mod nodes;
mod objects;
mod reading;
mod revisions;
mod several;
mod watching;
mod writing;

const NOW: &str = "2026-12-01T12:00:02Z";

/// Captured output of a command.
#[derive(Clone, Default)]
pub(super) struct CapturedOutput(Arc<Mutex<Vec<u8>>>);

impl CapturedOutput {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for CapturedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server with responses by `METHOD /path?query`, and the requests it received.
#[derive(Default)]
struct Stub {
    answers: BTreeMap<String, (u16, Value)>,
    asked: Mutex<Vec<String>>,
}

async fn answer(
    State(stub): State<Arc<Stub>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 2], String) {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let path = path.trim_start_matches("/api/v1");
    let question = format!("{method} {path}");
    let body = String::from_utf8_lossy(&body);
    let bound = headers.get("if-match").and_then(|bound| bound.to_str().ok());
    let bound = bound.map(|revision| format!(" if {revision}")).unwrap_or_default();
    stub.asked.lock().push(format!("{question}{bound} {body}").trim_end().to_owned());
    let (status, body) = match stub.answers.get(&question) {
        Some((status, body)) => (*status, body.clone()),
        None => (404, json!({"code": "gone", "detail": "there is no such thing"})),
    };
    let text = if let Value::String(text) = &body { text.clone() } else { body.to_string() };
    // In these tests an output of several lines is complete, and a single line is only the tail
    // from the record.
    let kept = if text.contains('\n') { "true" } else { "false" };
    let headers = [("punctual-version", VERSION), ("punctual-output-kept", kept)];
    (StatusCode::from_u16(status).unwrap(), headers, text)
}

/// The result of a command line.
struct Ran {
    exit: Exit,
    data: String,
    talk: String,
    asked: Vec<String>,
}

async fn ran(line: &[&str], answers: &[(&str, u16, Value)]) -> Ran {
    typed(line, answers, |_out| {}).await
}

/// The same, with these lines as answers to questions.
async fn answered(line: &[&str], answers: &[(&str, u16, Value)], lines: &'static str) -> Ran {
    typed(line, answers, |out| out.answer(lines)).await
}

async fn typed(
    line: &[&str],
    answers: &[(&str, u16, Value)],
    prepare: impl FnOnce(&mut Output),
) -> Ran {
    let answers = answers
        .iter()
        .map(|(question, status, body)| ((*question).to_owned(), (*status, body.clone())));
    let stub = Arc::new(Stub { answers: answers.collect(), ..Stub::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&stub));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let line = ["punctual"].iter().chain(line);
    let arguments = match CliArgs::try_parse_from(line) {
        Ok(arguments) => arguments,
        Err(error) => {
            let talk = error.to_string();
            return Ran { exit: Exit::Usage, data: String::new(), talk, asked: Vec::new() };
        }
    };
    let (data, talk) = (CapturedOutput::default(), CapturedOutput::default());
    let clock = LocalClock::new("UTC", Timestamp::parse(NOW).unwrap());
    let (out, err) = (Box::new(data.clone()), Box::new(talk.clone()));
    let mut out = Output::to(arguments.global.output, clock, out, err);
    prepare(&mut out);
    let mut context = CliContext::with(out, vec![server], arguments.global.stale);
    let outcome = dispatch(arguments.command, &mut context).await;
    let exit = conclude(outcome, &mut context);
    let asked = stub.asked.lock().clone();
    Ran { exit, data: data.text(), talk: talk.text(), asked }
}

pub(in crate::cli) fn hello() -> Value {
    let body = json!({
        "name": "hello", "labels": {"env": "prod"}, "schedule": {"interval": "5s"},
        "action": {"shell": {"argv": ["echo", "on time"]}},
        "catch_up": {"policy": "last", "window": "1h", "max": 100},
    });
    let context = ReadContext {
        default_zone: "UTC",
        now: Timestamp::parse(NOW).unwrap(),
        min_interval: Millis(100),
        functions_allowed: false,
        custom_strategy: false,
        current: None,
        settled: Timestamp(0),
        calendars: None,
    };
    let mut task = spec::write(&spec::read(&body, context).unwrap());
    let answer = json!({
        "id": "hello", "revision": 7, "incarnation": 5, "origin": "api", "state": "active",
        "paused": null, "owner": "n2", "cursor": "2026-12-01T12:00:00.000Z",
        "next_tick": "2026-12-01T12:00:05.000Z",
        "last_execution": {"id": "42", "tick": "2026-12-01T12:00:00.000Z",
            "due": "2026-12-01T12:00:00.000Z", "status": "success", "lateness_ms": 1,
            "duration_ms": 3},
        "totals": {"fired": 9, "skipped": 0, "missed": 0, "coalesced": 0, "uncounted_spans": 0,
            "success": 9, "failed": 0, "timeout": 0, "cancelled": 0, "lost": 0},
        "created_at": "2026-12-01T11:00:00.000Z", "updated_at": "2026-12-01T11:00:00.000Z",
    });
    task.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
    task
}

pub(in crate::cli) fn node(name: &str) -> Value {
    json!({
        "id": "1", "name": name, "hostname": "h", "pid": 7, "state": "working",
        "intent": "none", "role": "leader", "http": "", "peer": "", "version": "1",
        "weight": 1, "labels": {"zone": "a"}, "automatic_labels": {"node": name, "host": "h"}, "slots": 0, "functions": [], "shell": true,
        "created_at": "2026-12-01T11:00:00.000Z", "started_at": "2026-12-01T12:00:00.000Z",
        "tasks_owned": 2,
    })
}

pub(in crate::cli) fn execution(id: &str, status: &str, tail: &str) -> Value {
    json!({
        "id": id, "task": "hello", "status": status, "node": "n2", "trigger": "schedule",
        "task_id": "hello", "revision": 7, "incarnation": 5, "dismissed": false,
        "stopping": false, "fence": 41, "attempt": 1, "parameters": {}, "index": 9,
        "scheduled_time": "2026-12-01T12:00:00.000Z", "idempotency_key": "hello/5",
        "tick": "2026-12-01T12:00:00.000Z", "due": "2026-12-01T12:00:00.000Z",
        "start_time": "2026-12-01T12:00:00.001Z", "end_time": "2026-12-01T12:00:00.004Z",
        "lateness_ms": 1, "duration_ms": 3, "exit_code": 0, "output_tail": tail,
        "attempts": [{"attempt": 1, "node": "n2", "fence": 41, "outcome": status, "detail": "x"}],
    })
}

#[test]
fn the_tree_of_commands_is_sound() {
    CliArgs::command().debug_assert();
}
