//! What needs attention, and what is made of the tree of commands.

use serde_json::{Value, json};

use super::{execution, hello, node, ran};
use crate::cli::exit::Exit;

fn named(name: &str) -> Value {
    let mut task = hello();
    task["name"] = json!(name);
    task["id"] = json!(name);
    task
}

pub(super) fn cluster() -> Value {
    json!({"name": "punctual", "id": "c", "timezone": "UTC", "leader": "n1", "term": 1,
        "members": [], "applied_index": 9, "committed_index": 9, "last_log_term": 4,
        "last_log_index": 12, "digest": "", "scheduler":
        "started", "floor": "1970-01-01T00:00:00.000Z", "tasks": 1, "level": 1, "version": "1",
        "node": "n1"})
}

fn scheduler(started: bool) -> Value {
    json!({"started": started, "strategy": "consistent", "instances": [], "leader_id": "1",
        "time": "2026-12-01T12:00:02.000Z"})
}

/// What is asked of a cluster with these tasks and this node.
fn answers(tasks: Value, node: Value, started: bool) -> Vec<(&'static str, u16, Value)> {
    vec![
        ("GET /cluster", 200, cluster()),
        ("GET /scheduler/status", 200, scheduler(started)),
        ("GET /nodes?limit=1000", 200, json!({"items": [node]})),
        ("GET /tasks?limit=1000", 200, json!({"items": tasks})),
    ]
}

#[tokio::test]
async fn nothing_to_look_at_is_said_and_is_a_yes() {
    let well = ran(&["status"], &answers(json!([hello()]), node("n1"), true)).await;
    assert_eq!(
        (well.exit, well.data.as_str()),
        (Exit::Ok, "nothing needs attention; tasks: 1, nodes: 1\n"),
        "{}",
        well.talk
    );
}

#[tokio::test]
async fn what_needs_attention_is_listed_with_what_shows_more() {
    let mut failing = named("failing");
    failing["last_ended"] = failing["last_execution"].clone();
    failing["last_ended"]["status"] = json!("failed");
    // The one after it runs.
    failing["last_execution"]["id"] = json!("43");
    failing["last_execution"]["status"] = json!("running");
    let mut waiting = named("waiting");
    waiting["last_execution"]["status"] = json!("pending");
    waiting["last_execution"]["due"] = json!("2026-12-01T11:59:00.000Z");
    let mut slow = named("slow");
    slow["last_execution"]["status"] = json!("running");
    slow["last_execution"]["due"] = json!("2026-12-01T11:00:00.000Z");
    let mut endless = slow.clone();
    endless["id"] = json!("endless");
    slow["timeout"] = json!("1m");
    let mut homeless = named("homeless");
    homeless["owner"] = Value::Null;
    let mut late = named("late");
    late["cursor"] = json!("2026-12-01T11:59:00.000Z");
    let mut excluded = late.clone();
    excluded["id"] = json!("excluded");
    let mut paused = late.clone();
    paused["state"] = json!("paused");
    let mut down = node("n2");
    down["state"] = json!("down");
    let tasks = json!([failing, waiting, slow, endless, homeless, late, excluded, paused]);
    let mut answers = answers(tasks, down, true);
    let tick = |excluded: Value| {
        json!({"items": [{"at": "2026-12-01T11:59:05.000Z", "due": "2026-12-01T11:59:05.000Z",
            "local": "x", "note": null, "excluded": excluded}], "next_cursor": null, "held": null})
    };
    let from = "n=1&from=2026-12-01T11%3A59%3A00.000Z";
    let (of_late, of_excluded) =
        (format!("GET /tasks/late/next?{from}"), format!("GET /tasks/excluded/next?{from}"));
    let mut all: Vec<(&str, u16, Value)> = vec![
        (&of_late, 200, tick(Value::Null)),
        (&of_excluded, 200, tick(json!("nights"))),
        ("GET /executions/42", 200, execution("42", "failed", "")),
    ];
    all.append(&mut answers);
    let listed = ran(&["status"], &all).await;
    assert_eq!(listed.exit, Exit::No, "{}", listed.talk);
    assert_eq!(
        listed.data,
        "WHAT      NAME       REASON                                                         LOOK FURTHER\n\
         node      n2         it is down                                                     punctual node show n2\n\
         failing   failing    failed 12:00:00, exit 0                                        punctual logs failing\n\
         late      late       its tick of 11:59:05 has no verdict yet                        punctual why late --at 2026-12-01T11:59:05.000Z\n\
         stuck     homeless   no node can own it                                             punctual why homeless\n\
         stuck     slow       execution 42 has run since 11:00:00, longer than its timeou…   punctual show 42\n\
         stuck     waiting    execution 42 has been due since 11:59:00, and waits            \
         punctual why waiting --at 2026-12-01T12:00:00.000Z\n"
    );
    let told = ran(&["status", "-o", "json"], &all).await;
    let told: Value = serde_json::from_str(&told.data).unwrap();
    assert_eq!(told["items"].as_array().unwrap().len(), 6);
    assert_eq!(told["items"][2]["kind"], json!("late"));
}

