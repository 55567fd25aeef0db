//! Pairs of changes: a change of a task that is reverted soon.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{CALLS, SimClient, name};
use crate::check::history::ClientRequest;

/// Schedule rules, and fields that are not valid with every rule.
const OTHERS: [&str; 11] = [
    "interval",
    "cron",
    "daily",
    "delay",
    "immediate",
    "manual",
    "timezone",
    "dst",
    "jitter",
    "anchor",
    "max_ticks",
];

/// A patch that sets the rule of a task and enables it.
fn ticking(rule: &str, value: &str) -> Value {
    let mut schedule: Value =
        OTHERS.iter().map(|other| ((*other).to_owned(), Value::Null)).collect();
    schedule[rule] = json!(value);
    json!({"enabled": true, "schedule": schedule})
}

impl SimClient {
    /// Gives a task a tick in the far future and reverts it immediately. The second change reaches
    /// the task's actor while it goes to sleep.
    pub(super) async fn far_and_back(&mut self) {
        let task = self.some_task();
        for every in ["3600s", "700ms"] {
            self.ask(ClientRequest::Patch, &task, Some(ticking("interval", every))).await;
        }
    }

    /// Gives a task one tick, cancels the task just before or after it, and resumes it.
    pub(super) async fn cancel_and_back(&mut self) {
        let task = self.some_task();
        let delay = format!("{}ms", self.random.range(50, 900));
        self.ask(ClientRequest::Patch, &task, Some(ticking("delay", &delay))).await;
        sleep(Duration::from_millis(self.random.range(0, 500))).await;
        self.ask(ClientRequest::Cancel { wait: false }, &task, None).await;
        sleep(Duration::from_millis(self.random.range(100, 1_500))).await;
        self.ask(ClientRequest::Resume, &task, None).await;
    }

    fn some_task(&mut self) -> String {
        name(self.random.below(self.world.common.plan.names as u64))
    }

    /// Makes one numbered call.
    async fn ask(&mut self, asked: ClientRequest, task: &str, body: Option<Value>) {
        let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        self.place(call, asked, task, body).await;
    }
}
