//! `events`.

use super::*;

/// A stream as a node sends it, up to its end.
fn streamed(events: &[(u64, &str, Value)]) -> Value {
    let mut text = String::from(":\nid: 5\n\n");
    for (id, kind, object) in events {
        let (head, data_id) = match id {
            0 => (String::new(), Value::Null),
            id => (format!("id: {id}\n"), json!(id.to_string())),
        };
        let at = "2026-12-01T12:00:00.500Z";
        let data = json!({"id": data_id, "at": at, "kind": kind, "object": object});
        text.push_str(&format!("event: {kind}\n{head}data: {data}\n\n"));
    }
    Value::String(text)
}

#[tokio::test]
async fn each_event_is_a_line() {
    let events = [
        (6, "task.put", json!({"task": "hello"})),
        (7, "execution.changed", json!({"task": "hello", "execution": "42", "status": "running"})),
        (8, "task.paused", json!({"task": "hello"})),
        (9, "task.cleaned", json!({"task": "hello"})),
        (10, "node.changed", json!({"node": "n2", "state": "working", "intent": "draining"})),
        (11, "node.changed", json!({"node": "n2", "state": "down", "intent": "none"})),
        (12, "calendar.deleted", json!({"calendar": "nights"})),
        (13, "executor.changed", json!({"executor": "e-1", "status": "removed"})),
        (14, "scheduler.changed", json!({"started": false, "strategy": "weighted"})),
        (0, "leader.changed", json!({"leader": "n3"})),
        (0, "leader.changed", json!({})),
        (15, "reset", json!({})),
        (16, "task.newer", json!({"task": "hello", "more": 1})),
        (17, "newer", json!({"more": 1})),
    ];
    let question = "GET /events?follow=false&last=20";
    let answers = [(question, 200, streamed(&events))];
    let told = ran(&["events"], &answers).await;
    assert_eq!((told.exit, told.asked.as_slice()), (Exit::Ok, &[question.to_owned()][..]));
    let lines = [
        "6  task hello: created or changed",
        "7  task hello: execution 42 running",
        "8  task hello: paused",
        "9  task hello: removed with all that was known of it",
        "10  node n2: working, draining",
        "11  node n2: down",
        "12  calendar nights: removed",
        "13  executor e-1: removed",
        "14  scheduler: stopped, strategy weighted",
        "-  leader: n3",
        "-  leader: none",
        "16  task hello: newer",
        "17  newer",
    ];
    let lines = lines.map(|line| format!("12:00:00.500  {line}\n"));
    assert_eq!(told.data, lines.concat());
    assert!(told.talk.starts_with("some events are no longer kept"), "{}", told.talk);

    let json = ran(&["events", "-o", "json"], &answers).await;
    let items: Vec<Value> =
        json.data.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(items.len(), lines.len(), "{}", json.data);
    assert_eq!((&items[1]["id"], &items[1]["object"]["execution"]), (&json!("7"), &json!("42")));
    assert_eq!(json.talk, told.talk);
}

#[tokio::test]
async fn options_choose_the_events() {
    let question = "GET /events?follow=false&after=41&kinds=task.put%2Ctask.deleted&task=a&task=b";
    let line = ["events", "--after", "41", "--kinds", "task.put,task.deleted", "--task", "a"];
    let told =
        ran(&[&line[..], &["--task", "b"]].concat(), &[(question, 200, streamed(&[]))]).await;
    assert_eq!((told.exit, told.data.as_str(), told.talk.as_str()), (Exit::Ok, "", "no events\n"));
    let few = [("GET /events?follow=false&last=3", 200, streamed(&[]))];
    assert_eq!(ran(&["events", "-n", "3"], &few).await.exit, Exit::Ok);
    for line in [&["events", "-n", "3", "--after", "1"][..], &["events", "-n", "0"]] {
        assert_eq!(ran(line, &[]).await.exit, Exit::Usage, "{line:?}");
    }
    let problem = json!({"code": "invalid_parameter", "detail": "the request is not valid",
        "errors": [{"pointer": "?kinds", "message": "must be kinds of events"}]});
    let question = "GET /events?follow=true&kinds=task.lost";
    let refused = ran(&["events", "-f", "--kinds", "task.lost"], &[(question, 422, problem)]).await;
    assert_eq!(refused.exit, Exit::Usage, "{}", refused.talk);
    assert!(refused.talk.contains("kinds"), "{}", refused.talk);
}
