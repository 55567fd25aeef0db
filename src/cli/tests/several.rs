//! Commands that show or change several tasks, one after another.

use serde_json::{Value, json};

use super::{answered, execution, hello, ran};
use crate::cli::exit::Exit;

fn named(name: &str) -> Value {
    let mut task = hello();
    task["name"] = json!(name);
    task["id"] = json!(name);
    task
}

fn next(at: &str) -> Value {
    json!({"held": null, "next_cursor": null, "items": [{"at": at, "local": "x", "note": null}]})
}

fn why(name: &str) -> Value {
    json!({"summary": format!("{name} will fire"), "at": "2026-12-01T12:00:05.000Z",
        "verdict": null, "expected": "fired", "state": "active", "task": name, "settled": false,
        "scheduler_started": true, "cursor": "2026-12-01T12:00:00.000Z",
        "truncated_before": "2026-12-01T11:00:00.000Z"})
}

/// The lines that begin a block.
fn headings(data: &str) -> Vec<&str> {
    data.lines().filter_map(|line| line.strip_prefix("==> ")?.strip_suffix(" <==")).collect()
}

#[tokio::test]
async fn what_is_read_of_several_tasks_are_blocks() {
    let both = json!({"items": [named("a"), named("b")]});
    let answers = [
        ("GET /tasks?label=env%3Dprod&limit=1000", 200, both.clone()),
        ("GET /tasks?name=*&limit=1000", 200, both),
        ("GET /tasks/a", 200, named("a")),
        ("GET /tasks/b", 200, named("b")),
        ("GET /tasks/a/next?n=10", 200, next("2026-12-01T12:00:05.000Z")),
        ("GET /tasks/b/next?n=10", 200, next("2026-12-01T12:00:10.000Z")),
        ("GET /tasks/a/ticks?limit=20", 200, json!({"items": []})),
        ("GET /tasks/b/ticks?limit=20", 200, json!({"items": []})),
        ("GET /tasks/a/why", 200, why("a")),
        ("GET /tasks/b/why", 200, why("b")),
    ];
    for verb in ["show", "next", "ticks", "why"] {
        for names in [&["a", "b"][..], &["*"], &["--label", "env=prod"]] {
            let done = ran(&[&[verb], names].concat(), &answers).await;
            assert_eq!(done.exit, Exit::Ok, "{verb} {names:?}: {}", done.talk);
            assert_eq!(headings(&done.data), ["a", "b"], "{verb} {names:?}: {}", done.data);
            let json = ran(&[&[verb, "-o", "json"], names].concat(), &answers).await;
            let json: Value = serde_json::from_str(&json.data).unwrap();
            let of = |item: &Value| item.get("task").or(item.get("id")).cloned().unwrap();
            let tasks: Vec<Value> = json["items"].as_array().unwrap().iter().map(of).collect();
            assert_eq!(tasks, ["a", "b"], "{verb} {names:?}: {json}");
        }
        let one = ran(&[verb, "a", "-o", "json"], &answers).await;
        let answer = answers.iter().find(|(asked, ..)| *asked == one.asked[0]).unwrap();
        let shown: Value = serde_json::from_str(&one.data).unwrap();
        assert_eq!(shown, answer.2, "{verb}: one name is shown as ever");
    }
    let done = ran(&["next", "a", "b"], &answers).await;
    assert_eq!(
        done.data,
        "==> a <==\nTICK       IN       UTC                        NOTE\n\
         12:00:05   in 3 s   2026-12-01T12:00:05.000Z\n\n\
         ==> b <==\nTICK       IN       UTC                        NOTE\n\
         12:00:10   in 8 s   2026-12-01T12:00:10.000Z\n"
    );
    let lines = ran(&["why", "a", "b", "-o", "jsonl"], &answers).await;
    assert_eq!(lines.data.lines().count(), 2, "{}", lines.data);
}

#[tokio::test]
async fn a_name_that_nothing_has_hides_no_other() {
    let answers = [("GET /tasks/a/why", 200, why("a")), ("GET /tasks/c/why", 200, why("c"))];
    let done = ran(&["why", "a", "b", "c"], &answers).await;
    assert_eq!(done.exit, Exit::Conflict);
    assert_eq!(headings(&done.data), ["a", "b", "c"]);
    assert!(done.data.contains("a will fire") && done.data.contains("c will fire"));
    assert!(done.talk.starts_with("error: there is no such thing"), "{}", done.talk);
    for line in [&["next", "--from", "11:00"][..], &["show"], &["why"], &["ticks"], &["logs"]] {
        assert_eq!(ran(line, &answers).await.exit, Exit::Usage, "{line:?}");
    }
}

