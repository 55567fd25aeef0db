//! Retries of executions through the API.

use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

use super::ApiRig;
use crate::exec::{Func, FuncContext};

/// The attempts of a function: number, fence and idempotency key.
type SeenAttempts = Arc<Mutex<Vec<(u32, u64, String)>>>;

/// A function whose first `failures` attempts fail.
fn flaky(failures: u32) -> (Func, SeenAttempts) {
    let seen = SeenAttempts::default();
    let note = Arc::clone(&seen);
    let function: Func = Arc::new(move |context: FuncContext| {
        let attempt = context.attempt;
        let fails = attempt.attempt <= failures;
        note.lock().push((attempt.attempt, attempt.fence.0, attempt.idempotency_key));
        Box::pin(async move { if fails { Err("not yet".to_owned()) } else { Ok("done\n".into()) } })
    });
    (function, seen)
}

async fn triggered(rig: &ApiRig, retry: Value) -> String {
    let task = json!({"name": "fetch", "schedule": {"manual": true}, "retry": retry,
        "action": {"func": {"id": "flaky"}}});
    rig.post("/tasks", task).await.expect(201);
    let made = rig.post("/tasks/fetch/trigger", json!({})).await.expect(201);
    made.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_attempted_again_until_it_succeeds() {
    let (function, seen) = flaky(2);
    let rig = ApiRig::having(&[], [("flaky", function)]).await;
    let retry = json!({"max_retry": 3, "delay": "20ms", "backoff": "fixed"});
    let id = triggered(&rig, retry).await;
    let path = format!("/api/v1/executions/{id}");
    let ended = rig.until(&path, |got| got.body["status"] == "success").await;
    let outcomes: Vec<&str> = ended.body["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["failed", "failed", "success"], "{}", ended.text);
    assert_eq!(ended.body["output_tail"], "done\n", "{}", ended.text);
    let seen = seen.lock().clone();
    let [one, two, three] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!((one.0, two.0, three.0), (1, 2, 3));
    assert!(one.1 < two.1 && two.1 < three.1, "{seen:?}");
    assert!(one.2 == two.2 && two.2 == three.2, "one key for all attempts: {seen:?}");
    let totals = rig.get("/tasks/fetch").await.expect(200).body["totals"].clone();
    assert_eq!((&totals["success"], &totals["failed"]), (&json!(1), &json!(0)), "{totals}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_that_waits_for_a_retry_says_so_and_can_be_stopped() {
    let (function, seen) = flaky(u32::MAX);
    let rig = ApiRig::having(&[], [("flaky", function)]).await;
    let id = triggered(&rig, json!({"max_retry": 1, "delay": "1h", "max_delay": "1h"})).await;
    let path = format!("/api/v1/executions/{id}");
    let waits = rig.until(&path, |got| !got.body["next_attempt_at"].is_null()).await;
    assert_eq!(waits.body["status"], "pending", "{}", waits.text);
    assert_eq!(waits.body["attempts"][0]["detail"], "not yet", "{}", waits.text);
    let task = rig.get("/tasks/fetch").await.expect(200);
    assert_eq!(task.body["live"], json!({"running": 0, "waiting": 1}), "{}", task.text);
    rig.post(&format!("/executions/{id}/stop"), json!({})).await.expect(200);
    let ended = rig.until(&path, |got| got.body["status"] == "cancelled").await;
    assert_eq!(ended.body["next_attempt_at"], Value::Null, "{}", ended.text);
    assert_eq!(ended.body["reason"], "stopped", "{}", ended.text);
    let history = rig.send(Method::GET, "/api/cron/tasks/fetch/history", &[], None).await;
    assert_eq!(history.body["history"][0]["error"], "stopped", "{}", history.text);
    assert_eq!(seen.lock().len(), 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_that_waits_for_a_retry_is_explained() {
    let (function, _seen) = flaky(u32::MAX);
    let rig = ApiRig::having(&[], [("flaky", function)]).await;
    let task = json!({"name": "fetch", "schedule": {"immediate": true},
        "retry": {"max_retry": 1, "delay": "1h"}, "action": {"func": {"id": "flaky"}}});
    rig.post("/tasks", task).await.expect(201);
    let now = rig.get("/tasks/fetch/why").await.expect(200);
    let tick = now.body["previous_tick"].as_str().unwrap();
    let told = format!("/api/v1/tasks/fetch/why?at={tick}");
    let why = rig.until(&told, |got| got.text.contains("until its next attempt at")).await;
    assert!(why.text.contains("attempt 1 ended failed: not yet"), "{}", why.text);
    let last = rig.get("/tasks/fetch").await.expect(200).body["last_execution"].clone();
    assert!(last["attempt_due"].as_str() > last["due"].as_str(), "{last}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_is_not_due_hides_no_wait_for_an_executor() {
    let (function, _seen) = flaky(u32::MAX);
    let rig = ApiRig::having(&[], [("flaky", function)]).await;
    let group = json!({"group": "db", "limit": 1});
    let task = json!({"name": "fetch", "schedule": {"manual": true}, "concurrency": group,
        "retry": {"max_retry": 1, "delay": "1h", "max_delay": "1h"},
        "action": {"func": {"id": "flaky"}}});
    rig.post("/tasks", task).await.expect(201);
    let made = rig.post("/tasks/fetch/trigger", json!({})).await.expect(201);
    let path = format!("/api/v1/executions/{}", made.body["id"].as_str().unwrap());
    rig.until(&path, |got| !got.body["next_attempt_at"].is_null()).await;
    let task = json!({"name": "load", "schedule": {"manual": true}, "concurrency": group,
        "action": {"executor": {"balance": "round_robin"}}});
    rig.post("/tasks", task).await.expect(201);
    let made = rig.post("/tasks/load/trigger", json!({})).await.expect(201);
    let load = rig.get("/tasks/load").await.expect(200);
    let waits = &load.body["waits_for_executor"];
    assert_eq!(waits["execution_id"], made.body["id"], "{}", load.text);
    rig.stop().await;
}
