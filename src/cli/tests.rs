//! Whole commands against a server that answers by table.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use clap::CommandFactory;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::domain::time::Timestamp;

const NOW: &str = "2026-12-01T12:00:02Z";

/// What a command printed.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server with answers by `METHOD /path?query`, and what it was asked.
#[derive(Default)]
struct Stub {
    answers: BTreeMap<String, (u16, Value)>,
    asked: Mutex<Vec<String>>,
}

async fn answer(
    State(stub): State<Arc<Stub>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> (StatusCode, String) {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let path = path.trim_start_matches("/api/v1");
    let question = format!("{method} {path}");
    let body = String::from_utf8_lossy(&body);
    stub.asked.lock().push(format!("{question} {body}").trim_end().to_owned());
    let (status, body) = match stub.answers.get(&question) {
        Some((status, body)) => (*status, body.clone()),
        None => (404, json!({"code": "task_not_found", "detail": "there is no such thing"})),
    };
    let text = if let Value::String(text) = &body { text.clone() } else { body.to_string() };
    (StatusCode::from_u16(status).unwrap(), text)
}

/// What came of a command line.
struct Ran {
    exit: Exit,
    data: String,
    talk: String,
    asked: Vec<String>,
}

async fn ran(line: &[&str], answers: &[(&str, u16, Value)]) -> Ran {
    let answers = answers
        .iter()
        .map(|(question, status, body)| ((*question).to_owned(), (*status, body.clone())));
    let stub = Arc::new(Stub { answers: answers.collect(), ..Stub::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&stub));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let line = ["punctual"].iter().chain(line);
    let arguments = match Arguments::try_parse_from(line) {
        Ok(arguments) => arguments,
        Err(error) => {
            let talk = error.to_string();
            return Ran { exit: Exit::Usage, data: String::new(), talk, asked: Vec::new() };
        }
    };
    let (data, talk) = (Paper::default(), Paper::default());
    let clock = LocalClock::new("UTC", Timestamp::parse(NOW).unwrap());
    let (out, err) = (Box::new(data.clone()), Box::new(talk.clone()));
    let out = Output::to(arguments.global.output, clock, out, err);
    let mut context = Context::with(out, vec![server]);
    let outcome = dispatch(arguments.command, &mut context).await;
    let exit = conclude(outcome, &mut context);
    let text = |paper: &Paper| String::from_utf8(paper.0.lock().clone()).unwrap();
    let asked = stub.asked.lock().clone();
    Ran { exit, data: text(&data), talk: text(&talk), asked }
}

fn hello() -> Value {
    json!({
        "name": "hello", "state": "active", "owner": "n2", "revision": 7,
        "schedule": {"interval": "5s", "anchor": null, "timezone": null},
        "action": {"shell": {"argv": ["echo", "on time"], "user": null}},
        "next_tick": "2026-12-01T12:00:05.000Z", "paused": null, "labels": {"env": "prod"},
        "catch_up": {"policy": "last", "window": "1h", "max": 100},
        "last_execution": {"id": "42", "tick": "2026-12-01T12:00:00.000Z", "status": "success",
            "lateness_ms": 1, "duration_ms": 3},
        "totals": {"fired": 9, "failed": 0, "success": 9},
    })
}

fn execution(id: &str, status: &str, tail: &str) -> Value {
    json!({
        "id": id, "task": "hello", "status": status, "node": "n2", "trigger": "schedule",
        "tick": "2026-12-01T12:00:00.000Z", "due": "2026-12-01T12:00:00.000Z",
        "start_time": "2026-12-01T12:00:00.001Z", "end_time": "2026-12-01T12:00:00.004Z",
        "lateness_ms": 1, "duration_ms": 3, "exit_code": 0, "output_tail": tail,
        "attempts": [{"attempt": 1, "node": "n2", "fence": 41, "outcome": status, "detail": "x"}],
    })
}

#[test]
fn the_tree_of_commands_is_sound() {
    Arguments::command().debug_assert();
}

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
        "--force",
        "--",
        "echo",
        "on time",
    ];
    let ran = ran(&line, &[("POST /tasks?force=true", 201, hello())]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.talk);
    assert_eq!(ran.data, "hello: created, every 5s, next tick in 3 s (12:00:05)\n");
    let body = json!({
        "name": "hello", "labels": {"env": "prod"},
        "schedule": {"interval": "5s", "timezone": "UTC"},
        "action": {"shell": {"argv": ["echo", "on time"]}},
        "catch_up": {"policy": "all"}, "timeout": "1m",
    });
    assert_eq!(ran.asked, [format!("POST /tasks?force=true {body}")]);
}

