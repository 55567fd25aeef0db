//! Invalid requests: status, code, pointer, and no change of state.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, ok, yearly};

type Row = (&'static str, Value, &'static str);
/// Headers, body, status, code.
type Raw<'a> = (&'a [(&'a str, &'a str)], &'a [u8], u16, &'a str);

fn task_with(field: &str, value: Value) -> Value {
    let mut body = json!({"name": "new", "schedule": yearly(), "action": ok()});
    body[field] = value;
    body
}

/// A request, and the expected error: status, code, pointer of the first error.
fn row(request: &'static str, body: Value, answer: &'static str) -> Row {
    (request, body, answer)
}

/// A task with one invalid field.
fn with(field: &str, value: Value, answer: &'static str) -> Row {
    row("POST /tasks", task_with(field, value), answer)
}

/// A task whose action has invalid headers.
fn header(headers: Value, answer: &'static str) -> Row {
    with("action", json!({"http": {"url": "http://a/", "headers": headers}}), answer)
}

/// A task with an invalid schedule.
fn at(schedule: Value, answer: &'static str) -> Row {
    row("POST /tasks", json!({"name": "new", "schedule": schedule}), answer)
}

fn fields() -> Vec<Row> {
    let big = "x".repeat(70_000);
    vec![
        row(
            "POST /tasks",
            json!({"schedule": yearly(), "action": ok()}),
            "422 missing_field /name",
        ),
        row("POST /tasks", json!({"name": "new"}), "422 missing_field /schedule"),
        row("POST /tasks", json!([]), "422 wrong_type"),
        with("nmae", json!("x"), "422 unknown_field /nmae"),
        with("revision", json!(1), "422 unknown_field /revision"),
        with("name", json!(7), "422 wrong_type /name"),
        with("name", json!("a b"), "422 invalid_name /name"),
        with("name", json!(".a"), "422 invalid_name /name"),
        with("name", json!("x".repeat(201)), "422 invalid_name /name"),
        with("enabled", json!("yes"), "422 wrong_type /enabled"),
        with("priority", json!(10), "422 out_of_range /priority"),
        with("timeout", json!("soon"), "422 invalid_duration /timeout"),
        with("payload", json!(big), "422 too_large /payload"),
        with("parameters", json!({"a": big}), "422 too_large /payload"),
        with("labels", json!({"a b": "c"}), "422 invalid_label /labels/a b"),
        with(
            "concurrency",
            json!({"group": "g", "limit": 0}),
            "422 out_of_range /concurrency/limit",
        ),
        with("retry", json!({"jitter": "x"}), "422 invalid_duration /retry/jitter"),
        with("action", json!({"shell": {"argv": []}}), "422 empty /action/shell/argv"),
        header(json!({"a\nb": "x"}), "422 invalid_http_header /action/http/headers/a\nb"),
        header(json!({"a": "1", "A": "2"}), "422 duplicate_item /action/http/headers/a"),
    ]
}

fn schedules() -> Vec<Row> {
    vec![
        at(json!({"cron": "61 * * * *"}), "422 invalid_cron /schedule/cron"),
        at(json!({"cron": "* * *"}), "422 invalid_cron /schedule/cron"),
        at(json!({"cron": "0 0 30 2 *"}), "422 never_fires /schedule"),
        at(json!({"at": "2001-01-01T00:00:00Z"}), "422 never_fires /schedule/at"),
        at(json!({"interval": "1ms"}), "422 out_of_range /schedule/interval"),
        at(json!({"cron": "0 0 * * *", "daily": "02:00"}), "422 one_of /schedule"),
        at(
            json!({"cron": "0 0 * * *", "timezone": "Mars/Base"}),
            "422 unknown_timezone /schedule/timezone",
        ),
    ]
}

