//! Commands that show what there is.

use serde_json::{Value, json};

use super::{execution, hello, ran};
use crate::cli::VERSION;
use crate::cli::exit::Exit;

#[tokio::test]
async fn logs_show_all_that_is_kept_oldest_first() {
    let long = "x".repeat(crate::exec::TAIL_MAX_BYTES);
    let mut reported = execution("43", "failed", "no end");
    reported["exit_code"] = json!(5);
    let answers = [
        ("GET /tasks/hello", 200, hello()),
        (
            "GET /tasks/hello/executions?limit=103",
            200,
            json!({"items": [
                execution("44", "running", ""),
                reported,
                execution("42", "success", &long),
            ]}),
        ),
        ("GET /executions/42/output", 200, json!(format!("a long way\n{long}\n"))),
    ];
    let logs = ran(&["logs", "hello", "-n", "3"], &answers).await;
    assert_eq!(
        logs.data,
        format!(
            "12:00:00.001 n2 success 3 ms\na long way\n{long}\n\
             12:00:00.001 n2 failed 3 ms exit 5\nno end\n"
        )
    );
    let gone =
        [answers[0].clone(), answers[1].clone(), ("GET /executions/42/output", 200, json!(long))];
    let logs = ran(&["logs", "hello", "-n", "3"], &gone).await;
    assert!(logs.talk.starts_with("1 execution has not ended"), "{}", logs.talk);
    let cut = format!("3 ms\n[punctual: only the last 1024 bytes are kept]\n{long}\n");
    assert!(logs.data.contains(&cut), "{}", logs.data);
    let answers = [
        ("GET /executions/42", 200, execution("42", "success", "x")),
        ("GET /executions/42/output?follow=true", 200, json!(STREAM)),
        ("GET /executions/42/output", 200, json!("a\nb\nc\n")),
        ("GET /executions/42/output?attempt=1", 200, json!("first\n")),
    ];
    let followed = ran(&["logs", "42", "-f"], &answers).await;
    assert_eq!((followed.exit, followed.data.as_str()), (Exit::Ok, "a\nb"), "{}", followed.talk);
    let talk = "[attempt 2 on n3]\n[punctual: no output from byte 1 on: n3 does not answer (node_unreachable)]\n\n[42 lost]\n";
    assert_eq!(followed.talk, talk);
    assert_eq!(ran(&["logs", "42", "--tail", "2"], &answers).await.data, "b\nc\n");
    assert_eq!(ran(&["logs", "42", "--attempt", "1"], &answers).await.data, "first\n");
    assert_eq!(ran(&["logs", "nobody"], &answers).await.exit, Exit::Conflict);
}

/// Two attempts, of which the second cannot be read to its end.
const STREAM: &str = "event: attempt\nid: 1-0\ndata: {\"attempt\":1,\"node\":\"n2\"}\n\n\
    :\n\n\
    event: output\nid: 1-2\ndata: {\"attempt\":1,\"from\":0,\"next\":2,\"text\":\"a\\n\"}\n\n\
    event: attempt\nid: 2-0\ndata: {\"attempt\":2,\"node\":\"n3\"}\n\n\
    event: output\nid: 2-1\ndata: {\"attempt\":2,\"from\":0,\"next\":1,\"text\":\"b\"}\n\n\
    event: gone\ndata: {\"attempt\":2,\"from\":1,\"code\":\"node_unreachable\",\
    \"detail\":\"n3 does not answer\",\"last\":true,\"tail\":null}\n\n\
    event: end\ndata: {\"attempt\":2,\"next\":1,\"status\":\"lost\"}\n\n";

