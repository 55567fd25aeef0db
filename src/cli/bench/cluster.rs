//! The cluster under test, and requests to its nodes.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::super::children::{Children, Flavour, free_ports};
use super::super::exit::{Exit, Failure};
use crate::dto::{BenchState, ItemsView};

/// Time limit for the cluster to become ready.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Polling interval.
const LOOK: Duration = Duration::from_millis(5);
/// Time limit of a request. Measurements take long.
const ANSWER_LIMIT: Duration = Duration::from_secs(3_600);

pub(super) fn failure(error: impl std::fmt::Display) -> Failure {
    Failure { exit: Exit::No, message: error.to_string() }
}

/// Three child processes in a temporary folder, or existing nodes.
pub(super) struct BenchCluster {
    children: Option<Children>,
    pub urls: Vec<String>,
    pub folder: PathBuf,
    http: reqwest::Client,
}

impl Drop for BenchCluster {
    fn drop(&mut self) {
        // If it cannot be removed, the system cleans up its temporary folder.
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

impl BenchCluster {
    /// Uses the nodes at these addresses, or starts three. Waits until every node is ready.
    pub async fn open(servers: &[Url]) -> Result<Self, Failure> {
        let number: u64 = rand::random();
        let folder = std::env::temp_dir().join(format!("punctual-bench-{number:016x}"));
        DirBuilder::new().mode(0o700).create(&folder).map_err(failure)?;
        let http = crate::client::plain(Some(ANSWER_LIMIT)).map_err(failure)?;
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

    /// The child processes, which can be killed and started.
    pub fn children(&mut self) -> Result<&mut Children, Failure> {
        self.children.as_mut().ok_or_else(|| failure("these nodes are not this command's own"))
    }

    /// Rejects nodes without the benchmark routes.
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

    /// Sends a GET request to one node.
    pub async fn get<T: DeserializeOwned>(&self, node: usize, path: &str) -> Result<T, Failure> {
        let url = format!("{}{path}", self.urls.get(node).map_or("", String::as_str));
        read(self.http.get(url)).await
    }

    /// Sends a POST request to one node.
    pub async fn post<T: DeserializeOwned>(
        &self,
        node: usize,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let url = format!("{}{path}", self.urls.get(node).map_or("", String::as_str));
        read(self.http.post(url).json(body)).await
    }

    /// Adds tasks through one node.
    pub async fn add(&self, tasks: Vec<Value>) -> Result<(), Failure> {
        for chunk in tasks.chunks(5_000) {
            let body = json!({"items": chunk});
            let answer: ItemsView = self.post(0, "/api/v1/tasks/batch", &body).await?;
            if answer.succeeded != chunk.len() {
                let first = answer.items.iter().find(|item| item.status >= 300);
                return Err(failure(format!("tasks were not added: {first:?}")));
            }
        }
        Ok(())
    }

    /// The states of all nodes at the same index. They must agree.
    pub async fn agreed(&self) -> Result<Vec<BenchState>, Failure> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let mut states: Vec<BenchState> = Vec::new();
            for node in 0..self.urls.len() {
                states.push(self.get(node, "/bench/state").await?);
            }
            let all = |same: fn(&BenchState, &BenchState) -> bool| {
                states.iter().all(|state| same(state, &states[0]))
            };
            if all(|one, other| one.applied == other.applied) {
                if !all(|one, other| one.digest == other.digest) {
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

    /// The number of the leader.
    pub async fn leader(&self) -> Result<usize, Failure> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            for node in 0..self.urls.len() {
                let state = self.get::<BenchState>(node, "/bench/state").await;
                if state.is_ok_and(|state| state.leader) {
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

/// Sends a request and reads a successful response.
async fn read<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, Failure> {
    let answer = request.send().await.map_err(failure)?;
    let status = answer.status();
    if !status.is_success() {
        let text = answer.text().await.unwrap_or_default();
        return Err(failure(format!("{status}: {text:.300}")));
    }
    answer.json().await.map_err(failure)
}
