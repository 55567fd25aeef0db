//! A cluster to be measured, and questions to its nodes.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::super::children::{Children, Flavour, free_ports};
use super::super::exit::{Exit, Failure};

/// A cluster is ready within this.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// A long measurement answers within this.
const ANSWER_LIMIT: Duration = Duration::from_secs(3_600);

pub(super) fn failure(error: impl std::fmt::Display) -> Failure {
    Failure { exit: Exit::No, message: error.to_string() }
}

/// Three processes in a temporary folder, or nodes that were there before.
pub(super) struct BenchCluster {
    children: Option<Children>,
    pub urls: Vec<String>,
    pub folder: PathBuf,
    http: reqwest::Client,
}

impl Drop for BenchCluster {
    fn drop(&mut self) {
        // Left to the system's own cleaning where it cannot be removed.
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

impl BenchCluster {
    /// The nodes at these addresses, or three of its own; waits until every node is ready.
    pub async fn open(servers: &[Url]) -> Result<Self, Failure> {
        let number: u64 = rand::random();
        let folder = std::env::temp_dir().join(format!("punctual-bench-{number:016x}"));
        DirBuilder::new().mode(0o700).create(&folder).map_err(failure)?;
        let http = crate::client::plain(ANSWER_LIMIT).map_err(failure)?;
        if !servers.is_empty() {
            let urls = servers.iter().map(|url| url.as_str().trim_end_matches('/').to_owned());
            let mut cluster = Self { children: None, urls: urls.collect(), folder, http };
            cluster.ready().await?;
            cluster.measurable().await?;
            return Ok(cluster);
        }
        let flavour = Flavour { arguments: vec!["--bench"], settings: "" };
        let ports = free_ports(3).map_err(failure)?;
        let mut children = Children::new(&folder, &ports, &flavour).map_err(failure)?;
        children.start_all().map_err(failure)?;
        let urls = children.urls();
        let mut cluster = Self { children: Some(children), urls, folder, http };
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Waits until every node is ready.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + READY_LIMIT;
        for url in self.urls.clone() {
            while !self.is_ready(&url).await {
                if let Some(ended) = self.children.as_mut().and_then(Children::ended) {
                    return Err(failure(ended));
                }
                if Instant::now() > deadline {
                    return Err(failure(format!("{url} is not ready in time")));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// The processes, to be killed and started.
    pub fn children(&mut self) -> Result<&mut Children, Failure> {
        self.children.as_mut().ok_or_else(|| failure("these nodes are not this command's own"))
    }

    /// Refuses nodes without the routes for measuring.
    async fn measurable(&self) -> Result<(), Failure> {
        for url in &self.urls {
            let asked = self.http.get(format!("{url}/bench/state")).send().await;
            if !asked.map_err(failure)?.status().is_success() {
                let why = format!("{url} cannot be measured: start its node with `serve --bench`");
                return Err(failure(why));
            }
        }
        Ok(())
    }

    async fn is_ready(&self, url: &str) -> bool {
        let answer = self.http.get(format!("{url}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    pub async fn get(&self, node: usize, path: &str) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.urls.get(node).map_or("", String::as_str));
        let answer = self.http.get(url).send().await.map_err(failure)?;
        answer.json().await.map_err(failure)
    }

    pub async fn post(&self, node: usize, path: &str, body: &Value) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.urls.get(node).map_or("", String::as_str));
        let answer = self.http.post(url).json(body).send().await.map_err(failure)?;
        answer.json().await.map_err(failure)
    }

    /// Adds task bodies through one node.
    pub async fn add(&self, tasks: Vec<Value>) -> Result<(), Failure> {
        for chunk in tasks.chunks(5_000) {
            let answer = self.post(0, "/api/v1/tasks/batch", &json!({"items": chunk})).await?;
            let results = answer.get("items").and_then(Value::as_array).cloned();
            let results = results.unwrap_or_default();
            let good = |result: &Value| {
                result.get("status").and_then(Value::as_u64).is_some_and(|status| status < 300)
            };
            if results.len() != chunk.len() || !results.iter().all(good) {
                let first = results.iter().find(|result| !good(result));
                return Err(failure(format!("tasks were not added: {first:?} {answer:.300}")));
            }
        }
        Ok(())
    }

    /// The states of all nodes once they stand at one index; they must agree.
    pub async fn agreed(&self) -> Result<Vec<Value>, Failure> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let mut states = Vec::new();
            for node in 0..self.urls.len() {
                states.push(self.get(node, "/bench/state").await?);
            }
            let field = |name: &str| -> Vec<Option<&Value>> {
                states.iter().map(|state| state.get(name)).collect()
            };
            let same = |values: Vec<Option<&Value>>| values.iter().all(|one| *one == values[0]);
            if same(field("applied")) {
                if !same(field("digest")) {
                    return Err(failure(format!("the states differ: {states:?}")));
                }
                return Ok(states);
            }
            if Instant::now() > deadline {
                return Err(failure("the nodes never stood at one index"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The number of the node that leads.
    pub async fn leader(&self) -> Result<usize, Failure> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            for node in 0..self.urls.len() {
                let state = self.get(node, "/bench/state").await.unwrap_or_default();
                if state.get("leader") == Some(&Value::Bool(true)) {
                    return Ok(node);
                }
            }
            if Instant::now() > deadline {
                return Err(failure("no node leads"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

pub(super) fn number(value: &Value, field: &str) -> f64 {
    value.get(field).and_then(Value::as_f64).unwrap_or(0.0)
}
