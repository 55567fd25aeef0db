//! The stream of events: what is told, to whom, from where on, and what readers cost.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{ApiRig, PATIENCE, config, ok, yearly};
use crate::api::{self, HttpLimits};
use crate::budget::Budget;
use crate::consensus::Replica;
use crate::domain::ids::NodeId;
use crate::domain::machine::command::{NodeLiveness, NodeUp, OfNode};
use crate::domain::machine::record::Liveness;
use crate::domain::machine::{Answer, Command, EventKind};

/// An event as a reader gets it.
#[derive(Clone, Debug, PartialEq)]
struct ReadEvent {
    id: Option<u64>,
    kind: String,
    data: Value,
}

/// A reader of events.
struct WatchingReader {
    response: Response,
    received: String,
    /// Where it would go on.
    place: u64,
}

impl WatchingReader {
    /// The next event; none: the stream has ended.
    async fn next(&mut self) -> Option<ReadEvent> {
        loop {
            if let Some(end) = self.received.find("\n\n") {
                let block: String = self.received.drain(..end + 2).collect();
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                let id = field("id").map(|id| id.parse().unwrap());
                self.place = id.unwrap_or(self.place);
                if let Some(kind) = field("event") {
                    let data: Value = serde_json::from_str(field("data").unwrap()).unwrap();
                    assert_eq!(data["kind"], kind);
                    assert_eq!(data["id"], id.map_or(Value::Null, |id| json!(id.to_string())));
                    return Some(ReadEvent { id, kind: kind.to_owned(), data });
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("news in time");
            self.received.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    /// The events up to and including the first one of a kind.
    async fn up_to(&mut self, kind: &str) -> Vec<ReadEvent> {
        let mut events = Vec::new();
        while events.last().is_none_or(|last: &ReadEvent| last.kind != kind) {
            events.push(self.next().await.expect("more comes"));
        }
        events
    }

    /// All events to the end of the stream.
    async fn rest(&mut self) -> Vec<ReadEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

impl ApiRig {
    fn replica(&self) -> &Replica {
        self.context.running.get().unwrap().consensus.replica()
    }

    async fn reader(&self, query: &str, headers: &[(&str, &str)]) -> WatchingReader {
        let mut request = self.client.get(format!("{}/api/v1/events{query}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let kind = |headers: &HeaderMap| headers["content-type"].to_str().unwrap().to_owned();
        assert_eq!(response.status(), 200);
        assert_eq!(kind(response.headers()), "text/event-stream");
        WatchingReader { response, received: String::new(), place: 0 }
    }

    /// All that happened, for readers with this query.
    async fn told(&self, query: &str) -> Vec<ReadEvent> {
        self.reader(&format!("?after=0&follow=false{query}"), &[]).await.rest().await
    }

    fn readers(&self) -> i64 {
        self.context.metrics.http_event_readers.get()
    }

    /// What is hard to reach with one node: another one comes, is silent and goes.
    async fn pass_by(&self) {
        let own = self.replica().read().nodes().next().unwrap().info.clone();
        let node = NodeId::new(2, 1);
        let up = Command::NodeUp(Box::new(NodeUp { node, boot: 7, info: own }));
        let Ok(Answer::Session(session)) = self.context.submit(&up, None).await.unwrap() else {
            panic!("no session");
        };
        let down = NodeLiveness { node, session, liveness: Liveness::Down };
        for command in [Command::NodeLiveness(down), Command::NodeRemove(OfNode { node })] {
            self.context.submit(&command, None).await.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_event_is_told_with_what_changed() {
    let rig = ApiRig::start().await;
    let mut reader = rig.reader("?after=0", &[]).await;
    rig.make("a", yearly(), "ok").await;
    rig.post("/tasks/a/trigger", Value::Null).await.expect(201);
    let ended = loop {
        let events = reader.up_to("execution.changed").await;
        let last = events.last().unwrap().clone();
        if last.data["object"]["status"] == "success" {
            break last;
        }
    };
    assert_eq!(ended.data["object"]["task"], "a");
    for verb in ["pause", "resume", "cancel"] {
        rig.post(&format!("/tasks/a/{verb}"), Value::Null).await.expect(200);
    }
    rig.call(Method::DELETE, "/tasks/a", Value::Null, &[]).await.expect(200);
    for verb in ["reuse", "cleanup"] {
        rig.post(&format!("/tasks/a/{verb}"), Value::Null).await.expect(200);
    }
    rig.make("once", json!({"immediate": true}), "ok").await;
    reader.up_to("task.completed").await;
    let always = json!({"rules": [{"weekdays": ["sat", "sun"]}]});
    rig.call(Method::PUT, "/calendars/c", always, &[]).await.expect(201);
    rig.call(Method::DELETE, "/calendars/c", Value::Null, &[]).await.expect(200);
    let executor = json!({"name": "w", "instance_id": "e-1", "base_url": "http://127.0.0.1:9"});
    rig.post("/executors/register", executor).await.expect(201);
    rig.call(Method::DELETE, "/executors/e-1", Value::Null, &[]).await.expect(200);
    for verb in ["stop", "start"] {
        rig.post(&format!("/scheduler/{verb}"), Value::Null).await.expect(200);
    }
    rig.post("/nodes/1/drain", Value::Null).await.expect(200);
    rig.pass_by().await;

    let all = rig.told("").await;
    let kinds: BTreeSet<&str> = all.iter().map(|event| event.kind.as_str()).collect();
    let wanted: BTreeSet<&str> = EventKind::ALL.iter().map(|kind| kind.word()).collect();
    assert_eq!(kinds, wanted);
    assert!(all.is_sorted_by(|one, next| one.id < next.id));
    let objects = |kind: &str| -> Vec<Value> {
        let events = all.iter().filter(|event| event.kind == kind);
        events.map(|event| event.data["object"].clone()).collect()
    };
    assert_eq!(objects("task.cleaned"), [json!({"task": "a"})]);
    assert_eq!(objects("calendar.deleted"), [json!({"calendar": "c"})]);
    let executors =
        ["online", "removed"].map(|status| json!({"executor": "e-1", "status": status}));
    assert_eq!(objects("executor.changed"), executors);
    let scheduler =
        [true, false, true].map(|started| json!({"started": started, "strategy": "consistent"}));
    assert_eq!(objects("scheduler.changed"), scheduler);
    let node = |node: &str, state: &str, intent: &str| json!({"node": node, "state": state, "intent": intent});
    assert!(objects("node.changed").contains(&node("n1", "working", "draining")));
    assert_eq!(objects("node.gone"), [node("n2", "down", "none")]);
    let at = all[0].data["at"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.len() == 24, "{at}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_gets_what_it_asks_for_from_where_it_asks() {
    let rig = ApiRig::start().await;
    for name in ["a", "b"] {
        rig.make(name, yearly(), "ok").await;
        rig.post(&format!("/tasks/{name}/pause"), Value::Null).await.expect(200);
        rig.call(Method::DELETE, &format!("/tasks/{name}?cleanup=true"), Value::Null, &[])
            .await
            .expect(200);
    }
    let kinds = |events: &[ReadEvent]| -> Vec<String> {
        events.iter().map(|event| event.kind.clone()).collect()
    };
    // A task that is gone still has its events.
    let about = rig.told("&task=a").await;
    assert_eq!(kinds(&about), ["task.put", "task.paused", "task.cleaned"]);
    assert_eq!(rig.told("&task=a&task=b").await.len(), 6);
    assert_eq!(rig.told("&kinds=task.paused,node.gone").await.len(), 2);
    let both = rig.told("&kinds=task.paused,task.cleaned&task=b").await;
    assert_eq!(kinds(&both), ["task.paused", "task.cleaned"]);
    assert_eq!(rig.told("&task=nobody").await, []);
    // The newest of those that it wants.
    let last = rig.reader("?last=1&follow=false&kinds=task.paused", &[]).await.rest().await;
    assert_eq!(last, both[..1]);
    let many = rig.reader("?last=1000&follow=false", &[]).await.rest().await;
    assert_eq!(many, rig.told("").await);
    // The header counts, since a reader that comes back sends its first query again.
    let id = about[0].id.unwrap().to_string();
    let rest = rig.reader("?after=0&task=a&follow=false", &[("last-event-id", &id)]).await;
    assert_eq!({ rest }.rest().await, about[1..]);
    // Without a place, from now on; and a reader that was told nothing knows its place.
    let mut now = rig.reader("?task=c", &[]).await;
    rig.make("b", yearly(), "ok").await;
    rig.make("c", yearly(), "ok").await;
    assert_eq!(kinds(&now.up_to("task.put").await), ["task.put"]);
    let mut quiet = rig.reader("?kinds=node.gone&follow=false", &[]).await;
    assert_eq!(quiet.rest().await, []);
    assert_eq!(quiet.place, rig.replica().newest_event().0);

    for (query, pointer) in [
        ("?kinds=task.put,task.lost", "?kinds"),
        ("?kinds=", "?kinds"),
        ("?after=x", "?after"),
        ("?after=-1", "?after"),
        ("?after=18446744073709551616", "?after"),
        ("?last=0", "?last"),
        ("?after=1&last=1", "?last"),
        ("?follow=no", "?follow"),
    ] {
        let bad = rig.get(&format!("/events{query}")).await.refused(422, "invalid_parameter");
        assert_eq!(bad.body["errors"][0]["pointer"], pointer, "{}", bad.text);
    }
    let bad = rig.call(Method::GET, "/events", Value::Null, &[("last-event-id", "1-2")]).await;
    let bad = bad.refused(422, "invalid_parameter");
    assert_eq!(bad.body["errors"][0]["pointer"], "Last-Event-ID", "{}", bad.text);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_ahead_is_waited_for_and_then_refused() {
    let rig = ApiRig::start().await;
    let ahead = rig.replica().newest_event().0 + 1;
    let place = ahead.to_string();
    let place = [("last-event-id", place.as_str())];
    let (mut reader, _) =
        tokio::join!(rig.reader("", &place), async { rig.make("a", yearly(), "ok").await });
    rig.post("/tasks/a/pause", Value::Null).await.expect(200);
    let events = reader.up_to("task.paused").await;
    assert!(events.iter().all(|event| event.id > Some(ahead)), "{events:?}");
    let begun = Instant::now();
    let far = rig.get("/events?after=1000000000000").await.refused(503, "event_not_reached");
    assert!(begun.elapsed() >= Duration::from_secs(5), "it waits: {}", far.text);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_from_before_a_checkpoint_is_reset_and_goes_on() {
    let more = [("raft.snapshot_every", "5".to_owned())];
    let rig = ApiRig::with(&more).await;
    for number in 0..10 {
        rig.make(&format!("t-{number}"), yearly(), "ok").await;
    }
    while rig.context.running.get().unwrap().consensus.status().checkpoint == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    let ApiRig { stop, node, _folder: folder, .. } = rig;
    stop.send(()).unwrap();
    timeout(PATIENCE, node).await.unwrap().unwrap().unwrap();
    // Parts of the former node are still in this process, so the next one gets a copy of its data.
    let copy = tempfile::tempdir().unwrap();
    let mut cp = std::process::Command::new("cp");
    cp.arg("-r").arg(folder.path().join("data")).arg(copy.path());
    assert!(cp.status().unwrap().success());
    let rig = ApiRig::of::<0>(config(&copy, &more), copy, []).await;
    // Whatever it asks for, it is told.
    let mut reader = rig.reader("?after=1&kinds=task.paused", &[]).await;
    let reset = reader.next().await.unwrap();
    assert_eq!((reset.kind.as_str(), &reset.data["object"]), ("reset", &json!({})));
    rig.post("/tasks/t-1/pause", Value::Null).await.expect(200);
    let live = reader.next().await.unwrap();
    assert_eq!((live.kind.as_str(), live.id > reset.id), ("task.paused", true));
    let id = reset.id.unwrap().to_string();
    let again = rig.reader("?follow=false&kinds=task.paused", &[("last-event-id", &id)]).await;
    assert_eq!({ again }.rest().await, [live], "it goes on from the reset");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_is_cut_and_holds_up_nobody() {
    let rig = ApiRig::start().await;
    let names: Vec<String> = (0..500).map(|number| format!("t-{number}")).collect();
    let task = |name: &String| json!({"name": name, "schedule": yearly(), "action": ok()});
    let items: Vec<Value> = names.iter().map(task).collect();
    rig.post("/tasks/batch", json!({"items": items})).await.expect(200);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let limits = HttpLimits { stalled: Duration::from_millis(500), ..HttpLimits::default() };
    let router = api::router(std::sync::Arc::clone(&rig.context));
    let served = tokio::spawn(api::serve(listener, router, stopped, limits));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stuck = socket.connect(address).await.unwrap();
    stuck.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut other = rig.reader("?kinds=task.paused", &[]).await;
    while rig.readers() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    while rig.readers() == 2 {
        assert!(begun.elapsed() < PATIENCE, "it is cut");
        for op in ["pause", "resume"] {
            rig.post("/tasks/bulk", json!({"op": op, "names": names})).await.expect(200);
        }
        for _ in &names {
            assert_eq!(other.next().await.unwrap().kind, "task.paused");
        }
    }
    drop(stuck);
    stop.send(true).unwrap();
    served.await.unwrap();
    rig.stop().await;
    assert_eq!(other.rest().await, [], "it ends with its node");
}

/// Reads until it has this text.
async fn until(stream: &mut TcpStream, wanted: &str) {
    let mut received = Vec::new();
    let mut bytes = [0; 4_096];
    while !String::from_utf8_lossy(&received).contains(wanted) {
        let count = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time").unwrap();
        assert!(count > 0, "it ended: {}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&bytes[..count]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_are_all_told() {
    const READERS: usize = 1_000;
    if Budget::of_process().connections < READERS + 50 || Budget::of_process().files < 4_000 {
        return crate::skip::skipped("a process may not have 4,000 open files");
    }
    let rig = ApiRig::start().await;
    let address = rig.base.trim_start_matches("http://").to_owned();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = TcpStream::connect(&address).await.unwrap();
        let head = "GET /api/v1/events?task=news HTTP/1.1\r\nHost: localhost\r\n\r\n";
        reader.write_all(head.as_bytes()).await.unwrap();
        readers.push(reader);
    }
    for reader in &mut readers {
        until(reader, "\nid: ").await;
    }
    assert_eq!(rig.readers(), READERS as i64);
    let begun = Instant::now();
    rig.make("news", yearly(), "ok").await;
    for reader in &mut readers {
        until(reader, "event: task.put").await;
    }
    println!("{READERS} readers were told after {:?}", begun.elapsed());
    drop(readers);
    while rig.readers() > 0 {
        sleep(Duration::from_millis(5)).await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_are_bounded_and_free_their_place() {
    let rig = ApiRig::with(&[("http.event_readers", "2".to_owned())]).await;
    let (first, second) = (rig.reader("", &[]).await, rig.reader("", &[]).await);
    let full = rig.get("/events").await.refused(503, "too_many_streams");
    assert!(full.body["detail"].as_str().unwrap().contains("http.event_readers"), "{}", full.text);
    assert!(full.body["advice"].as_str().unwrap().contains("http.event_readers"), "{}", full.text);
    // A request that is refused takes no place, and streams of output have places of their own.
    assert_eq!(rig.readers(), 2);
    assert_eq!(rig.context.metrics.http_streams.get(), 0);
    drop(first);
    rig.until("/api/v1/events?follow=false", |got| got.status == 200).await;
    drop(second);
    rig.stop().await;
}
