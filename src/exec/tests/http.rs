//! HTTP requests: their content, the meaning of answers, forbidden targets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{any, post};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::domain::task::HttpAction;

/// The requests that the server received.
pub(super) type ReceivedRequests = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

pub(super) async fn serve() -> (SocketAddr, ReceivedRequests) {
    let seen = ReceivedRequests::default();
    let record = Arc::clone(&seen);
    let router = Router::new()
        .route("/ok", any(|| async { "fine" }))
        .route("/bad", post(|| async { (StatusCode::SERVICE_UNAVAILABLE, "not now") }))
        .route("/away", post(|| async { (StatusCode::FOUND, [(header::LOCATION, "/ok")]) }))
        .route("/slow", post(std::future::pending::<Response>))
        .layer(axum::middleware::from_fn(move |request: Request, next: axum::middleware::Next| {
            let record = Arc::clone(&record);
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let line = format!("{} {}", parts.method, parts.uri);
                record.lock().push((line, parts.headers.clone(), body.clone()));
                next.run(Request::from_parts(parts, Body::from(body))).await
            }
        }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

/// A server that reads a request's head, sends these bytes and closes the connection.
pub(super) async fn rude(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _from)) = listener.accept().await {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

/// A server whose response does not end.
async fn endless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _from) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'z'; 8_192]).await.is_ok() {}
    });
    address
}

/// Reads a request's head. Empty if the peer closes the connection before it.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return Vec::new();
        }
    }
    head
}

pub(super) fn request(address: SocketAddr, method: &str, path: &str) -> HttpAction {
    HttpAction {
        url: format!("http://{address}{path}"),
        method: method.to_owned(),
        headers: BTreeMap::new(),
        body: None,
        expect_status: vec![(200, 299)],
        connect_timeout: Millis(10_000),
    }
}

pub(super) fn to(address: SocketAddr, path: &str) -> Action {
    Action::Http(request(address, "POST", path))
}

