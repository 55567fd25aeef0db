//! Lines as the API shows them: positions, what is in the way, and refusals.

use reqwest::Method;
use serde_json::{Value, json};

use super::slots::Gauge;
use super::{ApiRig, Got};

async fn add(rig: &ApiRig, name: &str, more: Value) {
    let mut body = json!({"name": name, "schedule": {"manual": true},
        "action": {"func": {"id": "gauge"}}});
    let fields = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    rig.post("/tasks", body).await.expect(201);
}

async fn trigger(rig: &ApiRig, name: &str) -> String {
    let made = rig.post(&format!("/tasks/{name}/trigger"), json!({})).await.expect(201);
    made.body["id"].as_str().unwrap().to_owned()
}

async fn runs(rig: &ApiRig, id: &str) {
    let path = format!("/api/v1/executions/{id}");
    rig.until(&path, |got| got.body["status"] == "running").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_starts_the_highest_priority_first_and_shows_the_queue() {
    let gauge = Gauge::new(false);
    let rig = ApiRig::having(&[], [("gauge", gauge.function())]).await;
    let group =
        |priority: u8| json!({"concurrency": {"group": "db", "limit": 1}, "priority": priority});
    for (name, priority) in [("first", 5), ("low", 1), ("high", 9)] {
        add(&rig, name, group(priority)).await;
    }
    let other = json!({"name": "other", "schedule": {"manual": true},
        "action": {"func": {"id": "gauge"}}, "concurrency": {"group": "db", "limit": 3}});
    let made = rig.post("/tasks", other).await.expect(201);
    assert_eq!(made.body["warnings"][0]["code"], "group_limits_differ", "{}", made.text);
    let first = trigger(&rig, "first").await;
    runs(&rig, &first).await;
    let low = trigger(&rig, "low").await;
    let high = trigger(&rig, "high").await;
    let shown = rig.get(&format!("/executions/{low}")).await.expect(200);
    let queue = json!({"line": "group db", "position": 2, "ahead": 2, "running": 1, "limit": 1});
    assert_eq!(shown.body["queue"], queue, "{}", shown.text);
    let task = rig.get("/tasks/low").await.expect(200);
    assert_eq!(task.body["live"], json!({"running": 0, "waiting": 1}), "{}", task.text);

    gauge.open.send_replace(true);
    let path = "/api/v1/executions/stats";
    rig.until(path, |got| got.body["success"] == json!(3)).await;
    let order: Vec<String> = gauge.started.lock().iter().map(u64::to_string).collect();
    assert_eq!(order, [first, high, low]);
    let shown = rig.get(&format!("/executions/{}", order[2])).await.expect(200);
    assert_eq!(shown.body["queue"], Value::Null, "{}", shown.text);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_triggers_and_says_what_is_in_the_way() {
    let gauge = Gauge::new(false);
    let rig = ApiRig::having(&[], [("gauge", gauge.function())]).await;
    add(&rig, "queued", json!({"execution_mode": "sequential", "queue_max": 1})).await;
    add(&rig, "alone", json!({"execution_mode": "skip"})).await;
    let first = trigger(&rig, "queued").await;
    runs(&rig, &first).await;
    trigger(&rig, "queued").await;
    trigger(&rig, "alone").await;
    add(&rig, "few", json!({"max_live": 1})).await;
    trigger(&rig, "few").await;
    let shown = rig.get("/tasks/queued/why").await.expect(200);
    let way = format!("execution {first} of queued has to end first");
    assert!(shown.text.contains(&way), "{}", shown.text);
    for (name, code) in [("queued", "queue_full"), ("alone", "overlap"), ("few", "max_live")] {
        let refused = rig.post(&format!("/tasks/{name}/trigger"), json!({})).await.expect(409);
        assert_eq!(refused.body["code"], code, "{}", refused.text);
        assert!(refused.body["advice"].is_string(), "{}", refused.text);
    }
    gauge.open.send_replace(true);
    rig.until("/api/v1/executions/stats", |got| got.body["success"] == json!(4)).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_shows_each_execution_at_the_position_that_it_has_by_itself() {
    let gauge = Gauge::new(false);
    let rig = ApiRig::having(&[], [("gauge", gauge.function())]).await;
    let group = json!({"group": "db", "limit": 1});
    add(&rig, "low", json!({"concurrency": group, "priority": 1})).await;
    let sequential = json!({"concurrency": group, "execution_mode": "sequential"});
    add(&rig, "high", sequential).await;
    let first = trigger(&rig, "low").await;
    runs(&rig, &first).await;
    for name in ["low", "high", "low", "high", "high"] {
        trigger(&rig, name).await;
    }
    let mut positions = Vec::new();
    for list in ["/executions", "/tasks/low/executions", "/tasks/high/executions"] {
        let listed = rig.get(list).await.expect(200);
        for listed in listed.body["items"].as_array().unwrap() {
            let alone = format!("/executions/{}", listed["id"].as_str().unwrap());
            let alone = rig.get(&alone).await.expect(200);
            assert_eq!(listed["queue"], alone.body["queue"], "{}", alone.text);
            positions.extend(listed["queue"]["position"].as_u64());
        }
    }
    // Newest first: all that wait, then those of each task.
    assert_eq!(positions, [3, 2, 5, 1, 4, 5, 4, 3, 2, 1]);
    gauge.open.send_replace(true);
    rig.until("/api/v1/executions/stats", |got| got.body["success"] == json!(6)).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_scheduler_or_a_pause_holds_is_in_no_queue() {
    let gauge = Gauge::new(false);
    let rig = ApiRig::having(&[], [("gauge", gauge.function())]).await;
    let every = json!({"schedule": {"interval": "1s"}, "execution_mode": "sequential"});
    add(&rig, "queued", every).await;
    let pending = "/tasks/queued/executions?status=pending";
    let there = |got: &Got| got.body["items"][0]["tick"].is_string();
    rig.until("/api/v1/tasks/queued/executions?status=running", there).await;
    let waits = rig.until("/api/v1/tasks/queued/executions?status=pending", there).await;
    let tick = waits.body["items"][0]["tick"].as_str().unwrap().to_owned();
    let post = async |path: &str| {
        rig.send(Method::POST, &format!("/api/v1{path}"), &[], None).await.expect(200);
    };
    let why = format!("/tasks/queued/why?at={tick}");
    for (hold, release, reason) in [
        ("/scheduler/stop", "/scheduler/start", "pending while the scheduler is stopped"),
        ("/tasks/queued/pause", "/tasks/queued/resume", "pending while the task is paused"),
    ] {
        post(hold).await;
        let held = rig.get(pending).await.expect(200);
        assert_eq!(held.body["items"][0]["queue"], Value::Null, "{}", held.text);
        let told = rig.get(&why).await.expect(200);
        assert!(told.body["summary"].as_str().unwrap().ends_with(reason), "{}", told.text);
        post(release).await;
        let told = rig.get(&why).await.expect(200);
        assert!(told.text.contains("in the line of task queued"), "{}", told.text);
    }
    gauge.open.send_replace(true);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_whose_execution_waits_says_what_is_in_the_way() {
    let gauge = Gauge::new(false);
    let rig = ApiRig::having(&[], [("gauge", gauge.function())]).await;
    let group = json!({"concurrency": {"group": "db", "limit": 1}});
    add(&rig, "first", group.clone()).await;
    let first = trigger(&rig, "first").await;
    runs(&rig, &first).await;
    let mut beat = group;
    beat["schedule"] = json!({"immediate": true});
    add(&rig, "beat", beat).await;
    let now = rig.get("/tasks/beat/why").await.expect(200);
    let tick = now.body["previous_tick"].as_str().unwrap();
    let told = format!("/api/v1/tasks/beat/why?at={tick}");
    let why = rig.until(&told, |got| got.text.contains("has to end first")).await;
    let id = why.body["execution_id"].as_str().unwrap();
    let summary = format!(
        "{tick} fired: execution {id}, pending at position 1 in the line of group db, of which 1 runs \
         (limit 1): execution {first} of first has to end first"
    );
    assert_eq!(why.body["summary"], summary, "{}", why.text);
    gauge.open.send_replace(true);
    rig.until("/api/v1/executions/stats", |got| got.body["success"] == json!(2)).await;
    let why = rig.get(&format!("/tasks/beat/why?at={tick}")).await.expect(200);
    assert!(!why.text.contains("has to end first"), "{}", why.text);
    rig.stop().await;
}