#[tokio::test]
async fn each_way_to_say_when_has_its_field() {
    for (options, schedule) in [
        (vec!["--cron", "0 2 * * *"], json!({"cron": "0 2 * * *"})),
        (vec!["--daily", "02:00"], json!({"daily": "02:00"})),
        (vec!["--daily", "02:00,14:00"], json!({"daily": ["02:00", "14:00"]})),
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
            (Exit::Conflict, "error: there is no such thing (task_not_found)\n")
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
        assert_eq!(ran(&wrong, &[]).await.exit, Exit::Usage, "{wrong:?}");
    }
}

#[tokio::test]
async fn lists_are_tables_for_people_and_answers_for_programs() {
    let mut paused = hello();
    paused["name"] = json!("报表");
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
    assert_eq!((none.data.as_str(), none.talk.as_str()), ("", "nothing to show\n"));
}

#[tokio::test]
async fn show_finds_tasks_executions_and_nodes() {
    let task = ran(&["show", "hello"], &[("GET /tasks/hello", 200, hello())]).await;
    let mut disabled = hello();
    disabled["enabled"] = json!(false);
    let told = ran(&["show", "hello"], &[("GET /tasks/hello", 200, disabled)]).await;
    assert!(told.data.contains("state      active (disabled)\n"), "{}", told.data);
    for part in [
        "name       hello\n",
        "state      active\n",
        "next       12:00:05 (in 3 s)\n",
        "action     echo 'on time'\n",
        "last       success, 12:00:00 (2 s ago), +1 ms, 3 ms (execution 42)\n",
        "totals     9 fired, 9 success\n",
    ] {
        assert!(task.data.contains(part), "{part} is not in\n{}", task.data);
    }
    let answers = [("GET /executions/42", 200, execution("42", "failed", "no\nway\n"))];
    let found = ran(&["show", "42"], &answers).await;
    assert!(found.data.contains("attempts    1 on n2, fence 41, failed: x\n"), "{}", found.data);
    assert!(found.data.ends_with("output      no\n            way\n"), "{}", found.data);
    let node = json!({"name": "n1", "state": "working", "intent": "draining", "role": "leader"});
    let found = ran(&["show", "n1"], &[("GET /nodes/n1", 200, node)]).await;
    assert!(found.data.contains("state   working, draining\n"), "{}", found.data);
    let none = ran(&["show", "x"], &[]).await;
    assert_eq!((none.exit, none.asked.len()), (Exit::Conflict, 2));
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
    paused["running"] = json!([{"id": "42", "node": "n2"}]);
    let line = ["pause", "hello", "--reason", "x", "--until", "2h", "--wait"];
    let done = ran(&line, &[("POST /tasks/hello/pause?wait=true", 200, paused)]).await;
    assert_eq!(done.data, "hello: paused until 14:00:02: x\n");
    assert_eq!(done.talk, "execution 42 still runs on n2\n");
    let body = json!({"reason": "x", "until": "2026-12-01T14:00:02.000Z"});
    assert_eq!(done.asked, [format!("POST /tasks/hello/pause?wait=true {body}")]);
    let done = ran(&["resume", "hello"], &[("POST /tasks/hello/resume", 200, hello())]).await;
    assert_eq!(done.data, "hello: resumed, next tick in 3 s (12:00:05)\n");
    let answers = [("DELETE /tasks/hello?stop=true", 200, json!({"name": "hello"}))];
    let done = ran(&["delete", "hello", "--stop"], &answers).await;
    assert_eq!(done.data, "hello: deleted; no tick fires any more\n");
    assert!(done.talk.contains("`punctual reuse hello`"), "{}", done.talk);
    let answers = [("DELETE /tasks/hello?cleanup=true", 200, json!({"name": "hello"}))];
    let done = ran(&["delete", "hello", "--cleanup", "--yes"], &answers).await;
    assert_eq!(done.data, "hello: removed with its history; the name is free\n");
    let refused = json!({"code": "no_leader", "detail": "no leader is known"});
    let down = [("POST /scheduler/stop", 403, refused)];
    assert_eq!(ran(&["scheduler", "stop"], &down).await.exit, Exit::NotAllowed);
}

