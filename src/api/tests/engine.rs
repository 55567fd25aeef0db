//! What becomes of a node when a part of its engine fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{PATIENCE, Rig, yearly};
use crate::engine::Victim;
use crate::exec::{Func, FuncContext};

fn kill(rig: &Rig, victim: Victim) {
    rig.context.running.get().unwrap().engine.kill(victim);
}

async fn fired(rig: &Rig, more_than: u64) -> u64 {
    let path = "/api/v1/tasks/beat";
    let fires = |body: &Value| body["totals"]["fired"].as_u64().unwrap();
    let got = rig.until(path, |got| fires(&got.body) > more_than).await;
    fires(&got.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_node_actor_ends_and_says_why() {
    let rig = Rig::start().await;
    kill(&rig, Victim::Node);
    let ended = tokio::time::timeout(PATIENCE, rig.node).await.expect("it ends by itself");
    let why = ended.unwrap().unwrap_err().to_string();
    assert!(why.contains("the engine's node actor ended by itself"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_actor_fails_goes_on() {
    let rig = Rig::start().await;
    rig.make("beat", json!({"interval": "200ms"}), "ok").await;
    let before = fired(&rig, 0).await;
    kill(&rig, Victim::Task("beat".to_owned()));
    fired(&rig, before + 2).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_actor_fails_ends_as_lost() {
    let rig = Rig::start().await;
    rig.make("slow", yearly(), "slow").await;
    let fired = rig.post("/tasks/slow/trigger", Value::Null).await.expect(201);
    let path = format!("/api/v1/executions/{}", fired.body["id"].as_str().unwrap());
    rig.until(&path, |got| {
        got.body["attempts"][0]["start_time"].is_string() || got.body["status"] == "running"
    })
    .await;
    kill(&rig, Victim::Attempts);
    let ended = rig.until(&path, |got| got.body["end_time"].is_string()).await.body;
    assert_eq!(ended["status"], "lost", "{ended}");
    assert_eq!(ended["attempts"][0]["detail"], "internal error: its actor ended", "{ended}");
    rig.stop().await;
}

/// Sets a flag when it goes.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_engine_leaves_nothing_running() {
    let (begun, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (begins, goes) = (Arc::clone(&begun), Arc::clone(&gone));
    let endless: Func = Arc::new(move |_context: FuncContext| {
        let guard = Guard(Arc::clone(&goes));
        begins.store(true, Ordering::SeqCst);
        Box::pin(async move {
            let _guard = guard;
            std::future::pending().await
        })
    });
    let rig = Rig::having(&[], [("endless", endless)]).await;
    rig.make("endless", yearly(), "endless").await;
    rig.post("/tasks/endless/trigger", Value::Null).await.expect(201);
    rig.until("/readyz", |_| begun.load(Ordering::SeqCst)).await;
    let engine = rig.context.running.get().unwrap().engine.clone();
    engine.stop().await;
    engine.stop().await;
    rig.until("/api/v1/tasks", |_| gone.load(Ordering::SeqCst)).await;
    assert!(engine.is_over(), "all that it spawned has ended");
    rig.stop().await;
}
