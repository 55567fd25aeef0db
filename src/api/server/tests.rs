//! Byte-level tests of connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::{HttpLimits, serve};

/// Upper bound of all waits in these tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough that only the limit under test takes effect.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(200);
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// The response is sent when the test opens the gate.
const WAIT: &str = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";

/// A server that responds to `/` at once and to `/wait` when `gate` permits.
struct ServerRig {
    address: SocketAddr,
    gate: Arc<Semaphore>,
    /// Number of requests that have reached the gate.
    came: watch::Sender<usize>,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
}

impl ServerRig {
    async fn start(limits: HttpLimits) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let (came, _) = watch::channel(0);
        let (waited, comes) = (Arc::clone(&gate), came.clone());
        let wait = move || {
            let (gate, came) = (Arc::clone(&waited), comes.clone());
            async move {
                came.send_modify(|came| *came += 1);
                gate.acquire().await.unwrap().forget();
                "done"
            }
        };
        let router = Router::new().route("/", get(|| async { "here" })).route("/wait", get(wait));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(serve(listener, router, stopped, limits));
        Self { address, gate, came, stop, served }
    }

    /// Waits until this number of requests has reached the gate.
    async fn came(&self, count: usize) {
        let mut came = self.came.subscribe();
        let came = came.wait_for(|came| *came == count);
        timeout(PATIENCE, came).await.expect("requests come in time").unwrap();
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a new connection and returns everything received until it is closed.
    async fn exchange(&self, bytes: &str) -> String {
        let mut stream = self.connect().await;
        // The server may close the connection before it has read everything.
        let _sent = stream.write_all(bytes.as_bytes()).await;
        rest(&mut stream).await
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        timeout(PATIENCE, self.served).await.expect("the server stops").unwrap();
    }
}

fn limits() -> HttpLimits {
    HttpLimits { connections: 100, head: LONG, idle: LONG, stalled: LONG }
}

/// Everything received until the connection is closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    read.expect("the connection is closed in time").expect("it is closed, not reset");
    String::from_utf8(bytes).unwrap()
}

/// Everything received up to and including a text.
async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(wanted) {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time");
        bytes.push(byte.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&bytes))));
    }
    String::from_utf8(bytes).unwrap()
}

/// Checks that the response is a problem with this status and code, and the last one of its
/// connection.
#[track_caller]
fn refused(answer: &str, status: u16, code: &str) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
    assert_eq!((&body["status"], &body["code"]), (&status.into(), &code.into()), "{answer}");
    let id = format!("x-request-id: {}", body["request_id"].as_str().unwrap());
    assert!(head.contains(&id), "{answer}");
    body
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let rig = ServerRig::start(HttpLimits { head: SHORT, ..limits() }).await;
    for begun in ["", "GET / HTTP/1.1\r\nHost: a\r\nX: "] {
        let mut stream = rig.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        refused(&rest(&mut stream).await, 408, "request_timeout");
    }
    // The same limit applies to the head of a later request. The earlier request was answered.
    let mut stream = rig.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    until(&mut stream, "here").await;
    stream.write_all(b"G").await.unwrap();
    refused(&rest(&mut stream).await, 408, "request_timeout");
    rig.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let rig = ServerRig::start(HttpLimits { head: LONG, idle: SHORT, ..limits() }).await;
    let mut busy = rig.connect().await;
    busy.write_all(WAIT.as_bytes()).await.unwrap();
    rig.came(1).await;
    for _ in 0..3 {
        let mut idle = rig.connect().await;
        idle.write_all(GET.as_bytes()).await.unwrap();
        let answer = rest(&mut idle).await;
        assert!(answer.ends_with("here"), "{answer}");
    }
    rig.gate.add_permits(1);
    until(&mut busy, "done").await;
    assert_eq!(rest(&mut busy).await, "");
    rig.stop().await;
}

#[tokio::test]
async fn a_full_server_closes_who_waits_longest_or_says_that_it_is_full() {
    let rig = ServerRig::start(HttpLimits { connections: 2, ..limits() }).await;
    let (mut first, mut second) = (rig.connect().await, rig.connect().await);
    for stream in [&mut first, &mut second] {
        stream.write_all(GET.as_bytes()).await.unwrap();
        until(stream, "here").await;
    }
    let mut third = rig.connect().await;
    third.write_all(WAIT.as_bytes()).await.unwrap();
    assert_eq!(rest(&mut first).await, "", "the longest idle one made room");
    second.write_all(WAIT.as_bytes()).await.unwrap();
    rig.came(2).await;
    let answer = rig.exchange(GET).await;
    let problem = refused(&answer, 503, "too_many_connections");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(problem["advice"].as_str().unwrap().contains("come again later"), "{answer}");
    rig.gate.add_permits(2);
    until(&mut second, "done").await;
    until(&mut third, "done").await;
    let mut last = rig.connect().await;
    last.write_all(GET.as_bytes()).await.unwrap();
    until(&mut last, "here").await;
    rig.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_a_body() {
    let rig = ServerRig::start(limits()).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(200));
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let good = GET.to_owned();
    for (sent, status, code) in [
        ("nonsense\r\n\r\n", 400, "bad_request"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400, "bad_request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, "bad_request"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            400,
            "bad_request",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
        (&long, 414, "uri_too_long"),
        (&many, 431, "headers_too_large"),
        (&large, 431, "headers_too_large"),
    ] {
        let answer = rig.exchange(sent).await;
        let problem = refused(&answer, status, code);
        assert!(problem["advice"].as_str().unwrap().len() > 20, "{answer}");
        // The same after a valid request on the same connection.
        let answer = rig.exchange(&(good.clone() + sent)).await;
        let (first, second) = answer.split_once("here").unwrap_or_else(|| panic!("{answer}"));
        assert!(first.starts_with("HTTP/1.1 200 OK"), "{answer}");
        refused(second, status, code);
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_request_names_one_host() {
    let rig = ServerRig::start(limits()).await;
    for (hosts, good) in [("", false), ("Host: a\r\nHost: a\r\n", false), ("Host: a\r\n", true)] {
        let answer =
            rig.exchange(&format!("GET / HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")).await;
        match good {
            true => assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}"),
            false => drop(refused(&answer, 400, "invalid_header")),
        }
    }
    let old = rig.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 OK"), "{old}");
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_answers_what_is_under_way() {
    let rig = ServerRig::start(limits()).await;
    let (mut idle, mut busy) = (rig.connect().await, rig.connect().await);
    idle.write_all(GET.as_bytes()).await.unwrap();
    until(&mut idle, "here").await;
    busy.write_all(WAIT.as_bytes()).await.unwrap();
    rig.came(1).await;
    rig.stop.send(true).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    rig.gate.add_permits(1);
    let answer = rest(&mut busy).await;
    assert!(answer.ends_with("done"), "{answer}");
    timeout(PATIENCE, rig.served).await.expect("the server stops").unwrap();
}