#[tokio::test]
async fn logs_show_tails_oldest_first() {
    let answers = [
        ("GET /tasks/hello", 200, hello()),
        (
            "GET /tasks/hello/executions?limit=3",
            200,
            json!({"items": [
                execution("44", "running", ""),
                execution("43", "failed", "no end"),
                execution("42", "success", "on time\n"),
            ]}),
        ),
    ];
    let logs = ran(&["logs", "hello", "-n", "3"], &answers).await;
    assert_eq!(
        logs.data,
        "12:00:00.001 n2 success 3 ms\non time\n12:00:00.001 n2 failed 3 ms\nno end\n"
    );
    let answers = [
        ("GET /executions/42", 200, execution("42", "success", "x")),
        ("GET /executions/42/output?from=0", 200, json!("a\nb")),
    ];
    assert_eq!(ran(&["logs", "42", "-f"], &answers).await.data, "a\nb");
    assert_eq!(ran(&["logs", "nobody"], &answers).await.exit, Exit::Conflict);
}

#[tokio::test]
async fn ticks_before_and_after_are_tables() {
    let answers = [(
        "GET /tasks/hello/next?n=2",
        200,
        json!({"held": "paused", "items": [
            {"at": "2026-12-01T12:00:05.000Z", "local": "x", "note": null},
            {"at": "2026-12-01T12:00:10.000Z", "local": "x", "note": "odd"},
        ]}),
    )];
    let next = ran(&["next", "hello", "-n", "2"], &answers).await;
    assert_eq!(
        next.data,
        "TICK       IN       UTC                        NOTE\n\
         12:00:05   in 3 s   2026-12-01T12:00:05.000Z\n\
         12:00:10   in 8 s   2026-12-01T12:00:10.000Z   odd\n"
    );
    assert!(next.talk.contains("paused"), "{}", next.talk);
    let answers = [(
        "GET /tasks/hello/ticks?limit=20",
        200,
        json!({"items": [
            {"tick": "2026-12-01T12:00:05.000Z", "verdict": "fired", "execution_id": "43"},
            {"tick": "2026-12-01T12:00:00.000Z", "verdict": "fired", "execution_id": "42",
                "ended": {"status": "failed", "exit_code": 5, "node": "n2", "reason": "no disk"}},
            {"from": "2026-11-30T12:00:00.000Z", "to": "2026-12-01T11:00:00.000Z",
                "verdict": "skipped", "reason": "paused", "count": 3},
        ]}),
    )];
    let ticks = ran(&["ticks", "hello"], &answers).await;
    assert_eq!(
        ticks.data,
        "TICK                                    VERDICT   ENDED            NODE   REASON    COUNT   EXECUTION\n\
         12:00:05                                fired                                               43\n\
         12:00:00                                fired     failed, exit 5   n2     no disk           42\n\
         after 2026-11-30 12:00:00 to 11:00:00   skipped                           paused    3\n"
    );
}

#[tokio::test]
async fn preview_needs_no_cluster() {
    let line = [
        "preview",
        "30 2 * * *",
        "--tz",
        "Europe/Berlin",
        "--from",
        "2027-03-26T00:00:00Z",
        "-n",
        "1",
        "--only-dst",
    ];
    let touched = ran(&line, &[]).await;
    assert_eq!(touched.exit, Exit::Ok, "{}", touched.talk);
    assert!(touched.data.contains("2027-03-28 03:00:00+02:00   2027-03-28T01:00:00.000Z"));
    assert!(touched.data.contains("does not exist"), "{}", touched.data);
    let words = ran(&["preview", "daily 02:00,14:00", "-n", "2", "-o", "json"], &[]).await;
    let value: Value = serde_json::from_str(&words.data).unwrap();
    assert_eq!(value["ticks"][0]["at"], json!("2026-12-01T14:00:00.000Z"));
    // The same fields as `POST /schedules/preview`.
    let fields: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["ticks", "words", "words_zh", "expression", "warnings"]);
    assert_eq!(value["words"], "every day at 02:00 and 14:00, UTC time");
    assert_eq!(value["expression"]["daily"], json!(["02:00", "14:00"]));
    let wrong = ran(&["preview", "0 25 * * *"], &[]).await;
    assert_eq!(wrong.exit, Exit::Usage);
    assert!(wrong.talk.starts_with("error: cron: column 3: "), "{}", wrong.talk);
}