#[tokio::test]
async fn statistics_are_summed_up_and_listed_by_day() {
    let totals = json!({"fired": 1_203, "skipped": 2, "missed": 0, "coalesced": 1,
        "uncounted_spans": 0, "success": 1_199, "failed": 3, "timeout": 0, "cancelled": 1,
        "lost": 0});
    let day = |date: &str, rate: Value| {
        let mut day = totals.clone();
        (day["date"], day["success_rate"]) = (json!(date), rate);
        day
    };
    let stats = json!({
        "task": "hello", "live": 1, "total": 1_204, "pending": 0, "running": 1, "success": 1_199,
        "failed": 3, "timeout": 0, "cancelled": 1, "lost": 0, "success_rate": 0.9996,
        "last_success": "2026-12-01T12:00:00.000Z",
        "streaks": {"outcome": "failure", "current": 1, "longest_success": 900,
            "longest_failure": 2},
        "duration_ms": {"p50": 3, "p95": 1_250, "max": 61_000},
        "lateness_ms": {"p50": null, "p95": null, "max": null},
        "totals": totals,
        "days": [day("2026-11-29", json!(1.0)), day("2026-11-30", Value::Null),
            day("2026-12-01", json!(0.5))],
    });
    let answers = [("GET /tasks/hello/stats", 200, stats.clone())];
    let told = ran(&["stats", "hello", "--days", "2"], &answers).await;
    assert_eq!(
        told.data,
        "ticks          1203 fired, 2 skipped, 1 coalesced\n\
         executions     1199 success, 3 failed, 1 cancelled\n\
         live           1 running\n\
         success rate   99.9 %\n\
         last success   12:00:00 (2 s ago)\n\
         in a row       1 failure; at most 900 successes, 2 failures\n\
         duration       50 % within 3 ms, 95 % within 1.2 s, at most 1 min 1 s\n\
         \n\
         DATE (UTC)   FIRED   SKIPPED   MISSED   SUCCESS   FAILED   TIMEOUT   CANCELLED   LOST   RATE\n\
         2026-11-30   1203    2         1        1199      3        0         1           0\n\
         2026-12-01   1203    2         1        1199      3        0         1           0      50.0 %\n"
    );
    let json = ran(&["stats", "hello", "-o", "json"], &answers).await;
    assert_eq!(serde_json::from_str::<Value>(&json.data).unwrap(), stats);
    let answers = [("GET /executions/stats", 200, stats)];
    assert!(ran(&["stats"], &answers).await.data.starts_with("ticks"));
}

