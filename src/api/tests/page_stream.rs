//! The web page on the wire: what is told to which page, compression, long outputs.

use std::io::Read;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pages::{Browser, rig};
use super::{ApiRig, yearly};
use crate::exec::{Func, FuncContext};

/// A stream of changes.
struct Stream {
    response: reqwest::Response,
    read: String,
}

impl Stream {
    /// Of the page with this address. It is open when this returns.
    async fn open(rig: &ApiRig, path: &str) -> Self {
        let path: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        let url = format!("{}/live?path={path}", rig.base);
        let response = rig.client.get(url).header("accept-encoding", "gzip").send().await.unwrap();
        let mut stream = Self { response, read: String::new() };
        stream.until("event: ready", 1).await;
        stream
    }

    /// Reads until it has told something so many times.
    async fn until(&mut self, what: &str, times: usize) {
        while self.read.matches(what).count() < times {
            let next = tokio::time::timeout(super::PATIENCE, self.response.chunk()).await;
            let bytes = next.expect("it is told in time").unwrap().expect("it goes on");
            self.read.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn changes(&self) -> usize {
        self.read.matches("event: changed").count()
    }
}

#[tokio::test]
async fn a_page_is_told_of_what_it_shows_and_of_nothing_else() {
    let rig = rig().await;
    rig.make("other", yearly(), "ok").await;
    let mut task = Stream::open(&rig, "/tasks/a%40b%2Bc").await;
    let mut nodes = Stream::open(&rig, "/nodes").await;
    let mut other = Stream::open(&rig, "/tasks/other").await;
    let mut list = Stream::open(&rig, "/tasks").await;
    // The page of the other task is told twice, so that a wrong one of the first would have come.
    for (time, action) in [(1, "pause"), (2, "resume")] {
        rig.post(&format!("/tasks/other/{action}"), json!({})).await.expect(200);
        other.until("event: changed", time).await;
    }
    list.until("event: changed", 1).await;
    rig.post("/tasks/a%40b%2Bc/pause", json!({})).await.expect(200);
    task.until("event: changed", 1).await;
    rig.post("/nodes/1/drain", Value::Null).await.expect(200);
    nodes.until("event: changed", 1).await;
    assert_eq!((task.changes(), nodes.changes()), (1, 1));
    rig.stop().await;
}

#[tokio::test]
async fn the_page_of_an_execution_is_told_what_is_printed_and_that_it_ended() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let waits: Func = Arc::new(move |_context: FuncContext| {
        let mut wait = wait.clone();
        Box::pin(async move {
            let _gone = wait.wait_for(|go| *go).await;
            Ok("done\n".to_owned())
        })
    });
    let rig = ApiRig::having(&[], [("waits", waits)]).await;
    rig.make("waits", yearly(), "waits").await;
    let made = rig.post("/tasks/waits/trigger", Value::Null).await.expect(201);
    let path = format!("/executions/{}", made.body["id"].as_str().unwrap());
    rig.until(&format!("/api/v1{path}"), |got| got.body["status"] == "running").await;
    let mut stream = Stream::open(&rig, &path).await;
    go.send(true).unwrap();
    stream.until("event: changed", 1).await;
    let seen = Browser::new(&rig).get(&path).await.expect(200);
    assert!(seen.html.contains("done") && !seen.html.contains("Follow\" checked"), "{}", seen.html);
    rig.stop().await;
}

#[tokio::test]
async fn pages_and_files_are_compressed_for_those_who_take_it_and_streams_are_not() {
    let rig = rig().await;
    let ask = async |path: &str, accepted: &'static str| {
        let request = rig.client.get(format!("{}{path}", rig.base));
        let request = request.header("accept", "text/html").header("accept-encoding", accepted);
        request.send().await.unwrap()
    };
    let plain = ask("/", "identity").await;
    assert!(plain.headers().get("content-encoding").is_none());
    assert_eq!(plain.headers()["vary"], "accept-encoding");
    let plain = plain.text().await.unwrap();
    let css = plain.split("href=\"/assets/page-").nth(1).unwrap().split('"').next().unwrap();
    for path in ["/", "/tasks", &format!("/assets/page-{css}")] {
        let packed = ask(path, "br, gzip").await;
        assert_eq!(packed.headers()["content-encoding"], "gzip", "{path}");
        let bytes = packed.bytes().await.unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        assert!(text.contains("</html>") || text.contains("--accent"), "{path}: {text}");
        assert!(bytes.len() * 2 < text.len(), "{path}: {} of {}", bytes.len(), text.len());
    }
    for path in ["/live", "/api/v1/events?follow=true", "/api/v1/tasks"] {
        let raw = ask(path, "gzip").await.error_for_status().unwrap();
        assert!(raw.headers().get("content-encoding").is_none(), "{path}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_token_looks_different_each_time_and_is_accepted() {
    let rig = rig().await;
    let mut browser = Browser::new(&rig);
    let tokens = [browser.get("/").await.field("token"), browser.get("/").await.field("token")];
    assert_ne!(tokens[0], tokens[1]);
    for token in &tokens {
        let path = "/tasks/a%40b%2Bc/pause";
        browser.post(path, &[("token", token)]).await.expect(303);
    }
    // The cookie itself, the token of a mask, and half of each are none.
    let cookie = browser.cookie("punctual_form");
    let mixed = format!("{}{}", &tokens[0][..32], &tokens[1][32..]);
    for wrong in [&*cookie, &mixed, &tokens[0][..32], &tokens[0][32..]] {
        browser.post("/tasks/a%40b%2Bc/resume", &[("token", wrong)]).await.expect(403);
    }
    assert_eq!(rig.get("/tasks/a%40b%2Bc").await.body["state"], "paused");
    rig.stop().await;
}

/// Prints far more than a page shows, and fails the first time.
fn long() -> Func {
    Arc::new(move |context: FuncContext| {
        Box::pin(async move {
            let attempt = context.attempt.attempt;
            let lines = (1..=10_000).map(|line| format!("line {line} of attempt {attempt}\n"));
            let text: String = lines.collect();
            if attempt == 1 { Err(text) } else { Ok(text) }
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_long_output_the_end_is_shown_and_the_rest_is_found() {
    let rig = ApiRig::having(&[], [("long", long())]).await;
    let body = json!({"name": "long", "schedule": yearly(), "action": {"func": {"id": "long"}},
        "retry": {"max_retry": 1, "delay": "0s"}});
    rig.post("/tasks", body).await.expect(201);
    let made = rig.post("/tasks/long/trigger", Value::Null).await.expect(201);
    let path = format!("/executions/{}", made.body["id"].as_str().unwrap());
    rig.until(&format!("/api/v1{path}"), |got| got.body["status"] == "success").await;
    rig.context.exec.flush().await;
    let mut browser = Browser::new(&rig);
    let seen = browser.get(&path).await.expect(200);
    let html = &seen.html;
    assert!(html.contains("line 10000 of attempt 2") && !html.contains("line 5000 of"), "{html}");
    assert!(html.contains("Only the end") && html.len() < 100 << 10, "{}", html.len());
    assert!(html.contains("?attempt=1#printed"), "{html}");
    let first = browser.get(&format!("{path}?attempt=1")).await.expect(200).html;
    assert!(first.contains("Output of attempt 1") && first.contains("0 of attempt 1"), "{first}");
    assert!(!first.contains("of attempt 2\n"), "{first}");
    let found = browser.get(&format!("{path}?find=LINE+77")).await.expect(200).html;
    assert!(found.contains("<span class=\"no\">    77  </span>"), "{found}");
    assert!(found.contains("<mark>line 77</mark>00 of attempt 2"), "{found}");
    assert!(found.contains("Lines with this text: 111."), "{found}");
    let none = browser.get(&format!("{path}?attempt=1&find=attempt+2")).await.expect(200).html;
    assert!(none.contains("Lines with this text: 0."), "{none}");
    let gone = browser.get(&format!("{path}?attempt=3")).await.expect(200).html;
    assert!(gone.contains("there was no such attempt"), "{gone}");
    browser.get(&format!("{path}?attempt=x")).await.expect(422);
    let file = browser.get(&format!("{path}/output?attempt=1")).await.expect(200).html;
    assert!(
        file.starts_with("line 1 of attempt 1\n") && file.ends_with("line 10000 of attempt 1\n")
    );
    rig.stop().await;
}
