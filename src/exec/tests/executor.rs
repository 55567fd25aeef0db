//! The executor protocol against small servers: good ones, and ones that are not.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::http::{read_head, rude};
use super::*;
use crate::domain::task::ExecutorAction;
use crate::exec::executor::{ANSWER_MAX_BYTES, SIGNATURE_HEADER, unix_seconds, verify};

const SECRET: &str = "secret-0123456789";

/// Path, headers and body of each request.
type CalledRequests = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// A server whose `/{kind}/execute` answers as its kind does.
async fn executors() -> (SocketAddr, CalledRequests) {
    let seen = CalledRequests::default();
    let record = Arc::clone(&seen);
    let result = json!({"status": "success", "result": "3 rows", "logs": "begin\nend"});
    let failed = json!({"status": "failed", "result": "no rows", "logs": ["a", "b"]});
    let large = vec![b'z'; 10 << 20];
    let router = Router::new()
        .route("/accepting/execute", post(|| async { StatusCode::ACCEPTED }))
        .route("/acknowledging/execute", post(|| async { r#"{"status":"accepted"}"# }))
        .route("/rubbish/execute", post(|| async { "<html>{]" }))
        .route("/large/execute", post(move || async move { large }))
        .route("/synchronous/execute", post(move || async move { result.to_string() }))
        .route("/failing/execute", post(move || async move { failed.to_string() }))
        .route("/late/execute", post(|| async { r#"{"status":"timeout"}"# }))
        .route("/refusing/execute", post(|| async { (StatusCode::SERVICE_UNAVAILABLE, "full") }))
        .route(
            "/away/execute",
            post(|| async { (StatusCode::FOUND, [(header::LOCATION, "/accepting/execute")]) }),
        )
        .route("/silent/execute", post(std::future::pending::<()>))
        .route("/{kind}/stop", post(|| async { StatusCode::ACCEPTED }))
        .route("/well", get(|| async { "ok" }))
        .route("/ill", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "no") }))
        .route("/mute", get(std::future::pending::<()>))
        .layer(axum::middleware::from_fn(
            move |request: axum::extract::Request, next: axum::middleware::Next| {
                let record = Arc::clone(&record);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                    let path = parts.uri.path().to_owned();
                    record.lock().push((path, parts.headers.clone(), body.clone()));
                    next.run(axum::extract::Request::from_parts(parts, Body::from(body))).await
                }
            },
        ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

fn action() -> Action {
    let balance = "round_robin".to_owned();
    Action::Executor(ExecutorAction { balance, names: Vec::new(), weights: [].into() })
}

fn target(address: SocketAddr, path: &str) -> ExecutorTarget {
    ExecutorTarget {
        id: "e-1".to_owned(),
        base_url: format!("http://{address}{path}"),
        callback_url: "http://n1:8080/back?fence=1".to_owned(),
    }
}

fn given(address: SocketAddr, path: &str) -> GrantedAttempt {
    GrantedAttempt { executor: Some(target(address, path)), ..attempt() }
}

fn signing() -> TestExec {
    TestExec::with(|options| {
        let text = format!("[executors]\nsecret = \"{SECRET}\"\n");
        options.executors =
            config::Config::from_toml(&text, config::CodeSettings::default()).unwrap().executors;
    })
}

#[tokio::test]
async fn the_request_is_as_documented_and_signed() {
    let (address, seen) = executors().await;
    let bench = signing();
    let attempt = given(address, "/accepting");
    let outcome = bench.run(&action(), &attempt).await;
    assert_eq!(
        (outcome.status, outcome.unknown, outcome.http_status),
        (AttemptStatus::Accepted, false, Some(202)),
        "{outcome:?}"
    );
    let (path, headers, body) = seen.lock().pop().unwrap();
    assert_eq!(path, "/accepting/execute");
    let text = |name: &str| std::str::from_utf8(headers[name].as_bytes()).unwrap().to_owned();
    assert_eq!(text("x-execution-id"), attempt.execution.to_string());
    assert_eq!(text("punctual-fence"), attempt.fence.to_string());
    assert_eq!(text("punctual-executor"), "e-1");
    assert_eq!(text("content-type"), "application/json");
    let signature = text(SIGNATURE_HEADER);
    assert_eq!(verify(SECRET, Some(&signature), &body, unix_seconds()), Ok(()));
    let sent: Value = serde_json::from_slice(&body).unwrap();
    for (field, value) in [
        ("execution_id", json!(attempt.execution.to_string())),
        ("task_id", json!("nächtlich")),
        ("task_name", json!("nächtlich")),
        ("parameters", json!({"a": 1})),
        ("callback_url", json!("http://n1:8080/back?fence=1")),
        ("fence", json!(attempt.fence.0)),
        ("attempt", json!(2)),
        ("tick", json!("2027-01-15T08:00:00.000Z")),
        ("payload", json!("load")),
        ("idempotency_key", json!(attempt.idempotency_key)),
        ("timeout_ms", json!(0)),
    ] {
        assert_eq!(sent[field], value, "{field}");
    }
}

#[tokio::test]
async fn an_answer_accepts_ends_or_refuses() {
    let (address, _seen) = executors().await;
    let bench = TestExec::new();
    for (kind, status, known, tail) in [
        ("acknowledging", AttemptStatus::Accepted, true, ""),
        ("rubbish", AttemptStatus::Accepted, true, ""),
        ("large", AttemptStatus::Accepted, true, ""),
        ("synchronous", AttemptStatus::Success, true, "begin\nend"),
        ("failing", AttemptStatus::Failed, true, "a\nb"),
        ("late", AttemptStatus::Timeout, true, ""),
        ("refusing", AttemptStatus::Failed, true, "full"),
        ("away", AttemptStatus::Failed, true, "redirect, not followed: /accepting/execute\n"),
        ("absent", AttemptStatus::Failed, true, ""),
    ] {
        let outcome = bench.run(&action(), &given(address, &format!("/{kind}"))).await;
        assert_eq!((outcome.status, outcome.unknown), (status, !known), "{kind}: {outcome:?}");
        assert_eq!(String::from_utf8_lossy(&outcome.tail), tail, "{kind}");
        assert!(outcome.started.is_some() && outcome.http_status.is_some(), "{kind}");
    }
    let outcome = bench.run(&action(), &given(address, "/synchronous")).await;
    assert_eq!(outcome.detail, "3 rows");
}

#[tokio::test]
async fn an_answer_is_read_to_its_bound() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sent, told) = oneshot::channel();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _from) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut total = 0_usize;
        while stream.write_all(&[b'z'; 8_192]).await.is_ok() {
            total += 8_192;
        }
        let _ = sent.send(total);
    });
    let outcome = TestExec::new().run(&action(), &given(address, "")).await;
    assert_eq!(outcome.status, AttemptStatus::Accepted, "{outcome:?}");
    // The answer has no end, and the connection is closed at the bound.
    assert!(told.await.unwrap() >= ANSWER_MAX_BYTES);
}