#[tokio::test]
async fn logs_of_several_tasks_are_those_of_the_newest_execution() {
    let of = |id: &str| json!({"items": [execution(id, "success", "on time\n")]});
    let answers = [
        ("GET /tasks/a", 200, named("a")),
        ("GET /tasks/b", 200, named("b")),
        ("GET /tasks/a/executions?limit=101", 200, of("42")),
        ("GET /tasks/b/executions?limit=101", 200, of("43")),
        ("GET /tasks/b/executions?limit=103", 200, of("43")),
        ("GET /executions/44", 200, execution("44", "success", "late\n")),
        ("GET /executions/44/output", 200, json!("late\n")),
    ];
    let done = ran(&["logs", "a", "b", "44"], &answers).await;
    assert_eq!(
        done.data,
        "==> a <==\n12:00:00.001 n2 success 3 ms\non time\n\n\
         ==> b <==\n12:00:00.001 n2 success 3 ms\non time\n\n==> 44 <==\nlate\n",
        "{}",
        done.talk
    );
    let json = ran(&["logs", "a", "44", "-o", "json"], &answers).await;
    let json: Value = serde_json::from_str(&json.data).unwrap();
    assert_eq!(json["items"][0]["items"][0]["id"], "42", "{json}");
    assert_eq!((&json["items"][0]["task"], &json["items"][1]["id"]), (&json!("a"), &json!("44")));
}

/// A stream of an execution that prints two lines and a half.
fn stream(first: &str, second: &str) -> Value {
    let piece = |from: usize, text: &str| {
        let piece = json!({"attempt": 1, "from": from, "next": from + text.len(), "text": text});
        format!("event: output\nid: 1-{from}\ndata: {piece}\n\n")
    };
    let begin = "event: attempt\nid: 1-0\ndata: {\"attempt\":1,\"node\":\"n2\"}\n\n";
    let end = "event: end\ndata: {\"attempt\":1,\"next\":9,\"status\":\"success\"}\n\n";
    json!(format!("{begin}{}{}{end}", piece(0, first), piece(first.len(), second)))
}

#[tokio::test]
async fn the_name_is_in_front_of_what_several_print() {
    let answers = [
        ("GET /executions/42", 200, execution("42", "success", "")),
        ("GET /executions/143", 200, execution("143", "success", "")),
        ("GET /executions/42/output?follow=true", 200, stream("on ", "time\nno e")),
        ("GET /executions/143/output?follow=true", 200, stream("x\n", "y\n")),
    ];
    let done = ran(&["logs", "-f", "42", "143"], &answers).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.talk);
    let of = |head: &str| {
        let lines = done.data.lines().filter_map(|line| line.strip_prefix(head));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let ended = |id: &str| format!("[{id} success 3 ms]");
    assert_eq!(of("42  | "), ["[42 on n2]", "on time", "no e", &ended("42")], "{}", done.data);
    assert_eq!(of("143 | "), ["[143 on n2]", "x", "y", &ended("143")], "{}", done.data);
    let json = ran(&["logs", "-f", "42", "143", "-o", "jsonl"], &answers).await;
    assert!(json.data.lines().all(|line| line.contains("\"task\":")), "{}", json.data);
    let names: Vec<String> = (0..21).map(|number| format!("t{number}")).collect();
    let line: Vec<&str> =
        ["logs", "-f"].into_iter().chain(names.iter().map(|name| &**name)).collect();
    let many = ran(&line, &answers).await;
    assert_eq!(many.exit, Exit::Usage);
    assert!(many.talk.contains("at most 20 tasks, and 21 are meant"), "{}", many.talk);
}

