//! `backfill`: what is sent, and what is said.

use serde_json::{Value, json};

use super::ran;
use crate::cli::exit::Exit;

const FROM: &str = "2026-02-01T00:00:00.000Z";
const TO: &str = "2026-02-02T00:00:00.000Z";
const RANGE: [&str; 6] = ["backfill", "hello", "--from", FROM, "--to", TO];

fn view(done: bool, success: u64, failed: u64) -> Value {
    json!({"task": "hello", "incarnation": 7, "from": FROM, "to": TO, "done": done,
        "state": if success + failed == 24 { "complete" } else { "open" }, "total": 24,
        "created": success + failed, "remaining": 24 - success - failed, "cursor": null,
        "live": [], "success": success, "failed": failed, "timeout": 0, "cancelled": 0, "lost": 0,
        "begun_at": null, "changed_at": null, "executions": [], "waits_for": null})
}

#[tokio::test]
async fn a_range_that_is_done_tells_how_its_executions_ended() {
    let path = "POST /tasks/hello/backfill";
    let done = ran(&RANGE, &[(path, 200, view(true, 24, 0))]).await;
    assert_eq!((done.exit, &*done.data), (Exit::Ok, "hello: 24 ticks, 24 success\n"));
    let sent = done.asked[0].strip_prefix(path).expect("a step");
    let wanted = json!({"from": FROM, "to": TO, "parallel": 1});
    assert_eq!((done.asked.len(), serde_json::from_str::<Value>(sent).unwrap()), (1, wanted));
    let failed = ran(&RANGE, &[(path, 200, view(true, 20, 4))]).await;
    assert_eq!((failed.exit, &*failed.data), (Exit::No, "hello: 24 ticks, 20 success, 4 failed\n"));
}

#[tokio::test]
async fn a_range_needs_both_ends_in_order() {
    for line in [
        &["backfill", "hello", "--from", TO, "--to", FROM][..],
        &["backfill", "hello", "--from", FROM, "--to", FROM],
    ] {
        let refused = ran(line, &[]).await;
        assert_eq!(refused.exit, Exit::Usage, "{}", refused.talk);
        assert!(refused.talk.contains("--to must lie after --from"), "{}", refused.talk);
    }
}

#[tokio::test]
async fn a_dry_run_sends_no_write() {
    let ticks: Vec<String> =
        (0..24).map(|hour| format!("2026-02-01T{hour:02}:00:00.000Z")).collect();
    let body = json!({"task": "hello", "from": FROM, "to": TO, "total": 24, "remaining": 24,
        "first": ticks[0], "last": ticks[23], "ticks": ticks});
    let line = [&RANGE[..], &["--dry-run"]].concat();
    let at = |text: &str| text.replace(':', "%3A");
    let path = format!("GET /tasks/hello/backfill?from={}&to={}", at(FROM), at(TO));
    let shown = ran(&line, &[(path.as_str(), 200, body)]).await;
    assert_eq!(shown.exit, Exit::Ok, "{}", shown.talk);
    assert!(shown.asked.iter().all(|asked| asked.starts_with("GET ")), "{:?}", shown.asked);
    assert!(shown.talk.contains("24 ticks"), "{}", shown.talk);
    assert_eq!(shown.data.lines().count(), 21, "a heading and a sample: {}", shown.data);
}

#[tokio::test]
async fn ranges_are_listed_without_a_range() {
    let body = json!({"items": [view(false, 3, 1)], "next_cursor": null});
    let list = ran(&["backfill", "hello"], &[("GET /tasks/hello/backfills", 200, body)]).await;
    assert_eq!(list.exit, Exit::Ok, "{}", list.talk);
    assert!(list.data.contains("3 success, 1 failed"), "{}", list.data);
}

#[tokio::test]
async fn a_range_that_is_cancelled_tells_what_goes_on() {
    let at = |text: &str| text.replace(':', "%3A");
    let path = format!("DELETE /tasks/hello/backfill?from={}&to={}", at(FROM), at(TO));
    let line = [&RANGE[..], &["--cancel"]].concat();
    let mut body = view(false, 3, 1);
    (body["state"], body["live"]) = (json!("cancelled"), json!(["12"]));
    let told = ran(&line, &[(path.as_str(), 200, body.clone())]).await;
    assert_eq!(told.exit, Exit::Ok, "{}", told.talk);
    let line_told =
        "hello: cancelled; 4 ticks have an execution; 1 of these have not ended and go on\n";
    assert_eq!(told.data, line_told);
    let told = ran(&line, &[(path.as_str(), 200, view(true, 24, 0))]).await;
    assert_eq!(told.data, "hello: all 24 ticks have an execution\n");
    // The command that drives the range ends with it.
    body["done"] = json!(true);
    let driven = ran(&RANGE, &[("POST /tasks/hello/backfill", 200, body)]).await;
    let said = (driven.exit, &*driven.data);
    assert_eq!(said, (Exit::No, "hello: cancelled after 4 ticks, 3 success, 1 failed\n"));
    for other in ["--dry-run", "--parallel=2", "-pa=1"] {
        let refused = ran(&[&line[..], &[other]].concat(), &[]).await;
        assert_eq!(refused.exit, Exit::Usage, "{other}: {}", refused.talk);
    }
}
