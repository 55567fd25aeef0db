//! Executors: registered, renewed, held back, removed, and the tasks that they declare.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, Got};

/// A registration with the tasks of `tasks`.
fn registration(id: &str, tasks: Value) -> Value {
    json!({
        "name": "data", "instance_id": id, "base_url": "http://127.0.0.1:9", "weight": 2,
        "capacity": 3, "metadata": {"zone": "a"}, "tasks": tasks,
    })
}

fn declared(name: &str, cron: &str) -> Value {
    json!({"task_name": name, "cron": cron, "execution_mode": "sequential",
           "load_balance_strategy": "sticky", "timeout": 300})
}

impl ApiRig {
    async fn register(&self, body: Value) -> Got {
        self.post("/executors/register", body).await
    }

    async fn put_status(&self, id: &str, status: &str) -> Got {
        let body = json!({"status": status, "reason": "upgrade"});
        self.call(Method::PUT, &format!("/executors/{id}/status"), body, &[]).await
    }
}

#[tokio::test]
async fn an_executor_registers_renews_and_goes() {
    let rig = ApiRig::start().await;
    let made = rig.register(registration("e-1", json!([]))).await.expect(201);
    for (field, value) in [
        ("id", json!("e-1")),
        ("name", json!("data")),
        ("base_url", json!("http://127.0.0.1:9")),
        ("health_check_url", Value::Null),
        ("status", json!("online")),
        ("weight", json!(2)),
        ("capacity", json!(3)),
        ("in_flight", json!(0)),
        ("metadata", json!({"zone": "a"})),
        ("tasks", json!([])),
    ] {
        assert_eq!(made.body[field], value, "{field}");
    }
    let again = rig.register(registration("e-1", json!([]))).await.expect(200);
    assert_eq!(again.body["revision"], made.body["revision"], "nothing but the time changed");
    let mut moved = registration("e-1", json!([]));
    moved["base_url"] = json!("http://127.0.0.1:10");
    rig.register(moved.clone()).await.refused(409, "executor_online");

    let set = rig.put_status("e-1", "maintenance").await.expect(200);
    assert_eq!(set.body, json!({"message": "status updated"}));
    let seen = rig.get("/executors/e-1").await.expect(200);
    let shown = (&seen.body["status"], &seen.body["reason"]);
    assert_eq!(shown, (&json!("maintenance"), &json!("upgrade")));
    let renewed = rig.register(registration("e-1", json!([]))).await.expect(200);
    assert_eq!(renewed.body["status"], "maintenance", "a renewal does not end it");
    let beat = rig.post("/executors/e-1/heartbeat", Value::Null).await.expect(200);
    assert_eq!(beat.body["status"], "maintenance");
    let bound = [("if-match", "\"1\"")];
    let online = json!({"status": "online"});
    let refused = rig.call(Method::PUT, "/executors/e-1/status", online, &bound).await;
    refused.refused(412, "revision_mismatch");
    let odd = json!({"status": "asleep"});
    let refused = rig.call(Method::PUT, "/executors/e-1/status", odd, &[]).await;
    refused.refused(422, "invalid_value");
    rig.put_status("e-1", "offline").await.expect(200);
    rig.register(moved).await.expect(200);
    let seen = rig.get("/executors/e-1").await.expect(200);
    assert_eq!(seen.body["base_url"], "http://127.0.0.1:10");
    assert_eq!(seen.body["status"], "online");

    rig.register(registration("e-2", json!([]))).await.expect(201);
    let all = rig.get("/executors").await.expect(200);
    let ids = |got: &Got| {
        let items = got.body["items"].as_array().unwrap().iter();
        items.map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&all), ["e-1", "e-2"]);
    let first = rig.get("/executors?limit=1").await.expect(200);
    let cursor = first.body["next_cursor"].as_str().unwrap().to_owned();
    let second = rig.get(&format!("/executors?limit=1&cursor={cursor}")).await.expect(200);
    assert_eq!((ids(&first), ids(&second)), (vec!["e-1".to_owned()], vec!["e-2".to_owned()]));
    rig.put_status("e-2", "maintenance").await.expect(200);
    assert_eq!(ids(&rig.get("/executors?status=maintenance").await.expect(200)), ["e-2"]);

    let gone = rig.call(Method::DELETE, "/executors/e-1", Value::Null, &[]).await.expect(200);
    assert_eq!(gone.body, json!({"id": "e-1", "deleted": true}));
    for path in ["/executors/e-1/heartbeat"] {
        rig.post(path, Value::Null).await.refused(404, "executor_not_found");
    }
    rig.get("/executors/e-1").await.refused(404, "executor_not_found");
    rig.put_status("e-1", "online").await.refused(404, "executor_not_found");
    rig.call(Method::DELETE, "/executors/e-1", Value::Null, &[])
        .await
        .refused(404, "executor_not_found");
    rig.stop().await;
}