#[tokio::test]
async fn what_waits_for_an_executor_is_listed_once() {
    let mut full = named("report");
    full["last_execution"]["status"] = json!("pending");
    full["last_execution"]["due"] = json!("2026-12-01T11:59:00.000Z");
    let wait = |id: &str, since: &str| json!({"execution_id": id, "since": since, "detail": "for an executor: e-1 is offline"});
    full["waits_for_executor"] = wait("42", "2026-12-01T11:57:02.000Z");
    let mut soon = named("soon");
    soon["waits_for_executor"] = wait("43", "2026-12-01T12:00:00.000Z");
    let answers = answers(json!([full, soon]), node("n1"), true);
    let listed = ran(&["status"], &answers).await;
    assert_eq!(listed.exit, Exit::No, "{}", listed.talk);
    let lines: Vec<&str> = listed.data.lines().skip(1).collect();
    let reason = "execution 42 waits (3 min) for an executor: e-1 is offline";
    let line = format!("waiting for executor   report   {reason}   punctual executor ls");
    assert_eq!(lines, [line], "{}", listed.data);
}

#[tokio::test]
async fn a_scheduler_that_is_off_is_the_first_thing_to_look_at() {
    let mut late = hello();
    late["cursor"] = json!("2026-12-01T11:59:00.000Z");
    let off = ran(&["status"], &answers(json!([late]), node("n1"), false)).await;
    assert_eq!(off.exit, Exit::No);
    let last = off.data.lines().last().unwrap();
    assert!(
        last.starts_with("scheduling off") && last.ends_with("punctual scheduler start"),
        "{last}"
    );
    assert_eq!(off.data.lines().count(), 2, "{}", off.data);
}

#[tokio::test]
async fn failing_tasks_are_those_of_which_the_last_end_was_bad() {
    let with = |name: &str, status: &str| {
        let mut task = named(name);
        task["last_ended"] = task["last_execution"].clone();
        task["last_ended"]["status"] = json!(status);
        // What runs or waits since then hides nothing.
        task["last_execution"]["status"] = json!("running");
        task
    };
    let states = ["failed", "timeout", "lost", "success", "cancelled"];
    let tasks: Vec<Value> = states.iter().map(|status| with(status, status)).collect();
    let mut fresh = named("fresh");
    fresh["last_execution"] = Value::Null;
    let list = json!({"items": ([tasks, vec![fresh]].concat()), "next_cursor": null});
    let answers = [("GET /tasks?limit=1000", 200, list)];
    let failing = ran(&["ls", "--failing", "-o", "json"], &answers).await;
    let failing: Value = serde_json::from_str(&failing.data).unwrap();
    let names: Vec<&str> = failing["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["failed", "timeout", "lost"]);
    let table = ran(&["ls", "--failing"], &answers).await;
    assert_eq!(table.data.lines().count(), 4, "{}", table.data);
}

#[tokio::test]
async fn shells_and_manuals_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = ran(&["completions", shell], &[]).await;
        assert_eq!(done.exit, Exit::Ok, "{}", done.talk);
        assert!(done.data.contains("punctual") && done.data.contains("kill-grace"), "{shell}");
    }
    let page = ran(&["man"], &[]).await;
    assert!(
        page.data.contains(".TH punctual 1") && page.data.contains("Exit codes"),
        "{}",
        page.data
    );
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man1");
    let done = ran(&["man", into.to_str().unwrap()], &[]).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.talk);
    for name in ["punctual.1", "punctual-set.1", "punctual-execution-list.1"] {
        assert!(into.join(name).exists(), "{name}");
    }
    assert!(!into.join("punctual-shim.1").exists());
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let failed = ran(&["man", blocked.to_str().unwrap()], &[]).await;
    assert_eq!(failed.exit, Exit::No);
    assert!(failed.talk.contains("the pages cannot be written"), "{}", failed.talk);
}
