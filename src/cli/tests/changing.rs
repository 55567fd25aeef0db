//! `set`: what is sent, and what is said of it.

use serde_json::json;

use super::{hello, ran};
use crate::cli::exit::Exit;

/// What `set` with these options sends for a task.
async fn patch(options: &[&str], task: serde_json::Value) -> serde_json::Value {
    let answers = [("GET /tasks/hello", 200, task)];
    let ran = ran(&[&["set", "hello"], options].concat(), &answers).await;
    let sent =
        ran.asked.iter().find_map(|asked| asked.strip_prefix("PATCH /tasks/hello if \"7\" "));
    serde_json::from_str(sent.unwrap_or_else(|| panic!("{:?}: {}", ran.asked, ran.talk))).unwrap()
}

#[tokio::test]
async fn set_says_what_changed_field_by_field() {
    let mut changed = hello();
    changed["timeout"] = json!("1m");
    changed["labels"] = json!({"env": "prod", "team": "a"});
    changed["revision"] = json!(9);
    let answers = [("GET /tasks/hello", 200, hello()), ("PATCH /tasks/hello", 200, changed)];
    let line = ["set", "hello", "--timeout", "1m", "--label", "team=a"];
    let done = ran(&line, &answers).await;
    assert_eq!(
        done.data,
        "hello: changed, next tick in 3 s (12:00:05)\n  \
         labels.team: none → a\n  timeout: 0s → 1m\n",
        "{}",
        done.talk
    );
    let body = json!({"labels": {"team": "a"}, "timeout": "1m"});
    assert_eq!(done.asked[1], format!("PATCH /tasks/hello if \"7\" {body}"));
    // The same again.
    let answers = [("GET /tasks/hello", 200, hello()), ("PATCH /tasks/hello", 200, hello())];
    let done = ran(&["set", "hello", "--timeout", "0s"], &answers).await;
    assert_eq!(done.data, "hello: nothing changed, next tick in 3 s (12:00:05)\n");
    // Somebody else was quicker.
    let moved = json!({"code": "revision_mismatch", "detail": "it has revision 9"});
    let answers = [("GET /tasks/hello", 200, hello()), ("PATCH /tasks/hello", 412, moved)];
    let refused = ran(&["set", "hello", "--timeout", "1m"], &answers).await;
    assert_eq!(refused.exit, Exit::Conflict);
    assert!(refused.talk.contains("changed while this command ran"), "{}", refused.talk);
}

#[tokio::test]
async fn what_takes_a_place_removes_what_had_it() {
    for (options, wanted) in [
        (
            &["--cron", "0 2 * * *", "--tz", "Europe/Berlin"][..],
            json!({"schedule":
            {"interval": null, "cron": "0 2 * * *", "timezone": "Europe/Berlin"}}),
        ),
        (&["--every", "10s"], json!({"schedule": {"interval": "10s"}})),
        (
            &["--http", "http://x/", "--header", "A: b"],
            json!({"action":
            {"shell": null, "http": {"url": "http://x/", "headers": {"A": "b"}}}}),
        ),
        (&["--", "date"], json!({"action": {"shell": {"argv": ["date"]}}})),
        (
            &["--env", "A=1", "--unset-env", "B", "--cwd", "", "--user", "www"],
            json!({"action":
            {"shell": {"env": {"B": null, "A": "1"}, "cwd": null, "user": "www"}}}),
        ),
        (
            &["--unset", "labels.env", "--unset", "/keep/ticks"],
            json!(
            {"labels": {"env": null}, "keep": {"ticks": null}}),
        ),
        (
            &["--disabled", "--description", "x", "-p", "day=7", "--payload", "y"],
            json!(
            {"description": "x", "enabled": false, "parameters": {"day": "7"}, "payload": "y"}),
        ),
        (
            &["--mode", "skip", "--queue-max", "3", "--concurrency", "db:2", "--priority", "9"],
            json!(
            {"execution_mode": "skip", "queue_max": 3, "concurrency": {"group": "db", "limit": 2},
            "priority": 9}),
        ),
        (&["--max-live", "20"], json!({"max_live": 20})),
        (
            &["--node", "n2", "--selector", "zone=a"],
            json!(
            {"assignment": {"selector": {"zone": "a", "node": "n2"}}}),
        ),
        (
            &["--keep", "executions=5", "--keep", "age=7d"],
            json!(
            {"keep": {"executions": 5, "age": "7d"}}),
        ),
        (
            &["--concurrency", "none", "--tz", ""],
            json!(
            {"schedule": {"timezone": null}, "concurrency": null}),
        ),
    ] {
        assert_eq!(patch(options, hello()).await, wanted, "{options:?}");
    }
    let mut anchored = hello();
    anchored["schedule"]["anchor"] = json!("2026-12-01T00:00:00.000Z");
    assert_eq!(
        patch(&["--manual"], anchored).await,
        json!({"schedule": {"interval": null, "anchor": null, "manual": true}})
    );
}

