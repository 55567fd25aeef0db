//! Output: of all attempts, followed from before the beginning, gone.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, function, yearly};
use crate::exec::{Func, FuncContext};

/// `long` prints more than a record holds, and fails the first time.
fn long() -> Func {
    Arc::new(move |context: FuncContext| {
        Box::pin(async move {
            let attempt = context.attempt.attempt;
            let text = format!("attempt {attempt}\n{}", "line\n".repeat(1_000));
            if attempt == 1 { Err(text) } else { Ok(text) }
        })
    })
}

async fn rig() -> ApiRig {
    ApiRig::having(&[], [("long", long()), ("slow", function("slow"))]).await
}

/// The names of the events of a stream.
fn events(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_attempts_are_read_and_a_stream_begins_before_them() {
    let rig = rig().await;
    let body = json!({"name": "long", "schedule": yearly(), "action": {"func": {"id": "long"}},
        "execution_mode": "sequential", "retry": {"max_retry": 1, "delay": "0s"}});
    rig.post("/tasks", body).await.expect(201);
    // A node that gives its tasks away takes no execution, so this one waits.
    rig.post("/nodes/1/drain", Value::Null).await.expect(200);
    let made = rig.post("/tasks/long/trigger", Value::Null).await.expect(201);
    let path = format!("/executions/{}/output", made.body["id"].as_str().unwrap());
    let url = format!("{}/api/v1{path}?follow=true", rig.base);
    let stream = rig.client.get(url).send().await.unwrap();
    rig.post("/nodes/1/undrain", Value::Null).await.expect(200);
    let text = tokio::time::timeout(super::PATIENCE, stream.text()).await;
    let text = text.expect("the stream ends").unwrap();
    let mut told = events(&text);
    told.dedup();
    assert_eq!(told, ["attempt", "output", "attempt", "output", "end"], "{text}");
    for attempt in [1, 2] {
        let whole = format!("attempt {attempt}\n{}", "line\n".repeat(1_000));
        let read = rig.get(&format!("{path}?attempt={attempt}")).await.expect(200);
        assert_eq!((read.text.as_str(), read.header("punctual-output-kept")), (&*whole, "true"));
        assert!(text.contains(&format!("id: {attempt}-{}\n", whole.len())), "{text}");
    }
    // A place: an attempt and a byte of it.
    let rest = rig.get(&format!("{path}?follow=true&attempt=2&from=5000")).await.expect(200);
    assert_eq!(events(&rest.text), ["output", "end"], "{}", rest.text);
    assert!(rest.text.contains("\"text\":\"line\\nline\\n"), "{}", rest.text);
    rig.get(&format!("{path}?follow=true&attempt=3")).await.refused(404, "attempt_not_found");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_is_said() {
    let rig = rig().await;
    let body = json!({"name": "long", "schedule": yearly(), "action": {"func": {"id": "long"}},
        "retry": {"max_retry": 1, "delay": "0s"}});
    rig.post("/tasks", body).await.expect(201);
    let made = rig.post("/tasks/long/trigger", Value::Null).await.expect(201);
    let id = made.body["id"].as_str().unwrap();
    rig.until(&format!("/api/v1/executions/{id}"), |got| got.body["status"] == "success").await;
    rig.context.exec.flush().await;
    for attempt in [1, 2] {
        let kept = rig._folder.path().join("data/output").join(format!("{id}.{attempt}.log"));
        std::fs::remove_file(kept).unwrap();
    }
    let path = format!("/executions/{id}/output");
    // Of the newest attempt the record has the end.
    let tail = rig.get(&path).await.expect(200);
    assert_eq!((tail.text.len(), tail.header("punctual-output-kept")), (1_024, "false"));
    rig.get(&format!("{path}?from=7")).await.refused(410, "output_gone");
    rig.get(&format!("{path}?attempt=1")).await.refused(410, "output_gone");
    let told = rig.get(&format!("{path}?follow=true")).await.expect(200).text;
    assert_eq!(events(&told), ["attempt", "gone", "attempt", "gone", "end"], "{told}");
    assert!(told.contains("\"code\":\"output_gone\"") && told.contains("\"tail\":\"ine"), "{told}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_executions_of_a_task_are_told_as_they_are_created() {
    let rig = rig().await;
    rig.make("slow", yearly(), "slow").await;
    let first = rig.post("/tasks/slow/trigger", Value::Null).await.expect(201).body["id"].clone();
    let url = format!("{}/api/v1/tasks/slow/executions/new", rig.base);
    let mut stream = rig.client.get(&url).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let second = rig.post("/tasks/slow/trigger", Value::Null).await.expect(201).body["id"].clone();
    let ids = [&first, &second].map(|id| format!("id: {}\n", id.as_str().unwrap()));
    let mut text = String::new();
    while !ids.iter().all(|id| text.contains(id)) {
        let chunk = tokio::time::timeout(super::PATIENCE, stream.chunk()).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().expect("it goes on")).unwrap());
    }
    // From an execution on.
    let last = [("last-event-id", first.as_str().unwrap())];
    let resumed = rig.client.get(&url).header(last[0].0, last[0].1).send().await.unwrap();
    drop(stream);
    // It ends with its task.
    rig.call(Method::DELETE, "/tasks/slow?stop=true&cleanup=true", Value::Null, &[])
        .await
        .expect(200);
    let rest = tokio::time::timeout(super::PATIENCE, resumed.text()).await.unwrap().unwrap();
    assert!(rest.contains(&ids[1]) && !rest.contains(&ids[0]), "{rest}");
    let bad = rig.get("/tasks/slow/executions/new").await;
    bad.refused(404, "task_not_found");
    rig.stop().await;
}