#[tokio::test]
async fn a_request_says_who_it_is() {
    let (address, seen) = serve().await;
    let bench = TestExec::new();
    let attempt = attempt();
    let outcome = bench.run(&to(address, "/ok"), &attempt).await;
    assert_eq!(
        (outcome.status, outcome.http_status),
        (AttemptStatus::Success, Some(200)),
        "{outcome:?}"
    );
    assert_eq!((outcome.tail.as_slice(), outcome.unknown), (&b"fine"[..], false));
    let (line, headers, body) = seen.lock().pop().unwrap();
    assert_eq!(line, "POST /ok");
    let text = |name: &str| std::str::from_utf8(headers[name].as_bytes()).unwrap().to_owned();
    assert_eq!(text("punctual-execution-id"), attempt.execution.to_string());
    assert_eq!(text("punctual-fence"), attempt.fence.to_string());
    assert_eq!(text("punctual-attempt"), "2");
    assert_eq!(text("punctual-node"), "n3");
    assert_eq!(text("punctual-parent-task"), "extract");
    assert_eq!(text("punctual-parent-execution-id"), "7");
    assert_eq!(text("punctual-parent-status"), "failed");
    assert_eq!(text("punctual-parent-exit-code"), "3");
    assert_eq!(text("punctual-task"), "nächtlich");
    assert_eq!(text("punctual-tick"), "2027-01-15T08:00:00.000Z");
    assert_eq!(text("idempotency-key"), attempt.idempotency_key);
    assert_eq!(text("content-type"), "application/json");
    let expected = serde_json::json!({
        "execution_id": attempt.execution.to_string(),
        "fence": attempt.fence.0,
        "attempt": 2,
        "node": "n3",
        "task": "nächtlich",
        "tick": "2027-01-15T08:00:00.000Z",
        "parent": {"task": "extract", "execution_id": "7", "status": "failed", "exit_code": 3,
                   "reason": "exit 3", "tail": "no rows\n"},
        "idempotency_key": attempt.idempotency_key,
        "parameters": {"a": 1},
        "payload": "load",
    });
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn a_request_is_what_the_definition_says() {
    let (address, seen) = serve().await;
    let bench = TestExec::with(|options| options.refs.env = names(&["PATH"]));
    let mut action = request(address, "PUT", "/ok?a=b");
    action.headers =
        [("X-Path", "p ${env:PATH}"), ("Punctual-Fence", "0"), ("Content-Type", "a/b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    action.body = Some("${env:PATH}!".to_owned());
    let attempt = GrantedAttempt { tick: None, parent: None, ..attempt() };
    assert_eq!(bench.run(&Action::Http(action), &attempt).await.status, AttemptStatus::Success);
    let (line, headers, body) = seen.lock().pop().unwrap();
    let path = std::env::var("PATH").unwrap();
    assert_eq!(line, "PUT /ok?a=b");
    assert_eq!(headers["x-path"].to_str().unwrap(), format!("p {path}"));
    assert_eq!(headers["punctual-fence"].to_str().unwrap(), attempt.fence.to_string());
    assert_eq!(headers["content-type"], "a/b");
    assert_eq!(headers["host"], address.to_string());
    assert!(
        !headers.contains_key("punctual-tick") && !headers.contains_key("punctual-parent-task")
    );
    assert_eq!(body, format!("{path}!").as_bytes());

    let outcome = bench.run(&Action::Http(request(address, "GET", "/ok")), &attempt).await;
    assert_eq!(outcome.status, AttemptStatus::Success);
    let (_line, headers, body) = seen.lock().pop().unwrap();
    assert!(body.is_empty() && !headers.contains_key("content-type"));
}

#[tokio::test]
async fn an_answer_is_judged_by_its_status() {
    let (address, seen) = serve().await;
    let bench = TestExec::new();
    let outcome = bench.run(&to(address, "/bad"), &attempt()).await;
    assert_eq!((outcome.status, outcome.http_status), (AttemptStatus::Failed, Some(503)));
    assert_eq!(outcome.detail, "status 503 Service Unavailable, expected 200-299");
    assert_eq!((outcome.tail.as_slice(), outcome.unknown), (&b"not now"[..], false));

    let action = HttpAction { expect_status: vec![(503, 503)], ..request(address, "POST", "/bad") };
    assert_eq!(bench.run(&Action::Http(action), &attempt()).await.status, AttemptStatus::Success);

    seen.lock().clear();
    let outcome = bench.run(&to(address, "/away"), &attempt()).await;
    assert_eq!((outcome.status, outcome.http_status), (AttemptStatus::Failed, Some(302)));
    assert_eq!(outcome.tail, b"redirect, not followed: /ok\n");
    assert_eq!(seen.lock().len(), 1);

    let outcome = bench.run(&to(endless().await, "/"), &attempt()).await;
    assert_eq!((outcome.status, outcome.tail.len()), (AttemptStatus::Success, TAIL_MAX_BYTES));
}

#[tokio::test]
async fn what_is_not_answered_is_unknown_and_what_is_not_asked_is_not() {
    let (address, _seen) = serve().await;
    let bench = TestExec::new();
    let bounded = GrantedAttempt { timeout: Millis(200), ..attempt() };
    let outcome = bench.run(&to(address, "/slow"), &bounded).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Timeout, true), "{outcome:?}");
    assert!(outcome.started.is_some() && outcome.duration_ms >= 190);

    let mut running = bench.start(to(address, "/slow"), attempt());
    running.started().await;
    running.stop.send(Stop::Ask).unwrap();
    let outcome = running.ended().await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Cancelled, true));

    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = bench.run(&to(unused, "/"), &attempt()).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Failed, false), "{outcome:?}");
    assert!(outcome.detail.contains("refused"), "{}", outcome.detail);
    assert_eq!(outcome.started, None);

    let outcome = bench.run(&to(rude(b"").await, "/"), &attempt()).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Lost, true), "{outcome:?}");

    let cut = rude(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let outcome = bench.run(&to(cut, "/"), &attempt()).await;
    assert_eq!(
        (outcome.status, outcome.http_status),
        (AttemptStatus::Lost, Some(200)),
        "{outcome:?}"
    );
    assert_eq!(outcome.tail, b"half");

    let cut = rude(b"HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\nhalf").await;
    let outcome = bench.run(&to(cut, "/"), &attempt()).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Failed, false), "{outcome:?}");
}

