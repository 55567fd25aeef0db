//! Requests that are refused: status, code, pointer, and nothing changed.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Rig, yearly};

/// Method, path, body, status, code, pointer of the first error.
type Row = (Method, &'static str, Value, u16, &'static str, &'static str);

fn task_with(field: &str, value: Value) -> Value {
    let mut body = json!({"name": "new", "schedule": yearly()});
    body[field] = value;
    body
}

fn bodies() -> Vec<Row> {
    let schedule = |value: Value| json!({"name": "new", "schedule": value});
    let post = |body, status, code, pointer| (Method::POST, "/tasks", body, status, code, pointer);
    let big = "x".repeat(70_000);
    vec![
        post(json!({"schedule": yearly()}), 422, "missing_field", "/name"),
        post(json!({"name": "new"}), 422, "missing_field", "/schedule"),
        post(json!([]), 422, "wrong_type", ""),
        post(task_with("nmae", json!("x")), 422, "unknown_field", "/nmae"),
        post(task_with("revision", json!(1)), 422, "unknown_field", "/revision"),
        post(task_with("name", json!(7)), 422, "wrong_type", "/name"),
        post(task_with("name", json!("a b")), 422, "invalid_name", "/name"),
        post(task_with("name", json!(".a")), 422, "invalid_name", "/name"),
        post(task_with("name", json!("x".repeat(201))), 422, "invalid_name", "/name"),
        post(task_with("enabled", json!("yes")), 422, "wrong_type", "/enabled"),
        post(task_with("priority", json!(10)), 422, "out_of_range", "/priority"),
        post(task_with("timeout", json!("soon")), 422, "invalid_duration", "/timeout"),
        post(task_with("payload", json!(big)), 422, "too_large", "/payload"),
        post(task_with("parameters", json!({"a": big})), 422, "too_large", "/payload"),
        post(task_with("labels", json!({"a b": "c"})), 422, "invalid_label", "/labels/a b"),
        post(task_with("execution_mode", json!("skip")), 422, "not_supported", "/execution_mode"),
        post(task_with("retry", json!({"max_retry": 3})), 422, "not_supported", "/retry/max_retry"),
        post(task_with("action", json!({"shell": {"argv": []}})), 422, "empty", "/action/shell/argv"),
        post(schedule(json!({"cron": "61 * * * *"})), 422, "invalid_cron", "/schedule/cron"),
        post(schedule(json!({"cron": "* * *"})), 422, "invalid_cron", "/schedule/cron"),
        post(schedule(json!({"cron": "0 0 30 2 *"})), 422, "never_fires", "/schedule"),
        post(schedule(json!({"at": "2001-01-01T00:00:00Z"})), 422, "never_fires", "/schedule/at"),
        post(schedule(json!({"interval": "1ms"})), 422, "out_of_range", "/schedule/interval"),
        post(schedule(json!({"cron": "0 0 * * *", "daily": "02:00"})), 422, "one_of", "/schedule"),
        post(
            schedule(json!({"cron": "0 0 * * *", "timezone": "Mars/Base"})),
            422,
            "unknown_timezone",
            "/schedule/timezone",
        ),
        (Method::PUT, "/tasks/kept", task_with("name", json!("other")), 422, "name_changed", "/name"),
        (Method::PUT, "/tasks/none", task_with("name", json!("none")), 404, "task_not_found", ""),
        (Method::PATCH, "/tasks/kept", json!({"name": "x"}), 422, "name_changed", "/name"),
        (Method::PATCH, "/tasks/kept", json!(["a"]), 422, "wrong_type", ""),
        (Method::PATCH, "/tasks/none", json!({}), 404, "task_not_found", ""),
        (Method::POST, "/tasks/none/trigger", Value::Null, 404, "task_not_found", ""),
        (Method::POST, "/tasks/kept/trigger", json!({"parameters": 1}), 422, "wrong_type", "/parameters"),
        (Method::POST, "/tasks/kept/trigger", json!({"params": {}}), 422, "unknown_field", "/params"),
        (Method::POST, "/tasks/kept/pause", json!({"until": "2001-01-01T00:00:00Z"}), 422, "invalid_value", "/until"),
        (Method::POST, "/tasks/kept/pause", json!({"until": "noon"}), 422, "invalid_time", "/until"),
        (Method::POST, "/tasks/kept/resume", json!({"a": 1}), 422, "unknown_field", "/a"),
        (Method::POST, "/tasks/kept/claim", json!({}), 422, "missing_field", "/tick"),
        (Method::POST, "/tasks/bulk", json!({"op": "paus", "names": ["a"]}), 422, "invalid_value", "/op"),
        (Method::POST, "/tasks/bulk", json!({"op": "pause"}), 422, "one_of", ""),
        (Method::POST, "/tasks/bulk", json!({"op": "delete", "selector": {}}), 422, "empty", "/selector"),
        (Method::POST, "/tasks/bulk", json!({"op": "resume", "names": ["a"], "reason": "x"}), 422, "conflict", "/reason"),
        (Method::POST, "/schedules/preview", json!({}), 422, "one_of", ""),
        (Method::POST, "/schedules/preview", json!({"expression": "x"}), 422, "invalid_cron", "/expression"),
        (Method::POST, "/schedules/preview", json!({"expression": "@daily", "n": 0}), 422, "out_of_range", "/n"),
        (Method::PATCH, "/nodes/1", json!({"weight": -1}), 422, "wrong_type", "/weight"),
        (Method::PATCH, "/nodes/1", json!({"labels": {"a": 1}}), 422, "wrong_type", "/labels/a"),
        (Method::PATCH, "/nodes/9", json!({"weight": 1}), 404, "node_not_found", ""),
        (Method::POST, "/executions/1/stop", Value::Null, 404, "execution_not_found", ""),
        (Method::POST, "/executions/x/callback", json!({"status": "success"}), 404, "execution_not_found", ""),
        (Method::POST, "/executions/1/callback", json!({"status": "fine"}), 422, "invalid_value", "/status"),
        (Method::POST, "/admin/cleanup-all", json!({}), 422, "missing_field", "/cluster"),
    ]
}

fn queries() -> Vec<(&'static str, &'static str)> {
    vec![
        ("/tasks?limt=1", "?limt"),
        ("/tasks?limit=0", "?limit"),
        ("/tasks?limit=1001", "?limit"),
        ("/tasks?limit=1&limit=2", "?limit"),
        ("/tasks?cursor=xyz", "?cursor"),
        ("/tasks?page=1&cursor=61", "?page"),
        ("/tasks?sort=next&cursor=61", "?cursor"),
        ("/tasks?sort=newest", "?sort"),
        ("/tasks?status=idle", "?status"),
        ("/tasks?deleted=1", "?deleted"),
        ("/tasks?owner=n9", "?owner"),
        ("/tasks?consistency=strong", "?consistency"),
        ("/tasks?min_index=-1", "?min_index"),
        ("/tasks/kept?x=1", "?x"),
        ("/tasks/kept/next?n=0", "?n"),
        ("/tasks/kept/next?from=noon", "?from"),
        ("/tasks/kept/why?at=2026", "?at"),
        ("/tasks/kept/ticks?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "?to"),
        ("/executions?status=done", "?status"),
        ("/executions?failed=yes", "?failed"),
        ("/executions?cursor=61", "?cursor"),
        ("/executions/1/output?from=x", "?from"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_with_the_field_and_change_nothing() {
    let rig = Rig::start().await;
    let kept = rig.make("kept", yearly(), "ok").await;
    for (method, path, body, status, code, pointer) in bodies() {
        let shown = format!("{method} {path} {:.200}", body.to_string());
        let got = rig.call(method, path, body, &[]).await;
        assert_eq!((got.status, got.body["code"].as_str()), (status, Some(code)), "{shown}: {}", got.text);
        let got = got.refused(status, code);
        let found = got.body["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!(found, pointer, "{shown}: {}", got.text);
    }
    for (path, pointer) in queries() {
        let got = rig.get(path).await;
        assert_eq!(got.status, 422, "{path}: {}", got.text);
        let code = got.body["code"].as_str().unwrap();
        assert!(matches!(code, "invalid_parameter" | "unknown_parameter"), "{path}: {code}");
        assert_eq!(got.body["errors"][0]["pointer"], pointer, "{path}: {}", got.text);
    }
    let tasks = rig.get("/tasks?page=1").await.expect(200).body;
    assert_eq!((&tasks["total"], &tasks["items"][0]["revision"]), (&json!(1), &kept.body["revision"]));
    assert_eq!(rig.get("/executions?page=1").await.expect(200).body["total"], 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_cannot_be_read_are_refused() {
    let rig = Rig::start().await;
    let json = ("content-type", "application/json");
    let good = json!({"name": "new", "schedule": yearly()}).to_string().into_bytes();
    let huge = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20)).into_bytes();
    let deep = "[".repeat(100_000).into_bytes();
    let raw: [(&[(&str, &str)], &[u8], u16, &str); 16] = [
        (&[json], b"{", 400, "invalid_json"),
        (&[json], b"", 400, "invalid_json"),
        (&[json], b"{\"name\": \"a\"} x", 400, "invalid_json"),
        (&[json], b"{\"name\": \"\xff\"}", 400, "invalid_json"),
        (&[json], b"{\"name\": \"a\", \"name\": \"b\"}", 400, "duplicate_key"),
        (&[json], &deep, 400, "too_deep"),
        (&[json], &huge, 413, "body_too_large"),
        (&[("content-type", "text/plain")], &good, 415, "unsupported_media_type"),
        (&[], &good, 415, "unsupported_media_type"),
        (&[json, ("if-match", "5")], &good, 400, "invalid_header"),
        (&[json, ("if-match", "\"1\", \"2\"")], &good, 400, "invalid_header"),
        (&[json, ("if-match", "\"none\"")], &good, 412, "revision_mismatch"),
        (&[json, ("if-match", "W/\"5\"")], &good, 412, "revision_mismatch"),
        (&[json, ("idempotency-key", "a b")], &good, 400, "invalid_header"),
        (&[json, ("idempotency-key", &"k".repeat(201))], &good, 400, "invalid_header"),
        (&[json, ("idempotency-key", "")], &good, 400, "invalid_header"),
    ];
    for (headers, body, status, code) in raw {
        let got = rig.send(Method::POST, "/api/v1/tasks", headers, Some(body.to_vec())).await;
        assert_eq!((got.status, got.body["code"].as_str()), (status, Some(code)), "{headers:?}: {}", got.text);
    }
    rig.get("/tasks/%ff").await.refused(400, "invalid_path");
    rig.get("/tasks/a%2Fb").await.refused(404, "task_not_found");
    let deleted = rig.call(Method::DELETE, "/tasks/a%20b?tombstone=true", Value::Null, &[]).await;
    deleted.refused(422, "invalid_name");
    assert_eq!(rig.get("/tasks?page=1").await.expect(200).body["total"], 0);
    rig.stop().await;
}
