//! Commands that create and change tasks.

use serde_json::{Value, json};

use super::{execution, hello, node, ran};
use crate::cli::exit::Exit;

#[tokio::test]
async fn add_says_what_was_made() {
    let line = [
        "add",
        "hello",
        "--every",
        "5s",
        "--label",
        "env=prod",
        "--timeout",
        "1m",
        "--catch-up",
        "all",
        "--tz",
        "UTC",
        "--",
        "echo",
        "on time",
    ];
    let ran = ran(&line, &[("POST /tasks", 201, hello())]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.talk);
    assert_eq!(ran.data, "hello: created, every 5s, next tick in 3 s (12:00:05)\n");
    let body = json!({
        "name": "hello", "labels": {"env": "prod"},
        "schedule": {"interval": "5s", "timezone": "UTC"},
        "action": {"shell": {"argv": ["echo", "on time"]}},
        "catch_up": {"policy": "all"}, "timeout": "1m",
    });
    assert_eq!(ran.asked, [format!("POST /tasks {body}")]);
}

#[tokio::test]
async fn each_way_to_say_when_has_its_field() {
    for (options, schedule) in [
        (vec!["--cron", "0 2 * * *"], json!({"cron": "0 2 * * *"})),
        (vec!["--daily", "02:00"], json!({"daily": "02:00"})),
        (vec!["--daily", "2:00,14:00"], json!({"daily": ["02:00", "14:00"]})),
        (
            vec!["--at", "13:00", "--tz", "Europe/Berlin"],
            json!({"at": "2026-12-02T12:00:00.000Z", "timezone": "Europe/Berlin"}),
        ),
        (vec!["--at", "10m"], json!({"at": "2026-12-01T12:10:02.000Z"})),
        (vec!["--now"], json!({"immediate": true})),
        (vec!["--manual"], json!({"manual": true})),
    ] {
        let mut line = vec!["add", "a", "--http", "http://x/"];
        line.extend(options);
        let ran = ran(&line, &[]).await;
        let body = json!({"name": "a", "schedule": schedule,
            "action": {"http": {"url": "http://x/"}}});
        assert_eq!(ran.asked, [format!("POST /tasks {body}")]);
        assert_eq!(
            (ran.exit, ran.talk.as_str()),
            (Exit::Conflict, "error: there is no such thing (gone)\n")
        );
    }
    for wrong in [
        vec!["add", "a"],
        vec!["add", "a b", "--now"],
        vec!["add", "a", "--now", "--manual"],
        vec!["add", "a", "--at", "soon"],
        vec!["add", "a", "--now", "--http", "http://x", "--", "x"],
        vec!["add", "a", "--now", "--label", "x"],
        vec!["ls", "-o", "xml"],
        vec!["--server", "ftp://x", "ls"],
    ] {
        let ran = ran(&wrong, &[]).await;
        assert_eq!(ran.exit, Exit::Usage, "{wrong:?}");
        // Errors of the parser and of the commands end with the same text.
        assert!(ran.talk.trim_end().ends_with("try '--help'."), "{wrong:?}: {}", ran.talk);
    }
}

#[tokio::test]
async fn lists_are_tables_for_people_and_answers_for_programs() {
    let mut paused = hello();
    paused["name"] = json!("报表");
    paused["id"] = json!("报表");
    paused["state"] = json!("paused");
    paused["paused"] = json!({"reason": "upgrade", "until": null});
    paused["next_tick"] = Value::Null;
    paused["last_execution"] = Value::Null;
    let answers = [
        (
            "GET /tasks?label=env%3Dprod&limit=1000",
            200,
            json!({"items": [hello()], "next_cursor": "x"}),
        ),
        (
            "GET /tasks?label=env%3Dprod&limit=1000&cursor=x",
            200,
            json!({"items": [paused.clone()], "next_cursor": null}),
        ),
    ];
    let table = ran(&["ls", "--label", "env=prod"], &answers).await;
    assert_eq!(
        table.data,
        "NAME    STATE             SCHEDULE   NEXT                LAST               OWNER\n\
         hello   active            every 5s   12:00:05 (in 3 s)   success 12:00:00   n2\n\
         报表    paused: upgrade   every 5s                                          n2\n"
    );
    let lines = ran(&["ls", "--label", "env=prod", "-o", "jsonl"], &answers).await;
    assert_eq!(lines.data, format!("{}\n{paused}\n", hello()));
    let whole = ran(&["task", "list", "--label", "env=prod", "-o", "json"], &answers).await;
    let whole: Value = serde_json::from_str(&whole.data).unwrap();
    assert_eq!(whole, json!({"items": [hello(), paused], "next_cursor": null}));
    let none = [("GET /tasks?deleted=true&limit=1000", 200, json!({"items": []}))];
    let none = ran(&["ls", "--deleted"], &none).await;
    assert_eq!((none.data.as_str(), none.talk.as_str()), ("", "no deleted tasks\n"));
}