#[tokio::test]
async fn what_follows_an_attempt_and_an_execution_is_set() {
    for (options, wanted) in [
        (
            &[
                "--retry",
                "3",
                "--retry-delay",
                "5s",
                "--retry-backoff",
                "fixed",
                "--retry-max-delay",
                "8s",
                "--retry-jitter",
                "1s",
                "--delivery",
                "at-least-once",
                "--kill-grace",
                "9s",
                "--lost-after",
                "20s",
            ][..],
            json!(
            {"kill_grace": "9s", "lost_after": "20s", "delivery": "at_least_once",
             "retry": {"max_retry": 3, "delay": "5s", "backoff": "fixed", "max_delay": "8s",
                       "jitter": "1s"}}),
        ),
        (
            &["--then", "failure=page", "--then", "success=load", "--then", "success=sum"],
            json!({"then": {"failure": ["page"], "success": ["load", "sum"]}}),
        ),
    ] {
        assert_eq!(patch(options, hello()).await, wanted, "{options:?}");
    }
}

#[tokio::test]
async fn what_ends_a_task_is_set_and_taken_away() {
    for (options, wanted) in [
        (
            &["--one-shot", "--after-run", "mark-deleted"][..],
            json!({"after_run": "mark_deleted", "one_shot": true}),
        ),
        (
            &["--after-run", "cleanup", "--unset", "one_shot"],
            json!({"after_run": "cleanup", "one_shot": null}),
        ),
    ] {
        assert_eq!(patch(options, hello()).await, wanted, "{options:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_set_is_said_before_anything_is_sent() {
    let nothing = ran(&["set", "hello"], &[]).await;
    assert_eq!((nothing.exit, nothing.asked.len()), (Exit::Usage, 0));
    for option in ["--cron", "--timeout", "--unset-env", "--http", "after `--`"] {
        assert!(nothing.talk.contains(option), "{option}: {}", nothing.talk);
    }
    let answers = [("GET /tasks/hello", 200, hello())];
    for (options, said) in [
        (&["--method", "GET"][..], "--method, --header and --body belong to an HTTP request"),
        (&["--http", "http://x/", "--env", "A=1"], "--env, --cwd and --user belong to a command"),
        (&["--unset", "time"], "--unset time: the task has no such field"),
        (&["--at", "soon"], "`soon` is not a time"),
    ] {
        let refused = ran(&[&["set", "hello"], options].concat(), &answers).await;
        assert_eq!(refused.exit, Exit::Usage, "{options:?}");
        assert!(refused.talk.contains(said), "{options:?}: {}", refused.talk);
        assert!(refused.asked.iter().all(|asked| asked.starts_with("GET ")), "{:?}", refused.asked);
    }
    for wrong in [
        &["set", "hello", "--enabled", "--disabled"][..],
        &["set", "hello", "--every", "5s", "--cron", "* * * * *"],
        &["set", "hello", "--priority", "10"],
        &["set", "hello", "--http", "http://x/", "--", "date"],
    ] {
        assert_eq!(ran(wrong, &[]).await.exit, Exit::Usage, "{wrong:?}");
    }
}

#[tokio::test]
async fn add_takes_the_same_options() {
    let line = [
        "add",
        "hello",
        "--every",
        "5s",
        "--env",
        "A=1",
        "--cwd",
        "/tmp",
        "--user",
        "www",
        "--node",
        "n2",
        "--mode",
        "skip",
        "--keep",
        "ticks=7",
        "--disabled",
        "--",
        "date",
    ];
    let done = ran(&line, &[("POST /tasks", 201, hello())]).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.talk);
    let body = json!({
        "name": "hello", "enabled": false, "schedule": {"interval": "5s"},
        "action": {"shell":
            {"argv": ["date"], "env": {"A": "1"}, "cwd": "/tmp", "user": "www"}},
        "execution_mode": "skip", "assignment": {"selector": {"node": "n2"}},
        "keep": {"ticks": 7},
    });
    assert_eq!(done.asked, [format!("POST /tasks {body}")]);
    let line = ["add", "a", "--now", "--http", "http://x/", "--method", "PUT", "--body", "x"];
    let body = json!({"name": "a", "schedule": {"immediate": true},
        "action": {"http": {"url": "http://x/", "method": "PUT", "body": "x"}}});
    assert_eq!(ran(&line, &[]).await.asked, [format!("POST /tasks {body}")]);
    let refused = ran(&["add", "a", "--now", "--env", "A=1"], &[]).await;
    assert!(refused.talk.contains("belong to a command"), "{}", refused.talk);
    assert_eq!(refused.exit, Exit::Usage);
}