#[tokio::test]
async fn who_answers_202_has_accepted_whatever_follows() {
    let half = rude(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nhalf").await;
    let outcome = TestExec::new().run(&action(), &given(half, "")).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Accepted, false), "{outcome:?}");
    let half = rude(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let outcome = TestExec::new().run(&action(), &given(half, "")).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Lost, true), "{outcome:?}");
}

#[tokio::test]
async fn without_an_answer_the_outcome_is_unknown_and_the_executor_is_told_to_stop() {
    let (address, seen) = executors().await;
    let bench = TestExec::new();
    let bounded = GrantedAttempt { timeout: Millis(50), ..given(address, "/silent") };
    let outcome = bench.run(&action(), &bounded).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Timeout, true), "{outcome:?}");
    let (path, _headers, body) = seen.lock().pop().unwrap();
    assert_eq!(path, "/silent/stop");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["execution_id"], json!(bounded.execution.to_string()));
    assert_eq!(body["fence"], json!(bounded.fence.0));

    let mut stopped = bench.start(action(), given(address, "/silent"));
    stopped.started().await;
    stopped.stop.send_replace(Stop::Ask);
    let outcome = stopped.ended().await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Cancelled, true), "{outcome:?}");
    assert_eq!(seen.lock().pop().unwrap().0, "/silent/stop");

    // No timeout of its own: the longest silence of an executor bounds it.
    let impatient = TestExec::with(|options| options.executors.max_silence = Millis(50));
    let outcome = impatient.run(&action(), &given(address, "/silent")).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Timeout, true), "{outcome:?}");

    let outcome = bench.run(&action(), &given(rude(b"").await, "")).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Lost, true), "{outcome:?}");
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = bench.run(&action(), &given(unused, "")).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Failed, false), "{outcome:?}");
    assert_eq!(outcome.started, None);
}

#[tokio::test]
async fn a_late_or_overtaken_attempt_sends_nothing() {
    let (address, seen) = executors().await;
    let bench = TestExec::new();
    let late = GrantedAttempt { start_by: BootInstant(0), ..given(address, "/accepting") };
    assert_eq!(bench.run(&action(), &late).await.status, AttemptStatus::NotStarted);
    let outcome = bench.exec.run(&action(), &given(address, "/accepting"), closed()).await;
    assert_eq!(outcome.status, AttemptStatus::NotStarted);
    let outcome = bench.run(&action(), &attempt()).await;
    assert_eq!(outcome.detail, "no executor was chosen for the attempt");
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn the_guard_stands_before_executors_too() {
    let (address, seen) = executors().await;
    let own = ("127.0.0.1".to_owned(), address.port());
    let bench = TestExec::with(|options| options.own = vec![own]);
    let outcome = bench.run(&action(), &given(address, "/accepting")).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::Failed, None), "{outcome:?}");
    assert!(outcome.detail.contains("the cluster's own"), "{}", outcome.detail);
    let target = target(address, "/accepting");
    assert!(bench.exec.stop_on_executor(&target.base_url, ExecutionId(1), Fence(2)).await.is_err());
    let why = bench.exec.refuses_host(&target.base_url).await.unwrap();
    assert!(why.contains("the cluster's own"), "{why}");
    assert_eq!(bench.exec.refuses_host("http://no-such-host.invalid/").await, None);
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn probes_tell_how_an_executor_is() {
    let (address, seen) = executors().await;
    let bench = signing();
    let probe =
        async |path: &str, limit| bench.exec.probe(&format!("http://{address}{path}"), limit).await;
    let long = Millis(10_000);
    assert_eq!(probe("/well", long).await, Ok(()));
    assert!(seen.lock()[0].1.contains_key(SIGNATURE_HEADER));
    assert_eq!(probe("/ill", long).await.unwrap_err(), "status 500, expected 200-299");
    assert_eq!(probe("/mute", Millis(50)).await.unwrap_err(), "no answer within 50ms");
    let target = target(address, "/x");
    let stopped = bench.exec.stop_on_executor(&target.base_url, ExecutionId(1), Fence(2)).await;
    assert_eq!(stopped, Ok(()));
}
