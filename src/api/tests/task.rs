//! One task: create, read, change, mark deleted, restore, remove.

use std::time::UNIX_EPOCH;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, config, ok, yearly};
use crate::domain::time::Timestamp;
use crate::exec::ShimProgram;
use crate::node::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_made_and_changed() {
    let rig = ApiRig::start().await;
    let made = rig.make("report", yearly(), "ok").await;
    assert_eq!(made.header("location"), "/api/v1/tasks/report");
    let revision = made.body["revision"].as_u64().unwrap();
    assert_eq!(made.header("etag"), format!("\"{revision}\""));
    assert!(made.header("punctual-index").parse::<u64>().unwrap() > 0);
    assert_eq!(made.body["id"], "report");
    assert_eq!(made.body["incarnation"], revision);
    assert_eq!((&made.body["state"], &made.body["origin"]), (&json!("active"), &json!("api")));
    assert_eq!(made.body["owner"], "n1");
    assert_eq!(made.body["catch_up"]["policy"], "last");
    assert_eq!(made.body["last_execution"], Value::Null);
    assert_eq!(made.body["totals"]["fired"], 0);
    assert!(made.body["next_tick"].as_str().unwrap().ends_with("-01-01T00:00:00.000Z"));
    let got = rig.get("/tasks/report").await.expect(200);
    assert_eq!(got.body["revision"], revision);
    rig.post("/tasks", json!({"name": "report", "schedule": yearly(), "action": ok()}))
        .await
        .refused(409, "task_exists");

    // The body of a GET can be sent with PUT.
    let mut body = got.body.clone();
    body["description"] = json!("of the year");
    let seen = [("if-match", got.header("etag"))];
    let put = rig.call(Method::PUT, "/tasks/report", body, &seen).await.expect(200);
    assert_eq!(put.body["description"], "of the year");
    assert!(put.body["revision"].as_u64().unwrap() > revision);
    assert_eq!(put.body["incarnation"], revision);
    let stale = format!("\"{revision}\"");
    let seen = [("if-match", stale.as_str())];
    let late =
        rig.call(Method::PATCH, "/tasks/report", json!({"description": "late"}), &seen).await;
    let late = late.refused(412, "revision_mismatch");
    assert_eq!(late.body["revision"], put.body["revision"]);
    let patch = json!({"labels": {"team": "a"}, "description": null});
    let patched = rig.call(Method::PATCH, "/tasks/report", patch.clone(), &[]).await.expect(200);
    assert_eq!(
        (&patched.body["labels"]["team"], &patched.body["description"]),
        (&json!("a"), &json!(""))
    );
    let again = rig.call(Method::PATCH, "/tasks/report", patch, &[]).await.expect(200);
    assert_eq!(again.body["revision"], patched.body["revision"], "nothing changed");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_goes_and_comes_back() {
    let rig = ApiRig::start().await;
    let made = rig.make("report", yearly(), "ok").await;
    let revision = made.body["revision"].as_u64().unwrap();
    let paused = rig.post("/tasks/report/pause", json!({"reason": "move"})).await.expect(200);
    assert_eq!(
        (&paused.body["state"], &paused.body["paused"]["reason"]),
        (&json!("paused"), &json!("move"))
    );
    assert_eq!(paused.body["next_tick"], Value::Null);
    let resumed = rig.post("/tasks/report/resume", Value::Null).await.expect(200);
    assert_eq!((&resumed.body["state"], &resumed.body["paused"]), (&json!("active"), &Value::Null));

    let gone =
        rig.call(Method::DELETE, "/tasks/report?wait=true", Value::Null, &[]).await.expect(200);
    assert_eq!((&gone.body["state"], &gone.body["running"]), (&json!("deleted"), &json!([])));
    assert_eq!(gone.body["owner"], Value::Null);
    rig.post("/tasks", json!({"name": "report", "schedule": yearly(), "action": ok()}))
        .await
        .refused(409, "task_deleted");
    rig.post("/tasks/report/trigger", Value::Null).await.refused(409, "task_deleted");
    rig.post("/tasks/report/pause", Value::Null).await.refused(409, "task_deleted");
    assert_eq!(rig.get("/tasks/report").await.expect(200).body["state"], "deleted");
    let reused = rig.post("/tasks/report/reuse", Value::Null).await.expect(200);
    assert_eq!(
        (&reused.body["state"], &reused.body["incarnation"]),
        (&json!("active"), &json!(revision))
    );

    let force = json!({"name": "report", "schedule": yearly(), "action": {"func": {"id": "ok"}}});
    let forced = rig.post("/tasks?force=true", force).await.expect(201);
    assert!(forced.body["incarnation"].as_u64().unwrap() > revision);
    rig.post("/tasks/report/cleanup", Value::Null).await.expect(200);
    rig.get("/tasks/report").await.refused(404, "task_not_found");
    rig.post("/tasks/report/cleanup", Value::Null).await.expect(200);
    rig.post("/tasks/report/reuse", Value::Null).await.refused(404, "task_not_found");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_stand_without_a_task_and_names_of_every_script_are_reached() {
    let rig = ApiRig::start().await;
    rig.call(Method::DELETE, "/tasks/none", Value::Null, &[]).await.refused(404, "task_not_found");
    let mark = rig.call(Method::DELETE, "/tasks/none?tombstone=true", Value::Null, &[]).await;
    assert_eq!(mark.expect(200).body["state"], "deleted");
    rig.call(Method::PATCH, "/tasks/none", json!({}), &[]).await.refused(409, "task_deleted");
    let lifted = rig.post("/tasks/none/reuse", Value::Null).await.expect(200);
    assert_eq!(lifted.body["state"], Value::Null);
    let made = rig.make("报表.a+b@c", yearly(), "ok").await;
    let path = made.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    assert_eq!(rig.get(&path).await.expect(200).body["name"], "报表.a+b@c");
    rig.stop().await;
}

/// A step wider than the field selects the first value only, which is often unintended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_with_a_step_too_large_is_made_with_a_warning() {
    let rig = ApiRig::start().await;
    let body = |cron: &str| json!({"name": "t", "schedule": {"cron": cron}, "action": ok()});
    let warned = |told: &Value| -> Vec<String> {
        let warnings = told["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().map(|told| told["code"].as_str().unwrap().to_owned()).collect()
    };
    let made = rig.post("/tasks", body("*/90 4 * * *")).await.expect(201).body;
    assert_eq!(warned(&made), ["step_beyond_field"], "{made}");
    let detail = made["warnings"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("*/90 in the minute field is 0"), "{made}");
    let next = rig.get("/tasks/t/next?n=2").await.expect(200).body;
    for tick in next["items"].as_array().unwrap() {
        assert!(tick["at"].as_str().unwrap().ends_with("T04:00:00.000Z"), "{next}");
    }
    let put = |cron: &str| rig.call(Method::PUT, "/tasks/t", body(cron), &[]);
    assert_eq!(warned(&put("*/30 4 * * *").await.expect(200).body), [""; 0]);
    let patch = json!({"schedule": {"cron": "0 */24 * * *"}});
    let patched = rig.call(Method::PATCH, "/tasks/t", patch, &[]).await.expect(200).body;
    assert_eq!(warned(&patched), ["step_beyond_field"], "{patched}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_could_carry_out_is_refused_and_what_nobody_can_is_told() {
    let rig = ApiRig::start().await;
    let idle = |schedule: Value| json!({"name": "idle", "schedule": schedule});
    let refused = rig.post("/tasks", idle(yearly())).await.refused(422, "no_handler").body;
    assert_eq!(refused["errors"][0]["pointer"], "/action");
    assert!(refused["detail"].as_str().unwrap().contains("a function `idle`"), "{refused}");
    rig.get("/tasks/idle").await.refused(404, "task_not_found");
    // A function with the name of the task is enough. A claim by a caller requires none.
    rig.post("/tasks", json!({"name": "ok", "schedule": yearly()})).await.expect(201);
    let manual = rig.post("/tasks", idle(json!({"manual": true}))).await.expect(201).body;
    assert_eq!(manual["warnings"][0]["code"], "no_handler");
    assert_eq!(manual["owner"], "n1");
    rig.call(Method::PUT, "/tasks/idle", idle(yearly()), &[]).await.refused(422, "no_handler");
    let patch = json!({"schedule": {"manual": null, "cron": "0 0 1 1 *"}});
    rig.call(Method::PATCH, "/tasks/idle", patch, &[]).await.refused(422, "no_handler");

    let func = json!({"func": {"id": "nowhere"}});
    let body = json!({"name": "later", "schedule": yearly(), "action": func});
    let told = rig.post("/tasks", body).await.expect(201).body;
    assert_eq!(
        (&told["owner"], &told["warnings"][0]["code"]),
        (&Value::Null, &json!("no_eligible_node"))
    );
    let lack = "without function nowhere: n1";
    assert!(told["warnings"][0]["detail"].as_str().unwrap().contains(lack), "{told}");
    let shown = rig.get("/tasks/later").await.expect(200).body;
    assert_eq!(shown["warnings"], told["warnings"]);
    let waits = rig.post("/tasks/later/trigger", Value::Null).await.expect(201).body;
    assert_eq!((&waits["status"], &waits["warnings"]), (&json!("pending"), &told["warnings"]));
    let why = rig.get("/tasks/later/why").await.expect(200).body;
    assert!(why["summary"].as_str().unwrap().contains(lack), "{why}");
    let assigned = rig.get("/tasks/later/assignment").await.expect(200).body;
    let node = &assigned["nodes"][0];
    assert_eq!((&node["eligible"], &node["reason"]), (&json!(false), &json!("no_function")));
    assert_eq!(node["detail"], "without function nowhere");
    rig.stop().await;
}

/// Shell actions are off, or the user of the task is unknown. Every response about the task
/// contains the reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_nodes_lack_for_a_command_is_told() {
    let no_user = "could not become user nobody-of-that-name when it started";
    let rig = ApiRig::start().await;
    let lacks = "shell actions are off, actions.shell.enabled";
    lacks_for_a_command(&rig, Value::Null, lacks, "shell_off").await;
    rig.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = [("actions.shell.enabled", "true".to_owned())];
    let node = Node::builder().loaded(config(&folder, &settings)).shim(ShimProgram::this());
    let rig = ApiRig::built(node, folder).await;
    lacks_for_a_command(&rig, json!("nobody-of-that-name"), no_user, "unknown_user").await;
    rig.stop().await;
}

async fn lacks_for_a_command(rig: &ApiRig, user: Value, lacks: &str, reason: &str) {
    let action = json!({"shell": {"argv": ["true"], "user": user}});
    let body = json!({"name": "command", "schedule": yearly(), "action": action});
    let told = rig.post("/tasks", body).await.expect(201).body;
    assert_eq!(
        (&told["owner"], &told["warnings"][0]["code"]),
        (&Value::Null, &json!("no_eligible_node"))
    );
    let who = format!("{lacks}: n1");
    assert!(told["warnings"][0]["detail"].as_str().unwrap().contains(&who), "{told}");
    let shown = rig.get("/tasks/command").await.expect(200).body;
    assert_eq!((&shown["warnings"], &shown["owner"]), (&told["warnings"], &Value::Null));
    let why = rig.get("/tasks/command/why").await.expect(200).body;
    assert!(why["summary"].as_str().unwrap().contains(&who), "{why}");
    let assigned = rig.get("/tasks/command/assignment").await.expect(200).body;
    let node = &assigned["nodes"][0];
    assert_eq!((&node["eligible"], &node["reason"]), (&json!(false), &json!(reason)));
    assert_eq!(node["detail"], lacks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_write_is_one_write() {
    let rig = ApiRig::start().await;
    let key = &[("idempotency-key", "k-1")];
    let body = json!({"name": "once", "schedule": yearly(), "action": {"func": {"id": "ok"}}});
    let first = rig.call(Method::POST, "/tasks", body.clone(), key).await.expect(201);
    let again = rig.call(Method::POST, "/tasks", body.clone(), key).await.expect(201);
    assert_eq!(first.body["revision"], again.body["revision"]);
    let mut other = body;
    other["name"] = json!("twice");
    rig.call(Method::POST, "/tasks", other.clone(), key)
        .await
        .refused(422, "idempotency_key_reused");
    rig.get("/tasks/twice").await.refused(404, "task_not_found");
    // A key is bound to its route, even if the route has the same effect.
    for (method, path, body) in [
        (Method::POST, "/tasks/once/trigger", Value::Null),
        (Method::POST, "/tasks?force=true", other.clone()),
        (Method::PUT, "/tasks/once", again.body),
        (Method::DELETE, "/tasks/once", Value::Null),
        (Method::POST, "/tasks/batch", json!([other])),
        (Method::POST, "/tasks/bulk", json!({"op": "trigger", "names": ["once"]})),
    ] {
        let got = rig.call(method, path, body, key).await;
        got.refused(422, "idempotency_key_reused");
    }
    let stop = rig.call(Method::POST, "/scheduler/stop", Value::Null, key).await.expect(422);
    assert_eq!(stop.body["data"]["code"], "idempotency_key_reused");
    assert_eq!(rig.get("/executions?page=1").await.expect(200).body["total"], 0);
    let key = &[("idempotency-key", "k-4")];
    let trigger = || rig.call(Method::POST, "/tasks/once/trigger", Value::Null, key);
    let (one, two) = (trigger().await.expect(201), trigger().await.expect(201));
    assert_eq!(one.body["id"], two.body["id"]);
    assert_eq!(
        one.header("location"),
        format!("/api/v1/executions/{}", one.body["id"].as_str().unwrap())
    );
    let etag = first.header("etag");
    let guarded = &[("idempotency-key", "k-2"), ("if-match", etag)];
    let patch = || rig.call(Method::PATCH, "/tasks/once", json!({"timeout": "1s"}), guarded);
    let (one, two) = (patch().await.expect(200), patch().await.expect(200));
    assert_eq!(one.body["revision"], two.body["revision"]);
    let changed = rig.call(Method::PATCH, "/tasks/once", json!({"timeout": "2s"}), guarded).await;
    changed.refused(422, "idempotency_key_reused");
    let delete =
        || rig.call(Method::DELETE, "/tasks/once", Value::Null, &[("idempotency-key", "k-3")]);
    delete().await.expect(200);
    assert_eq!(delete().await.expect(200).body["state"], "deleted");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_of_different_fields_all_last() {
    let rig = ApiRig::start().await;
    rig.make("shared", yearly(), "ok").await;
    let patches = (0..8).map(|n| {
        let body = json!({"labels": {format!("l{n}"): "x"}});
        rig.call(Method::PATCH, "/tasks/shared", body, &[])
    });
    // Each request conflicts with each other one at most once, so the retries are sufficient.
    for got in join_all(patches).await {
        got.expect(200);
    }
    let labels = rig.get("/tasks/shared").await.expect(200).body["labels"].clone();
    assert_eq!(labels.as_object().map(|labels| labels.len()), Some(8));
    let revisions = rig.get("/tasks/shared/revisions").await.expect(200);
    let items = revisions.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 9);
    assert_eq!((&items[0]["current"], &items[8]["changes"]), (&json!(true), &Value::Null));
    let pointer = items[0]["changes"][0]["pointer"].as_str().unwrap();
    assert!(pointer.starts_with("/labels/l"), "{pointer}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_repeated_after_its_end_is_answered_as_it_was_the_first_time() {
    let rig = ApiRig::start().await;
    rig.make("quick", yearly(), "ok").await;
    let now = UNIX_EPOCH.elapsed().unwrap().as_millis();
    let until = Timestamp(i64::try_from(now).unwrap() + 700);
    let body = json!({"until": until.to_string()});
    let key = [("idempotency-key", "pause-1")];
    let pause = || rig.call(Method::POST, "/tasks/quick/pause", body.clone(), &key);
    let first = pause().await.expect(200);
    rig.until("/api/v1/tasks/quick", |got| got.body["state"] == "active").await;
    let second = pause().await.expect(200);
    assert_eq!(second.header("etag"), first.header("etag"));
    let path = "/tasks/quick/pause";
    rig.post(path, body.clone()).await.refused(422, "invalid_value");
    let other = [("idempotency-key", "pause-2")];
    rig.call(Method::POST, path, body.clone(), &other).await.refused(422, "invalid_value");
    rig.stop().await;
}
