//! Compatibility routes: `/api/cron` and the routes with envelopes.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, Got, yearly};
use crate::domain::time::Timestamp;

async fn cron(rig: &ApiRig, path: &str) -> Got {
    rig.send(Method::GET, &format!("/api/cron{path}"), &[], None).await
}

/// Checks that the response has exactly these fields.
#[track_caller]
fn fields(value: &Value, names: &[&str]) {
    let found: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, names.iter().copied().collect(), "{value}");
}

/// Checks that the response is an error in the format of these routes.
#[track_caller]
fn error(got: &Got, status: u16) {
    assert_eq!(got.status, status, "{}", got.text);
    assert_eq!(got.header("content-type"), "application/json");
    fields(&got.body, &["error"]);
    assert!(!got.body["error"].as_str().unwrap().is_empty());
}

/// Triggers a task and waits until the execution ends.
async fn run_once(rig: &ApiRig, name: &str) {
    let made = rig.post(&format!("/tasks/{name}/trigger"), Value::Null).await.expect(201);
    let path = format!("/api/v1/executions/{}", made.body["id"].as_str().unwrap());
    rig.until(&path, |got| got.body["end_time"].is_string()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cron_routes_tell_nodes_and_tasks() {
    let rig = ApiRig::start().await;
    let action = json!({"func": {"id": "ok"}});
    let body = json!({"name": "b", "description": "of b", "schedule": yearly(), "action": action});
    rig.post("/tasks", body).await.expect(201);
    rig.make("a", json!({"interval": "1h"}), "ok").await;
    rig.make("gone", yearly(), "ok").await;
    rig.call(Method::DELETE, "/tasks/gone", Value::Null, &[]).await.expect(200);

    let status = cron(&rig, "/status").await.expect(200);
    let told = ["instance_id", "status", "start_time", "active_tasks", "instance_count", "uptime"];
    fields(&status.body, &told);
    assert_eq!(
        (&status.body["instance_id"], &status.body["status"]),
        (&json!("n1"), &json!("running"))
    );
    assert_eq!(
        (&status.body["active_tasks"], &status.body["instance_count"]),
        (&json!(2), &json!(1))
    );
    assert!(status.header("punctual-index").parse::<u64>().unwrap() > 0);

    let nodes = cron(&rig, "/instances").await.expect(200).body;
    fields(&nodes, &["instances", "count"]);
    assert_eq!(nodes["count"], 1);
    let node = &nodes["instances"][0];
    let told = [
        "instance_id",
        "hostname",
        "pid",
        "start_time",
        "last_heartbeat",
        "status",
        "version",
        "tasks",
    ];
    fields(node, &told);
    assert_eq!((&node["instance_id"], &node["status"]), (&json!("n1"), &json!("working")));
    assert_eq!((&node["tasks"], &node["pid"]), (&json!(["a", "b"]), &json!(std::process::id())));
    assert_eq!(node["start_time"], status.body["start_time"]);
    assert!(Timestamp::parse(node["last_heartbeat"].as_str().unwrap()).is_ok());

    let tasks = cron(&rig, "/tasks").await.expect(200).body;
    let a = json!({"name": "a", "description": "", "schedule": "every 1h", "instances": ["n1"]});
    let b =
        json!({"name": "b", "description": "of b", "schedule": "0 0 1 1 *", "instances": ["n1"]});
    assert_eq!(tasks, json!({"tasks": [a, b], "count": 2}));
    let first = cron(&rig, "/tasks?limit=1").await.expect(200).body;
    assert_eq!(first, json!({"tasks": [a], "count": 2}), "the count tells what is left out");
    assert_eq!(
        cron(&rig, "/instances?limit=1").await.expect(200).body["instances"][0]["tasks"],
        json!(["a"])
    );

    let stats = cron(&rig, "/tasks/b/stats").await.expect(200).body;
    let next = rig.get("/tasks/b").await.expect(200).body["next_tick"].clone();
    let none =
        json!({"success_count": 0, "failure_count": 0, "last_run_at": null, "next_run_at": next});
    assert_eq!(stats, json!({"task_name": "b", "stats": none}));
    run_once(&rig, "b").await;
    let stats = cron(&rig, "/tasks/b/stats").await.expect(200).body["stats"].clone();
    let ran = rig.get("/tasks/b/executions").await.expect(200).body["items"][0].clone();
    assert_eq!((&stats["success_count"], &stats["last_run_at"]), (&json!(1), &ran["start_time"]));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cron_routes_have_errors_of_their_own() {
    let rig = ApiRig::start().await;
    error(&cron(&rig, "/tasks/none/stats").await, 404);
    error(&cron(&rig, "/tasks/none/history").await, 404);
    for path in ["", "/", "/nowhere", "/tasks/a/b/c"] {
        error(&cron(&rig, path).await, 404);
    }
    let posted = rig.send(Method::POST, "/api/cron/status", &[], None).await;
    error(&posted, 405);
    assert_eq!(posted.header("allow"), "GET,HEAD");
    for query in ["limit=0", "limit=10001", "limit=a", "pages=1"] {
        let got = cron(&rig, &format!("/tasks?{query}")).await;
        error(&got, 422);
    }
    error(&cron(&rig, "/status?min_index=1000000").await, 504);
    let foreign = [("host", "example.com")];
    error(&rig.send(Method::GET, "/api/cron/tasks", &foreign, None).await, 403);
    // Other paths use the canonical format.
    rig.send(Method::GET, "/api/crons", &[], None).await.refused(404, "route_not_found");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_has_executions_and_skipped_ticks() {
    let rig = ApiRig::start().await;
    rig.make("bad", yearly(), "fail").await;
    run_once(&rig, "bad").await;
    let bad = cron(&rig, "/tasks/bad/history").await.expect(200).body;
    fields(&bad, &["task_name", "history", "count"]);
    assert_eq!((&bad["task_name"], &bad["count"]), (&json!("bad"), &json!(1)));
    let run = &bad["history"][0];
    let told = [
        "task_name",
        "instance_id",
        "status",
        "started_at",
        "completed_at",
        "duration",
        "error",
        "retry_count",
    ];
    fields(run, &told);
    assert_eq!((&run["task_name"], &run["instance_id"]), (&json!("bad"), &json!("n1")));
    assert_eq!((&run["status"], &run["error"]), (&json!("failed"), &json!("it was meant to")));
    assert_eq!(run["retry_count"], 0);
    assert!(run["duration"].is_string() && run["completed_at"].is_string(), "{run}");

    rig.make("beat", json!({"interval": "200ms"}), "ok").await;
    let fired = |got: &Got| got.body["totals"]["success"].as_u64() >= Some(2);
    rig.until("/api/v1/tasks/beat", fired).await;
    rig.post("/tasks/beat/pause?wait=true", Value::Null).await.expect(200);
    rig.post("/tasks/beat/resume", Value::Null).await.expect(200);
    let ran = rig.get("/tasks/beat").await.expect(200).body["totals"]["success"].as_u64();
    rig.until("/api/v1/tasks/beat", move |got| got.body["totals"]["success"].as_u64() > ran).await;
    // After this the history no longer changes.
    rig.send(Method::POST, "/api/v1/scheduler/stop", &[], None).await.expect(200);
    let told = cron(&rig, "/tasks/beat/history").await.expect(200).body;
    let history = told["history"].as_array().unwrap();
    assert_eq!(told["count"], history.len());
    let skipped = history.iter().filter(|run| run["status"] == "skipped");
    let paused = skipped.clone().filter(|run| run["error"] == "the task was paused");
    let ticks = rig.get("/tasks/beat/ticks?limit=1000").await.expect(200).body;
    let spans = ticks["items"].as_array().unwrap().iter();
    let spans = spans.filter(|item| item["reason"] == "paused").map(|item| item["count"].as_u64());
    assert_eq!(Some(paused.count() as u64), spans.sum::<Option<u64>>(), "each is told: {told}");
    let one = skipped.clone().next_back().unwrap();
    assert_eq!((&one["instance_id"], &one["started_at"]), (&Value::Null, &one["completed_at"]));
    assert!(history.iter().any(|run| run["status"] == "completed" && run["error"] == Value::Null));
    let first = cron(&rig, "/tasks/beat/history?limit=2").await.expect(200).body;
    assert_eq!((&first["count"], first["history"].as_array().unwrap().len()), (&json!(2), 2));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_and_switches_are_told_in_an_envelope() {
    let rig = ApiRig::start().await;
    rig.make("b", yearly(), "ok").await;
    rig.make("a", json!({"manual": true}), "ok").await;
    run_once(&rig, "a").await;
    let ran = rig.get("/tasks/a/executions").await.expect(200).body["items"][0].clone();
    let next = rig.get("/tasks/b").await.expect(200).body["next_tick"].clone();
    let jobs = rig.get("/scheduler/jobs").await.expect(200);
    let a = json!({"id": "a", "name": "a", "next_run": null, "last_run": ran["start_time"]});
    let b = json!({"id": "b", "name": "b", "next_run": next, "last_run": null});
    assert_eq!(jobs.body, json!({"code": 200, "message": "success", "data": [a, b]}));
    assert_eq!(rig.get("/scheduler/jobs?limit=1").await.expect(200).body["data"], json!([a]));

    for (verb, started, word) in [("stop", false, "stopped"), ("start", true, "running")] {
        let path = format!("/scheduler/{verb}");
        let got = rig.post(&path, Value::Null).await.expect(200);
        assert_eq!((&got.body["code"], &got.body["message"]), (&json!(200), &json!("success")));
        fields(&got.body["data"], &["started", "floor"]);
        assert_eq!(got.body["data"]["started"], started);
        assert_eq!(cron(&rig, "/status").await.expect(200).body["status"], word);
        assert_eq!(rig.get("/scheduler/status").await.expect(200).body["started"], started);
    }
    for (got, status, code) in [
        (rig.get("/scheduler/jobs?limit=0").await, 422, "invalid_parameter"),
        (rig.post("/scheduler/stop", json!({"now": true})).await, 422, "unknown_field"),
        (rig.get("/scheduler/start").await, 405, "method_not_allowed"),
    ] {
        assert_eq!((got.status, got.header("content-type")), (status, "application/json"));
        fields(&got.body, &["code", "message", "data"]);
        assert_eq!(got.body["code"], status);
        let problem = &got.body["data"];
        assert_eq!((&problem["code"], &problem["detail"]), (&json!(code), &got.body["message"]));
        assert!(problem["advice"].as_str().unwrap().ends_with('.'), "{problem}");
    }
    rig.stop().await;
}
