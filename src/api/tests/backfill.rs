//! Backfills over the API: steps, progress, refusals, and what is told of the ticks.

use reqwest::Method;
use serde_json::{Value, json};

use super::slots::Gauge;
use super::{ApiRig, Got};
use crate::domain::time::{Millis, Timestamp};

const HOUR: Millis = Millis(3_600_000);

/// Ticks an hour apart, none of which is near: the last was half an hour ago.
#[derive(Clone, Copy)]
struct Hours(u64);

impl Hours {
    fn now() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Self(now.as_secs() / 60 - 30)
    }

    /// The tick so many hours before the last one.
    fn ago(self, ago: u64) -> Timestamp {
        Timestamp(i64::try_from((self.0 - ago * 60) * 60_000).unwrap())
    }

    fn cron(self) -> String {
        format!("{} * * * *", self.0 % 60)
    }
}

async fn add(rig: &ApiRig, hours: Hours, more: Value) {
    let mut body = json!({"name": "report", "schedule": {"cron": hours.cron()},
        "action": {"func": {"id": "gauge"}}});
    let fields = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    rig.post("/tasks", body).await.expect(201);
}

async fn step(rig: &ApiRig, hours: Hours, many: u64, parallel: u64) -> Got {
    let (from, to) = (hours.ago(30), hours.ago(30 - many));
    let body = json!({"from": from.to_string(), "to": to.to_string(), "parallel": parallel});
    rig.post("/tasks/report/backfill", body).await
}