#[tokio::test]
async fn several_tasks_are_set_after_a_question() {
    let mut changed = named("a");
    changed["timeout"] = json!("1m");
    let refusal = json!({"code": "invalid_task", "detail": "it is not valid", "errors":
        [{"pointer": "/timeout", "code": "too_long", "message": "must be less than a day"}]});
    let mut dead = named("d");
    dead["state"] = json!("deleted");
    let answers = [
        ("GET /tasks/a", 200, named("a")),
        ("GET /tasks/b", 200, named("b")),
        ("GET /tasks/d", 200, dead),
        ("PATCH /tasks/a", 200, changed),
        ("PATCH /tasks/b", 422, refusal),
    ];
    let line = ["set", "a", "b", "c", "d", "--timeout", "1m", "--label", "x=y"];
    let unasked = ran(&line, &answers).await;
    assert_eq!((unasked.exit, unasked.asked.len()), (Exit::Usage, 0));
    let done = answered(&line, &answers, "yes\n").await;
    assert_eq!(
        done.data,
        "a: changed, next tick in 3 s (12:00:05)\n  timeout: 0s → 1m\n\
         b: it is not valid (invalid_task); timeout: must be less than a day\n\
         c: there is no such thing (gone)\n\
         d: task `d` is deleted; `punctual reuse d` brings it back (task_deleted)\n"
    );
    assert!(done.talk.ends_with("1 of 4 tasks set\n"), "{}", done.talk);
    assert!(done.talk.contains("stands after `--`"), "{}", done.talk);
    assert_eq!(done.exit, Exit::Conflict);
    let mut sent: Vec<&String> =
        done.asked.iter().filter(|asked| asked.starts_with("PATCH")).collect();
    sent.sort();
    let body = r#"{"labels":{"x":"y"},"timeout":"1m"}"#;
    let patch = |name: &str| format!("PATCH /tasks/{name} if \"7\" {body}");
    assert_eq!(sent, [&patch("a"), &patch("b")]);
    let both = json!({"items": [named("a")]});
    let answers = [&answers[..], &[("GET /tasks?label=env%3Dprod&limit=1000", 200, both)]].concat();
    let line = ["set", "--with-label", "env=prod", "--timeout", "1m", "-o", "json"];
    let done = ran(&line, &answers).await;
    let json: Value = serde_json::from_str(&done.data).unwrap();
    assert_eq!((&json["succeeded"], &json["items"][0]["name"]), (&json!(1), &json!("a")), "{json}");
    let nothing = ran(&["set", "a", "b", "--yes"], &answers).await;
    assert!(nothing.talk.contains("nothing is to be changed"), "{}", nothing.talk);
    assert!(!nothing.talk.contains("--with-label"), "{}", nothing.talk);
}

#[tokio::test]
async fn executions_are_named_by_their_tasks() {
    let list = |ids: &[&str]| {
        let items: Vec<Value> = ids.iter().map(|id| execution(id, "running", "")).collect();
        json!({"items": items})
    };
    let answers = [
        ("GET /tasks?name=*&limit=1000", 200, json!({"items": [named("a"), named("b")]})),
        ("GET /tasks?name=*&deleted=true&limit=1000", 200, json!({"items": []})),
        ("GET /tasks/idle", 200, named("idle")),
        ("GET /executions?task_id=a&status=pending&limit=1000", 200, list(&["44"])),
        ("GET /executions?task_id=a&status=running&limit=1000", 200, list(&["42"])),
        ("GET /executions?task_id=b&status=pending&limit=1000", 200, list(&[])),
        ("GET /executions?task_id=b&status=running&limit=1000", 200, list(&["43"])),
        ("GET /executions?task_id=idle&status=pending&limit=1000", 200, list(&[])),
        ("GET /executions?task_id=idle&status=running&limit=1000", 200, list(&[])),
        ("GET /executions?task_id=idle&failed=true&limit=1", 200, list(&[])),
        ("GET /executions?task_id=a&failed=true&limit=1", 200, list(&["41"])),
        ("GET /executions?task_id=a&failed=true&limit=1000", 200, list(&["41", "40"])),
        ("POST /executions/42/stop", 202, execution("42", "running", "")),
        ("POST /executions/43/stop", 202, execution("43", "running", "")),
        ("POST /executions/44/stop", 200, execution("44", "cancelled", "")),
        ("POST /executions/41/retry", 201, execution("50", "pending", "")),
        ("DELETE /executions/41", 200, execution("41", "failed", "")),
        ("DELETE /executions/40", 200, execution("40", "failed", "")),
    ];
    let done = ran(&["stop", "b"], &answers).await;
    assert_eq!(done.data, "execution 43 of b: is being stopped\n", "{}", done.talk);
    // One that ends by itself before it is stopped is no error where its task was named.
    let ended = json!({"code": "execution_ended", "detail": "it has ended"});
    let mut late = answers.to_vec();
    for one in late.iter_mut().filter(|one| one.0 == "POST /executions/43/stop") {
        (one.1, one.2) = (409, ended.clone());
    }
    let done = ran(&["stop", "b"], &late).await;
    assert_eq!((done.exit, done.data.as_str()), (Exit::Ok, ""), "{}", done.talk);
    assert_eq!(ran(&["stop", "43"], &late).await.exit, Exit::Conflict);
    // What waits is stopped first, so that it does not start in the place of the other one.
    for (line, told) in [
        (&["stop", "a"][..], "44: is being stopped (task a)\n42: is being stopped (task a)\n"),
        (&["stop", "a", "42"], "42: is being stopped\n44: is being stopped (task a)\n"),
    ] {
        let done = ran(line, &answers).await;
        assert_eq!((done.exit, done.data.as_str()), (Exit::Ok, told), "{}", done.talk);
    }
    let unasked = ran(&["stop", "*"], &answers).await;
    assert_eq!(unasked.exit, Exit::Usage);
    assert!(unasked.asked.iter().all(|asked| asked.starts_with("GET ")), "{:?}", unasked.asked);
    let done = answered(&["stop", "*"], &answers, "yes\n").await;
    assert!(done.talk.starts_with("stop the executions of 2 tasks (a, b)? "), "{}", done.talk);
    assert!(done.talk.ends_with("3 of 3 executions asked to stop\n"), "{}", done.talk);
    let done = ran(&["retry", "a"], &answers).await;
    assert_eq!(done.data, "execution 41 of a: tried again as execution 50\n");
    let done = ran(&["failed", "dismiss", "a"], &answers).await;
    assert_eq!(done.data, "41: dismissed (task a)\n40: dismissed (task a)\n");
    for (line, said, exit) in [
        (&["stop", "idle"][..], "no live executions\n", Exit::Ok),
        (&["retry", "idle"], "no failed executions\n", Exit::No),
    ] {
        let none = ran(line, &answers).await;
        assert_eq!((none.exit, none.talk.as_str()), (exit, said), "{line:?}");
    }
    assert_eq!(ran(&["stop", "42", "--label", "a=b"], &answers).await.exit, Exit::Usage);
}