#[tokio::test]
async fn show_finds_tasks_executions_and_nodes() {
    let task = ran(&["show", "hello"], &[("GET /tasks/hello", 200, hello())]).await;
    let mut disabled = hello();
    disabled["enabled"] = json!(false);
    let told = ran(&["show", "hello"], &[("GET /tasks/hello", 200, disabled)]).await;
    assert!(told.data.contains("state           active (disabled)\n"), "{}", told.data);
    for part in [
        "name            hello\n",
        "state           active\n",
        "next            12:00:05 (in 3 s)\n",
        "action          echo 'on time'\n",
        "catch-up        last, window 1h; up to limits.failover_timeout late is on time\n",
        "last            success, 12:00:00 (2 s ago), +1 ms, 3 ms (execution 42)\n",
        "totals          9 fired, 9 success\n",
        "decided up to   12:00:00 (2 s ago)\n",
    ] {
        assert!(task.data.contains(part), "{part} is not in\n{}", task.data);
    }
    for (spans, said) in [
        (1, "9 fired, 9 success, 1 stretch not counted yet\n"),
        (2, "9 fired, 9 success, 2 stretches not counted yet\n"),
    ] {
        let mut paused = hello();
        paused["totals"]["uncounted_spans"] = json!(spans);
        let told = ran(&["show", "hello"], &[("GET /tasks/hello", 200, paused)]).await;
        assert!(told.data.contains(said), "{}", told.data);
    }
    let answers = [("GET /executions/42", 200, execution("42", "failed", "no\nway\n"))];
    let found = ran(&["show", "42"], &answers).await;
    assert!(found.data.contains("attempts    1 on n2, fence 41, failed: x\n"), "{}", found.data);
    assert!(found.data.ends_with("output      no\n            way\n"), "{}", found.data);
    let mut timed = execution("42", "failed", "");
    timed["attempts"][0]["started_at"] = json!("2026-12-01T12:00:00.001Z");
    timed["attempts"][0]["ended_at"] = json!("2026-12-01T12:00:00.004Z");
    let found = ran(&["show", "42"], &[("GET /executions/42", 200, timed)]).await;
    let attempt = "1 on n2, fence 41, 12:00:00.001 to 12:00:00.004, failed: x\n";
    assert!(found.data.contains(attempt), "{}", found.data);
    let mut draining = node("n1");
    draining["intent"] = json!("draining");
    let found = ran(&["show", "n1"], &[("GET /nodes/n1", 200, draining)]).await;
    assert!(found.data.contains("state     working, draining\n"), "{}", found.data);
    let names = [("GET /tasks?limit=1000", 200, json!({"items": [hello()]}))];
    let none = ran(&["show", "helo"], &names).await;
    assert_eq!(
        (none.exit, none.talk.as_str()),
        (
            Exit::Conflict,
            "error: no task, execution or node is called `helo`; did you mean `hello`? (not_found)\n"
        )
    );
    let missing = json!({"code": "task_not_found", "detail": "there is no task of this name"});
    let names = [names[0].clone(), ("POST /tasks/helo/pause", 404, missing)];
    let none = ran(&["pause", "helo"], &names).await;
    let said = "error: no task is called `helo`; did you mean `hello`? (task_not_found)\n";
    assert_eq!((none.exit, none.talk.as_str()), (Exit::Conflict, said));
}