#[tokio::test]
async fn ticks_before_and_after_are_tables() {
    let answers = [(
        "GET /tasks/hello/next?n=2",
        200,
        json!({"held": "paused", "next_cursor": null, "items": [
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
            {"tick": "2026-12-01T12:00:05.000Z", "verdict": "fired", "execution_id": "43",
                "execution_kept": true, "ended": null, "index": 9},
            {"tick": "2026-12-01T12:00:00.000Z", "verdict": "fired", "execution_id": "42",
                "execution_kept": true, "index": 8,
                "ended": {"status": "failed", "exit_code": 5, "node": "n2", "reason": "no disk"}},
            {"from": "2026-11-30T12:00:00.000Z", "to": "2026-12-01T11:00:00.000Z",
                "verdict": "skipped", "reason": "paused", "count": 3, "index": 7},
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
    let said = |talk: &str| talk.lines().next().map(str::to_owned);
    for (options, language) in [
        (&["--locale", "en_GB.UTF-8"][..], "words"),
        (&["--locale", "zh_CN.UTF-8"], "words_zh"),
        (&["--locale", "C", "--lang", "zh"], "words_zh"),
        (&["--locale", "zh_CN.UTF-8", "--lang", "en"], "words"),
    ] {
        let line = [&["preview", "daily 02:00,14:00", "-n", "2"], options].concat();
        assert_eq!(said(&ran(&line, &[]).await.talk).as_deref(), value[language].as_str());
    }
    assert_eq!(value["words"], "every day at 02:00 and 14:00, UTC time");
    assert_eq!(value["expression"]["daily"], json!(["02:00", "14:00"]));
    let step = ran(&["preview", "*/90 4 * * *"], &[]).await;
    assert_eq!(step.exit, Exit::Ok, "{}", step.talk);
    assert!(step.talk.contains("warning: */90 in the minute field is 0"), "{}", step.talk);
    let wrong = ran(&["preview", "0 25 * * *"], &[]).await;
    assert_eq!(wrong.exit, Exit::Usage);
    assert!(wrong.talk.starts_with("error: cron: column 3: "), "{}", wrong.talk);
}

#[tokio::test]
async fn reasons_and_elapsed_times_are_listed() {
    let mut running = execution("44", "running", "");
    running["duration_ms"] = Value::Null;
    running["exit_code"] = Value::Null;
    running["attempts"] = json!([]);
    let mut lost = execution("43", "lost", "");
    lost["exit_code"] = Value::Null;
    lost["attempts"][0]["detail"] = json!("lost");
    let listed = json!({"items": [running, lost]});
    let done = ran(&["execution", "list"], &[("GET /executions?limit=20", 200, listed)]).await;
    assert!(
        done.data.contains("2.0 s so far") || done.data.contains("1.9 s so far"),
        "{}",
        done.data
    );
    assert!(done.data.contains("its node went away before it reported the end"), "{}", done.data);
}

#[tokio::test]
async fn no_help_is_offered_with_what_is_gone() {
    let why = |kept: bool| {
        json!({"summary": "it fired", "at": "2026-12-01T12:00:00.000Z", "verdict": "fired",
            "expected": null, "execution_id": "42", "execution_kept": kept, "state": "active",
            "task": "hello", "settled": true, "scheduler_started": true,
            "cursor": "2026-12-01T12:00:00.000Z", "truncated_before": "2026-12-01T11:00:00.000Z"})
    };
    let gone = ran(&["why", "hello"], &[("GET /tasks/hello/why", 200, why(false))]).await;
    assert!(!gone.data.contains("punctual logs"), "{}", gone.data);
    let kept = ran(&["why", "hello"], &[("GET /tasks/hello/why", 200, why(true))]).await;
    assert!(kept.data.contains("help      punctual logs 42\n"), "{}", kept.data);
}

/// A tick that is a little late still fires, whatever `catch_up` says; whoever chooses it, or looks
/// for what became of a tick, is told.
#[tokio::test]
async fn what_counts_as_on_time_is_said() {
    let help = ran(&["add", "--help"], &[]).await;
    let help: Vec<&str> = help.talk.split_whitespace().collect();
    let said = "up to limits.failover_timeout (5 s) late counts as on time";
    assert!(help.join(" ").contains(said), "{help:?}");
    for (policy, said) in [
        ("none", "none; up to limits.failover_timeout late is on time\n"),
        ("all", "all, within 1h; up to limits.failover_timeout late is on time\n"),
    ] {
        let why = json!({"summary": "it will fire", "at": "2026-12-01T12:00:05.000Z",
            "verdict": null, "expected": "fired", "state": "active", "task": "hello",
            "settled": false, "scheduler_started": true, "cursor": "2026-12-01T12:00:00.000Z",
            "truncated_before": "2026-12-01T11:00:00.000Z",
            "catch_up": {"policy": policy, "window": "1h", "max": 100}});
        let why = ran(&["why", "hello"], &[("GET /tasks/hello/why", 200, why)]).await;
        assert!(why.data.contains(said), "{}{}", why.data, why.talk);
        // What is to come is not said to be decided.
        let verdicts: Vec<&str> =
            why.data.lines().filter(|line| line.starts_with("verdict")).collect();
        assert_eq!(verdicts, ["verdict (expected)   fired"], "{}", why.data);
    }
}

/// What a command leaves behind stands in its help.
#[tokio::test]
async fn help_says_what_a_command_leaves_and_waits_for() {
    for (line, said) in [
        (
            &["task", "--help"][..],
            "Delete tasks; their names and history stay (`cleanup` removes them)",
        ),
        (
            &["delete", "--help"],
            "Delete tasks; their names and history stay (`cleanup` removes them)",
        ),
        (&["cleanup", "--help"], "Remove tasks with their history, and free their names"),
        (
            &["delete", "--help"],
            "Wait until every node knows and no start can follow; running executions go on",
        ),
        (
            &["pause", "--help"],
            "Wait until every node knows and no start can follow; running executions go on",
        ),
        (&["run", "--help"], "Wait for its end; exit code 1 if that is not success"),
        (&["add", "--help"], "Only by `punctual run`"),
    ] {
        let help = ran(line, &[]).await.talk;
        let words: Vec<&str> = help.split_whitespace().collect();
        assert!(words.join(" ").contains(said), "{line:?}: {help}");
    }
}

#[tokio::test]
async fn the_scheduler_is_on_or_off() {
    for (started, word) in [(true, "on"), (false, "off")] {
        let status = json!({"started": started, "strategy": "consistent", "instances": [], "leader_id": "1",
            "time": "2026-12-01T12:00:02.000Z"});
        let answers = [("GET /scheduler/status", 200, status)];
        let shown = ran(&["scheduler", "status"], &answers).await;
        assert_eq!(shown.data, format!("scheduling: {word}\n"), "{}", shown.talk);
    }
}

#[tokio::test]
async fn a_node_without_a_leader_shows_people_what_it_knows() {
    let no_leader = json!({"code": "no_leader", "detail": "no leader confirmed the read in time"});
    let member = |name: &str, http: &str| {
        json!({
            "id": name, "name": name, "role": "follower", "state": "working", "intent": "none",
            "http": http, "peer": "", "version": VERSION, "level": 1, "applied_index": null,
        })
    };
    let cluster = json!({
        "name": "c", "id": "0", "timezone": "UTC", "leader": null, "term": 1,
        "members": [member("n1", "http://127.0.0.1:8081"), member("n3", "")],
        "applied_index": 9, "committed_index": 9, "digest": "0", "scheduler": "started",
        "floor": "2026-12-01T11:00:00.000Z", "tasks": 1, "level": 1, "version": VERSION, "node": "n3",
    });
    let answers = [
        ("GET /tasks?limit=1000", 503, no_leader),
        ("GET /tasks?limit=1000&consistency=stale", 200, json!({"items": [hello()]})),
        ("GET /cluster?consistency=stale", 200, cluster),
    ];
    let shown = ran(&["ls"], &answers).await;
    assert_eq!(shown.exit, Exit::Ok, "{}", shown.talk);
    assert!(shown.data.contains("hello   active"), "{}", shown.data);
    assert_eq!(
        shown.talk,
        "stale: n3 has no contact with a leader; this is what it knows\n\
         ask another node instead: n1 http://127.0.0.1:8081\n"
    );
    let unasked = ran(&["ls", "-o", "json", "--stale"], &answers).await;
    assert_eq!((unasked.exit, unasked.asked.len()), (Exit::Ok, 1), "{:?}", unasked.asked);
}

#[tokio::test]
async fn the_status_of_the_cluster_tells_where_the_log_of_the_node_ends() {
    let mut cluster = super::watching::cluster();
    for line in ["log end      term 4, index 12 (n1)\n", "log end      not told\n"] {
        let answers = [
            ("GET /cluster", 200, cluster.clone()),
            ("GET /nodes?limit=1000", 200, json!({"items": []})),
        ];
        let shown = ran(&["cluster", "status"], &answers).await;
        assert!(shown.data.contains(line), "{} {}", shown.data, shown.talk);
        // A node of an earlier version.
        let fields = cluster.as_object_mut().unwrap();
        fields.retain(|name, _| !name.starts_with("last_log_"));
    }
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
        (vec!["node", "list", "--stale"], "GET /nodes?limit=1000&consistency=stale"),
        (vec!["node", "drain", "n1"], "POST /nodes/n1/drain"),
        (vec!["node", "undrain", "n1"], "POST /nodes/n1/undrain"),
        (vec!["cluster", "status"], "GET /cluster"),
        (vec!["cluster", "transfer-leader"], "POST /cluster/transfer-leader"),
        (vec!["cluster", "transfer-leader", "n2"], r#"POST /cluster/transfer-leader {"to":"n2"}"#),
        (vec!["scheduler", "status"], "GET /scheduler/status"),
        (vec!["reuse", "a"], "POST /tasks/a/reuse"),
        (vec!["cleanup", "a"], "POST /tasks/a/cleanup"),
        (vec!["cluster", "members", "replace", "n3"], "POST /cluster/members/n3/replace"),
        (
            vec!["cluster", "members", "add", "4", "--peer", "n4:7070", "--http", "http://n4:8080"],
            r#"POST /cluster/members {"id":4,"peer":"n4:7070","http":"http://n4:8080"}"#,
        ),
        (
            vec!["cluster", "members", "add", "4", "--peer", "n4:7070"],
            r#"POST /cluster/members {"id":4,"peer":"n4:7070"}"#,
        ),
        (vec!["cluster", "members", "remove", "n4"], "DELETE /cluster/members/n4"),
        (vec!["next"], "GET /tasks?sort=next&limit=10"),
        (vec!["why", "a", "--at", "11:00"], "GET /tasks/a/why?at=2026-12-01T11%3A00%3A00.000Z"),
        (vec!["why", "a", "--at", "-1h"], "GET /tasks/a/why?at=2026-12-01T11%3A00%3A02.000Z"),
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
