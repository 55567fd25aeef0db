//! Task bodies with the fields of other schedulers.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, ok};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flat_bodies_make_tasks_in_the_canonical_form() {
    let rig = ApiRig::start().await;
    let made = rig
        .post(
            "/tasks",
            json!({"name": "dynamic-task", "cron_format": "*/10 * * * * *", "action": ok(),
                "payload": "hello", "one_shot": false, "executed_and_cleanup": false}),
        )
        .await
        .expect(201);
    assert_eq!(made.body["schedule"]["cron"], "*/10 * * * * *");
    assert_eq!((&made.body["payload"], &made.body["after_run"]), (&json!("hello"), &json!("keep")));
    assert_eq!(made.body["cron_format"], Value::Null, "the answer is canonical");

    // These names are names of functions, so the function becomes the action.
    for (name, kind, schedule, canonical) in [
        ("ok", "duration", "30s", json!({"interval": "30s"})),
        ("fail", "cron", "0 */6 * * *", json!({"cron": "0 */6 * * *"})),
        ("slow", "daily", "02:00", json!({"daily": "02:00"})),
    ] {
        let body = json!({"name": name, "type": kind, "schedule": schedule, "enabled": false});
        let made = rig.post("/tasks", body).await.expect(201);
        assert_eq!(made.body["enabled"], false);
        let rule = canonical.as_object().unwrap().keys().next().unwrap();
        assert_eq!(made.body["schedule"][rule], canonical[rule]);
    }

    let hourly = json!({"name": "hourly_sync", "cron_expression": "0 0 * * * *",
        "execution_mode": "sequential", "max_retry": 0, "timeout_seconds": 600,
        "parameters": {"source": "database_a", "target": "database_b"}, "action": ok()});
    let made = rig.post("/tasks", hourly.clone()).await.expect(201).body;
    assert_eq!((&made["id"], &made["timeout"]), (&json!("hourly_sync"), &json!("10m")));
    assert_eq!(
        (&made["execution_mode"], &made["retry"]["max_retry"]),
        (&json!("sequential"), &json!(0))
    );
    assert_eq!(made["parameters"]["target"], "database_b");
    let mut other = hourly;
    other["cron_expression"] = json!("0 30 * * * *");
    let put = rig.call(Method::PUT, "/tasks/hourly_sync", other.clone(), &[]).await.expect(200);
    assert_eq!(put.body["schedule"]["cron"], "0 30 * * * *");
    // A response can be sent back with a flat field of the same value.
    let mut answered = put.body;
    answered["cron_expression"] = json!("0 30 * * * *");
    rig.call(Method::PUT, "/tasks/hourly_sync", answered, &[]).await.expect(200);
    other["name"] = json!("batched");
    let batch = rig.post("/tasks/batch", json!([other])).await.expect(200).body;
    assert_eq!(batch["succeeded"], 1, "{batch}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flat_fields_are_refused_with_their_pointer_and_rule() {
    let rig = ApiRig::start().await;
    let two = json!({"name": "two", "cron_expression": "0 3 * * *", "action": ok(),
        "schedule": {"cron": "0 2 * * *"}});
    let conflict = rig.post("/tasks", two.clone()).await.refused(422, "conflict").body;
    assert_eq!(conflict["errors"][0]["pointer"], "/cron_expression");
    let rule = "says \"0 3 * * *\", but `schedule.cron` says \"0 2 * * *\"";
    assert_eq!(conflict["errors"][0]["message"], rule);
    let batch = rig.post("/tasks/batch", json!([two])).await.expect(200).body;
    assert_eq!(batch["items"][0]["errors"][0]["pointer"], "/0/cron_expression", "{batch}");
    rig.get("/tasks/two").await.refused(404, "task_not_found");

    // Load balancing requires an action with executors.
    let balanced = json!({"name": "two", "cron_expression": "0 3 * * *", "action": ok(),
        "load_balance_strategy": "least_loaded"});
    let refused = rig.post("/tasks", balanced).await.refused(422, "conflict").body;
    assert_eq!(refused["errors"][0]["pointer"], "/load_balance_strategy");
    // Without an action and without a function of that name, the task is rejected.
    let nobody = json!({"name": "two", "cron_expression": "0 3 * * *"});
    rig.post("/tasks", nobody).await.refused(422, "no_handler");
    rig.make("three", json!({"manual": true}), "ok").await;
    let patch = rig.call(Method::PATCH, "/tasks/three", json!({"timeout_seconds": 5}), &[]).await;
    let patch = patch.refused(422, "unknown_field").body;
    let hint = "unknown field; did you mean `timeout`?";
    assert_eq!(patch["errors"][0]["message"], hint);
    rig.stop().await;
}