#[tokio::test]
async fn imports_are_sent_in_batches_and_told_line_by_line() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster-tests/crontabs/every-minute.cron");
    let answers = [
        ("GET /nodes?limit=1000", 200, json!({"items": []})),
        (
            "POST /tasks/batch",
            200,
            json!({"items": [
                {"index": 0, "name": "a", "status": 201},
                {"index": 1, "name": "b", "status": 409, "code": "task_exists", "detail": "is there"},
            ]}),
        ),
    ];
    let done = ran(&["import", "crontab", path, "--tz", "UTC"], &answers).await;
    assert_eq!(done.exit, Exit::Conflict, "{}", done.talk);
    assert!(done.data.contains("cron-every-minute-echo   created"), "{}", done.data);
    assert!(done.data.contains("cron-every-minute-cat    task_exists"), "{}", done.data);
    assert!(done.talk.contains("1 of 2 tasks created"), "{}", done.talk);
    let sent = done.asked.last().and_then(|asked| asked.strip_prefix("POST /tasks/batch "));
    let sent: Value = serde_json::from_str(sent.unwrap()).unwrap();
    assert_eq!(sent["items"][1]["action"]["shell"]["stdin"], json!("first line\nsecond line\n"));
}

#[tokio::test]
async fn the_rest_of_the_tree_asks_its_routes() {
    for (line, asked) in [
        (
            vec!["execution", "list", "--task", "a", "--failed"],
            "GET /executions?task_id=a&failed=true&limit=20",
        ),
        (vec!["execution", "show", "42"], "GET /executions/42"),
        (vec!["execution", "stop", "42"], "POST /executions/42/stop"),
        (vec!["execution", "retry", "42"], "POST /executions/42/retry"),
        (vec!["node", "list"], "GET /nodes?limit=1000"),
        (vec!["node", "drain", "n1"], "POST /nodes/n1/drain"),
        (vec!["node", "undrain", "n1"], "POST /nodes/n1/undrain"),
        (vec!["cluster", "status"], "GET /cluster"),
        (vec!["cluster", "transfer-leader"], "GET /cluster"),
        (vec!["scheduler", "status"], "GET /scheduler/status"),
        (vec!["reuse", "a"], "POST /tasks/a/reuse"),
        (vec!["cleanup", "a"], "POST /tasks/a/cleanup"),
        (vec!["next"], "GET /tasks?sort=next&limit=10"),
        (vec!["why", "a", "--at", "11:00"], "GET /tasks/a/why?at=2026-12-01T11%3A00%3A00.000Z"),
    ] {
        let ran = ran(&line, &[]).await;
        assert_eq!((ran.exit, ran.asked), (Exit::Conflict, vec![asked.to_owned()]), "{line:?}");
    }
}

#[tokio::test]
async fn settings_are_checked_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    let name = file.to_str().unwrap();
    let made = ran(&["config", "init", name], &[]).await;
    assert_eq!(made.exit, Exit::Ok, "{}", made.talk);
    assert_eq!(ran(&["config", "init", name], &[]).await.exit, Exit::Conflict);
    let good = ran(&["config", "check", name], &[]).await;
    assert_eq!(good.exit, Exit::Ok, "{}", good.talk);
    std::fs::write(&file, "[peer]\nlisen = \"127.0.0.1:1\"\n").unwrap();
    let bad = ran(&["config", "check", "--config", name], &[]).await;
    assert_eq!(bad.exit, Exit::Usage);
    assert!(bad.talk.contains("did you mean `listen`?"), "{}", bad.talk);
}

#[tokio::test]
async fn version_names_the_zone_data() {
    let shown = ran(&["version", "-o", "yaml"], &[]).await;
    assert!(shown.data.starts_with(&format!("version: \"{VERSION}\"\ntimezone_data: ")));
}
