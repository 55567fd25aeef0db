//! Events, read over the death of the node that tells them, without gap or repeat.

use std::process::Stdio;

use cluster_tests::{
    Api, ClusterOptions, LIMIT, OpenStream, ProcessCluster, StreamedEvent, TestResult,
    node_program, run, shell, text, until,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const EVENTS: &str = "/api/v1/events";

/// The newest event that a node tells.
async fn newest(api: &Api) -> TestResult<u64> {
    let mut stream = api.follow(&format!("{EVENTS}?last=1&follow=false"), None).await?;
    let event = stream.next().await?.ok_or("there are no events")?;
    Ok(event.id.parse()?)
}

/// Waits until a node has told so many values of the counter more.
async fn later(api: &Api, id: u64, more: u64) -> TestResult<u64> {
    until("more to happen", async || match newest(api).await? {
        now if now >= id + more => Ok(now),
        now => Err(format!("the newest event is {now}").into()),
    })
    .await
}

/// A reader, and the data of what it was told.
struct ClusterReader {
    stream: OpenStream,
    last: u64,
    told: Vec<Value>,
    leaders: Vec<Value>,
}

impl ClusterReader {
    async fn open(api: &Api, last: u64) -> TestResult<Self> {
        let stream = api.follow(EVENTS, Some(&last.to_string())).await?;
        Ok(Self { stream, last, told: Vec::new(), leaders: Vec::new() })
    }

    fn take(&mut self, event: StreamedEvent) -> TestResult<()> {
        match event.name.as_str() {
            "reset" => return Err(format!("events after {} are gone", self.last).into()),
            "leader.changed" => {
                assert_eq!((event.id.as_str(), &event.data["id"]), ("", &Value::Null));
                self.leaders.push(event.data["object"]["leader"].clone());
            }
            _ => {
                assert_eq!(text(&event.data, "id"), event.id);
                self.last = event.id.parse()?;
                self.told.push(event.data);
            }
        }
        Ok(())
    }

    async fn up_to(&mut self, id: u64) -> TestResult<()> {
        while self.last < id {
            let event = self.stream.next().await?.ok_or("the stream ended")?;
            self.take(event)?;
        }
        Ok(())
    }

    /// Goes on at another node.
    async fn move_to(&mut self, api: &Api) -> TestResult<()> {
        while let Ok(Some(event)) = self.stream.next().await {
            self.take(event)?;
        }
        self.stream = api.follow(EVENTS, Some(&self.last.to_string())).await?;
        Ok(())
    }
}

/// `punctual events --follow` in a terminal.
struct EventsTerminal {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    last: u64,
    told: Vec<Value>,
}

impl EventsTerminal {
    fn open(servers: &str, last: u64) -> TestResult<Self> {
        let mut process = Command::new(node_program()?)
            .args(["--server", servers, "-o", "json", "events", "--follow"])
            .args(["--after", &last.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no output")?;
        Ok(Self { process, lines: BufReader::new(stdout).lines(), last, told: Vec::new() })
    }

    async fn up_to(&mut self, id: u64) -> TestResult<()> {
        while self.last < id {
            let line = timeout(LIMIT, self.lines.next_line()).await??.ok_or("it ended")?;
            let event: Value = serde_json::from_str(&line)?;
            if text(&event, "kind") != "leader.changed" {
                self.last = text(&event, "id").parse()?;
                self.told.push(event);
            }
        }
        Ok(())
    }

    /// What it said on standard error.
    async fn end(mut self) -> TestResult<String> {
        self.process.kill().await?;
        let mut said = String::new();
        let mut stderr = self.process.stderr.take().ok_or("no standard error")?;
        stderr.read_to_string(&mut said).await?;
        Ok(said)
    }
}

#[tokio::test]
async fn events_go_on_at_another_node_without_gap_or_repeat() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let tasks: Vec<Value> = (0..8)
        .map(|number| {
            let (name, action) = (format!("t-{number}"), shell("true"));
            json!({"name": name, "schedule": {"interval": "500ms"}, "action": action})
        })
        .collect();
    cluster.add(1, &tasks).await?;
    // The node that both readers read from leads; one of the others is left alone.
    let first = cluster.leader().await?;
    let others: Vec<u8> = cluster.numbers().filter(|number| *number != first).collect();
    let (second, alone) = (others[0], cluster.api(others[1]));
    let [one, two] = [first, second].map(|number| cluster.api(number));

    let begin = newest(&alone).await?;
    let mut witness = ClusterReader::open(&alone, begin).await?;
    let mut reader = ClusterReader::open(&one, begin).await?;
    let mut terminal = EventsTerminal::open(&format!("{},{}", one.base(), two.base()), begin)?;
    assert_eq!(one.metric("punctual_http_event_readers").await?, 1.0, "and one to come");
    let mut seen = begin;
    for (victim, next) in [(first, &two), (second, &one)] {
        seen = later(&alone, seen, 60).await?;
        terminal.up_to(seen).await?;
        reader.up_to(seen).await?;
        cluster.kill9(victim)?;
        reader.move_to(next).await?;
        seen = later(&alone, seen, 60).await?;
        terminal.up_to(seen).await?;
        reader.up_to(seen).await?;
        cluster.start_node(victim)?;
        cluster.ready(victim).await?;
    }
    alone.post("/api/v1/scheduler/stop", &json!({})).await?;
    // What was pending is held, and tells nothing more.
    alone.none_runs().await?;
    let end = newest(&alone).await?;
    witness.up_to(end).await?;
    reader.up_to(end).await?;
    terminal.up_to(end).await?;

    assert!(witness.told.len() > 100, "{} events", witness.told.len());
    assert_eq!(reader.told, witness.told, "the one that was moved, and the one that was not");
    assert_eq!(terminal.told, witness.told, "the command, and the reader that was left alone");
    // The former leader may lead again once it is back, but another one comes first.
    let next = witness.leaders.iter().find(|leader| !leader.is_null());
    let named = |number: u8| Some(&json!(format!("n{number}"))) == next;
    assert!(others.iter().any(|other| named(*other)), "{:?}", witness.leaders);
    assert_eq!(terminal.end().await?, "");

    // Without --follow: the newest, in words, from any node.
    let server = ["--server", two.base(), "events", "-n", "5", "--kinds", "scheduler.changed"];
    let shown = run(&server).await?;
    assert!(
        shown.stdout.trim_end().ends_with("scheduler: stopped, strategy consistent"),
        "{shown:?}"
    );
    assert_eq!((shown.stdout.lines().count(), shown.code), (2, Some(0)), "{shown:?}");
    cluster.finish().await
}
