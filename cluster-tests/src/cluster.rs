//! A cluster of real processes in a temporary folder, and operations on it.
//!
//! Each node has its own loopback address, so two clusters never share a port, even while a node is
//! down and its port is free. Nodes are numbered from 1.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{FileLimit, NodeProcess};
use crate::{Api, Links, ProcessExit, TestResult, field, items, text, until};

const HTTP_PORT: u16 = 8080;
const PEER_PORT: u16 = 7070;
/// The last byte of the address that reserves a cluster's network.
const KEEPER: u8 = 254;
/// Added to a node's number in the address of its proxy.
const PROXIES: u8 = 100;
/// Maximum number of networks tried.
const TRIES: usize = 100;

/// The options of a cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Additional settings of every node, as TOML tables.
    pub settings: String,
    /// Whether peers reach each other through proxies, so that nodes can be cut off.
    pub proxied: bool,
    /// The limit of open files of each node. None: the limit of this process.
    pub files: Option<FileLimit>,
    /// The local zone of each node, as its variable `TZ`. A node without one has that of this process.
    pub local_zones: &'static [&'static str],
}

/// 256 unused loopback addresses: 127.a.b.*.
#[derive(Debug)]
struct Addresses {
    a: u8,
    b: u8,
    /// Held while the cluster exists.
    _keeper: TcpListener,
}

impl Addresses {
    fn take() -> TestResult<Self> {
        for _ in 0..TRIES {
            // 127.0.*.* is used by other programs.
            let (a, b) = (rand::random_range(1..=254), rand::random());
            let keeper = SocketAddr::from((Ipv4Addr::new(127, a, b, KEEPER), PEER_PORT));
            if let Ok(keeper) = TcpListener::bind(keeper) {
                return Ok(Self { a, b, _keeper: keeper });
            }
        }
        Err("there is no free loopback network".into())
    }

    fn at(&self, last: u8) -> IpAddr {
        Ipv4Addr::new(127, self.a, self.b, last).into()
    }

    fn http(&self, node: u8) -> SocketAddr {
        (self.at(node), HTTP_PORT).into()
    }

    fn peer(&self, node: u8) -> SocketAddr {
        (self.at(node), PEER_PORT).into()
    }

    fn proxy(&self, node: u8) -> SocketAddr {
        (self.at(PROXIES + node), PEER_PORT).into()
    }
}

/// A cluster. If it is dropped before [`ProcessCluster::finish`], a test has failed: it prints the
/// ends of its logs and keeps its folder.
#[derive(Debug)]
pub struct ProcessCluster {
    /// Before the folder, so that the nodes stop before it is removed.
    nodes: Vec<NodeProcess>,
    links: Option<Links>,
    addresses: Addresses,
    api: Api,
    folder: TempDir,
    finished: bool,
}

impl ProcessCluster {
    /// Starts this number of nodes and waits until all are ready.
    ///
    /// # Errors
    /// A node does not start, or is not ready in time.
    pub async fn start(nodes: u8, options: ClusterOptions) -> TestResult<Self> {
        let mut cluster = Self::prepare(nodes, options).await?;
        cluster.start_all()?;
        cluster.all_ready().await?;
        Ok(cluster)
    }

    /// Writes the settings of this number of nodes, and starts none.
    ///
    /// # Errors
    /// Errors of the disk or the network.
    pub async fn prepare(nodes: u8, options: ClusterOptions) -> TestResult<Self> {
        let addresses = Addresses::take()?;
        let folder = tempfile::Builder::new().prefix("punctual-test-").tempdir()?;
        let peer = |node| match options.proxied {
            true => addresses.proxy(node),
            false => addresses.peer(node),
        };
        let mut members = String::new();
        for node in 1..=nodes {
            let http = addresses.http(node);
            write!(
                members,
                "[[cluster.member]]\nid = {node}\npeer = \"{}\"\nhttp = \"http://{http}\"\n\n",
                peer(node)
            )?;
        }
        let mut processes = Vec::new();
        for node in 1..=nodes {
            let settings = folder.path().join(format!("n{node}.toml"));
            let data = folder.path().join(format!("n{node}"));
            let (http, peer) = (addresses.http(node), addresses.peer(node));
            let text = format!(
                "[cluster]\nname = \"test\"\n\n{members}[node]\nid = {node}\ndata_dir = {data:?}\n\n\
                 [http]\nlisten = \"{http}\"\n\n[peer]\nlisten = \"{peer}\"\n\n\
                 [actions.shell]\nenabled = true\n\n{}",
                options.settings
            );
            fs::write(&settings, text)?;
            let log = folder.path().join(format!("n{node}.log"));
            let zone = options.local_zones.get(usize::from(node) - 1).copied();
            processes.push(NodeProcess::new(settings, log, options.files, zone));
        }
        let pairs = (1..=nodes).map(|node| (addresses.proxy(node), addresses.peer(node)));
        let links = if options.proxied { Some(Links::start(pairs.collect()).await?) } else { None };
        let api = Api::new(format!("http://{}", addresses.http(1)))?;
        Ok(Self { nodes: processes, links, addresses, api, folder, finished: false })
    }