/// Nothing to show is told in one way: people read it beside the data, which stays empty, and
/// programs see an empty list.
#[tokio::test]
async fn nothing_is_told_in_one_way() {
    let none = || json!({"items": [], "next_cursor": null});
    let counts = json!({"fired": 0, "skipped": 0, "missed": 0, "coalesced": 0,
        "uncounted_spans": 0, "success": 0, "failed": 0, "timeout": 0, "cancelled": 0, "lost": 0});
    let stats = json!({
        "task": "hello", "live": 0, "total": 0, "pending": 0, "running": 0, "success": 0,
        "failed": 0, "timeout": 0, "cancelled": 0, "lost": 0, "success_rate": null,
        "last_success": null,
        "streaks": {"outcome": null, "current": 0, "longest_success": 0, "longest_failure": 0},
        "duration_ms": {"p50": null, "p95": null, "max": null},
        "lateness_ms": {"p50": null, "p95": null, "max": null}, "totals": counts, "days": [],
    });
    let answers = [
        ("GET /tasks?limit=1000", 200, none()),
        ("GET /tasks?deleted=true&limit=1000", 200, none()),
        ("GET /tasks?sort=next&limit=10", 200, none()),
        ("GET /executions?limit=20", 200, none()),
        ("GET /executions?failed=true&limit=20", 200, none()),
        ("GET /executors?limit=1000", 200, none()),
        ("GET /calendars?limit=1000", 200, none()),
        ("GET /tasks/hello", 200, hello()),
        ("GET /tasks/hello/next?n=10", 200, none()),
        ("GET /tasks/hello/ticks?limit=20", 200, none()),
        ("GET /tasks/hello/executions?limit=110", 200, none()),
        ("GET /tasks/hello/stats", 200, stats.clone()),
        ("GET /executions/stats", 200, stats),
        ("GET /executions/42", 200, execution("42", "success", "")),
        ("GET /executions/42/output", 200, json!("")),
    ];
    for (line, said) in [
        (&["ls"][..], "no tasks"),
        (&["ls", "--deleted"], "no deleted tasks"),
        (&["ls", "--failing"], "no failing tasks"),
        (&["next"], "no ticks to come"),
        (&["next", "hello"], "no ticks to come"),
        (&["ticks", "hello"], "no ticks"),
        (&["execution", "list"], "no executions"),
        (&["failed"], "no failed executions"),
        (&["executor", "ls"], "no executors"),
        (&["calendar", "ls"], "no calendars"),
        (&["logs", "hello"], "no ended executions"),
        (&["logs", "42"], "no output"),
        (&["execution", "output", "42"], "no output"),
        (&["stats"], "no ticks or executions"),
        (&["stats", "hello"], "no ticks or executions"),
    ] {
        let none = ran(line, &answers).await;
        let told = (none.exit, none.data.as_str(), none.talk.trim_end());
        assert_eq!(told, (Exit::Ok, "", said), "{line:?}");
        if line.contains(&"output") || line == ["logs", "42"] || line.contains(&"stats") {
            continue;
        }
        let json = ran(&[line, &["-o", "json"]].concat(), &answers).await;
        let value: Value = serde_json::from_str(&json.data).unwrap();
        assert_eq!((&value["items"], json.talk.as_str()), (&json!([]), ""), "{line:?}");
    }
}
