//! How tasks end (first tick, first run, cancel), and how they are restored.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, Got, ok, yearly};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_cancelled_and_resumed() {
    let rig = ApiRig::start().await;
    rig.make("report", yearly(), "slow").await;
    let running = rig.post("/tasks/report/trigger", Value::Null).await.expect(201).body;
    let running = running["id"].as_str().unwrap();
    let path = format!("/api/v1/executions/{running}");
    rig.until(&path, |got| got.body["status"] == "running").await;

    let cancelled = rig.post("/tasks/report/cancel?wait=true", Value::Null).await.expect(200);
    assert_eq!(cancelled.body["state"], "cancelled");
    assert_eq!(cancelled.body["next_tick"], Value::Null);
    assert_eq!(cancelled.body["running"][0]["id"], running, "what runs goes on");
    let again = rig.post("/tasks/report/cancel", Value::Null).await.expect(200);
    assert_eq!(again.header("etag"), cancelled.header("etag"), "it was cancelled before");
    let listed = rig.get("/tasks?status=cancelled").await.expect(200);
    assert_eq!(listed.body["items"][0]["name"], "report");
    assert_eq!(rig.get("/tasks/report/next").await.expect(200).body["held"], "cancelled");
    let why = rig.get("/tasks/report/why").await.expect(200).body;
    assert_eq!((&why["expected"], &why["reason"]), (&json!("skipped"), &json!("cancelled")));
    assert!(why["summary"].as_str().unwrap().ends_with("the task is cancelled"), "{why}");
    rig.post("/tasks/report/pause", Value::Null).await.refused(409, "task_cancelled");
    let unsound = [("if-match", "\"1\"")];
    let refused = rig.call(Method::POST, "/tasks/report/cancel", Value::Null, &unsound).await;
    refused.refused(412, "revision_mismatch");

    let resumed = rig.post("/tasks/report/resume", Value::Null).await.expect(200);
    assert_eq!(resumed.body["state"], "active");
    assert_eq!(resumed.body.get("execution_id"), None);
    let many = json!({"op": "cancel", "names": ["report", "none"]});
    let many = rig.post("/tasks/bulk", many).await.expect(200).body;
    assert_eq!(
        (&many["items"][0]["status"], &many["items"][1]["status"]),
        (&json!(200), &json!(404))
    );
    // The name of a cancelled task can be reused by adding a task.
    rig.make("report", yearly(), "ok").await;
    rig.call(Method::DELETE, "/tasks/report", Value::Null, &[]).await.expect(200);
    rig.post("/tasks/report/cancel", Value::Null).await.refused(409, "task_deleted");
    rig.post("/tasks/none/cancel", Value::Null).await.refused(404, "task_not_found");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_runs_what_was_due_meanwhile() {
    let rig = ApiRig::start().await;
    rig.make("one", json!({"delay": "2s"}), "ok").await;
    rig.make("two", json!({"delay": "2s"}), "ok").await;
    let both = json!({"op": "cancel", "names": ["one", "two"]});
    assert_eq!(rig.post("/tasks/bulk", both).await.expect(200).body["succeeded"], 2);
    for name in ["one", "two"] {
        let passed = |got: &Got| !got.body["previous_tick"].is_null();
        rig.until(&format!("/api/v1/tasks/{name}/why"), passed).await;
    }
    let one = rig.post("/tasks/one/resume", Value::Null).await.expect(200).body;
    let two = json!({"op": "resume", "names": ["two"]});
    let two = rig.post("/tasks/bulk", two).await.expect(200).body;
    for (name, told) in [("one", &one), ("two", &two["items"][0])] {
        let id = told["execution_id"].as_str().unwrap();
        let path = format!("/api/v1/executions/{id}");
        let ended = rig.until(&path, |got| got.body["status"] == "success").await;
        assert_eq!((&ended.body["trigger"], &ended.body["tick"]), (&json!("manual"), &Value::Null));
        let path = format!("/api/v1/tasks/{name}");
        let over = rig.until(&path, |got| got.body["state"] == "completed").await;
        assert_eq!(over.body["totals"]["fired"], 0, "its tick was skipped");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_ends_with_its_first_tick_or_with_a_run() {
    let rig = ApiRig::start().await;
    let task = |name: &str, more: Value| {
        let mut body = json!({"name": name, "schedule": {"interval": "300ms"}, "action": ok()});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for body in [
        task("once", json!({"one_shot": true})),
        task("marked", json!({"after_run": "mark_deleted"})),
        task("cleaned", json!({"after_run": "cleanup"})),
        task("both", json!({"one_shot": true, "after_run": "cleanup"})),
    ] {
        rig.post("/tasks", body).await.expect(201);
    }
    let once = rig.until("/api/v1/tasks/once", |got| got.body["state"] == "completed").await.body;
    assert_eq!((&once["totals"]["fired"], &once["one_shot"]), (&json!(1), &json!(true)));
    let why = rig.get("/tasks/once/why").await.expect(200).body;
    assert!(why["summary"].as_str().unwrap().contains("the task is one_shot"), "{why}");
    assert_eq!(rig.get("/tasks/once/next").await.expect(200).body["items"], json!([]));
    let marked = rig.until("/api/v1/tasks/marked", |got| got.body["state"] == "deleted").await.body;
    assert_eq!(marked["totals"]["success"], 1);
    for name in ["cleaned", "both"] {
        rig.until(&format!("/api/v1/tasks/{name}"), |got| got.status == 404).await;
    }
    // Completed and removed tasks can be added again, tasks marked deleted cannot.
    rig.make("once", yearly(), "ok").await;
    rig.make("both", yearly(), "ok").await;
    rig.post("/tasks", task("marked", json!({}))).await.refused(409, "task_deleted");
    rig.stop().await;
}