/// Repeats a step until the range is done.
async fn to_the_end(rig: &ApiRig, hours: Hours, many: u64) -> Got {
    let begun = tokio::time::Instant::now();
    loop {
        let got = step(rig, hours, many, 3).await.expect(200);
        if got.body["done"] == true {
            return got;
        }
        assert!(begun.elapsed() < super::PATIENCE, "{}", got.text);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_goes_on_step_by_step_and_each_tick_has_one_execution() {
    let hours = Hours::now();
    let gauge = Gauge::new(false);
    let rig = ApiRig::having(&[], [("gauge", gauge.function())]).await;
    add(&rig, hours, json!({})).await;
    let query = format!("from={}&to={}", hours.ago(30), hours.ago(25));
    let preview = rig.get(&format!("/tasks/report/backfill?{query}")).await.expect(200);
    assert_eq!((&preview.body["total"], &preview.body["remaining"]), (&json!(5), &json!(5)));
    assert_eq!(preview.body["first"], hours.ago(30).to_string(), "{}", preview.text);
    assert_eq!(preview.body["last"], hours.ago(26).to_string(), "the end is not part of it");

    let first = step(&rig, hours, 5, 2).await.expect(200);
    assert_eq!(first.body["created"], 2, "{}", first.text);
    assert_eq!((&first.body["total"], &first.body["remaining"]), (&json!(5), &json!(3)));
    let full = step(&rig, hours, 5, 2).await.expect(200);
    assert_eq!(full.body["waits_for"], "parallel", "{}", full.text);
    assert_eq!((&full.body["executions"], &full.body["created"]), (&json!([]), &json!(2)));

    let id = first.body["executions"][0].as_str().unwrap();
    let shown = rig.get(&format!("/executions/{id}")).await.expect(200);
    assert_eq!(shown.body["trigger"], "backfill", "{}", shown.text);
    assert_eq!(shown.body["tick"], hours.ago(30).to_string(), "{}", shown.text);
    let key = format!("report/{}!{id}", shown.body["incarnation"]);
    assert_eq!(shown.body["idempotency_key"], key, "{}", shown.text);

    gauge.open.send_replace(true);
    let done = to_the_end(&rig, hours, 5).await;
    assert_eq!((&done.body["created"], &done.body["success"]), (&json!(5), &json!(5)));
    let list = rig.get("/tasks/report/executions").await.expect(200);
    let mut ticks: Vec<&str> = list.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["tick"].as_str())
        .collect();
    ticks.sort_unstable();
    let wanted: Vec<String> = (26..=30).rev().map(|ago| hours.ago(ago).to_string()).collect();
    assert_eq!(ticks, wanted);
    let ranges = rig.get("/tasks/report/backfills").await.expect(200);
    assert_eq!(ranges.body["items"][0]["done"], true, "{}", ranges.text);
    let why = rig.get(&format!("/tasks/report/why?at={}", hours.ago(30))).await.expect(200);
    assert_eq!(why.body["backfills"], json!([id]), "{}", why.text);
    assert_eq!(why.body["execution_id"], Value::Null, "it has no verdict by it: {}", why.text);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_has_the_first_answer() {
    let hours = Hours::now();
    let gauge = Gauge::new(false);
    let rig = ApiRig::having(&[], [("gauge", gauge.function())]).await;
    add(&rig, hours, json!({"execution_mode": "skip"})).await;
    let body =
        json!({"from": hours.ago(30).to_string(), "to": hours.ago(20).to_string(), "parallel": 9});
    let once = async || {
        let key = [("idempotency-key", "once")];
        rig.call(Method::POST, "/tasks/report/backfill", body.clone(), &key).await.expect(200)
    };
    let first = once().await;
    assert_eq!(first.body["executions"].as_array().unwrap().len(), 1, "{}", first.text);
    let again = once().await;
    assert_eq!(again.body["executions"], first.body["executions"], "{}", again.text);
    assert_eq!(again.body["created"], 1, "{}", again.text);
    let next = rig.post("/tasks/report/backfill", body.clone()).await.expect(200);
    assert_eq!(next.body["waits_for"], "overlap", "{}", next.text);
    gauge.open.send_replace(true);
    rig.stop().await;
}

/// The proposals of a node that were refused.
async fn refused(rig: &ApiRig) -> String {
    let page = rig.send(Method::GET, "/metrics", &[], None).await.expect(200).text;
    let line = page.lines().find(|line| line.contains(r#"proposals_total{result="refused"}"#));
    line.expect("a count").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waits_proposes_nothing_and_may_be_repeated_under_its_key() {
    let hours = Hours::now();
    for (mode, word) in [("skip", "overlap"), ("replace", "overlap"), ("sequential", "queue_full")]
    {
        let gauge = Gauge::new(false);
        let rig = ApiRig::having(&[], [("gauge", gauge.function())]).await;
        add(&rig, hours, json!({"execution_mode": mode, "queue_max": 1})).await;
        rig.post("/tasks/report/trigger", json!({})).await.expect(201);
        let running = |got: &Got| got.body["items"].as_array().is_some_and(|all| !all.is_empty());
        rig.until("/api/v1/executions?status=running", running).await;
        let begun = step(&rig, hours, 9, 9).await.expect(200);
        let before = refused(&rig).await;
        let (from, to) = (hours.ago(30).to_string(), hours.ago(21).to_string());
        let body = json!({"from": from, "to": to, "parallel": 9});
        let key = [("idempotency-key", "waits")];
        let mut last = begun;
        for _ in 0..5 {
            let path = "/tasks/report/backfill";
            last = rig.call(Method::POST, path, body.clone(), &key).await.expect(200);
        }
        assert_eq!(last.body["waits_for"], word, "{mode}: {}", last.text);
        assert_eq!(refused(&rig).await, before, "{mode}");
        gauge.open.send_replace(true);
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_looks_at_what_follows_the_cursor_only() {
    let hours = Hours::now();
    let rig = ApiRig::having(&[], [("gauge", Gauge::new(true).function())]).await;
    add(&rig, hours, json!({})).await;
    // All but the last hour.
    let first = step(&rig, hours, 24, 23).await.expect(200);
    assert_eq!((&first.body["created"], &first.body["remaining"]), (&json!(23), &json!(1)));
    let every = json!({"schedule": {"cron": "* * * * * *"}});
    rig.call(Method::PATCH, "/tasks/report", every, &[]).await.expect(200);
    // The whole range has more ticks by now than a range may have, but not what is left of it.
    let begun = tokio::time::Instant::now();
    loop {
        let next = step(&rig, hours, 24, 50).await.expect(200);
        if next.body["created"].as_u64().unwrap() > 23 {
            assert_eq!(next.body["total"], 23 + 2 * 3_600 - 1, "{}", next.text);
            break;
        }
        assert!(begun.elapsed() < super::PATIENCE, "{}", next.text);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_and_tasks_that_are_not_fit_are_refused_with_the_field() {
    let hours = Hours::now();
    let rig = ApiRig::having(&[], [("gauge", Gauge::new(true).function())]).await;
    let first = hours.ago(100);
    let schedule = json!({"cron": hours.cron(), "not_before": first.to_string()});
    add(&rig, hours, json!({"schedule": schedule})).await;
    let send = async |from: Timestamp, to: Timestamp| {
        let body = json!({"from": from.to_string(), "to": to.to_string()});
        rig.post("/tasks/report/backfill", body).await
    };
    let field = |got: Got, pointer: &str, rule: &str| {
        let got = got.refused(422, "invalid_value");
        assert_eq!(got.body["errors"][0]["pointer"], pointer, "{}", got.text);
        assert!(got.text.contains(rule), "{}", got.text);
    };
    field(send(hours.ago(5), hours.ago(5)).await, "/to", "must lie after from");
    field(send(hours.ago(5), hours.ago(0).plus(Millis(HOUR.0 * 50))).await, "/to", "in the future");
    field(send(hours.ago(120), hours.ago(110)).await, "/to", "not_before");
    field(
        send(hours.ago(5).plus(Millis(1)), hours.ago(5).plus(Millis(2))).await,
        "/from",
        "no tick from",
    );
    let many = rig.post("/tasks/report/backfill", json!({"from": "2026-01-01T00:00:00Z"})).await;
    many.refused(422, "missing_field");
    let body =
        json!({"from": hours.ago(5).to_string(), "to": hours.ago(4).to_string(), "parallel": 101});
    rig.post("/tasks/report/backfill", body).await.refused(422, "out_of_range");
    rig.get("/tasks/report/backfill?from=2026-01-01T00:00:00Z")
        .await
        .refused(422, "invalid_parameter");

    rig.post("/tasks/report/pause", json!({})).await.expect(200);
    let paused = send(hours.ago(5), hours.ago(4)).await.refused(409, "inactive");
    assert!(paused.text.contains("punctual resume report"), "{}", paused.text);
    rig.post("/tasks/report/cancel", json!({})).await.expect(200);
    send(hours.ago(5), hours.ago(4)).await.refused(409, "task_cancelled");
    rig.post("/tasks/report/resume", json!({})).await.expect(200);
    let every = json!({"schedule": {"cron": "* * * * * *"}});
    rig.call(Method::PATCH, "/tasks/report", every, &[]).await.expect(200);
    field(send(hours.ago(30), hours.ago(20)).await, "/to", "at most 10000 ticks");
    let list = rig.get("/tasks/report/backfills").await.expect(200);
    assert_eq!(list.body["items"], json!([]), "a refusal leaves nothing behind");
    rig.call(Method::DELETE, "/tasks/report", Value::Null, &[]).await.expect(200);
    send(hours.ago(5), hours.ago(4)).await.refused(409, "task_deleted");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_that_is_cancelled_creates_no_more_and_its_executions_go_on() {
    let hours = Hours::now();
    let gauge = Gauge::new(false);
    let rig = ApiRig::having(&[], [("gauge", gauge.function())]).await;
    add(&rig, hours, json!({})).await;
    let cancel = async |many: u64| {
        let (from, to) = (hours.ago(30), hours.ago(30 - many));
        let path = format!("/tasks/report/backfill?from={from}&to={to}");
        rig.call(Method::DELETE, &path, Value::Null, &[]).await
    };
    cancel(5).await.refused(404, "backfill_not_found");
    let first = step(&rig, hours, 5, 2).await.expect(200);
    assert_eq!(first.body["state"], "open", "{}", first.text);
    for _ in 0..2 {
        let cancelled = cancel(5).await.expect(200);
        let of = |field: &str| cancelled.body[field].clone();
        assert_eq!((of("state"), of("done")), (json!("cancelled"), json!(false)));
        assert_eq!((of("created"), of("remaining"), of("total")), (json!(2), json!(0), json!(2)));
        assert_eq!(of("live"), first.body["executions"], "they go on");
    }
    let more = step(&rig, hours, 5, 9).await.expect(200);
    assert_eq!((&more.body["executions"], &more.body["created"]), (&json!([]), &json!(2)));
    gauge.open.send_replace(true);
    let done = to_the_end(&rig, hours, 5).await;
    assert_eq!((&done.body["state"], &done.body["success"]), (&json!("cancelled"), &json!(2)));
    // A complete one stays so.
    let done = to_the_end(&rig, hours, 1).await;
    assert_eq!(done.body["state"], "complete", "{}", done.text);
    assert_eq!(cancel(1).await.expect(200).body["state"], "complete");
    let from = hours.ago(30);
    let half = format!("/tasks/report/backfill?from={from}");
    rig.call(Method::DELETE, &half, Value::Null, &[]).await.refused(422, "invalid_parameter");
    let gone = format!("/tasks/other/backfill?from={from}&to={}", hours.ago(25));
    rig.call(Method::DELETE, &gone, Value::Null, &[]).await.refused(404, "task_not_found");
    rig.stop().await;
}
