//! Commands about executors, and tasks that are for them.

use super::*;

pub(super) fn executor(id: &str, status: &str, reason: &str) -> Value {
    json!({
        "id": id, "name": "data", "base_url": "http://10.0.0.9:9090", "health_check_url": null,
        "status": status, "reason": reason, "weight": 2, "capacity": 4, "in_flight": 3,
        "metadata": {"zone": "a"}, "offline_since": null,
        "registered_at": "2026-12-01T11:00:00.000Z", "last_heartbeat": "2026-12-01T12:00:00.000Z",
        "revision": 7, "tasks": ["load", "report"],
    })
}

#[tokio::test]
async fn executors_are_listed_and_shown() {
    let all = [executor("e-1", "online", ""), executor("e-2", "maintenance", "upgrade")];
    let answers = [
        ("GET /executors?limit=1000", 200, json!({"items": all, "next_cursor": null})),
        ("GET /executors/e-2", 200, all[1].clone()),
    ];
    let shown = ran(&["executor", "ls"], &answers).await;
    assert_eq!(shown.exit, Exit::Ok, "{}", shown.talk);
    let lines: Vec<&str> = shown.data.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0])[..5], ["ID", "NAME", "STATUS", "RUNS", "WEIGHT"]);
    assert!(lines[1].contains("online") && lines[1].contains("3 of 4"), "{}", shown.data);
    assert!(lines[2].contains("maintenance (upgrade)"), "{}", shown.data);
    let shown = ran(&["executor", "show", "e-2"], &answers).await;
    for part in ["e-2", "maintenance (upgrade)", "load, report", "zone=a", "3 of 4"] {
        assert!(shown.data.contains(part), "{part}: {}", shown.data);
    }
}

#[tokio::test]
async fn an_executor_is_held_back_and_removed() {
    let done = json!({"message": "status updated"});
    let answers = [
        ("PUT /executors/e-1/status", 200, done),
        ("DELETE /executors/e-1", 200, json!({"id": "e-1", "deleted": true})),
    ];
    let held = ran(&["executor", "maintenance", "e-1", "--reason", "upgrade"], &answers).await;
    assert_eq!(held.exit, Exit::Ok, "{}", held.talk);
    assert_eq!(
        held.asked,
        [r#"PUT /executors/e-1/status {"status":"maintenance","reason":"upgrade"}"#]
    );
    let back = ran(&["executor", "online", "e-1"], &answers).await;
    assert_eq!(back.asked, [r#"PUT /executors/e-1/status {"status":"online","reason":null}"#]);
    let gone = ran(&["executor", "rm", "e-1"], &answers).await;
    assert_eq!((gone.exit, gone.data.as_str()), (Exit::Ok, "e-1: removed\n"));
}

#[tokio::test]
async fn a_worker_needs_a_name_and_a_file() {
    for line in [&["executor"][..], &["executor", "--name", "a"]] {
        let refused = ran(line, &[]).await;
        assert_eq!(refused.exit, Exit::Usage, "{line:?}");
        assert!(refused.talk.contains("--name and --config"), "{}", refused.talk);
    }
    let refused = ran(&["executor", "--name", "a", "--config", "/no/such/file"], &[]).await;
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.talk.contains("/no/such/file"), "{}", refused.talk);
    let both = ran(&["executor", "--name", "a", "ls"], &[]).await;
    assert_eq!(both.exit, Exit::Usage);
}

#[tokio::test]
async fn a_task_may_be_for_executors() {
    let answers = [("POST /tasks", 201, hello())];
    for (options, executor) in [
        (&["--executor"][..], r#"{"names":[]}"#),
        (&["--executor=data,e-1"], r#"{"names":["data","e-1"]}"#),
        (&["--executor", "--balance", "least-loaded"], r#"{"names":[],"balance":"least_loaded"}"#),
        (&["--executor", "--balance", "least_loaded"], r#"{"names":[],"balance":"least_loaded"}"#),
    ] {
        let line = ["add", "load", "--every", "5s"].iter().chain(options).copied();
        let added = ran(&line.collect::<Vec<_>>(), &answers).await;
        assert_eq!(added.exit, Exit::Ok, "{}", added.talk);
        let action = format!(r#""action":{{"executor":{executor}}}"#);
        assert!(added.asked[0].contains(&action), "{:?}", added.asked);
    }
    for line in [
        &["add", "load", "--every", "5s", "--executor", "--", "date"][..],
        &["add", "load", "--every", "5s", "--balance", "sticky", "--", "date"],
        &["add", "load", "--every", "5s", "--executor", "--http", "http://h/"],
    ] {
        assert_eq!(ran(line, &answers).await.exit, Exit::Usage, "{line:?}");
    }
}

#[tokio::test]
async fn an_execution_that_waits_shows_its_place() {
    let mut waits = execution("42", "pending", "");
    waits["queue"] =
        json!({"line": "group db", "position": 2, "ahead": 1, "running": 1, "limit": 1});
    let answers = [("GET /executions/42", 200, waits)];
    for line in [&["execution", "show", "42"][..], &["show", "42"]] {
        let shown = ran(line, &answers).await;
        let queue = shown.data.lines().find_map(|line| line.strip_prefix("queue "));
        let place = "position 2 in the line of group db, of which 1 runs (limit 1)";
        assert_eq!(queue.map(str::trim), Some(place), "{line:?}: {}", shown.data);
    }
}

#[tokio::test]
async fn an_execution_names_its_executor() {
    let mut given = execution("42", "success", "done");
    given["executor_id"] = json!("e-1");
    given["attempts"][0]["executor_id"] = json!("e-1");
    let answers = [
        ("GET /executions/42", 200, given.clone()),
        ("GET /executions?executor_id=e-1&limit=20", 200, json!({"items": [given]})),
    ];
    let shown = ran(&["execution", "show", "42"], &answers).await;
    assert!(shown.data.contains("1 on executor e-1, asked by n2"), "{}", shown.data);
    let listed = ran(&["execution", "list", "--executor", "e-1"], &answers).await;
    assert!(listed.data.contains(" e-1 "), "{} {}", listed.data, listed.talk);
}