fn requests() -> Vec<Row> {
    let bulk = "POST /tasks/bulk";
    let preview = "POST /schedules/preview";
    vec![
        row("PUT /tasks/kept", task_with("name", json!("other")), "422 name_changed /name"),
        row("PUT /tasks/none", task_with("name", json!("none")), "404 task_not_found"),
        row("PATCH /tasks/kept", json!({"name": "x"}), "422 name_changed /name"),
        row("PATCH /tasks/kept", json!(["a"]), "422 wrong_type"),
        row("PATCH /tasks/none", json!({}), "404 task_not_found"),
        row("POST /tasks/none/trigger", Value::Null, "404 task_not_found"),
        row("POST /tasks/kept/trigger", json!({"parameters": 1}), "422 wrong_type /parameters"),
        row("POST /tasks/kept/trigger", json!({"params": {}}), "422 unknown_field /params"),
        row(
            "POST /tasks/kept/pause",
            json!({"until": "2001-01-01T00:00:00Z"}),
            "422 invalid_value /until",
        ),
        row("POST /tasks/kept/pause", json!({"until": "noon"}), "422 invalid_time /until"),
        row("POST /tasks/kept/resume", json!({"a": 1}), "422 unknown_field /a"),
        row("POST /tasks/kept/claim", json!({}), "422 missing_field /tick"),
        row(bulk, json!({"op": "paus", "names": ["a"]}), "422 invalid_value /op"),
        row(bulk, json!({"op": "pause"}), "422 one_of"),
        row(bulk, json!({"op": "delete", "selector": {}}), "422 empty /selector"),
        row(bulk, json!({"op": "resume", "names": ["a"], "reason": "x"}), "422 conflict /reason"),
        row(preview, json!({}), "422 one_of"),
        row(preview, json!({"expression": "x"}), "422 invalid_cron /expression"),
        row(preview, json!({"expression": "@daily", "n": 0}), "422 out_of_range /n"),
        row("PATCH /nodes/1", json!({"weight": -1}), "422 wrong_type /weight"),
        row("PATCH /nodes/1", json!({"labels": {"a": 1}}), "422 wrong_type /labels/a"),
        row("PATCH /nodes/9", json!({"weight": 1}), "404 node_not_found"),
        row("POST /executions/1/stop", Value::Null, "404 execution_not_found"),
        row("POST /executions/x/callback", json!({"status": "success"}), "404 execution_not_found"),
        row("POST /executions/1/callback", json!({"status": "fine"}), "422 invalid_value /status"),
        row("POST /admin/cleanup-all", json!({}), "422 missing_field /cluster"),
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
    let rig = ApiRig::start().await;
    let kept = rig.make("kept", yearly(), "ok").await;
    for (request, body, answer) in [fields(), schedules(), requests()].concat() {
        let (method, path) = request.split_once(' ').unwrap();
        let shown = format!("{request} {:.200}", body.to_string());
        let got = rig.call(method.parse().unwrap(), path, body, &[]).await;
        let pointer = got.body["errors"][0]["pointer"].as_str().unwrap_or_default();
        let found = format!("{} {} {pointer}", got.status, got.body["code"].as_str().unwrap());
        assert_eq!(found.trim_end(), answer.trim_end(), "{shown}: {}", got.text);
        let code = answer.split(' ').nth(1).unwrap();
        let status = got.status;
        got.refused(status, code);
    }
    for (path, pointer) in queries() {
        let got = rig.get(path).await;
        assert_eq!(got.status, 422, "{path}: {}", got.text);
        let code = got.body["code"].as_str().unwrap();
        assert!(matches!(code, "invalid_parameter" | "unknown_parameter"), "{path}: {code}");
        assert_eq!(got.body["errors"][0]["pointer"], pointer, "{path}: {}", got.text);
    }
    let tasks = rig.get("/tasks?page=1").await.expect(200).body;
    assert_eq!(
        (&tasks["total"], &tasks["items"][0]["revision"]),
        (&json!(1), &kept.body["revision"])
    );
    assert_eq!(rig.get("/executions?page=1").await.expect(200).body["total"], 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_cannot_be_read_are_refused() {
    let rig = ApiRig::start().await;
    let json = ("content-type", "application/json");
    let good =
        json!({"name": "new", "schedule": yearly(), "action": ok()}).to_string().into_bytes();
    let huge = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20)).into_bytes();
    let deep = "[".repeat(100_000).into_bytes();
    let raw: [Raw<'_>; 18] = [
        (&[json], b"{", 400, "invalid_json"),
        (&[json], b"", 400, "invalid_json"),
        (&[json], b"{\"name\": \"a\"} x", 400, "invalid_json"),
        (&[json], b"{\"name\": \"\xff\"}", 400, "invalid_json"),
        (&[json], b"{\"name\": \"a\", \"name\": \"b\"}", 400, "duplicate_key"),
        (&[json], &deep, 400, "too_deep"),
        (&[json], b"{\"parameters\": {\"id\": 20180814033133082000}}", 422, "inexact_number"),
        (&[json], &huge, 413, "body_too_large"),
        (&[("content-type", "text/plain")], &good, 415, "unsupported_media_type"),
        (&[], &good, 415, "unsupported_media_type"),
        (&[json, ("if-match", "5")], &good, 400, "invalid_header"),
        (&[json, ("if-match", "\"1\", \"2\"")], &good, 412, "revision_mismatch"),
        (&[json, ("if-match", "\"1\" \"2\"")], &good, 400, "invalid_header"),
        (&[json, ("if-match", "\"none\"")], &good, 412, "revision_mismatch"),
        (&[json, ("if-match", "W/\"5\"")], &good, 412, "revision_mismatch"),
        (&[json, ("idempotency-key", "a b")], &good, 400, "invalid_header"),
        (&[json, ("idempotency-key", &"k".repeat(201))], &good, 400, "invalid_header"),
        (&[json, ("idempotency-key", "")], &good, 400, "invalid_header"),
    ];
    for (headers, body, status, code) in raw {
        let got = rig.send(Method::POST, "/api/v1/tasks", headers, Some(body.to_vec())).await;
        assert_eq!(
            (got.status, got.body["code"].as_str()),
            (status, Some(code)),
            "{headers:?}: {}",
            got.text
        );
    }
    rig.get("/tasks/%ff").await.refused(400, "invalid_path");
    rig.get("/tasks/a%2Fb").await.refused(404, "task_not_found");
    let deleted = rig.call(Method::DELETE, "/tasks/a%20b?tombstone=true", Value::Null, &[]).await;
    deleted.refused(422, "invalid_name");
    assert_eq!(rig.get("/tasks?page=1").await.expect(200).body["total"], 0);
    rig.stop().await;
}
