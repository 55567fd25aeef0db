//! Commands on several tasks and executions.

use serde_json::{Value, json};

use super::watching::cluster;
use super::{answered, execution, hello, ran, typed};
use crate::cli::exit::Exit;

fn named(name: &str) -> Value {
    let mut task = hello();
    task["name"] = json!(name);
    task["id"] = json!(name);
    task
}

fn results(items: Value) -> Value {
    let items = items.as_array().unwrap();
    let good = items.iter().filter(|item| item["status"].as_u64().unwrap() < 400).count();
    json!({"items": items, "succeeded": good, "failed": items.len() - good})
}

#[tokio::test]
async fn several_names_are_one_request_and_a_line_each() {
    let gone = json!({"name": "c", "status": 404, "code": "task_not_found",
        "detail": "there is no task of this name"});
    let answer = results(json!([
        {"name": "a", "status": 200, "revision": 9, "running": ["42"]},
        {"name": "b", "status": 200, "revision": 10},
        gone,
    ]));
    let answers = [("POST /tasks/bulk", 200, answer.clone())];
    let line = ["pause", "a", "b", "c", "a", "--reason", "x", "--until", "2h"];
    let done = ran(&line, &answers).await;
    assert_eq!(
        done.data,
        "a: paused until 14:00:02\nb: paused until 14:00:02\n\
         c: there is no task of this name (task_not_found)\n"
    );
    assert_eq!(done.talk, "execution 42 of a still runs\n2 of 3 tasks paused\n");
    assert_eq!(done.exit, Exit::Conflict);
    let body = json!({"op": "pause", "names": ["a", "b", "c"], "reason": "x",
        "until": "2026-12-01T14:00:02.000Z"});
    assert_eq!(done.asked, [format!("POST /tasks/bulk {body}")]);
    let told = ran(&["resume", "a", "b", "c", "-o", "json"], &answers).await;
    assert_eq!(serde_json::from_str::<Value>(&told.data).unwrap(), answer);
    assert_eq!(told.exit, Exit::Conflict);
}

