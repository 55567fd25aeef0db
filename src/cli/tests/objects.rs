//! Several names, patterns and labels of nodes, executors, calendars and executions.

use serde_json::{Value, json};

use super::executors::executor;
use super::{answered, execution, hello, node, ran};
use crate::cli::exit::Exit;

/// An answer to one request.
type StubAnswer = (&'static str, u16, Value);

fn list(items: &[Value]) -> Value {
    json!({"items": items, "next_cursor": null})
}

/// A node with the label `zone`.
fn zoned(name: &str, id: &str, zone: &str) -> Value {
    let mut node = node(name);
    (node["id"], node["labels"]["zone"]) = (json!(id), json!(zone));
    node
}

fn calendar(name: &str) -> Value {
    json!({
        "id": name, "name": name, "description": "", "timezone": null, "revision": 3,
        "origin": "api", "task_count": 0,
        "tasks": [], "rules": [{"dates": ["2026-12-25"], "yearly": [], "weekdays": [], "times": []}],
        "created_at": "2026-12-01T11:00:00.000Z", "updated_at": "2026-12-01T11:00:00.000Z",
    })
}

fn no_node() -> Value {
    json!({"code": "node_not_found", "detail": "there is no node of this name"})
}

fn nodes() -> Vec<StubAnswer> {
    let all = [zoned("n1", "1", "a"), zoned("n2", "2", "b"), zoned("n3", "3", "b")];
    vec![
        ("GET /nodes?limit=1000", 200, list(&all)),
        ("GET /nodes/n1", 200, all[0].clone()),
        ("GET /nodes/n2", 200, all[1].clone()),
        ("GET /nodes/n3", 200, all[2].clone()),
        ("POST /nodes/n1/drain", 200, all[0].clone()),
        ("POST /nodes/n2/drain", 200, all[1].clone()),
        ("POST /nodes/n3/drain", 200, all[2].clone()),
        ("POST /nodes/n2/undrain", 200, all[1].clone()),
        ("POST /nodes/n3/undrain", 200, all[2].clone()),
        ("GET /nodes/n9", 404, no_node()),
        ("POST /nodes/n9/drain", 404, no_node()),
    ]
}

/// The names that begin the lines of a table.
fn rows(table: &str) -> Vec<&str> {
    table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect()
}

#[tokio::test]
async fn nodes_are_named_by_names_patterns_and_labels() {
    let answers = nodes();
    for (options, names) in [
        (&["n1", "n2"][..], &["n1", "n2"][..]),
        (&["n3", "n*"], &["n3", "n1", "n2"]),
        (&["--label", "zone=b"], &["n2", "n3"]),
        (&["n?", "--label", "zone=b", "--label", "node=n3"], &["n3"]),
        (&["2", "--label", "host=h"], &["n2"]),
    ] {
        let done = ran(&[&["node", "drain"], options].concat(), &answers).await;
        let posts = done.asked.iter().filter_map(|asked| asked.strip_prefix("POST /nodes/"));
        let mut posts: Vec<&str> = posts.map(|post| post.trim_end_matches("/drain")).collect();
        posts.sort_unstable();
        let mut sorted = names.to_vec();
        sorted.sort_unstable();
        assert_eq!(posts, sorted, "{options:?}: {}", done.talk);
        let lines = names.iter().map(|name| {
            format!("{name}: gives its tasks away; what runs there goes on to its end\n")
        });
        assert_eq!(done.data, lines.collect::<String>(), "{options:?}");
        let count = names.len();
        assert_eq!(done.talk, format!("{count} of {count} nodes drained\n"), "{options:?}");
        let shown = ran(&[&["node", "show", "-o", "json"], options].concat(), &answers).await;
        let shown: Value = serde_json::from_str(&shown.data).unwrap();
        let items = shown["items"].as_array().unwrap().iter().map(|node| &node["name"]);
        assert_eq!(items.collect::<Vec<_>>(), names, "{options:?}");
    }
    let one = ran(&["node", "show", "n1", "-o", "json"], &answers).await;
    assert_eq!(serde_json::from_str::<Value>(&one.data).unwrap(), answers[1].2);
    let done = ran(&["node", "undrain", "n2", "n3", "-o", "json"], &answers).await;
    let done: Value = serde_json::from_str(&done.data).unwrap();
    assert_eq!((&done["succeeded"], &done["items"][1]["name"]), (&json!(2), &json!("n3")));
}

#[tokio::test]
async fn a_node_that_is_unknown_hides_no_other() {
    let answers = nodes();
    let done = ran(&["node", "drain", "n1", "n9", "n2"], &answers).await;
    assert_eq!((done.exit, done.talk.as_str()), (Exit::Conflict, "2 of 3 nodes drained\n"));
    let line = "n9: there is no node of this name (node_not_found)\n";
    assert!(done.data.contains(line), "{}", done.data);
    let shown = ran(&["node", "show", "n9", "n2"], &answers).await;
    assert_eq!(shown.exit, Exit::Conflict);
    assert!(shown.data.contains("==> n2 <==\nnode "), "{}", shown.data);
    assert!(shown.talk.contains("no node is called `n9`"), "{}", shown.talk);
    for (options, said) in [
        (&["x*"][..], "no node is called like `x*`; `punctual node list` lists them"),
        (&["--label", "zone=z"], "no node has the label zone=z; `punctual node list` lists them"),
        (
            &["n1", "--label", "zone=b"],
            "no node is called like `n1` and has the label zone=b; `punctual node list` lists them",
        ),
    ] {
        let none = ran(&[&["node", "drain"], options].concat(), &answers).await;
        assert_eq!((none.exit, none.talk), (Exit::Conflict, format!("error: {said}\n")));
        assert_eq!(none.asked, ["GET /nodes?limit=1000"]);
    }
    for verb in ["show", "drain", "undrain"] {
        assert_eq!(ran(&["node", verb], &answers).await.exit, Exit::Usage, "{verb}");
    }
}

#[tokio::test]
async fn lists_take_names_and_patterns() {
    let executors = [executor("data-1", "online", ""), executor("web-1", "online", "")];
    let calendars = [calendar("holidays"), calendar("nights")];
    let mut answers = nodes();
    answers.push(("GET /executors?limit=1000", 200, list(&executors)));
    answers.push(("GET /calendars?limit=1000", 200, list(&calendars)));
    for (line, names) in [
        (&["node", "ls"][..], &["n1", "n2", "n3"][..]),
        (&["node", "ls", "n3", "1"], &["n1", "n3"]),
        (&["node", "ls", "--label", "zone=b"], &["n2", "n3"]),
        (&["node", "ls", "n?", "--label", "zone=a"], &["n1"]),
        (&["executor", "ls", "web-*", "nobody"], &["web-1"]),
        (&["executor", "ls", "data-1", "web-?"], &["data-1", "web-1"]),
        (&["calendar", "ls", "*s"], &["holidays", "nights"]),
        (&["calendar", "ls", "nights"], &["nights"]),
    ] {
        let shown = ran(line, &answers).await;
        assert_eq!(rows(&shown.data), names, "{line:?}: {} {}", shown.data, shown.talk);
        let json = ran(&[line, &["-o", "json"]].concat(), &answers).await;
        let json: Value = serde_json::from_str(&json.data).unwrap();
        assert_eq!(json["items"].as_array().unwrap().len(), names.len(), "{line:?}: {json}");
    }
    let none = ran(&["executor", "ls", "x*"], &answers).await;
    assert_eq!((none.exit, none.talk.as_str()), (Exit::Ok, "no executors\n"));
}

#[tokio::test]
async fn several_executors_are_shown_held_back_and_removed() {
    let all = [executor("a-1", "online", ""), executor("a-2", "online", "")];
    let gone = json!({"code": "executor_not_found", "detail": "there is no executor of this id"});
    let status = || json!({"message": "status updated"});
    let removed = |id: &str| json!({"id": id, "deleted": true});
    let answers = [
        ("GET /executors?limit=1000", 200, list(&all)),
        ("GET /executors/a-1", 200, all[0].clone()),
        ("GET /executors/a-2", 200, all[1].clone()),
        ("PUT /executors/a-1/status", 200, status()),
        ("PUT /executors/a-2/status", 200, status()),
        ("PUT /executors/b-1/status", 404, gone),
        ("DELETE /executors/a-1", 200, removed("a-1")),
        ("DELETE /executors/a-2", 200, removed("a-2")),
    ];
    let shown = ran(&["executor", "show", "a-*"], &answers).await;
    let heads = shown.data.lines().filter(|line| line.starts_with("==> ")).count();
    assert_eq!((shown.exit, heads), (Exit::Ok, 2), "{}", shown.data);
    for (verb, said, end) in [
        ("maintenance", "gets no new work; what it has goes on", "in maintenance"),
        ("online", "gets work again", "online"),
        ("offline", "gets no work until it answers again", "offline"),
    ] {
        let done = ran(&["executor", verb, "a-*", "b-1", "--reason", "x"], &answers).await;
        assert_eq!(done.exit, Exit::Conflict, "{verb}");
        let missing = "b-1: there is no executor of this id (executor_not_found)\n";
        assert_eq!(done.data, format!("a-1: {said}\na-2: {said}\n{missing}"), "{verb}");
        assert_eq!(done.talk, format!("2 of 3 executors {end}\n"), "{verb}");
        let body = format!(r#"{{"status":"{verb}","reason":"x"}}"#);
        let sent = format!("PUT /executors/a-2/status {body}");
        assert!(done.asked.contains(&sent), "{:?}", done.asked);
    }
    let unasked = ran(&["executor", "rm", "a-1", "a-2"], &answers).await;
    assert_eq!((unasked.exit, unasked.asked.len()), (Exit::Usage, 0));
    assert!(unasked.talk.contains("2 executors are meant"), "{}", unasked.talk);
    let no = answered(&["executor", "rm", "a-*"], &answers, "no\n").await;
    assert_eq!((no.exit, no.asked.len()), (Exit::No, 1));
    assert!(no.talk.starts_with("remove 2 executors (a-1, a-2)? type yes:"), "{}", no.talk);
    let done = ran(&["executor", "rm", "a-1", "a-2", "--yes"], &answers).await;
    assert_eq!((done.exit, done.data.as_str()), (Exit::Ok, "a-1: removed\na-2: removed\n"));
}

#[tokio::test]
async fn several_calendars_are_shown_and_removed() {
    let used = json!({"code": "calendar_in_use", "detail": "tasks leave it out"});
    let answers = [
        ("GET /calendars?limit=1000", 200, list(&[calendar("c-1"), calendar("c-2")])),
        ("GET /calendars/c-1", 200, calendar("c-1")),
        ("GET /calendars/c-2", 200, calendar("c-2")),
        ("DELETE /calendars/c-1", 200, json!({"name": "c-1", "deleted": true})),
        ("DELETE /calendars/c-2", 409, used),
    ];
    let shown = ran(&["calendar", "show", "c-2", "c-1", "-o", "jsonl"], &answers).await;
    let names = shown.data.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let names: Vec<Value> = names.map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["c-2", "c-1"], "{}", shown.talk);
    let no = answered(&["calendar", "delete", "c-*"], &answers, "no\n").await;
    assert_eq!((no.exit, no.asked.len()), (Exit::No, 1));
    let done = ran(&["calendar", "delete", "c-*", "--yes"], &answers).await;
    assert_eq!(done.data, "c-1: removed\nc-2: tasks leave it out (calendar_in_use)\n");
    assert_eq!((done.exit, done.talk.as_str()), (Exit::Conflict, "1 of 2 calendars removed\n"));
    let one = ran(&["calendar", "delete", "c-1"], &answers).await;
    assert_eq!((one.exit, one.data.as_str()), (Exit::Ok, "c-1: removed\n"));
}

#[tokio::test]
async fn lists_of_tasks_and_executions_take_names_and_labels() {
    let some = list(&[execution("42", "failed", "")]);
    let answers = [
        ("GET /tasks?name=a&name=web-*&label=env&limit=1000", 200, list(&[hello()])),
        ("GET /executions?task_id=hello&task_id=w-*&label=env%3Dprod&limit=20", 200, some.clone()),
        (
            "GET /executions?task_id=hello&task_id=idle&task_id=x&failed=true&limit=20",
            200,
            some.clone(),
        ),
        ("GET /executions?task_id=x&failed=true&limit=20", 200, list(&[])),
        ("GET /executions?task_id=hello&limit=20", 200, some),
        ("GET /tasks/idle", 200, hello()),
        ("GET /tasks/x", 404, json!({"code": "task_not_found", "detail": "there is no task"})),
    ];
    let tasks = ran(&["ls", "a", "web-*", "--label", "env"], &answers).await;
    assert_eq!(rows(&tasks.data), ["hello"], "{}", tasks.talk);
    let line = ["execution", "ls", "hello", "w-*", "--label", "env=prod"];
    let found = ran(&line, &answers).await;
    assert_eq!((rows(&found.data), found.talk.as_str()), (vec!["42"], ""));
    let former = ran(&["execution", "list", "--task", "hello"], &answers).await;
    assert_eq!(rows(&former.data), ["42"], "{}", former.talk);
    // A name that nothing has hides no other, and one without failures is no error.
    let failed = ran(&["failed", "hello", "idle", "x"], &answers).await;
    assert_eq!((failed.exit, rows(&failed.data)), (Exit::Conflict, vec!["42"]));
    assert!(failed.talk.starts_with("error: no task is called `x`"), "{}", failed.talk);
    let none = ran(&["failed", "x"], &answers).await;
    assert_eq!((none.exit, none.data.as_str()), (Exit::Conflict, ""));
}

#[tokio::test]
async fn a_list_that_stops_says_so() {
    let tick = json!({"tick": "2026-12-01T12:00:00.000Z", "verdict": "fired",
        "execution_id": "42", "execution_kept": true, "index": 9, "ended": null});
    let more = |item: &Value| json!({"items": [item, item], "next_cursor": "3432"});
    let one = execution("42", "failed", "");
    let answers = [
        ("GET /executions?limit=2", 200, more(&one)),
        ("GET /executions?failed=true&limit=2", 200, more(&one)),
        ("GET /executions?limit=3", 200, list(&[one.clone(), one.clone()])),
        ("GET /tasks/hello/ticks?limit=2", 200, more(&tick)),
    ];
    for (line, said) in [
        (&["execution", "ls", "-n", "2"][..], "executions"),
        (&["failed", "-n", "2"], "failed executions"),
        (&["ticks", "hello", "-n", "2"], "ticks"),
    ] {
        for form in [&[][..], &["-o", "jsonl"]] {
            let shown = ran(&[line, form].concat(), &answers).await;
            let told = format!("there are older {said}; -n COUNT shows more\n");
            assert_eq!((shown.exit, shown.talk), (Exit::Ok, told), "{line:?} {form:?}");
        }
    }
    let whole = ran(&["execution", "ls", "-n", "3"], &answers).await;
    assert_eq!(whole.talk, "", "all are shown");
}

#[tokio::test]
async fn several_executions_are_shown_with_what_they_printed() {
    let answers = [
        ("GET /executions/42", 200, execution("42", "success", "on time\n")),
        ("GET /executions/43", 200, execution("43", "failed", "late\n")),
        ("GET /executions/42/output", 200, json!("on time\n")),
        ("GET /executions/43/output", 200, json!("late\n")),
    ];
    let shown = ran(&["execution", "show", "42", "44", "43", "42"], &answers).await;
    let heads: Vec<&str> = shown.data.lines().filter(|line| line.starts_with("==> ")).collect();
    assert_eq!(heads, ["==> 42 <==", "==> 44 <==", "==> 43 <=="], "{}", shown.data);
    assert_eq!((shown.exit, shown.talk.lines().count()), (Exit::Conflict, 1), "{}", shown.talk);
    let printed = ran(&["execution", "output", "42", "43"], &answers).await;
    assert_eq!(printed.data, "==> 42 <==\non time\n\n==> 43 <==\nlate\n", "{}", printed.talk);
    let json = ran(&["execution", "output", "42", "43", "-o", "json"], &answers).await;
    let json: Value = serde_json::from_str(&json.data).unwrap();
    assert_eq!(json["items"][1]["id"], "43", "{json}");
    for verb in ["show", "output"] {
        let wrong = ran(&["execution", verb, "4*"], &answers).await;
        assert_eq!(wrong.exit, Exit::Usage, "{verb}: an id is no pattern");
    }
}

#[tokio::test]
async fn an_unknown_name_does_not_keep_a_command_from_the_others() {
    let none = json!({"code": "task_not_found", "detail": "there is no task of this name"});
    let found = |status: &str| list(&[execution("42", status, "")]);
    let answers = [
        ("GET /executions?task_id=a&status=pending&limit=1000", 200, list(&[])),
        ("GET /executions?task_id=a&status=running&limit=1000", 200, found("running")),
        ("GET /executions?task_id=x&status=pending&limit=1000", 200, list(&[])),
        ("GET /executions?task_id=x&status=running&limit=1000", 200, list(&[])),
        ("GET /executions?task_id=a&failed=true&limit=1", 200, found("failed")),
        ("GET /executions?task_id=x&failed=true&limit=1", 200, list(&[])),
        ("GET /tasks/x", 404, none),
        ("POST /executions/42/stop", 202, execution("42", "running", "")),
        ("POST /executions/42/retry", 201, execution("50", "pending", "")),
    ];
    let missing = "x: there is no task of this name (task_not_found)\n";
    for (line, said, end) in [
        (&["stop", "x", "a"][..], "42: is being stopped (task a)\n", "asked to stop"),
        (&["stop", "42", "x"], "42: is being stopped\n", "asked to stop"),
        (&["retry", "a", "x"], "42: tried again as execution 50 (task a)\n", "tried again"),
    ] {
        let done = ran(line, &answers).await;
        assert_eq!(done.data, format!("{said}{missing}"), "{line:?}: {}", done.talk);
        assert_eq!(done.talk, format!("1 of 2 executions {end}\n"), "{line:?}");
        assert_eq!(done.exit, Exit::Conflict, "{line:?}");
    }
    let alone = ran(&["stop", "x"], &answers).await;
    assert_eq!((alone.exit, alone.data.as_str()), (Exit::Conflict, ""));
    assert!(alone.talk.starts_with("error: no task is called `x`"), "{}", alone.talk);
    let json = ran(&["stop", "x", "a", "-o", "json"], &answers).await;
    let json: Value = serde_json::from_str(&json.data).unwrap();
    assert_eq!(
        (&json["succeeded"], &json["items"][1]["code"]),
        (&json!(1), &json!("task_not_found"))
    );
}
