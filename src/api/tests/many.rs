//! Many tasks: lists, batches and bulk operations.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, ok, yearly};

fn names(body: &Value) -> Vec<String> {
    let items = body["items"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_make_what_can_be_made() {
    let rig = ApiRig::start().await;
    rig.make("t-00007", yearly(), "ok").await;
    let mut items: Vec<Value> = (0..1_000)
        .map(|n| {
            let labels = json!({"odd": (n % 2).to_string()});
            json!({"name": format!("t-{n:05}"), "schedule": yearly(), "labels": labels, "action": ok()})
        })
        .collect();
    items[3] = json!({"name": "bad name", "schedule": {"cron": "61 * * * *"}});
    items[9] = json!({"name": "t-00009", "schedule": yearly()});
    items[10]["action"] = json!({"func": {"id": "nowhere"}});
    items[11]["schedule"] = json!({"cron": "*/60 * * * *"});
    let key = &[("idempotency-key", "batch-1")];
    let body = json!({"items": items});
    let made = rig.call(Method::POST, "/tasks/batch", body.clone(), key).await.expect(200);
    assert_eq!((&made.body["succeeded"], &made.body["failed"]), (&json!(997), &json!(3)));
    let results = made.body["items"].as_array().unwrap();
    assert_eq!(results.len(), 1_000);
    assert_eq!((&results[3]["status"], &results[3]["code"]), (&json!(422), &json!("invalid_name")));
    assert_eq!(results[3]["errors"][0]["pointer"], "/items/3/name");
    assert_eq!(results[3]["errors"][1]["pointer"], "/items/3/schedule/cron");
    assert_eq!((&results[7]["status"], &results[7]["code"]), (&json!(409), &json!("task_exists")));
    assert_eq!((&results[8]["status"], &results[8]["name"]), (&json!(201), &json!("t-00008")));
    let told = &results[9];
    assert_eq!((&told["status"], &told["code"]), (&json!(422), &json!("no_handler")));
    assert_eq!(told["errors"][0]["pointer"], "/items/9/action");
    let warned = |at: usize| results[at]["warnings"][0]["code"].clone();
    assert_eq!((warned(8), warned(10)), (Value::Null, json!("no_eligible_node")));
    assert_eq!(warned(11), "step_beyond_field");
    let again = rig.call(Method::POST, "/tasks/batch", body, key).await.expect(200);
    assert_eq!(again.body["items"][8], results[8], "the same answer");
    let other = json!({"items": [{"name": "other", "schedule": yearly(), "action": ok()}]});
    rig.call(Method::POST, "/tasks/batch", other, key).await.refused(422, "idempotency_key_reused");
    let bulk = json!({"op": "delete", "names": ["t-00001"]});
    rig.call(Method::POST, "/tasks/bulk", bulk, key).await.refused(422, "idempotency_key_reused");
    let one = json!({"name": "other", "schedule": yearly(), "action": ok()});
    rig.call(Method::POST, "/tasks", one, key).await.refused(422, "idempotency_key_reused");
    rig.get("/tasks/other").await.refused(404, "task_not_found");
    let bare = json!([{"name": "alone", "schedule": yearly(), "action": ok()}]);
    assert_eq!(rig.post("/tasks/batch", bare).await.expect(200).body["succeeded"], 1);
    rig.post("/tasks/batch", json!([])).await.refused(422, "too_many_items");
    let many: Vec<Value> = vec![json!({}); 10_001];
    rig.post("/tasks/batch", json!(many)).await.refused(422, "too_many_items");

    let odd =
        rig.get("/tasks?label=odd=1&page=2&page_size=200&consistency=stale").await.expect(200);
    // Half of a thousand, without t-00003, t-00007 and t-00009.
    assert_eq!((&odd.body["total"], &odd.body["total_pages"]), (&json!(497), &json!(3)));
    assert_eq!(odd.body["items"], odd.body["data"]);
    let paused = json!({"op": "pause", "selector": {"odd": "1"}, "reason": "all"});
    let key = &[("idempotency-key", "bulk-1")];
    let first = rig.call(Method::POST, "/tasks/bulk", paused.clone(), key).await.expect(200);
    assert_eq!(first.body["succeeded"], 497);
    let again = rig.call(Method::POST, "/tasks/bulk", paused, key).await.expect(200);
    assert_eq!(again.body, first.body);
    let resume = json!({"op": "resume", "selector": {"odd": "1"}});
    rig.call(Method::POST, "/tasks/bulk", resume, key).await.refused(422, "idempotency_key_reused");
    let state = rig.get("/tasks?status=paused&page_size=1").await.expect(200);
    assert_eq!(state.body["total"], 497);

    // All tasks are removed, in several commands. A repeated request does not remove tasks added
    // later.
    let key = &[("idempotency-key", "all-1")];
    let all = || rig.call(Method::POST, "/admin/cleanup-all", json!({"cluster": "punctual"}), key);
    assert_eq!(all().await.expect(200).body["tasks"], 0);
    rig.make("later", yearly(), "ok").await;
    assert_eq!(all().await.expect(200).body["tasks"], 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_may_be_called_like_the_operations_on_many() {
    let rig = ApiRig::start().await;
    for name in ["batch", "bulk"] {
        let path = format!("/tasks/{name}");
        let body = rig.make(name, yearly(), "ok").await.body;
        assert_eq!(rig.get(&path).await.expect(200).body["name"], name);
        rig.call(Method::PUT, &path, body, &[]).await.expect(200);
        rig.call(Method::PATCH, &path, json!({"labels": {"a": "b"}}), &[]).await.expect(200);
        rig.post(&format!("{path}/trigger"), Value::Null).await.expect(201);
    }
    let paused = json!({"op": "pause", "names": ["batch", "bulk"]});
    assert_eq!(rig.post("/tasks/bulk", paused).await.expect(200).body["succeeded"], 2);
    for name in ["batch", "bulk"] {
        rig.call(Method::DELETE, &format!("/tasks/{name}"), Value::Null, &[]).await.expect(200);
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sorted_pages_neither_repeat_nor_skip_while_tasks_run() {
    let rig = ApiRig::start().await;
    for n in 0..6 {
        rig.make(&format!("t{n}"), yearly(), "ok").await;
    }
    // Three tasks whose next tick and last execution change continuously.
    for n in 6..9 {
        let every = json!({"interval": format!("{}ms", 100 + n)});
        rig.make(&format!("t{n}"), every, "ok").await;
    }
    for n in [3, 1] {
        rig.post(&format!("/tasks/t{n}/trigger"), Value::Null).await.expect(201);
    }
    for sort in ["next", "last"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page =
                rig.get(&format!("/tasks?sort={sort}&limit=2&cursor={cursor}")).await.expect(200);
            seen.extend(names(&page.body));
            let Some(next) = page.body["next_cursor"].as_str() else { break };
            next.clone_into(&mut cursor);
            // The next page is requested after all of these have changed.
            let before = rig.get("/tasks/t8").await.expect(200).body["totals"]["fired"].as_u64();
            let before = before.unwrap();
            let moved = move |got: &super::Got| {
                got.body["totals"]["fired"].as_u64().is_some_and(|fired| fired > before + 1)
            };
            rig.until("/api/v1/tasks/t8", moved).await;
        }
        let mut sorted = seen.clone();
        sorted.sort();
        let all: Vec<String> = (0..9).map(|n| format!("t{n}")).collect();
        assert_eq!(sorted, all, "{sort}: {seen:?}");
        if sort == "last" {
            assert_eq!(&seen[3..5], ["t1", "t3"], "{seen:?}");
        }
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_go_on_where_they_stopped() {
    let rig = ApiRig::start().await;
    for n in 0..7 {
        let at = json!({"at": format!("2099-01-0{}T00:00:00Z", 7 - n)});
        rig.make(&format!("task-{n}"), at, "ok").await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for _ in 0..4 {
        let page = rig.get(&format!("/tasks?limit=3&cursor={cursor}")).await.expect(200);
        seen.extend(names(&page.body));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, (0..7).map(|n| format!("task-{n}")).collect::<Vec<_>>());
    let first = rig.get("/tasks?sort=next&limit=5").await.expect(200);
    assert_eq!(names(&first.body), ["task-6", "task-5", "task-4", "task-3", "task-2"]);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = rig.get(&format!("/tasks?sort=next&limit=5&cursor={cursor}")).await.expect(200);
    assert_eq!(names(&rest.body), ["task-1", "task-0"]);
    assert_eq!(rest.body["next_cursor"], Value::Null);

    rig.post("/tasks/task-2/trigger", Value::Null).await.expect(201);
    let last = rig.get("/tasks?sort=last&limit=1").await.expect(200);
    assert_eq!(names(&last.body), ["task-2"]);
    let globbed = rig.get("/tasks?name=*-%5B0-3%5D").await.expect(200);
    assert!(names(&globbed.body).is_empty(), "only * and ? are special");
    assert_eq!(names(&rig.get("/tasks?name=t*-%3F&owner=n1&limit=1").await.body), ["task-0"]);

    let wanted = json!({"op": "delete", "names": ["task-0", "task-1", "nobody"]});
    let deleted = rig.post("/tasks/bulk", wanted).await.expect(200);
    let statuses: Vec<&Value> =
        deleted.body["items"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, [200, 200, 404]);
    assert_eq!(names(&rig.get("/tasks?deleted=true").await.body), ["task-0", "task-1"]);
    assert_eq!(names(&rig.get("/tasks").await.body).len(), 5);
    let triggered = json!({"op": "trigger", "names": ["task-3"], "parameters": {"a": 1}});
    let triggered = rig.post("/tasks/bulk", triggered).await.expect(200);
    let id = triggered.body["items"][0]["execution_id"].as_str().unwrap();
    let execution = rig.get(&format!("/executions/{id}")).await.expect(200);
    assert_eq!(execution.body["parameters"], json!({"a": 1}));
    rig.post("/admin/cleanup-all", json!({"cluster": "other"}))
        .await
        .refused(422, "wrong_cluster_name");
    assert_eq!(names(&rig.get("/tasks").await.body).len(), 5);
    rig.post("/admin/cleanup-all", json!({"cluster": "punctual"})).await.expect(200);
    assert!(names(&rig.get("/tasks").await.body).is_empty());
    assert!(names(&rig.get("/tasks?deleted=true").await.body).is_empty());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_take_several_names_patterns_and_labels() {
    let rig = ApiRig::start().await;
    for (name, team) in [("web-1", "web"), ("web-2", "web"), ("load", "data")] {
        let task = json!({"name": name, "schedule": yearly(), "action": ok(),
            "labels": {"team": team}});
        rig.post("/tasks", task).await.expect(201);
        for _ in 0..2 {
            rig.post(&format!("/tasks/{name}/trigger"), Value::Null).await.expect(201);
        }
    }
    for (query, found) in [
        ("name=load&name=web-1", vec!["load", "web-1"]),
        ("name=web-*&name=nobody", vec!["web-1", "web-2"]),
        ("name=l*&name=web-?&label=team=web", vec!["web-1", "web-2"]),
        ("name=nobody&name=x*", vec![]),
    ] {
        assert_eq!(names(&rig.get(&format!("/tasks?{query}")).await.body), found, "{query}");
    }
    let sorted = rig.get("/tasks?sort=last&name=load&name=web-1").await.expect(200);
    assert_eq!(names(&sorted.body), ["load", "web-1"], "the newest execution first");
    // Newest first: of load, of web-2, of web-1.
    for (query, found) in [
        ("task_id=load&task_id=web-1", vec!["load", "load", "web-1", "web-1"]),
        ("task_id=web-*", vec!["web-2", "web-2", "web-1", "web-1"]),
        ("label=team=data", vec!["load", "load"]),
        ("label=team&task_id=web-?&limit=3", vec!["web-2", "web-2", "web-1"]),
        ("label=team=data&task_id=web-1", vec![]),
        ("task_id=nobody", vec![]),
    ] {
        let list = rig.get(&format!("/executions?{query}")).await.expect(200).body;
        let items = list["items"].as_array().unwrap();
        let tasks: Vec<&str> = items.iter().map(|one| one["task"].as_str().unwrap()).collect();
        assert_eq!(tasks, found, "{query}");
    }
    let first = rig.get("/executions?task_id=load&task_id=web-1&limit=3").await.expect(200).body;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = format!("/executions?task_id=load&task_id=web-1&limit=3&cursor={cursor}");
    let rest = rig.get(&rest).await.expect(200).body;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next_cursor"], Value::Null);
    rig.stop().await;
}
