//! Requests repeated with their idempotency key: the first result stays valid, even after the state
//! changes.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, yearly};
use crate::domain::time::{Millis, Timestamp};

/// A request with an idempotency key.
async fn keyed(rig: &ApiRig, method: Method, path: &str, body: &Value, key: &str) -> super::Got {
    rig.call(method, path, body.clone(), &[("idempotency-key", key)]).await
}

fn states(body: &Value) -> Vec<&str> {
    let items = body["items"].as_array().unwrap();
    items.iter().map(|task| task["state"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_patch_is_answered_as_the_first_time() {
    let rig = ApiRig::start().await;
    rig.make("t", yearly(), "ok").await;
    let patch = json!({"timeout": "7s"});
    let first = keyed(&rig, Method::PATCH, "/tasks/t", &patch, "p-1").await.expect(200);
    // Another client changes the same field and another one.
    rig.call(Method::PATCH, "/tasks/t", json!({"timeout": "2s", "kill_grace": "9s"}), &[])
        .await
        .expect(200);
    let again = keyed(&rig, Method::PATCH, "/tasks/t", &patch, "p-1").await.expect(200);
    assert_eq!(again.header("etag"), first.header("etag"), "the revision that it made");
    let now = rig.get("/tasks/t").await.expect(200);
    assert_eq!((&now.body["timeout"], &now.body["kill_grace"]), (&json!("2s"), &json!("9s")));
    // A later change based on that response is rejected, because the task has changed.
    let bound = [("if-match", again.header("etag"))];
    rig.call(Method::PATCH, "/tasks/t", json!({"timeout": "8s"}), &bound)
        .await
        .refused(412, "revision_mismatch");
    let other = keyed(&rig, Method::PATCH, "/tasks/t", &json!({"timeout": "8s"}), "p-1").await;
    other.refused(422, "idempotency_key_reused");

    // A request that changes nothing uses up its key as well.
    let same = json!({"timeout": "2s"});
    keyed(&rig, Method::PATCH, "/tasks/t", &same, "p-2").await.expect(200);
    rig.call(Method::PATCH, "/tasks/t", json!({"timeout": "5s"}), &[]).await.expect(200);
    keyed(&rig, Method::PATCH, "/tasks/t", &same, "p-2").await.expect(200);
    assert_eq!(rig.get("/tasks/t").await.expect(200).body["timeout"], "5s");

    // An error that is a result of the command is stored. One that requires a newer state is not.
    let guarded = [("idempotency-key", "p-3"), ("if-match", first.header("etag"))];
    let late = || rig.call(Method::PATCH, "/tasks/t", patch.clone(), &guarded);
    late().await.refused(412, "revision_mismatch");
    late().await.refused(412, "revision_mismatch");
    let current = rig.get("/tasks/t").await.expect(200).header("etag").to_owned();
    let guarded = [("idempotency-key", "p-3"), ("if-match", current.as_str())];
    rig.call(Method::PATCH, "/tasks/t", patch.clone(), &guarded).await.expect(200);

    for gone in ["/tasks/t", "/tasks/t?cleanup=true"] {
        rig.call(Method::DELETE, gone, Value::Null, &[]).await.expect(200);
        for (body, key) in [(&patch, "p-1"), (&same, "p-2"), (&patch, "p-3")] {
            keyed(&rig, Method::PATCH, "/tasks/t", body, key).await.expect(200);
        }
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_trigger_and_what_follows_it_happen_once() {
    let rig = ApiRig::start().await;
    rig.make("t", yearly(), "fail").await;
    let over = json!({"parameters": {"a": 1}});
    let trigger = || keyed(&rig, Method::POST, "/tasks/t/trigger", &over, "t-1");
    let id = trigger().await.expect(201).body["id"].clone();
    // The command would now be different: parameters are merged with those of the task.
    rig.call(Method::PATCH, "/tasks/t", json!({"parameters": {"b": 2}}), &[]).await.expect(200);
    assert_eq!(trigger().await.expect(201).body["id"], id);
    let path = format!("/executions/{}", id.as_str().unwrap());
    rig.until(&format!("/api/v1{path}"), |got| got.body["status"] == "failed").await;
    let retry_path = format!("{path}/retry");
    let retry = || keyed(&rig, Method::POST, &retry_path, &Value::Null, "t-2");
    let retried = retry().await.expect(201).body["id"].clone();
    let dismiss = || keyed(&rig, Method::DELETE, &path, &Value::Null, "t-3");
    dismiss().await.expect(200);
    rig.call(Method::DELETE, "/tasks/t?cleanup=true", Value::Null, &[]).await.expect(200);
    assert_eq!(trigger().await.expect(201).body["id"], id);
    assert_eq!(retry().await.expect(201).body["id"], retried);
    assert_eq!(dismiss().await.expect(200).body["id"], id);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_create_is_answered_though_its_time_has_passed() {
    let rig = ApiRig::start().await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let at = Timestamp(i64::try_from(now).unwrap()).plus(Millis(1_500)).to_string();
    let once = |name: &str| {
        json!({
            "name": name,
            "schedule": {"at": at},
            "action": {"func": {"id": "ok"}},
            "catch_up": {"window": "0s"},
        })
    };
    let one = once("a");
    let create = || keyed(&rig, Method::POST, "/tasks", &one, "c-1");
    let batch_body = json!([once("b"), once("c")]);
    let batch = || keyed(&rig, Method::POST, "/tasks/batch", &batch_body, "c-2");
    let made = create().await.expect(201);
    let many = batch().await.expect(200);
    assert_eq!(many.body["succeeded"], 2, "{}", many.text);
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    while rig.post("/tasks", once("late")).await.status == 201 {
        rig.call(Method::DELETE, "/tasks/late?cleanup=true", Value::Null, &[]).await.expect(200);
        assert!(tokio::time::Instant::now() < deadline, "the instant does not pass");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    rig.post("/tasks", once("late")).await.refused(422, "never_fires");
    assert_eq!(create().await.expect(201).header("etag"), made.header("etag"));
    assert_eq!(batch().await.expect(200).body, many.body);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_bulk_request_touches_nothing_new() {
    let rig = ApiRig::start().await;
    let labelled = |name: &str| json!({"name": name, "schedule": yearly(), "action": {"func": {"id": "ok"}}, "labels": {"team": "x"}});
    for name in ["a", "b", "c"] {
        rig.post("/tasks", labelled(name)).await.expect(201);
    }
    let pause = json!({"op": "pause", "selector": {"team": "x"}});
    let bulk = || keyed(&rig, Method::POST, "/tasks/bulk", &pause, "b-1");
    let first = bulk().await.expect(200);
    assert_eq!(first.body["succeeded"], 3);
    rig.post("/tasks/a/resume", Value::Null).await.expect(200);
    rig.call(Method::PATCH, "/tasks/b", json!({"labels": {"team": "y"}}), &[]).await.expect(200);
    rig.call(Method::DELETE, "/tasks/c?cleanup=true", Value::Null, &[]).await.expect(200);
    rig.post("/tasks", labelled("new")).await.expect(201);
    assert_eq!(bulk().await.expect(200).body, first.body);
    let tasks = rig.get("/tasks").await.expect(200);
    assert_eq!(states(&tasks.body), ["active", "paused", "active"], "a, b, new");

    let trigger = json!({"op": "trigger", "names": ["b", "new"], "parameters": {"n": 1}});
    let bulk = || keyed(&rig, Method::POST, "/tasks/bulk", &trigger, "b-2");
    let first = bulk().await.expect(200);
    assert_eq!(first.body["succeeded"], 2, "{}", first.text);
    rig.call(Method::DELETE, "/tasks/new?cleanup=true", Value::Null, &[]).await.expect(200);
    assert_eq!(bulk().await.expect(200).body, first.body);
    rig.stop().await;
}