    fn process(&mut self, node: u8) -> &mut NodeProcess {
        &mut self.nodes[usize::from(node) - 1]
    }

    /// The numbers of all nodes.
    pub fn numbers(&self) -> impl Iterator<Item = u8> + use<> {
        1..=u8::try_from(self.nodes.len()).unwrap_or(u8::MAX)
    }

    /// The folder of the cluster.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A node's data folder.
    #[must_use]
    pub fn data(&self, node: u8) -> PathBuf {
        self.folder().join(format!("n{node}"))
    }

    /// A node's settings file.
    #[must_use]
    pub fn settings(&mut self, node: u8) -> PathBuf {
        self.process(node).settings().to_owned()
    }

    /// Rewrites a node's settings, which apply from its next start.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn rewrite(&mut self, node: u8, change: impl FnOnce(String) -> String) -> TestResult<()> {
        let path = self.settings(node);
        Ok(fs::write(&path, change(fs::read_to_string(&path)?))?)
    }

    /// The API of a node.
    #[must_use]
    pub fn api(&self, node: u8) -> Api {
        self.api.at(format!("http://{}", self.addresses.http(node)))
    }

    /// A node's HTTP address and its peer address.
    #[must_use]
    pub fn listens(&self, node: u8) -> [SocketAddr; 2] {
        [self.addresses.http(node), self.addresses.peer(node)]
    }

    // ---- control of nodes

    /// Starts a stopped node.
    ///
    /// # Errors
    /// It is running, or cannot be started.
    pub fn start_node(&mut self, node: u8) -> TestResult<()> {
        self.process(node).start()
    }

    /// Starts all nodes.
    ///
    /// # Errors
    /// One is already running, or cannot be started.
    pub fn start_all(&mut self) -> TestResult<()> {
        self.nodes.iter_mut().try_for_each(NodeProcess::start)
    }

    /// `kill -9`. On return the process has ended.
    ///
    /// # Errors
    /// It is not running.
    pub fn kill9(&mut self, node: u8) -> TestResult<()> {
        self.process(node).kill9()
    }

    /// `kill -9` of all nodes together.
    ///
    /// # Errors
    /// One is not running.
    pub fn kill9_all(&mut self) -> TestResult<()> {
        // Signal all nodes first, then wait for each.
        self.nodes.iter().try_for_each(|node| node.send(Signal::KILL))?;
        self.nodes.iter_mut().try_for_each(NodeProcess::kill9)
    }

    /// Pauses a node with SIGSTOP.
    ///
    /// # Errors
    /// It is not running.
    pub fn pause(&mut self, node: u8) -> TestResult<()> {
        self.process(node).send(Signal::STOP)
    }

    /// Resumes a paused node.
    ///
    /// # Errors
    /// It is not running.
    pub fn resume(&mut self, node: u8) -> TestResult<()> {
        self.process(node).send(Signal::CONT)
    }

    /// Requests a node to stop, and waits for it.
    ///
    /// # Errors
    /// It is not running, or does not stop.
    pub async fn stop(&mut self, node: u8) -> TestResult<ExitStatus> {
        self.process(node).send(Signal::TERM)?;
        self.process(node).ended().await
    }

    /// Starts a node whose start must fail, and returns how it ended.
    ///
    /// # Errors
    /// It does not end by itself.
    pub async fn refused(&mut self, node: u8) -> TestResult<ProcessExit> {
        self.process(node).start()?;
        self.ended(node).await
    }

    /// Waits for a node that ends by itself, and returns how it ended.
    ///
    /// # Errors
    /// It does not end.
    pub async fn ended(&mut self, node: u8) -> TestResult<ProcessExit> {
        let process = self.process(node);
        let status = process.ended().await?;
        Ok(ProcessExit { code: status.code(), stdout: String::new(), stderr: process.said() })
    }

    /// Cuts a node off from all others, in both directions.
    ///
    /// # Errors
    /// The cluster has no proxies.
    pub fn cut_off(&self, node: u8) -> TestResult<()> {
        self.links.as_ref().ok_or("no proxies")?.cut_off(self.addresses.at(node));
        Ok(())
    }

    /// Reconnects all nodes.
    ///
    /// # Errors
    /// The cluster has no proxies.
    pub fn heal(&self) -> TestResult<()> {
        self.links.as_ref().ok_or("no proxies")?.heal();
        Ok(())
    }

    // ---- waits and queries

    /// The standard error of a node since its last start.
    #[must_use]
    pub fn said(&self, node: u8) -> String {
        self.nodes[usize::from(node) - 1].said()
    }

    /// The maximum number of log lines of a node, over all its starts.
    #[must_use]
    pub fn log_lines(&self) -> usize {
        self.nodes.iter().map(NodeProcess::lines).max().unwrap_or(0)
    }

    /// The process id of a node.
    #[must_use]
    pub fn pid(&mut self, node: u8) -> Option<u32> {
        self.process(node).pid()
    }

    /// Waits until a node is ready.
    ///
    /// # Errors
    /// It has ended, or is not ready in time.
    pub async fn ready(&mut self, node: u8) -> TestResult<()> {
        let api = self.api(node);
        let process = self.process(node);
        until(&format!("n{node} to be ready"), async || {
            let answer = api.ready().await;
            if answer.is_err() && !process.runs() { Err("it has ended".into()) } else { answer }
        })
        .await
    }

    /// Waits until all nodes are ready.
    ///
    /// # Errors
    /// One has ended, or is not ready in time.
    pub async fn all_ready(&mut self) -> TestResult<()> {
        for node in self.numbers() {
            self.ready(node).await?;
        }
        Ok(())
    }

    /// The current leader: the node with the latest term that reports that it leads.
    ///
    /// # Errors
    /// There is no leader in time.
    pub async fn leader(&self) -> TestResult<u8> {
        until("a leader", async || {
            let mut best = None;
            for node in self.numbers() {
                let api = self.api(node);
                // A stopped node does not lead.
                let Ok(leads) = api.metric("punctual_raft_is_leader").await else { continue };
                let term = api.metric("punctual_raft_term").await.unwrap_or(0.0);
                if leads > 0.0 && best.is_none_or(|(found, _)| term > found) {
                    best = Some((term, node));
                }
            }
            best.map(|(_, node)| node).ok_or_else(|| "no node leads".into())
        })
        .await
    }

    /// Waits until all nodes have applied the same log index. Returns their digest.
    ///
    /// # Errors
    /// Their digests differ at that index, or the indexes do not become equal in time.
    pub async fn agreed(&self) -> TestResult<String> {
        let states = until("all nodes to apply the same index", async || {
            let mut states = Vec::new();
            for node in self.numbers() {
                let state = self.api(node).get("/api/v1/cluster?consistency=stale").await?;
                states.push((
                    field(&state, "applied_index").clone(),
                    text(&state, "digest").to_owned(),
                ));
            }
            let same = states.iter().all(|(index, _)| *index == states[0].0);
            if same { Ok(states) } else { Err(format!("{states:?}").into()) }
        });
        let states = states.await?;
        if states.iter().any(|(_, digest)| digest.is_empty() || *digest != states[0].1) {
            return Err(format!("the digests differ: {states:?}").into());
        }
        Ok(states[0].1.clone())
    }

    /// Adds tasks through one node.
    ///
    /// # Errors
    /// One of them is refused.
    pub async fn add(&self, node: u8, tasks: &[Value]) -> TestResult<()> {
        let answer = self.api(node).post("/api/v1/tasks/batch", &json!({"items": tasks})).await?;
        match items(&answer).iter().find(|item| field(item, "status") != 201) {
            Some(refused) => Err(format!("a task was not created: {refused}").into()),
            None => Ok(()),
        }
    }

    // ---- end

    /// Ends a successful test: stops all running nodes, and removes the folder.
    ///
    /// # Errors
    /// A node did not end normally.
    pub async fn finish(mut self) -> TestResult<()> {
        for process in self.nodes.iter().filter(|process| process.pid().is_some()) {
            process.send(Signal::TERM)?;
        }
        for node in self.numbers() {
            if self.process(node).pid().is_none() {
                continue;
            }
            let status = self.process(node).ended().await?;
            if !status.success() {
                return Err(format!("n{node}: {status}").into());
            }
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for ProcessCluster {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.folder.disable_cleanup(true);
        eprintln!("---- not finished; the folder is kept: {}", self.folder().display());
        for (process, number) in self.nodes.iter().zip(1..) {
            eprintln!("---- the end of n{number}'s log\n{}", process.last_lines());
        }
    }
}
