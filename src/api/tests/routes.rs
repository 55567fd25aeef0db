//! What holds for all routes, and the routes about nodes and cluster.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::ApiRig;
use crate::api::error::{CRON, PROBLEM};
use crate::api::frame::{self, RequestFrame};
use crate::api::{self, ApiSettings, Context, HttpLimits, KeptOverview, KeptTasks, Scans, Streams};
use crate::clock::{ClusterClock, HardwareClocks};
use crate::config::{self, OutputLimits};
use crate::domain::time::Millis;
use crate::exec::{Exec, ExecOptions};
use crate::telemetry::metrics::Metrics;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_answer_in_one_form() {
    let rig = ApiRig::start().await;
    let open = |path| rig.send(Method::GET, path, &[], None);
    assert_eq!(open("/livez").await.expect(200).body["status"], "alive");
    assert_eq!(open("/readyz").await.expect(200).body["status"], "ready");
    let health = open("/health").await.expect(200).body;
    assert_eq!((&health["status"], &health["instance_id"]), (&json!("healthy"), &json!("n1")));
    let page = open("/metrics").await.expect(200);
    assert!(page.text.contains("punctual_raft_is_leader"), "{}", page.text);
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
    let page = rig.send(Method::GET, "/metrics", &accept, None).await.expect(200);
    assert!(page.header("content-type").starts_with("application/openmetrics-text"));
    assert!(page.text.ends_with("# EOF\n"), "{}", page.text);

    for path in [
        "/nowhere",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nowhere",
        "/api/v1/tasks/",
        "/api/v1/tasks/a/b/c",
    ] {
        open(path).await.refused(404, "route_not_found");
    }
    for (method, path, allow) in [
        (Method::PUT, "/api/v1/tasks", "GET,HEAD,POST"),
        (Method::POST, "/api/v1/tasks/a", "GET,HEAD,PUT,PATCH,DELETE"),
        (Method::POST, "/api/v1/tasks/batches", "GET,HEAD,PUT,PATCH,DELETE"),
        (Method::OPTIONS, "/api/v1/tasks/a", "GET,HEAD,PUT,PATCH,DELETE"),
        (Method::OPTIONS, "/api/v1/tasks/bulk", "GET,HEAD,PUT,PATCH,DELETE,POST"),
        (Method::GET, "/api/v1/tasks/a/trigger", "POST"),
        (Method::DELETE, "/livez", "GET,HEAD"),
    ] {
        let got = rig.send(method, path, &[], None).await.refused(405, "method_not_allowed");
        assert_eq!(got.header("allow"), allow);
    }
    for path in ["/functions", "/tokens", "/audit"] {
        rig.get(path).await.refused(422, "not_supported");
    }
    let head = rig.send(Method::HEAD, "/api/v1/tasks", &[], None).await.expect(200);
    assert!(head.text.is_empty());

    let named =
        rig.call(Method::GET, "/tasks/none", Value::Null, &[("x-request-id", "abc-1")]).await;
    assert_eq!(named.refused(404, "task_not_found").body["request_id"], "abc-1");
    let foreign = [("sec-fetch-site", "cross-site")];
    let cleanup = rig.call(Method::POST, "/tasks/a/cleanup", Value::Null, &foreign).await;
    cleanup.refused(403, "cross_site");
    rig.call(Method::GET, "/tasks", Value::Null, &foreign).await.expect(200);
    let rebound = [("host", "example.com:8080")];
    let read = rig.send(Method::GET, "/api/v1/tasks", &rebound, None).await;
    assert!(read.refused(403, "foreign_host").body["detail"].to_string().contains("example.com"));
    rig.send(Method::GET, "/livez", &[("host", "localhost")], None).await.expect(200);
    let named = rig.call(Method::GET, "/tasks", Value::Null, &[("x-request-id", "a b")]).await;
    assert_eq!(named.header("x-request-id").len(), 16);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_say_what_they_reflect() {
    let rig = ApiRig::start().await;
    let index = |got: &super::Got| got.header("punctual-index").parse::<u64>().unwrap();
    let made = rig.make("seen", super::yearly(), "ok").await;
    let seen = rig.get(&format!("/tasks/seen?min_index={}", index(&made))).await.expect(200);
    assert!(index(&seen) >= index(&made));
    let stale = rig.get("/tasks/seen?consistency=stale").await.expect(200);
    assert_eq!(stale.body["revision"], made.body["revision"]);
    let missed = rig.get("/tasks/none").await.refused(404, "task_not_found");
    assert!(index(&missed) >= index(&made), "on every answer");
    rig.get("/tasks/seen?min_index=1000000").await.refused(504, "index_not_reached");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_and_cluster_are_told_and_changed() {
    let rig = ApiRig::start().await;
    rig.make("owned", super::yearly(), "ok").await;
    let cluster = rig.get("/cluster").await.expect(200).body;
    assert_eq!((&cluster["name"], &cluster["leader"]), (&json!("punctual"), &json!("n1")));
    assert_eq!(
        (&cluster["scheduler"], &cluster["members"][0]["role"]),
        (&json!("started"), &json!("leader"))
    );
    assert_eq!(cluster["digest"].as_str().unwrap().len(), 32);
    // Where its log ends, by which survivors of a lost majority are compared.
    let number = |name: &str| cluster[name].as_u64().unwrap();
    assert_eq!(number("last_log_term"), number("term"));
    assert!(number("last_log_index") >= number("applied_index"), "{cluster}");
    let node = rig.get("/nodes/1").await.expect(200).body;
    assert_eq!(rig.get("/nodes").await.expect(200).body["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&node["id"], &node["name"], &node["role"]),
        (&json!("1"), &json!("n1"), &json!("leader"))
    );
    assert_eq!(
        (&node["state"], &node["intent"], &node["tasks_owned"]),
        (&json!("working"), &json!("none"), &json!(1))
    );
    assert!(node["last_seen"].is_string() && node["applied_index"].is_u64());

    let body = json!({"weight": 3, "slots": 5, "labels": {"zone": "a"}});
    let patched = rig.call(Method::PATCH, "/nodes/n1", body, &[]).await.expect(200).body;
    assert_eq!(
        (&patched["weight"], &patched["slots"], &patched["labels"]),
        (&json!(3), &json!(5), &json!({"zone": "a"}))
    );
    let body = json!({"labels": {"zone": null}});
    assert_eq!(
        rig.call(Method::PATCH, "/nodes/1", body, &[]).await.expect(200).body["labels"],
        json!({})
    );
    let none = rig.call(Method::PATCH, "/nodes/1", json!({"weight": 0}), &[]).await;
    let none = none.refused(422, "all_weights_0").body;
    assert!(none["detail"].as_str().unwrap().contains("every node would have weight 0"), "{none}");
    let drained = rig.post("/nodes/1/drain", Value::Null).await.expect(200).body;
    assert_eq!((&drained["intent"], &drained["tasks_owned"]), (&json!("draining"), &json!(0)));
    let orphan = rig.get("/tasks/owned/assignment").await.expect(200).body;
    assert_eq!(
        (&orphan["owner"], &orphan["nodes"][0]["reason"]),
        (&Value::Null, &json!("draining"))
    );
    let why = rig.get("/tasks/owned/why").await.expect(200).body["summary"].clone();
    for text in [&why, &orphan["why"]] {
        let told = text.as_str().unwrap().contains("no node can own the task (draining: n1)");
        assert!(told, "{text}");
    }
    assert_eq!(rig.post("/nodes/n1/undrain", Value::Null).await.expect(200).body["tasks_owned"], 1);
    rig.get("/nodes/n9").await.refused(404, "node_not_found");
    rig.post("/cluster/transfer-leader", Value::Null).await.refused(409, "no_other_voter");
    for (to, status, code) in [("n2", 404, "member_not_found"), ("2", 404, "member_not_found")] {
        let asked = rig.post("/cluster/transfer-leader", json!({"to": to})).await;
        asked.refused(status, code);
    }
    // It leads already.
    for to in ["n1", "1"] {
        let asked = rig.post("/cluster/transfer-leader", json!({"to": to})).await;
        assert_eq!(asked.expect(200).body["leader"], "n1");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_for_a_node_is_told_and_taken_back() {
    let rig = ApiRig::start().await;
    let before = rig.get("/nodes/n1").await.expect(200).body;
    let patch = async |body: Value| rig.call(Method::PATCH, "/nodes/n1", body, &[]).await;
    let set = json!({"weight": 3, "slots": 5, "labels": {"zone": "a"}});
    let patched = patch(set.clone()).await.expect(200).body;
    assert_eq!((&patched["overrides"], &patched["weight"]), (&set, &json!(3)));
    let automatic = &patched["automatic_labels"];
    assert_eq!((&automatic["node"], &automatic["shell"]), (&json!("n1"), &json!("false")));
    for body in [json!({"slots": null}), json!({"labels": null, "weight": null})] {
        patch(body).await.expect(200);
    }
    let back = rig.get("/nodes/n1").await.expect(200).body;
    let fields = ["weight", "slots", "labels", "overrides"];
    assert_eq!(fields.map(|field| &back[field]), fields.map(|field| &before[field]));
    for own in [json!({"node": "n2"}), json!({"shell": "true"})] {
        patch(json!({ "labels": own })).await.refused(422, "invalid_label");
    }
    rig.stop().await;
}

/// A node that has not found its cluster yet.
pub(in crate::api) fn waiting(folder: &tempfile::TempDir) -> Arc<Context> {
    let exec = Exec::new(ExecOptions {
        executors: config::ExecutorSettings::default(),
        shell: None,
        http_allow: Vec::new(),
        own: Vec::new(),
        loopback_only: true,
        output_dir: folder.path().join("output"),
        output: OutputLimits::default(),
        data_dir: folder.path().to_owned(),
        work_dir: folder.path().join("work"),
        refs: config::RefSettings::default(),
        open_files: None,
    });
    let (_progress, saying) = watch::channel("waiting for member 2".to_owned());
    Arc::new(Context {
        files: crate::ops::NodeFiles::default(),
        running: OnceLock::new(),
        exec: Arc::new(exec.unwrap()),
        clock: Arc::new(ClusterClock::new(HardwareClocks, 1, Duration::from_millis(500))),
        metrics: Metrics::new("0"),
        progress: saying,
        scans: Scans::default(),
        streams: Streams::new(2, 2),
        overview: KeptOverview::default(),
        kept: KeptTasks::default(),
        settings: ApiSettings {
            node_name: "n1".to_owned(),
            version: "0",
            min_interval: Millis(100),
            dispatch_ttl: Millis(1_000),
            functions_allowed: false,
            strategy: None,
            loopback: true,
            task_series: 10,
            bench: None,
            executor_secret: None,
        },
    })
}

#[tokio::test]
async fn a_node_that_waits_says_for_what() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(api::serve(
        listener,
        api::router(waiting(&folder)),
        stopped,
        HttpLimits::default(),
    ));
    let client = crate::client::plain(Some(Duration::from_secs(10))).unwrap();
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 503),
        ("/health", 503),
        ("/metrics", 200),
        ("/api/v1/tasks", 503),
        ("/api/v1/cluster", 503),
        ("/api/v1/nowhere", 404),
    ] {
        let got = client.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(got.status(), status, "{path}");
        let retry = got.headers().get("retry-after").is_some();
        let text = got.text().await.unwrap();
        if status == 503 {
            assert!(text.contains("waiting for member 2"), "{text}");
            assert_eq!(retry, path != "/health");
        }
    }
    let post = client.post(format!("{base}/api/v1/tasks")).body("{}").send().await.unwrap();
    assert_eq!(post.status(), 503);
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap();
    assert!(client.get(format!("{base}/livez")).send().await.is_err(), "nobody listens any more");
}

/// What was logged, one JSON object a line.
#[derive(Clone, Default)]
struct CapturedLog(Arc<parking_lot::Mutex<Vec<u8>>>);

impl CapturedLog {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl std::io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for CapturedLog {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_handler_that_panics_answers_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let context = waiting(&folder);
    let fails =
        axum::routing::get(|axum::extract::RawQuery(query): axum::extract::RawQuery| async {
            query.expect("a query that is not there")
        });
    let router = axum::Router::new()
        .route("/fails", fails)
        .layer(axum::middleware::from_fn_with_state(
            RequestFrame::of(&context, PROBLEM),
            frame::frame,
        ))
        .with_state(context);
    let log = CapturedLog::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
    // The test runs on one thread.
    let _logged = tracing::subscriber::set_default(subscriber);
    for number in 1..=2 {
        let request = axum::extract::Request::get("/fails").header("x-request-id", "r-1");
        let request = request.header("host", "localhost").body(axum::body::Body::empty()).unwrap();
        let response = tower::Service::call(&mut router.clone(), request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["code"], &body["request_id"]), (&json!("internal"), &json!("r-1")));
        assert!(!body.to_string().contains("not there"), "the log has it, not the answer: {body}");
        let lines = log.lines();
        let of_handler = |line: &&Value| line["fields"]["message"] == "a handler panicked";
        let told: Vec<&Value> = lines.iter().filter(of_handler).collect();
        assert_eq!(told.len(), number, "{lines:?}");
        let fields = &told[number - 1]["fields"];
        assert_eq!((&told[0]["level"], &fields["route"]), (&json!("ERROR"), &json!("GET /fails")));
        assert_eq!(fields["request"], "r-1");
        assert!(fields["panic"].as_str().unwrap().contains("a query that is not there"));
    }
}

#[tokio::test]
async fn each_router_writes_its_errors_in_its_own_form() {
    use axum::routing::{get, post};

    let folder = tempfile::tempdir().unwrap();
    let context = waiting(&folder);
    let framed = |router: axum::Router<Arc<Context>>, form| {
        router.layer(axum::middleware::from_fn_with_state(
            RequestFrame::of(&context, form),
            frame::frame,
        ))
    };
    let fails = || async { crate::ops::OpError::no_leader("waiting") };
    let old = axum::Router::new()
        .route("/fails", get(fails))
        .route("/write", post(fails))
        .fallback(frame::not_found);
    let new = axum::Router::new().route("/fails", get(fails)).fallback(frame::not_found);
    let router = framed(new, PROBLEM).nest("/old", framed(old, CRON)).with_state(context.clone());
    for (path, status, body) in [
        ("/fails", 503, "no_leader"),
        ("/none", 404, "route_not_found"),
        ("/old/fails", 503, ""),
        ("/old/none", 404, ""),
        ("/old/write", 405, ""),
    ] {
        let request = axum::extract::Request::get(path).header("host", "localhost");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = tower::Service::call(&mut router.clone(), request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers().contains_key("allow"), status == 405, "{path}");
        assert_eq!(response.headers().contains_key("retry-after"), status == 503, "{path}");
        let kind = response.headers()["content-type"].clone();
        let text = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let text: Value = serde_json::from_slice(&text).unwrap();
        match body {
            "" => {
                assert_eq!(kind, "application/json", "{path}");
                assert!(
                    text["error"].is_string() && text.as_object().unwrap().len() == 1,
                    "{text}"
                );
            }
            code => {
                assert_eq!(kind, "application/problem+json", "{path}");
                assert_eq!(text["code"], code);
            }
        }
    }
}

#[tokio::test]
async fn a_body_announced_as_too_large_is_refused_before_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let router = api::router(waiting(&folder));
    let served = tokio::spawn(api::serve(listener, router, stopped, HttpLimits::default()));
    for (request, length, refused) in [
        ("POST /api/v1/tasks", 1_048_577_u64, true),
        ("POST /api/v1/tasks", 1_048_576, false),
        ("GET /api/v1/tasks", 1_048_577, true),
        ("GET /livez", 1 << 40, true),
        ("PUT /api/v1/tasks/bulk", 1_048_577, true),
        ("POST /api/v1/tasks/bulk", 1_048_577, false),
        ("POST /api/v1/tasks/batch", 8_388_609, true),
    ] {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = format!(
                "{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
                 Content-Type: application/json\r\n{expect}\r\n"
            );
            // And not a byte of the body.
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            let read = stream.read_to_string(&mut answer);
            tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
            let status = if refused { "HTTP/1.1 413 " } else { "HTTP/1.1 503 " };
            assert!(answer.starts_with(status), "{head}{answer}");
            assert!(!refused || answer.contains("\"code\":\"body_too_large\""), "{answer}");
        }
    }
    // Who sends it all the same hears why.
    let client = crate::client::plain(Some(Duration::from_secs(10))).unwrap();
    let sent = client.post(format!("http://{address}/api/v1/tasks")).body(vec![b' '; 4 << 20]);
    assert_eq!(sent.send().await.unwrap().status(), 413);
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap();
}