#[tokio::test]
async fn run_waits_and_tells_how_it_ended() {
    let made = execution("42", "pending", "");
    let answers = [("POST /tasks/hello/trigger", 201, made.clone())];
    let quick = ran(&["run", "hello", "-p", "day=7"], &answers).await;
    assert_eq!(quick.data, "hello: execution 42 triggered\n");
    assert_eq!(quick.asked, [r#"POST /tasks/hello/trigger {"parameters":{"day":"7"}}"#]);
    for (status, exit) in [("success", Exit::Ok), ("failed", Exit::No), ("lost", Exit::No)] {
        let answers = [
            ("POST /tasks/hello/trigger", 201, made.clone()),
            ("GET /executions/42", 200, execution("42", status, "hi\n")),
        ];
        let waited = ran(&["run", "hello", "--wait"], &answers).await;
        assert_eq!(waited.exit, exit);
        assert_eq!(waited.data, format!("hello: execution 42 {status} on n2, 3 ms, exit 0\nhi\n"));
    }
}

#[tokio::test]
async fn run_of_a_task_that_keeps_no_executions_is_told_to_have_ended() {
    let gone = json!({"code": "execution_not_found", "detail": "no longer kept"});
    let answers = [
        ("POST /tasks/hello/trigger", 201, json!({"id": "42"})),
        ("GET /executions/42", 404, gone),
    ];
    let waited = ran(&["run", "hello", "--wait"], &answers).await;
    assert_eq!(
        (waited.exit, waited.data.as_str()),
        (Exit::Ok, "hello: execution 42 has ended; no record is kept\n"),
        "{}",
        waited.talk
    );
}

#[tokio::test]
async fn changes_say_what_follows_from_them() {
    let mut paused = hello();
    paused["state"] = json!("paused");
    paused["paused"] = json!({"reason": "x", "until": "2026-12-01T14:00:02.000Z"});
    paused["running"] = json!([execution("42", "running", "")]);
    let line = ["pause", "hello", "--reason", "x", "--until", "2h", "--wait"];
    let done = ran(&line, &[("POST /tasks/hello/pause?wait=true", 200, paused)]).await;
    assert_eq!(done.data, "hello: paused until 14:00:02: x\n");
    assert_eq!(done.talk, "execution 42 still runs on n2\n");
    let body = json!({"reason": "x", "until": "2026-12-01T14:00:02.000Z"});
    assert_eq!(done.asked, [format!("POST /tasks/hello/pause?wait=true {body}")]);
    let done = ran(&["resume", "hello"], &[("POST /tasks/hello/resume", 200, hello())]).await;
    assert_eq!(done.data, "hello: resumed, next tick in 3 s (12:00:05)\n");
    let mut deleted = hello();
    deleted["state"] = json!("deleted");
    let answers = [("DELETE /tasks/hello?stop=true", 200, deleted)];
    let done = ran(&["delete", "hello", "--stop"], &answers).await;
    assert_eq!(done.data, "hello: deleted; no tick fires any more\n");
    assert!(done.talk.contains("`punctual reuse hello`"), "{}", done.talk);
    let gone = json!({"id": "hello", "name": "hello", "state": null});
    let answers = [("DELETE /tasks/hello?cleanup=true", 200, gone)];
    let done = ran(&["delete", "hello", "--cleanup", "--yes"], &answers).await;
    assert_eq!(done.data, "hello: removed with its history; the name is free\n");
    let refused = json!({"code": "no_leader", "detail": "no leader is known"});
    let down = [("POST /scheduler/stop", 403, refused)];
    assert_eq!(ran(&["scheduler", "stop"], &down).await.exit, Exit::NotAllowed);
    // Responses and errors of this route are in an envelope.
    let problem = json!({"code": "outcome_unknown", "detail": "nobody said", "advice": "Look."});
    let unknown = json!({"code": 504, "message": "nobody said", "data": problem});
    let late = ran(&["scheduler", "stop"], &[("POST /scheduler/stop", 504, unknown)]).await;
    assert_eq!(late.exit, Exit::Unknown);
    assert!(late.talk.contains("nobody said"), "{}", late.talk);
    let floor = "2026-12-01T12:00:00.000Z";
    let off =
        json!({"code": 200, "message": "success", "data": {"started": false, "floor": floor}});
    let off = ran(&["scheduler", "stop"], &[("POST /scheduler/stop", 200, off)]).await;
    assert!(off.data.starts_with("scheduling: off"), "{}", off.data);
}

#[tokio::test]
async fn imports_are_sent_in_batches_and_told_line_by_line() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster-tests/crontabs/every-minute.cron");
    let answers = [
        ("GET /nodes?limit=1000", 200, json!({"items": []})),
        ("GET /tasks?name=mine-*&limit=1000", 200, json!({"items": []})),
        (
            "POST /tasks/batch",
            200,
            json!({"items": [
                {"index": 0, "name": "a", "status": 201},
                {"index": 1, "name": "b", "status": 409, "code": "task_exists", "detail": "is there"},
            ], "succeeded": 1, "failed": 1}),
        ),
    ];
    let line = ["import", "crontab", path, "--tz", "UTC", "--prefix", "mine", "--host", "web9"];
    let done = ran(&line, &answers).await;
    assert_eq!(done.exit, Exit::Conflict, "{}", done.talk);
    assert!(done.data.contains("mine-echo   created"), "{}", done.data);
    assert!(done.data.contains("mine-cat    task_exists"), "{}", done.data);
    assert!(done.talk.contains("1 of 2 tasks created\n"), "{}", done.talk);
    assert!(done.talk.contains("warning: no node is on host web9"), "{}", done.talk);
    let last = done.talk.lines().last().unwrap();
    assert!(last.ends_with("take them out with `crontab -e` on web9"), "{last}");
    let sent = done.asked.iter().find_map(|asked| asked.strip_prefix("POST /tasks/batch "));
    let sent: Value = serde_json::from_str(sent.unwrap()).unwrap();
    assert_eq!(sent["items"][1]["action"]["shell"]["stdin"], json!("first line\nsecond line\n"));
}

#[tokio::test]
async fn what_a_replacement_stops_and_drops_is_said() {
    let mut old = hello();
    old["state"] = json!("paused");
    old["paused"] = json!({"reason": "careful", "until": null});
    let mut new = hello();
    new["labels"] = json!({});
    let answers = [
        ("GET /tasks/hello", 200, old),
        (
            "GET /tasks/hello/executions?limit=1000",
            200,
            json!({"items": [execution("43", "running", ""), execution("42", "success", "")]}),
        ),
        ("POST /tasks?force=true", 201, new),
    ];
    let line = ["add", "hello", "--every", "5s", "--force", "--yes", "--", "echo", "on time"];
    let done = ran(&line, &answers).await;
    assert_eq!(done.data, "hello: replaced, every 5s, next tick in 3 s (12:00:05)\n");
    assert_eq!(
        done.talk,
        "execution 43 on n2 was stopped\n\
         it was paused: careful; the pause is over\n\
         its totals and history begin anew; changed: labels\n"
    );
    let exists = json!({"code": "task_exists", "detail": "x"});
    let line = ["add", "hello", "--every", "5s", "--", "true"];
    let refused = ran(&line, &[("POST /tasks", 409, exists)]).await;
    assert_eq!(refused.exit, Exit::Conflict);
    let said = "task `hello` exists; `punctual set hello` changes it, --force replaces it (and stops \
                what runs) (task_exists)";
    assert_eq!(refused.talk, format!("error: {said}\n"));
}

#[tokio::test]
async fn a_task_that_nothing_can_carry_out_is_refused_with_what_to_type() {
    let refusal = json!({"code": "no_handler", "detail": "action is missing"});
    let refused = ran(&["add", "a", "--every", "5s"], &[("POST /tasks", 422, refusal)]).await;
    assert_eq!(refused.exit, Exit::Usage, "{}", refused.talk);
    assert!(refused.talk.contains("-- COMMAND"), "{}", refused.talk);
    let mut made = hello();
    made["warnings"] = json!([{"code": "no_eligible_node", "detail": "no node can carry it out"}]);
    let line = ["add", "hello", "--every", "5s", "--", "true"];
    let warned = ran(&line, &[("POST /tasks", 201, made)]).await;
    assert_eq!(warned.talk, "warning: no node can carry it out\n");
}