#[tokio::test]
async fn what_is_cancelled_says_what_goes_on_and_a_resume_what_it_made_up_for() {
    let mut task = hello();
    task["state"] = json!("cancelled");
    task["running"] = json!([execution("42", "running", "")]);
    let mut resumed = hello();
    resumed["execution_id"] = json!("43");
    let items = results(json!([
        {"name": "a", "status": 200, "revision": 9},
        {"name": "b", "status": 200, "revision": 10, "execution_id": "44"},
    ]));
    let answers = [
        ("POST /tasks/hello/cancel?wait=true", 200, task),
        ("POST /tasks/hello/resume", 200, resumed),
        ("POST /tasks/bulk", 200, items),
    ];
    let done = ran(&["cancel", "hello", "--wait"], &answers).await;
    assert_eq!(done.data, "hello: cancelled; no tick fires until it is resumed\n");
    assert!(done.talk.starts_with("execution 42 still runs on "), "{}", done.talk);
    let done = ran(&["resume", "hello"], &answers).await;
    let said = "resumed; its time had come meanwhile: execution 43 runs now";
    assert_eq!(done.data, format!("hello: {said}, next tick in 3 s (12:00:05)\n"));
    let done = ran(&["cancel", "a", "b"], &answers).await;
    assert_eq!(done.asked, [r#"POST /tasks/bulk {"op":"cancel","names":["a","b"]}"#]);
    assert_eq!(done.talk, "2 of 2 tasks cancelled\n");
    let done = ran(&["resume", "a", "b"], &answers).await;
    assert_eq!(
        done.data,
        "a: resumed\nb: resumed; its time had come meanwhile: execution 44 runs now\n"
    );
}

#[tokio::test]
async fn patterns_and_labels_are_looked_up() {
    let list = json!({"items": [named("web-1"), named("web-2")]});
    let one = json!({"items": [named("web-1")]});
    let answer = results(json!([{"name": "web-1", "status": 200}]));
    let answers = [
        ("GET /tasks?name=web-*&limit=1000", 200, list.clone()),
        ("GET /tasks?name=web-%3F&label=env%3Dprod&limit=1000", 200, one),
        ("GET /tasks?label=env%3Dprod&limit=1000", 200, list),
        ("GET /tasks?name=x*&limit=1000", 200, json!({"items": []})),
        ("GET /tasks?label=env%3Dtest&limit=1000", 200, json!({"items": []})),
        ("POST /tasks/bulk", 200, answer),
    ];
    for (options, names) in [
        (&["web-*"][..], json!(["web-1", "web-2"])),
        (&["web-2", "web-*"], json!(["web-2", "web-1"])),
        (&["web-?", "--label", "env=prod"], json!(["web-1"])),
        (&["--label", "env=prod"], json!(["web-1", "web-2"])),
    ] {
        let done = ran(&[&["resume"], options].concat(), &answers).await;
        let body = json!({"op": "resume", "names": names});
        assert_eq!(done.asked.last().unwrap(), &format!("POST /tasks/bulk {body}"), "{options:?}");
        assert_eq!((done.exit, done.talk.as_str()), (Exit::Ok, "1 of 1 tasks resumed\n"));
    }
    for (options, said) in [
        (&["web-*", "x*"][..], "error: no task is called like `x*`; `punctual ls` lists them\n"),
        (
            &["--label", "env=test"],
            "error: no task has the label env=test; `punctual ls` lists them\n",
        ),
    ] {
        let none = ran(&[&["pause"], options].concat(), &answers).await;
        assert_eq!((none.exit, none.talk.as_str()), (Exit::Conflict, said));
        assert!(none.asked.iter().all(|asked| asked.starts_with("GET ")), "{:?}", none.asked);
    }
    assert_eq!(ran(&["pause"], &[]).await.exit, Exit::Usage);
}

#[tokio::test]
async fn what_takes_away_several_tasks_asks_first() {
    let answer = results(json!([{"name": "a", "status": 200}, {"name": "b", "status": 200}]));
    let answers = [("POST /tasks/bulk", 200, answer)];
    let unasked = ran(&["delete", "a", "b"], &answers).await;
    assert_eq!((unasked.exit, unasked.asked.len()), (Exit::Usage, 0));
    assert!(unasked.talk.contains("add --yes"), "{}", unasked.talk);
    let no = answered(&["cleanup", "a", "b"], &answers, "no\n").await;
    assert_eq!((no.exit, no.asked.len()), (Exit::No, 0));
    assert_eq!(no.talk, "remove 2 tasks (a, b)? type yes: error: nothing was done\n");
    let yes = answered(&["delete", "a", "b", "--stop"], &answers, "yes\n").await;
    assert_eq!(yes.exit, Exit::Ok, "{}", yes.talk);
    assert!(yes.data.starts_with("a: deleted; no tick fires any more\n"), "{}", yes.data);
    let body = json!({"op": "delete", "names": ["a", "b"], "stop": true});
    assert_eq!(yes.asked, [format!("POST /tasks/bulk {body}")]);
    let yes = ran(&["delete", "a", "b", "--cleanup", "--yes"], &answers).await;
    assert_eq!(yes.asked, [r#"POST /tasks/bulk {"op":"cleanup","names":["a","b"]}"#]);
    assert!(yes.talk.ends_with("2 of 2 tasks removed\n"), "{}", yes.talk);
}

#[tokio::test]
async fn what_no_bulk_request_can_do_is_done_one_by_one() {
    let marks = json!({"items": [named("a"), named("b")]});
    let missing = json!({"code": "task_not_deleted", "detail": "it is not deleted"});
    let answers = [
        ("GET /tasks?name=*&deleted=true&limit=1000", 200, marks),
        ("POST /tasks/a/reuse", 200, named("a")),
        ("POST /tasks/b/reuse", 409, missing),
        ("POST /tasks/a/pause?wait=true", 200, named("a")),
        ("POST /tasks/b/pause?wait=true", 200, named("b")),
    ];
    let done = ran(&["reuse", "*"], &answers).await;
    assert_eq!(done.data, "a: in use again\nb: it is not deleted (task_not_deleted)\n");
    assert_eq!((done.exit, done.talk.as_str()), (Exit::Conflict, "1 of 2 tasks in use again\n"));
    let done = ran(&["pause", "a", "b", "--wait"], &answers).await;
    assert_eq!((done.exit, done.data.as_str()), (Exit::Ok, "a: paused\nb: paused\n"));
}

#[tokio::test]
async fn several_tasks_run_and_are_waited_for() {
    let answer = results(json!([
        {"name": "a", "status": 201, "execution_id": "42"},
        {"name": "b", "status": 201, "execution_id": "43"},
    ]));
    let answers = [
        ("POST /tasks/bulk", 200, answer),
        ("GET /executions/42", 200, execution("42", "success", "")),
        ("GET /executions/43", 200, execution("43", "failed", "")),
    ];
    let quick = ran(&["run", "a", "b", "-p", "day=7"], &answers).await;
    assert_eq!(quick.data, "a: execution 42 triggered\nb: execution 43 triggered\n");
    let body = json!({"op": "trigger", "names": ["a", "b"], "parameters": {"day": "7"}});
    assert_eq!(quick.asked, [format!("POST /tasks/bulk {body}")]);
    let waited = ran(&["run", "a", "b", "--wait"], &answers).await;
    assert_eq!(
        waited.data,
        "hello: execution 42 success on n2, 3 ms, exit 0\n\
         hello: execution 43 failed on n2, 3 ms, exit 0\n"
    );
    assert_eq!((waited.exit, waited.talk.as_str()), (Exit::No, "1 of 2 tasks ran with success\n"));
}

#[tokio::test]
async fn executions_are_stopped_and_tried_again_by_their_ids() {
    let ended = json!({"code": "execution_ended", "detail": "it has ended"});
    let answers = [
        ("POST /executions/42/stop", 200, execution("42", "running", "")),
        ("POST /executions/43/stop", 409, ended),
        ("POST /executions/42/retry", 201, execution("50", "pending", "")),
        ("POST /executions/44/retry", 201, execution("51", "pending", "")),
        ("DELETE /executions/42", 200, execution("42", "failed", "")),
        (
            "GET /executions?failed=true&limit=5",
            200,
            json!({"items": [execution("42", "failed", "")]}),
        ),
    ];
    for line in [&["stop", "42"][..], &["execution", "stop", "42"]] {
        assert_eq!(ran(line, &answers).await.data, "execution 42: is being stopped\n");
    }
    let two = ran(&["stop", "42", "43"], &answers).await;
    assert_eq!(two.data, "42: is being stopped\n43: it has ended (execution_ended)\n");
    assert_eq!(
        (two.exit, two.talk.as_str()),
        (Exit::Conflict, "1 of 2 executions asked to stop\n")
    );
    let again = ran(&["retry", "42"], &answers).await;
    assert_eq!(again.data, "execution 42: tried again as execution 50\n");
    let again = ran(&["retry", "42", "44"], &answers).await;
    assert_eq!(again.data, "42: tried again as execution 50\n44: tried again as execution 51\n");
    let failed = ran(&["failed", "--limit", "5"], &answers).await;
    assert!(failed.data.contains("42   hello   failed"), "{}", failed.data);
    let seen = ran(&["failed", "dismiss", "42"], &answers).await;
    assert_eq!(seen.data, "execution 42: dismissed\n");
    assert_eq!(ran(&["stop"], &answers).await.exit, Exit::Usage);
}

#[tokio::test]
async fn a_name_is_marked_without_a_task_and_all_tasks_are_removed() {
    let left = |count: u64| json!({ "tasks": count });
    let answers = [
        ("DELETE /tasks/x?tombstone=true", 200, json!({"name": "x", "deleted": true})),
        ("POST /tasks/bulk", 200, results(json!([{"name": "x", "status": 200}]))),
        ("POST /admin/cleanup-all", 200, left(0)),
        ("GET /cluster", 200, cluster()),
    ];
    let done = ran(&["delete", "x", "--tombstone"], &answers).await;
    assert_eq!(done.asked, ["DELETE /tasks/x?tombstone=true"], "{}", done.talk);
    let done = ran(&["delete", "x", "y", "--tombstone", "--yes"], &answers).await;
    let body = json!({"op": "delete", "names": ["x", "y"], "tombstone": true});
    assert_eq!(done.asked, [format!("POST /tasks/bulk {body}")]);
    let both = ran(&["delete", "x", "--tombstone", "--cleanup"], &answers).await;
    assert_eq!(both.exit, Exit::Usage);
    let sent = r#"POST /admin/cleanup-all {"cluster":"punctual"}"#;
    let line = ["cluster", "cleanup-all"];
    let unasked = ran(&line, &answers).await;
    assert_eq!((unasked.exit, unasked.asked.len()), (Exit::Usage, 1));
    assert!(unasked.talk.contains("add --cluster NAME"), "{}", unasked.talk);
    let no = answered(&line, &answers, "yes\n").await;
    assert_eq!((no.exit, no.asked.len()), (Exit::No, 1), "{}", no.talk);
    let question = "remove all tasks of the cluster `punctual` (1 now) with their history, all deleted \
         marks and all calendars? type its name:";
    assert!(no.talk.starts_with(question), "{}", no.talk);
    let yes = answered(&line, &answers, "punctual\n").await;
    assert_eq!((yes.exit, yes.asked[1].as_str()), (Exit::Ok, sent), "{}", yes.talk);
    assert!(yes.data.starts_with("all tasks and calendars were removed"), "{}", yes.data);
    let named = ran(&["cluster", "cleanup-all", "--cluster", "punctual"], &answers).await;
    assert_eq!((named.exit, named.asked), (Exit::Ok, vec![sent.to_owned()]));
}

#[tokio::test]
async fn progress_is_shown_on_a_terminal_only() {
    let names: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
    let paths: Vec<String> = names.iter().map(|name| format!("POST /tasks/{name}/reuse")).collect();
    let answers: Vec<(&str, u16, Value)> =
        paths.iter().map(|path| (path.as_str(), 200, hello())).collect();
    let line: Vec<&str> = ["reuse"].into_iter().chain(names.iter().map(|name| &**name)).collect();
    let shown = typed(&line, &answers, |out| out.talk_on_terminal()).await;
    let begin = "\r\u{1b}[K[....................] 0 of 10 tasks\r\u{1b}[K[##..";
    assert!(shown.talk.starts_with(begin), "{:?}", shown.talk);
    // The bar is gone before anything else is printed.
    let end = "[####################] 10 of 10 tasks\r\u{1b}[K10 of 10 tasks in use again\n";
    assert!(shown.talk.ends_with(end), "{:?}", shown.talk);
    let unseen = ran(&line, &answers).await;
    assert_eq!(unseen.talk, "10 of 10 tasks in use again\n");
    let few = typed(&line[..4], &answers, |out| out.talk_on_terminal()).await;
    assert_eq!(few.talk, "3 of 3 tasks in use again\n");
}