#[tokio::test]
async fn declared_tasks_are_those_of_their_executors() {
    let rig = ApiRig::start().await;
    let results = |got: &Got| {
        let tasks = got.body["tasks"].as_array().unwrap().iter();
        let one = |task: &Value| format!("{} {}", task["name"], task["result"]).replace('"', "");
        tasks.map(one).collect::<Vec<_>>()
    };
    rig.make("mine", super::yearly(), "ok").await;
    rig.make("dead", super::yearly(), "ok").await;
    rig.call(Method::DELETE, "/tasks/dead", Value::Null, &[]).await.expect(200);
    let tasks = json!([
        declared("report", "0 0 2 * * *"), declared("mine", "0 0 2 * * *"),
        declared("dead", "0 0 2 * * *"), {"name": "byhand", "status": "paused"},
    ]);
    let made = rig.register(registration("e-1", tasks.clone())).await.expect(201);
    assert_eq!(
        results(&made),
        ["report created", "mine kept", "dead deleted", "byhand created"],
        "{}",
        made.text
    );
    let report = rig.get("/tasks/report").await.expect(200).body;
    assert_eq!(report["origin"], "executor");
    assert_eq!(report["schedule"]["cron"], "0 0 2 * * *");
    assert_eq!(report["action"]["executor"]["balance"], "sticky");
    assert_eq!(
        (&report["execution_mode"], &report["timeout"]),
        (&json!("sequential"), &json!("5m"))
    );
    assert_eq!(report["warnings"], Value::Null, "its executor is there");
    let byhand = rig.get("/tasks/byhand").await.expect(200).body;
    assert_eq!((&byhand["schedule"]["manual"], &byhand["enabled"]), (&json!(true), &json!(false)));
    assert_eq!(rig.get("/tasks/mine").await.body["origin"], "api");
    rig.get("/tasks/dead").await.expect(200);
    let seen = rig.get("/executors/e-1").await.expect(200);
    assert_eq!(seen.body["tasks"], json!(["byhand", "dead", "mine", "report"]));

    let again = rig.register(registration("e-1", tasks)).await.expect(200);
    assert_eq!(results(&again)[0], "report unchanged");
    let changed = json!([declared("report", "0 0 3 * * *")]);
    let again = rig.register(registration("e-1", changed)).await.expect(200);
    assert_eq!(results(&again), ["report updated"]);
    let report = rig.get("/tasks/report").await.expect(200).body;
    assert_eq!(report["schedule"]["cron"], "0 0 3 * * *");

    // Who changes it otherwise has it from then on.
    let patch = json!({"schedule": {"cron": "0 0 4 * * *"}});
    let kind = [("content-type", "application/merge-patch+json")];
    rig.send(Method::PATCH, "/api/v1/tasks/report", &kind, Some(patch.to_string().into()))
        .await
        .expect(200);
    let changed = json!([declared("report", "0 0 5 * * *")]);
    let again = rig.register(registration("e-1", changed)).await.expect(200);
    assert_eq!(results(&again), ["report kept"]);
    let report = rig.get("/tasks/report").await.expect(200).body;
    assert_eq!(
        (&report["origin"], &report["schedule"]["cron"]),
        (&json!("api"), &json!("0 0 4 * * *"))
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_bad_registration_leaves_nothing_behind() {
    let rig = ApiRig::start().await;
    let wrong = json!([declared("good", "0 0 2 * * *"), declared("bad", "0 0 25 * * *")]);
    let refused = rig.register(registration("e-1", wrong)).await.refused(422, "invalid_cron");
    assert_eq!(refused.body["errors"][0]["pointer"], "/tasks/1/cron", "{}", refused.text);
    rig.get("/executors/e-1").await.refused(404, "executor_not_found");
    rig.get("/tasks/good").await.refused(404, "task_not_found");
    let twice = json!([declared("one", "0 0 2 * * *"), declared("one", "0 0 3 * * *")]);
    rig.register(registration("e-1", twice)).await.refused(422, "duplicate_item");

    // What a parser drops in silence would be asked for in another form.
    for wrong in ["http://h:9090 ", "http://h\t/", "http://u:p@h", "http://h?a=b", "h:9090"] {
        let mut odd = registration("e-1", json!([]));
        odd["base_url"] = json!(wrong);
        let refused = rig.register(odd).await.refused(422, "invalid_url");
        assert_eq!(refused.body["errors"][0]["pointer"], "/base_url", "{}", refused.text);
    }

    // The cluster's own ports are no executors.
    for field in ["base_url", "health_check_url"] {
        let mut own = registration("e-1", json!([]));
        own[field] = json!(rig.base.replace("127.0.0.1", "localhost"));
        let refused = rig.register(own).await.refused(422, "invalid_url");
        assert_eq!(refused.body["errors"][0]["pointer"], format!("/{field}"));
        assert!(refused.text.contains("the cluster's own"), "{}", refused.text);
    }
    let other = json!({"executor_id": "e-1", "executor_url": rig.base});
    let refused = rig.register(other).await.refused(422, "invalid_url");
    assert_eq!(refused.body["errors"][0]["pointer"], "/executor_url");
    rig.get("/executors/e-1").await.refused(404, "executor_not_found");
    rig.stop().await;
}

#[tokio::test]
async fn a_task_without_its_executors_is_warned_about() {
    let rig = ApiRig::start().await;
    let body = |name: &str, names: Value| json!({"name": name, "schedule": super::yearly(), "action": {"executor": {"names": names}}});
    let codes = |got: &Got| {
        let warnings = got.body["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().map(|one| one["code"].to_string()).collect::<Vec<_>>()
    };
    let made = rig.post("/tasks", body("a", json!([]))).await.expect(201);
    assert_eq!(codes(&made), ["\"no_executor\""], "{}", made.text);
    let made = rig.post("/tasks", body("b", json!(["data"]))).await.expect(201);
    assert_eq!(codes(&made), ["\"no_executor\""], "{}", made.text);
    rig.register(registration("e-1", json!([{"name": "a"}]))).await.expect(201);
    for name in ["a", "b"] {
        let seen = rig.get(&format!("/tasks/{name}")).await.expect(200);
        assert_eq!(codes(&seen), [""; 0], "{}", seen.text);
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_tells_which_execution_waits_for_an_executor() {
    let rig = ApiRig::start().await;
    rig.register(registration("e-1", json!([]))).await.expect(201);
    rig.put_status("e-1", "maintenance").await.expect(200);
    let task = json!({"name": "report", "schedule": {"manual": true},
        "action": {"executor": {"names": ["data"]}}});
    rig.post("/tasks", task).await.expect(201);
    let shown = rig.get("/tasks/report").await.expect(200);
    assert_eq!(shown.body["waits_for_executor"], Value::Null, "{}", shown.text);
    let first = rig.post("/tasks/report/trigger", json!({})).await.expect(201).body;
    rig.post("/tasks/report/trigger", json!({})).await.expect(201);
    let listed = rig.get("/tasks").await.expect(200);
    let wait = &listed.body["items"][0]["waits_for_executor"];
    assert_eq!((&wait["execution_id"], &wait["since"]), (&first["id"], &first["due"]), "{wait}");
    assert_eq!(wait["detail"], "for an executor: e-1 is maintenance");

    // In a line it is the one whose turn it is.
    let queued = json!({"name": "queued", "schedule": {"manual": true},
        "execution_mode": "sequential", "concurrency": {"group": "db", "limit": 1},
        "action": {"executor": {"names": ["data"]}}});
    rig.post("/tasks", queued).await.expect(201);
    let first = rig.post("/tasks/queued/trigger", json!({})).await.expect(201).body;
    rig.post("/tasks/queued/trigger", json!({})).await.expect(201);
    let shown = rig.get("/tasks/queued").await.expect(200);
    assert_eq!(shown.body["waits_for_executor"]["execution_id"], first["id"], "{}", shown.text);
    // What is held waits for something else.
    let ticking = json!({"name": "ticking", "schedule": {"interval": "1s"},
        "action": {"executor": {"names": ["data"]}}});
    rig.post("/tasks", ticking).await.expect(201);
    let waits = |got: &Got| got.body["waits_for_executor"].is_object();
    rig.until("/api/v1/tasks/ticking", waits).await;
    rig.post("/tasks/ticking/pause", json!({})).await.expect(200);
    let shown = rig.get("/tasks/ticking").await.expect(200);
    assert_eq!(shown.body["waits_for_executor"], Value::Null, "{}", shown.text);
    // With an executor that takes work nothing waits for one.
    rig.put_status("e-1", "online").await.expect(200);
    for task in ["report", "queued"] {
        let shown = rig.get(&format!("/tasks/{task}")).await.expect(200);
        assert_eq!(shown.body["waits_for_executor"], Value::Null, "{}", shown.text);
    }
    rig.stop().await;
}
