//! The limit on a node's concurrent attempts: `slots`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::ApiRig;
use crate::exec::{Func, FuncContext};

/// Records the attempts of a function.
#[derive(Clone)]
pub(super) struct Gauge {
    /// Number of running attempts.
    running: Arc<AtomicUsize>,
    /// Maximum number of attempts that ran at the same time.
    most: Arc<AtomicUsize>,
    /// Executions in the order of their start.
    pub(super) started: Arc<Mutex<Vec<u64>>>,
    /// Whether attempts may end.
    pub(super) open: watch::Sender<bool>,
}

impl Gauge {
    pub(super) fn new(open: bool) -> Self {
        Self {
            running: Arc::default(),
            most: Arc::default(),
            started: Arc::default(),
            open: watch::Sender::new(open),
        }
    }

    pub(super) fn function(&self) -> Func {
        let gauge = self.clone();
        Arc::new(move |context: FuncContext| {
            let gauge = gauge.clone();
            Box::pin(async move {
                let running = gauge.running.fetch_add(1, Ordering::SeqCst) + 1;
                gauge.most.fetch_max(running, Ordering::SeqCst);
                gauge.started.lock().push(context.attempt.execution.0);
                drop(gauge.open.subscribe().wait_for(|open| *open).await);
                // Long enough for other attempts to start in the meantime.
                tokio::time::sleep(Duration::from_millis(2)).await;
                gauge.running.fetch_sub(1, Ordering::SeqCst);
                Ok(String::new())
            })
        })
    }
}

/// A node with this number of slots, and tasks that are all due at the same instant soon.
async fn burst(slots: u32, tasks: usize, gauge: &Gauge) -> ApiRig {
    let slots = [("node.slots", slots.to_string())];
    let rig = ApiRig::having(&slots, [("gauge", gauge.function())]).await;
    let now = jiff::Timestamp::now().as_second();
    let at = jiff::Timestamp::from_second(now + 3).unwrap().to_string();
    let items: Vec<Value> = (0..tasks)
        .map(|n| {
            // The window is large enough for any delay in creating the tasks.
            json!({"name": format!("t-{n:05}"), "schedule": {"at": at},
                "action": {"func": {"id": "gauge"}},
                "catch_up": {"policy": "all", "window": "1h"}})
        })
        .collect();
    let made = rig.post("/tasks/batch", json!({"items": items})).await.expect(200);
    assert_eq!(made.body["failed"], 0, "{}", made.text);
    rig
}

async fn counted(rig: &ApiRig, what: &str, count: usize) {
    let path = "/api/v1/executions/stats";
    rig.until(path, |got| got.body[what] == json!(count)).await;
}

/// Executions with this status in the applied state.
async fn with_status(rig: &ApiRig, status: &str) -> Vec<u64> {
    let got = rig.get(&format!("/executions?status={status}&limit=100")).await.expect(200);
    let items = got.body["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_ticks_at_one_instant_keep_to_the_slots() {
    let gauge = Gauge::new(true);
    let rig = burst(4, 1_000, &gauge).await;
    rig.until("/api/v1/executions/stats", |got| {
        let granted = got.body["running"].as_u64().unwrap();
        assert!(granted <= 4, "{granted} at once in the state");
        got.body["success"] == json!(1_000)
    })
    .await;
    let most = gauge.most.load(Ordering::SeqCst);
    assert!((1..=4).contains(&most), "{most} at once");
    let started: BTreeSet<u64> = gauge.started.lock().iter().copied().collect();
    assert_eq!((started.len(), gauge.started.lock().len()), (1_000, 1_000), "each of them, once");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_starts_in_the_order_of_its_ticks() {
    let gauge = Gauge::new(false);
    let rig = burst(1, 20, &gauge).await;
    counted(&rig, "pending", 19).await;
    rig.until("/api/v1/executions/stats", |_| !gauge.started.lock().is_empty()).await;
    let first = with_status(&rig, "running").await;
    assert_eq!(*gauge.started.lock(), first, "one runs");
    let mut waiting = with_status(&rig, "pending").await;
    waiting.sort_unstable();
    gauge.open.send_replace(true);
    counted(&rig, "success", 20).await;
    assert_eq!(gauge.started.lock()[1..], waiting, "by tick, then by number");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_slots_count_at_once() {
    let gauge = Gauge::new(false);
    let rig = burst(1, 10, &gauge).await;
    counted(&rig, "pending", 9).await;
    let more = rig.call(Method::PATCH, "/nodes/1", json!({"slots": 3}), &[]).await.expect(200);
    assert_eq!(more.body["slots"], 3);
    counted(&rig, "running", 3).await;
    assert_eq!(with_status(&rig, "pending").await.len(), 7);
    rig.call(Method::PATCH, "/nodes/1", json!({"slots": 0}), &[]).await.expect(200);
    counted(&rig, "running", 10).await;
    gauge.open.send_replace(true);
    counted(&rig, "success", 10).await;
    rig.stop().await;
}