#[tokio::test]
async fn without_leave_no_byte_is_sent() {
    let (address, seen) = serve().await;
    let bench = TestExec::new();
    let outcome = bench.exec.run(&to(address, "/ok"), &attempt(), closed()).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::NotStarted, None));
    let late = GrantedAttempt { start_by: BootInstant(0), ..attempt() };
    assert_eq!(bench.run(&to(address, "/ok"), &late).await.status, AttemptStatus::NotStarted);

    // The fence becomes stale while the connection is opened: the gate is open only at the first
    // check.
    let looks = AtomicU64::new(0);
    let gate: StartGate = Arc::new(move || looks.fetch_add(1, Ordering::Relaxed) == 0);
    let control = AttemptControl { gate, ..control().0 };
    let outcome = bench.exec.run(&to(address, "/ok"), &attempt(), control).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::NotStarted, None), "{outcome:?}");
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn a_target_that_does_not_shake_hands_has_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = TestExec::new();
    let mut action = request(listener.local_addr().unwrap(), "POST", "/");
    // TLS waits for an answer that does not come, so the connection is never established.
    action.url = format!("https://localhost:{port}/");
    action.connect_timeout = Millis(200);
    // With the time to start before and after the connect timeout.
    for start_by in [Millis(50), Millis(10_000)] {
        let soon = GrantedAttempt { start_by: BootInstant::now().plus(start_by), ..attempt() };
        let outcome = bench.run(&Action::Http(action.clone()), &soon).await;
        assert_eq!(
            (outcome.status, outcome.unknown),
            (AttemptStatus::Failed, false),
            "{outcome:?}"
        );
        assert_eq!(outcome.detail, "not connected within 200ms");
    }
    let bounded = GrantedAttempt { timeout: Millis(100), ..attempt() };
    let outcome = bench.run(&Action::Http(action), &bounded).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Timeout, false), "{outcome:?}");

    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut action = request(plain.local_addr().unwrap(), "POST", "/");
    action.url = action.url.replace("http://", "https://");
    tokio::spawn(async move {
        let (mut stream, _from) = plain.accept().await.unwrap();
        stream.write_all(b"this is no TLS, and no beginning of it\n").await.unwrap();
    });
    let outcome = bench.run(&Action::Http(action), &attempt()).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Failed, false), "{outcome:?}");
    assert_eq!(outcome.started, None);
}

#[tokio::test]
async fn the_guard_stands_before_every_request() {
    let (address, seen) = serve().await;
    let port = address.port();
    let bench = TestExec::with(|options| options.loopback_only = false);
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433"] {
        let mut action = request(address, "POST", "/ok");
        action.url = format!("http://{host}:{port}/ok");
        let outcome = bench.run(&Action::Http(action), &attempt()).await;
        assert_eq!((outcome.status, outcome.started), (AttemptStatus::Failed, None), "{outcome:?}");
        assert!(outcome.detail.contains("loopback"), "{}", outcome.detail);
    }
    assert!(seen.lock().is_empty());

    let named = TestExec::with(|options| {
        options.loopback_only = false;
        let named = config::AllowedTarget::parse(&format!("localhost:{port}"));
        options.http_allow = vec![named.unwrap()];
    });
    let mut action = request(address, "POST", "/ok");
    action.url = format!("http://localhost:{port}/ok");
    assert_eq!(named.run(&Action::Http(action), &attempt()).await.status, AttemptStatus::Success);

    let own = TestExec::with(|options| options.own = vec![("127.0.0.1".to_owned(), port)]);
    let outcome = own.run(&to(address, "/ok"), &attempt()).await;
    assert!(outcome.detail.contains("the cluster's own"), "{}", outcome.detail);
}

#[tokio::test]
async fn a_request_that_cannot_be_made_has_failed_by_name() {
    let (address, _seen) = serve().await;
    let bench = TestExec::new();
    let with_header = |name: &str, value: &str| HttpAction {
        headers: [(name.to_owned(), value.to_owned())].into(),
        ..request(address, "POST", "/ok")
    };
    let with_url =
        |url: &str| HttpAction { url: url.to_owned(), ..request(address, "POST", "/ok") };
    for (action, part) in [
        (with_url("no url"), "`no url`"),
        (with_url("ftp://127.0.0.1/"), "neither http nor https"),
        (with_header("a b", "c"), "`a b` is no name of a header"),
        (with_header("a", "b\nc"), "line break"),
        (with_header("content-length", "5"), "`content-length`"),
        (with_header("a", "${file:/no/such/file}"), "${file:/no/such/file}: actions.refs.files"),
        (request(address, "SPACE OUT", "/ok"), "`SPACE OUT`"),
    ] {
        let outcome = bench.run(&Action::Http(action), &attempt()).await;
        assert_eq!((outcome.status, outcome.started), (AttemptStatus::Failed, None), "{outcome:?}");
        assert!(outcome.detail.contains(part), "{}", outcome.detail);
    }
}
