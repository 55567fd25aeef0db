//! Requests about several tasks: `POST /tasks/batch` and `POST /tasks/bulk`. In the history each
//! item is a separate call, under its key in the log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_128;

use super::{CALLS, Exchange, SimClient, TRIES, name};
use crate::check::history::{ClientRequest, HistoryEvent, Returned};

/// One item of a request.
struct BatchItem {
    call: u64,
    task: String,
    returned: Option<Returned>,
}

/// One request about several tasks.
struct Many {
    asked: ClientRequest,
    path: &'static str,
    key: String,
    body: Value,
    items: Vec<BatchItem>,
    /// Whether the outcome of any transmission is unknown.
    unknown: bool,
}

impl SimClient {
    /// Sends one request about several tasks until each item is answered or the client gives up.
    pub(super) async fn many(&mut self) {
        let mut many = self.draw_many();
        for (at, item) in many.items.iter().enumerate() {
            let key = Some(many.item_key(at, &item.task));
            let (asked, call, task) = (many.asked, item.call, item.task.clone());
            self.world.history().note(None, HistoryEvent::Call { call, asked, task, key });
        }
        for _ in 0..TRIES {
            let request = (Method::POST, many.path.to_owned());
            match self.exchange(request, Some(&many.key), Some(&many.body)).await {
                Exchange::Answered { status, index, body, .. } => {
                    self.take(&mut many, status, index, &body);
                }
                Exchange::Nowhere => {}
                Exchange::Unknown => many.unknown = true,
            }
            if many.items.iter().all(|item| item.returned.is_some()) {
                break;
            }
            self.node = self.random.index(self.world.common.plan.nodes);
            sleep(Duration::from_millis(self.random.range(20, 400))).await;
        }
        let missing = if many.unknown { Returned::Unknown } else { Returned::Never };
        for BatchItem { call, returned, .. } in many.items {
            let returned = returned.unwrap_or_else(|| missing.clone());
            self.world.history().note(None, HistoryEvent::Return { call, returned });
        }
    }

    fn draw_many(&mut self) -> Many {
        let names = self.world.common.plan.names as u64;
        let (first, count) = (self.random.below(names), self.random.range(2, 4));
        let items = (0..count).map(|at| BatchItem {
            call: CALLS.fetch_add(1, Ordering::Relaxed) + 1,
            task: name((first + at) % names),
            returned: None,
        });
        let items: Vec<BatchItem> = items.collect();
        let key = format!("call-{}", items.first().map_or(0, |item| item.call));
        let unknown = false;
        if self.random.chance(400) {
            let force = self.random.chance(300);
            let (asked, path) = if force {
                (ClientRequest::Force, "/tasks/batch?force=true")
            } else {
                (ClientRequest::Add, "/tasks/batch")
            };
            let bodies = items.iter().map(|item| self.definition(&item.task, item.call));
            let body = bodies.collect();
            return Many { asked, path, key, body, items, unknown };
        }
        let (asked, op) = match self.random.below(5) {
            0 => (ClientRequest::Pause { wait: false }, "pause"),
            1 => (ClientRequest::Resume, "resume"),
            3 => (ClientRequest::Cancel { wait: false }, "cancel"),
            2 => (ClientRequest::Delete { wait: false }, "delete"),
            _ => (ClientRequest::Trigger, "trigger"),
        };
        let names: Vec<&str> = items.iter().map(|item| item.task.as_str()).collect();
        let body = json!({"op": op, "names": names});
        Many { asked, path: "/tasks/bulk", key, body, items, unknown }
    }

    /// Processes a response to the whole request or to each item.
    fn take(&self, many: &mut Many, status: u16, index: Option<u64>, body: &Value) {
        let answers = body["items"].as_array();
        for (at, item) in many.items.iter_mut().enumerate() {
            let shown = answers.and_then(|answers| answers.get(at));
            let code = shown.unwrap_or(body)["code"].as_str().unwrap_or_default().to_owned();
            match code.as_str() {
                "outcome_unknown" | "internal" => {
                    many.unknown = true;
                    continue;
                }
                "no_leader" | "not_accepted" | "index_not_reached" => continue,
                _ => {}
            }
            let own = shown.and_then(|shown| shown["status"].as_u64());
            let status = own.and_then(|own| u16::try_from(own).ok()).unwrap_or(status);
            let revision = shown.and_then(|shown| shown["revision"].as_u64());
            let returned = Returned::Answer { status, code, revision, index };
            match &item.returned {
                Some(Returned::Answer { status: former, .. }) if *former != status => {
                    let task = &item.task;
                    let what = format!("{task} of {} got {former}, then {status}", many.key);
                    self.world.history().violated("one effect per idempotency key", what);
                }
                Some(_) => {}
                None => item.returned = Some(returned),
            }
        }
    }
}

impl Many {
    /// The key of an item in the log.
    fn item_key(&self, at: usize, task: &str) -> String {
        let hash = xxh3_128(self.key.as_bytes());
        if self.path == "/tasks/bulk" {
            format!("{hash:032x} {task}")
        } else {
            format!("{hash:032x} {at}")
        }
    }
}
