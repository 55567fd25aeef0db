//! Executions that executors carry out: given, called back, refused.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{ApiRig, Got};
use crate::exec::executor::{SIGNATURE_HEADER, sign, unix_seconds};

/// The bodies of the requests to `/execute` and `/stop`, with their paths.
type GivenWork = Arc<Mutex<Vec<(&'static str, Value)>>>;

/// An executor that accepts everything and does nothing.
async fn accepting() -> (SocketAddr, GivenWork) {
    let work = GivenWork::default();
    let take = |path: &'static str| {
        let work = Arc::clone(&work);
        post(move |body: axum::Json<Value>| async move {
            work.lock().push((path, body.0));
            StatusCode::ACCEPTED
        })
    };
    let router = Router::new().route("/execute", take("execute")).route("/stop", take("stop"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, work)
}

/// A node with one executor and a task of executors.
struct ExecutorRig {
    rig: ApiRig,
    work: GivenWork,
}

impl ExecutorRig {
    async fn start(settings: &[(&str, String)], policy: Value) -> Self {
        let (address, work) = accepting().await;
        let rig = ApiRig::with(settings).await;
        let executor = json!({"executor_id": "e-1", "executor_name": "data",
            "executor_url": format!("http://{address}"), "tasks": [{"name": "by-hand"}]});
        rig.post("/executors/register", executor).await.expect(201);
        let mut task = json!({"name": "task", "schedule": {"manual": true},
            "action": {"executor": {"names": ["data"]}}});
        task.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
        rig.post("/tasks", task).await.expect(201);
        Self { rig, work }
    }

    /// Triggers the task, and waits until its executor has it: the body of the request.
    async fn given(&self) -> Value {
        let made = self.rig.post("/tasks/task/trigger", Value::Null).await.expect(201);
        let id = made.body["id"].as_str().unwrap().to_owned();
        self.attempt(&id, 1).await
    }

    /// Waits for an attempt of an execution.
    async fn attempt(&self, id: &str, number: u64) -> Value {
        let path = format!("/api/v1/executions/{id}");
        self.rig.until(&path, |got| got.body["attempt"].as_u64() >= Some(number)).await;
        let is_it = |(path, body): &&(&str, Value)| {
            *path == "execute" && body["execution_id"] == id && body["attempt"] == number
        };
        self.rig.until(&path, |_got| self.work.lock().iter().any(|one| is_it(&one))).await;
        self.work.lock().iter().find(is_it).unwrap().1.clone()
    }

    /// Calls back as a simple executor does.
    async fn call_back(&self, url: &str, body: &Value) -> Got {
        let path = url.strip_prefix(&self.rig.base).expect("its own node");
        let kind = [("content-type", "application/json")];
        let body = Some(body.to_string().into_bytes());
        self.rig.send(reqwest::Method::POST, path, &kind, body).await
    }

    async fn execution(&self, given: &Value) -> Value {
        let id = given["execution_id"].as_str().unwrap();
        self.rig.get(&format!("/executions/{id}")).await.expect(200).body
    }
}

fn url(given: &Value) -> &str {
    given["callback_url"].as_str().unwrap()
}

fn ended(status: &str) -> Value {
    json!({"status": status, "result": "3 rows", "logs": "begin\nend"})
}

#[tokio::test]
async fn an_execution_ends_by_its_callback() {
    let executors = ExecutorRig::start(&[], json!({})).await;
    let given = executors.given().await;
    assert_eq!(given["task_name"], "task");
    let other = executors.given().await;
    let id = given["execution_id"].as_str().unwrap();
    let running = executors.execution(&given).await;
    assert_eq!((&running["status"], &running["executor_id"]), (&json!("running"), &json!("e-1")));
    let seen = executors.rig.get("/executors/e-1").await.expect(200);
    assert_eq!(seen.body["in_flight"], 2);

    // The key of another execution, and no key at all of it.
    let key = |given: &Value| url(given).split_once("&key=").unwrap().1.to_owned();
    let foreign = url(&given).replace(&key(&given), &key(&other));
    let refused = executors.call_back(&foreign, &ended("success")).await;
    refused.refused(403, "invalid_callback_key");
    let named = json!({"execution_id": other["execution_id"], "status": "success"});
    executors.call_back(url(&given), &named).await.refused(422, "conflict");

    let told = executors.call_back(url(&given), &ended("success")).await.expect(200);
    assert_eq!(told.body, json!({"message": "callback processed"}));
    let done = executors.execution(&given).await;
    assert_eq!(done["status"], "success");
    assert!(done["lateness_ms"].as_i64().is_none_or(|late| late >= 0), "{done}");
    assert_eq!(done["output_tail"], "begin\nend");
    let attempt = &done["attempts"][0];
    assert_eq!(
        (&attempt["executor_id"], &attempt["outcome"], &attempt["detail"]),
        (&json!("e-1"), &json!("success"), &json!("3 rows"))
    );
    // Twice the same is once; something else comes too late.
    executors.call_back(url(&given), &ended("success")).await.expect(200);
    executors.call_back(url(&given), &ended("failed")).await.refused(409, "execution_ended");
    assert_eq!(executors.execution(&given).await["status"], "success");

    let list = executors.rig.get("/executions?executor_id=e-1").await.expect(200);
    assert_eq!(list.body["items"].as_array().unwrap().len(), 2);
    let none = executors.rig.get("/executions?executor_id=e-2").await.expect(200);
    assert_eq!(none.body["items"], json!([]));
    // A simple executor knows nothing of fences and keys.
    let id_of_other = other["execution_id"].as_str().unwrap();
    let plain = format!("/executions/{id_of_other}/callback");
    executors.rig.post(&plain, ended("failed")).await.expect(200);
    assert_eq!(executors.execution(&other).await["status"], "failed");
    assert_ne!(id, id_of_other);
    executors.rig.stop().await;
}

#[tokio::test]
async fn the_callback_goes_to_where_the_settings_say() {
    let settings = [("executors.callback_base", "https://jobs.example:8443/p/".to_owned())];
    let executors = ExecutorRig::start(&settings, json!({})).await;
    let given = executors.given().await;
    let id = given["execution_id"].as_str().unwrap();
    let start = format!("https://jobs.example:8443/p/api/v1/executions/{id}/callback?fence=");
    assert!(url(&given).starts_with(&start), "{given}");
    executors.rig.stop().await;
}

#[tokio::test]
async fn an_old_attempt_ends_nothing() {
    let retry = json!({"retry": {"max_retry": 1, "delay": "0s"}});
    let executors = ExecutorRig::start(&[], retry).await;
    let first = executors.given().await;
    executors.call_back(url(&first), &ended("failed")).await.expect(200);
    let id = first["execution_id"].as_str().unwrap();
    let second = executors.attempt(id, 2).await;
    assert_eq!(second["idempotency_key"], first["idempotency_key"]);
    assert!(second["fence"].as_u64() > first["fence"].as_u64());
    executors.call_back(url(&first), &ended("success")).await.refused(409, "stale_fence");
    let plain = format!("/executions/{id}/callback");
    executors.rig.post(&plain, ended("success")).await.refused(409, "fence_required");
    assert_eq!(executors.execution(&first).await["status"], "running");
    executors.call_back(url(&second), &ended("success")).await.expect(200);
    assert_eq!(executors.execution(&first).await["status"], "success");
    executors.rig.stop().await;
}

#[tokio::test]
async fn a_callback_between_two_attempts_is_stale() {
    let again = json!({"delivery": "at_least_once", "timeout": "1s",
        "retry": {"max_retry": 0, "delay": "1h", "max_delay": "1h"}});
    let executors = ExecutorRig::start(&[], again).await;
    let given = executors.given().await;
    let path = format!("/api/v1/executions/{}", given["execution_id"].as_str().unwrap());
    executors.rig.until(&path, |got| got.body["status"] == "pending").await;
    executors.call_back(url(&given), &ended("success")).await.refused(409, "stale_fence");
    executors.rig.stop().await;
}

#[tokio::test]
async fn a_large_callback_is_cut_or_refused() {
    let executors = ExecutorRig::start(&[], json!({})).await;
    let given = executors.given().await;
    let flood = json!({"status": "success", "logs": "z".repeat(10 << 20)});
    executors.call_back(url(&given), &flood).await.refused(413, "body_too_large");
    assert_eq!(executors.execution(&given).await["status"], "running");
    let logs = format!("{}end", "z".repeat(100_000));
    let large = json!({"status": "success", "result": {"rows": 3}, "logs": [logs]});
    executors.call_back(url(&given), &large).await.expect(200);
    let done = executors.execution(&given).await;
    let tail = done["output_tail"].as_str().unwrap();
    assert!(tail.len() <= 1_024 && tail.ends_with("zend"), "{tail}");
    let detail = done["attempts"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("{\"rows\":3} ("), "{detail}");
    assert!(detail.ends_with("bytes of output before the end are not kept)"), "{detail}");
    executors.rig.stop().await;
}

#[tokio::test]
async fn callbacks_are_signed_where_the_node_has_a_secret() {
    let secret = "secret-0123456789";
    let settings = [("executors.secret", secret.to_owned())];
    let executors = ExecutorRig::start(&settings, json!({})).await;
    let given = executors.given().await;
    let id = given["execution_id"].as_str().unwrap();
    let path = format!("/executions/{id}/callback");
    executors.rig.post(&path, ended("success")).await.refused(403, "invalid_signature");
    let body = ended("success");
    let wrong = sign("another-0123456789", unix_seconds(), body.to_string().as_bytes());
    let headers = [(SIGNATURE_HEADER, wrong.as_str())];
    let method = reqwest::Method::POST;
    let refused = executors.rig.call(method.clone(), &path, body.clone(), &headers).await;
    refused.refused(403, "invalid_signature");
    let right = sign(secret, unix_seconds(), body.to_string().as_bytes());
    let headers = [(SIGNATURE_HEADER, right.as_str())];
    executors.rig.call(method, &path, body, &headers).await.expect(200);
    // The key of the callback URL is proof enough.
    let given = executors.given().await;
    executors.call_back(url(&given), &ended("failed")).await.expect(200);
    assert_eq!(executors.execution(&given).await["status"], "failed");
    executors.rig.stop().await;
}

#[tokio::test]
async fn a_stop_reaches_the_executor_and_a_timeout_too() {
    let executors = ExecutorRig::start(&[], json!({"timeout": "1s"})).await;
    let given = executors.given().await;
    let id = given["execution_id"].as_str().unwrap();
    executors.rig.post(&format!("/executions/{id}/stop"), Value::Null).await;
    let path = format!("/api/v1/executions/{id}");
    executors.rig.until(&path, |got| got.body["status"] == "cancelled").await;
    let stops = || executors.work.lock().iter().filter(|(path, _)| *path == "stop").count();
    assert_eq!(stops(), 1);
    // What the executor calls a failure then is the stop; it was told already.
    executors.call_back(url(&given), &ended("failed")).await.expect(200);
    executors.call_back(url(&given), &ended("success")).await.refused(409, "execution_ended");
    assert_eq!(executors.execution(&given).await["status"], "cancelled");
    let given = executors.given().await;
    let id = given["execution_id"].as_str().unwrap();
    let path = format!("/api/v1/executions/{id}");
    let done = executors.rig.until(&path, |got| got.body["status"] == "timeout").await;
    assert_eq!(done.body["attempts"][0]["unknown"], true);
    assert!(done.body["duration_ms"].as_u64() >= Some(1_000), "{}", done.body);
    assert_eq!(stops(), 2);
    executors.call_back(url(&given), &ended("success")).await.refused(409, "execution_ended");
    executors.rig.stop().await;
}

#[tokio::test]
async fn without_an_executor_an_execution_fails_after_a_while() {
    let settings = [("executors.dispatch_wait", "1s".to_owned())];
    let executors = ExecutorRig::start(&settings, json!({})).await;
    let body = json!({"status": "maintenance"});
    let method = reqwest::Method::PUT;
    executors.rig.call(method, "/executors/e-1/status", body, &[]).await.expect(200);
    let made = executors.rig.post("/tasks/task/trigger", Value::Null).await.expect(201);
    let path = format!("/api/v1/executions/{}", made.body["id"].as_str().unwrap());
    let done = executors.rig.until(&path, |got| got.body["status"] == "failed").await;
    assert!(done.text.contains("no_executor"), "{}", done.text);
    assert!(executors.work.lock().is_empty());
    executors.rig.stop().await;
}

#[tokio::test]
async fn what_a_node_carries_out_is_not_called_back() {
    let rig = ApiRig::start().await;
    rig.make("slow", json!({"manual": true}), "slow").await;
    let made = rig.post("/tasks/slow/trigger", Value::Null).await.expect(201);
    let id = made.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/executions/{id}");
    let running = rig.until(&path, |got| got.body["status"] == "running").await;
    let path = format!("/executions/{id}/callback?fence={}", running.body["fence"]);
    rig.post(&path, ended("success")).await.refused(409, "not_called_back");
    rig.stop().await;
}

#[tokio::test]
async fn why_names_the_executor() {
    let executors = ExecutorRig::start(&[], json!({})).await;
    let rig = &executors.rig;
    let method = reqwest::Method::PUT;
    let status = async |status: &str| {
        let body = json!({ "status": status });
        rig.call(method.clone(), "/executors/e-1/status", body, &[]).await.expect(200);
    };
    status("maintenance").await;
    let task = json!({"name": "tick", "schedule": {"interval": "1s", "max_ticks": 1},
        "action": {"executor": {"names": ["data"]}}});
    rig.post("/tasks", task).await.expect(201);
    let list = "/api/v1/executions?task_id=tick";
    let fired = rig.until(list, |got| got.body["items"][0]["status"] == "pending").await;
    let why = format!("/tasks/tick/why?at={}", fired.body["items"][0]["tick"].as_str().unwrap());
    let waits = rig.get(&why).await.expect(200);
    let summary = waits.body["summary"].as_str().unwrap();
    assert!(summary.ends_with("pending for an executor: e-1 is maintenance"), "{summary}");
    let by_hand = rig.post("/tasks/task/trigger", Value::Null).await.expect(201);
    let manual = rig.get("/tasks/task/why").await.expect(200);
    assert!(manual.text.contains("pending for an executor: e-1 is maintenance"), "{}", manual.text);
    let id = by_hand.body["id"].as_str().unwrap();
    rig.post(&format!("/executions/{id}/stop"), Value::Null).await.expect(200);
    status("online").await;
    let given = executors.attempt(fired.body["items"][0]["id"].as_str().unwrap(), 1).await;
    let path = format!("/api/v1{why}");
    let accepted = |got: &Got| {
        let summary = got.body["summary"].as_str().unwrap();
        summary.contains("running on executor e-1, which accepted it at ")
    };
    rig.until(&path, accepted).await;
    executors.call_back(url(&given), &ended("failed")).await.expect(200);
    let done = rig.get(&why).await.expect(200);
    let summary = done.body["summary"].as_str().unwrap();
    assert!(summary.ends_with("failed on executor e-1: 3 rows"), "{summary}");
    executors.rig.stop().await;
}

#[tokio::test]
async fn a_task_without_an_action_goes_to_who_declared_it() {
    let executors = ExecutorRig::start(&[], json!({})).await;
    let rig = &executors.rig;
    let bare = json!({"name": "bare", "schedule": {"manual": true}});
    rig.post("/tasks", bare).await.expect(201);
    let seen = rig.get("/executors/e-1").await.expect(200);
    let executor = json!({"executor_id": "e-1", "executor_name": "data",
        "executor_url": seen.body["base_url"], "tasks": [{"name": "bare"}]});
    let renewed = rig.post("/executors/register", executor).await.expect(200);
    assert_eq!(renewed.body["tasks"][0]["result"], "kept", "{}", renewed.text);
    let made = rig.post("/tasks/bare/trigger", Value::Null).await.expect(201);
    let given = executors.attempt(made.body["id"].as_str().unwrap(), 1).await;
    assert_eq!(given["task_name"], "bare");
    executors.call_back(url(&given), &ended("success")).await.expect(200);
    assert_eq!(executors.execution(&given).await["status"], "success");
    executors.rig.stop().await;
}

#[tokio::test]
async fn what_a_removed_executor_has_is_lost_and_stopped() {
    let executors = ExecutorRig::start(&[], json!({})).await;
    let given = executors.given().await;
    let path = format!("/api/v1/executions/{}", given["execution_id"].as_str().unwrap());
    let consensus = executors.rig.context.running.get().unwrap().consensus.clone();
    let accepted = |_got: &Got| {
        let state = consensus.replica().read();
        let mut running = state.on_executors().filter_map(|(id, _)| state.execution(id));
        running.any(|(_, one)| one.attempt.as_ref().is_some_and(|it| it.accepted_at().is_some()))
    };
    executors.rig.until(&path, accepted).await;
    let method = reqwest::Method::DELETE;
    executors.rig.call(method, "/executors/e-1", Value::Null, &[]).await.expect(200);
    let lost = executors.execution(&given).await;
    assert_eq!((&lost["status"], &lost["attempts"][0]["unknown"]), (&json!("lost"), &json!(true)));
    executors.rig.until(&path, |_got| stop_of(&executors.work, &given)).await;
    executors.call_back(url(&given), &ended("success")).await.refused(409, "execution_ended");
    executors.rig.stop().await;
}

fn stop_of(work: &GivenWork, given: &Value) -> bool {
    let work = work.lock();
    work.iter().any(|(path, body)| *path == "stop" && body["execution_id"] == given["execution_id"])
}

/// The state knows of the end before it knows of the 202, and there is nobody who watches the attempt.
#[tokio::test]
async fn what_ends_before_its_executor_answers_is_stopped() {
    let rig = ApiRig::start().await;
    let work = GivenWork::default();
    let (given, stopped) = (Arc::clone(&work), Arc::clone(&work));
    let (client, api) = (rig.client.clone(), format!("{}/api/v1", rig.base));
    let execute = post(move |body: axum::Json<Value>| async move {
        let id = body.0["execution_id"].as_str().unwrap().to_owned();
        given.lock().push(("execute", body.0));
        let end = match executes(&given) {
            1 => client.post(format!("{api}/executions/{id}/stop")),
            2 => client.delete(format!("{api}/executors/e-1")),
            _ => client.post(format!("{api}/tasks/task/cleanup")),
        };
        end.send().await.unwrap();
        StatusCode::ACCEPTED
    });
    let stop = post(move |body: axum::Json<Value>| async move {
        stopped.lock().push(("stop", body.0));
    });
    let router = Router::new().route("/execute", execute).route("/stop", stop);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let executor = json!({"executor_id": "e-1", "executor_name": "data",
        "executor_url": format!("http://{address}")});
    let task = json!({"name": "task", "schedule": {"manual": true},
        "action": {"executor": {"names": ["data"]}}});
    rig.post("/tasks", task).await.expect(201);
    for number in 1..=3 {
        let registered = rig.post("/executors/register", executor.clone()).await;
        assert!([200, 201].contains(&registered.status), "{}", registered.text);
        rig.post("/tasks/task/trigger", Value::Null).await.expect(201);
        rig.until("/readyz", |_got| executes(&work) == number).await;
        let given = work.lock().iter().rfind(|(path, _)| *path == "execute").unwrap().1.clone();
        rig.until("/readyz", |_got| stop_of(&work, &given)).await;
    }
    rig.stop().await;
}

/// How many attempts came.
fn executes(work: &GivenWork) -> usize {
    work.lock().iter().filter(|(path, _)| *path == "execute").count()
}
