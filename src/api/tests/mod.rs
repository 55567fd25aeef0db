//! Tests of the routes over HTTP against a real node.

mod attempts;
mod backfill;
mod backup;
mod bad_input;
mod calendars;
mod chains;
mod compat;
mod edges;
mod edit_pages;
mod endings;
mod engine;
mod events;
mod executing;
mod executors;
mod flat;
mod history;
mod lines;
mod many;
mod members;
mod output;
mod page_stream;
mod pages;
mod repeats;
mod routes;
mod running;
mod shown;
mod slots;
mod strategies;
mod task;

pub(in crate::api) use self::routes::waiting;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::api::Context;
use crate::config::{Config, Flag, Sources};
use crate::exec::{Func, FuncContext};
use crate::node::{Error, Node, NodeBuilder};

/// Upper bound of all waits in these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster of one node.
struct ApiRig {
    context: Arc<Context>,
    client: reqwest::Client,
    base: String,
    stop: oneshot::Sender<()>,
    node: JoinHandle<Result<(), Error>>,
    _folder: TempDir,
}

/// A response.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Value,
    text: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The response, if it has this status.
    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Checks that the response is a problem with this status and code.
    #[track_caller]
    fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.text
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        let advice = self.body["advice"].as_str().unwrap_or_default();
        assert!(advice.ends_with('.'), "it says what to do: {}", self.text);
        assert_eq!(self.header("punctual-version"), env!("CARGO_PKG_VERSION"));
        self
    }
}

fn config(folder: &TempDir, more: &[(&str, String)]) -> Config {
    let flag =
        |key: &str, value: String| Flag { name: format!("--{key}"), key: key.to_owned(), value };
    let mut flags = vec![
        flag("node.data_dir", folder.path().join("data").display().to_string()),
        flag("http.listen", "127.0.0.1:0".to_owned()),
        flag("peer.listen", "127.0.0.1:0".to_owned()),
    ];
    flags.extend(more.iter().map(|(key, value)| flag(key, value.clone())));
    let sources = Sources {
        flags,
        environment: BTreeMap::new(),
        file: None::<PathBuf>,
        read_file: &crate::config::read_file,
    };
    Config::load(&sources).unwrap()
}

/// `ok` prints a line, `fail` fails, `slow` runs until it is cancelled.
fn function(name: &'static str) -> Func {
    Arc::new(move |context: FuncContext| {
        Box::pin(async move {
            let mut cancel = context.cancel;
            match name {
                "fail" => Err("it was meant to".to_owned()),
                "slow" => {
                    let _gone = cancel.wait_for(|cancel| *cancel).await;
                    Ok("asked to end\n".to_owned())
                }
                _ => Ok(format!(
                    "hello from {}, {}\n",
                    context.attempt.task, context.attempt.parameters
                )),
            }
        })
    })
}

impl ApiRig {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With additional settings.
    async fn with(settings: &[(&str, String)]) -> Self {
        Self::having(settings, ["ok", "fail", "slow"].map(|name| (name, function(name)))).await
    }

    /// With these functions.
    async fn having<const N: usize>(
        settings: &[(&str, String)],
        functions: [(&'static str, Func); N],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::of(config(&folder, settings), folder, functions).await
    }

    /// With this configuration.
    async fn of<const N: usize>(
        config: Config,
        folder: TempDir,
        functions: [(&'static str, Func); N],
    ) -> Self {
        let mut builder = Node::builder().loaded(config);
        for (name, function) in functions {
            builder = builder.func(name, function);
        }
        Self::built(builder, folder).await
    }

    /// With this node.
    async fn built(builder: NodeBuilder, folder: TempDir) -> Self {
        let node = builder.start().await.unwrap();
        let base = format!("http://{}", node.http().unwrap());
        let context = Arc::clone(node.context());
        let (stop, stopped) = oneshot::channel();
        let node = tokio::spawn(node.run(async move {
            let _dropped = stopped.await;
        }));
        let client = crate::client::plain(Some(PATIENCE)).unwrap();
        let rig = Self { context, client, base, stop, node, _folder: folder };
        rig.until("/readyz", |got| got.status == 200).await;
        rig
    }

    async fn stop(self) {
        let asked = self.stop.send(()).is_ok();
        let ended = tokio::time::timeout(PATIENCE, self.node).await;
        let ended = ended.expect("the node leaves in time").unwrap();
        assert!(asked && ended.is_ok(), "it ended by itself: {}: {ended:?}", !asked);
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Got {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        // Two types that are flattened into one object could have a field name in common.
        let twice = body != Value::Null && crate::domain::spec::parse_json(&text).is_err();
        assert!(!twice, "a name stands twice, or it is no JSON: {text}");
        Got { status, headers, body, text }
    }

    async fn call(&self, method: Method, path: &str, body: Value, headers: &[(&str, &str)]) -> Got {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let path = format!("/api/v1{path}");
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        self.send(method, &path, &all, body).await
    }

    async fn get(&self, path: &str) -> Got {
        self.call(Method::GET, path, Value::Null, &[]).await
    }

    async fn post(&self, path: &str, body: Value) -> Got {
        self.call(Method::POST, path, body, &[]).await
    }

    /// Repeats the request until the response meets the condition.
    async fn until(&self, path: &str, good: impl Fn(&Got) -> bool) -> Got {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let got = self.send(Method::GET, path, &[], None).await;
            if good(&got) {
                return got;
            }
            assert!(Instant::now() < deadline, "{path} stays {}", got.text);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Creates a task with a function as its action.
    #[track_caller]
    fn make(&self, name: &str, schedule: Value, func: &str) -> impl Future<Output = Got> {
        let body = json!({"name": name, "schedule": schedule, "action": {"func": {"id": func}}});
        async move { self.post("/tasks", body).await.expect(201) }
    }
}

/// The action of a function that succeeds.
fn ok() -> Value {
    json!({"func": {"id": "ok"}})
}

/// A schedule without ticks during a test.
fn yearly() -> Value {
    json!({"cron": "0 0 1 1 *"})
}
