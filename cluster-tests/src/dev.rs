//! `punctual dev` as a process, and shells that reach its nodes.

use std::fs;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::{Api, TestResult, node_program, until};

/// The port of its first node, if nobody says otherwise.
const PORT: u16 = 8080;

/// A running `dev`, with a folder of its own.
#[derive(Debug)]
pub struct Dev {
    /// The process that its nodes are children of.
    pub process: Child,
    /// Where its first node listens for clients.
    pub port: u16,
    /// Its data, or that of its temporary files.
    pub folder: TempDir,
    nodes: u16,
    /// Before a command that is to reach its nodes.
    enter: Vec<String>,
}

impl Dev {
    /// Starts it on free ports, and waits until it has answered.
    ///
    /// # Errors
    /// It does not start, or is not ready in time.
    pub async fn start(nodes: u16) -> TestResult<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_ports(nodes).await?;
        let mut command = Command::new(node_program()?);
        command
            .args(["dev", "--nodes", &nodes.to_string(), "--port", &port.to_string(), "--data"])
            .arg(folder.path());
        let process = spawn(command)?;
        let dev = Self { process, port, folder, nodes, enter: Vec::new() };
        dev.ready().await?;
        Ok(dev)
    }

    /// Starts `punctual dev --port 8080` in a network of its own, where that port is free.
    ///
    /// # Errors
    /// It does not start. None: this machine lets nobody have a network of its own.
    pub async fn start_apart() -> TestResult<Option<Self>> {
        let up = "ip link set lo up";
        let mut tried = Command::new("unshare");
        tried.args(["-rn", "sh", "-c", up]).stdin(Stdio::null());
        if !tried.output().await.is_ok_and(|tried| tried.status.success()) {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("unshare");
        command
            .args(["-rn", "sh", "-c", &format!("{up} && exec \"$0\" \"$@\"")])
            .arg(node_program()?)
            .args(["dev", "--port", &PORT.to_string()])
            // Its data, and the socket that is named by the port.
            .env("TMPDIR", folder.path());
        let process = spawn(command)?;
        let mut dev = Self { process, port: PORT, folder, nodes: 1, enter: Vec::new() };
        let pid = dev.pid()?;
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
        until("its network", async || {
            let apart = network(&pid.to_string())? != network("self")?;
            if apart { Ok(()) } else { Err("it is that of this process".into()) }
        })
        .await?;
        let enter = format!("nsenter --user --net --preserve-credentials --target {pid}");
        dev.enter = enter.split(' ').map(str::to_owned).collect();
        dev.ready().await?;
        Ok(Some(dev))
    }

    /// Waits until all of its nodes are ready.
    ///
    /// # Errors
    /// One is not in time.
    pub async fn ready(&self) -> TestResult<()> {
        for node in 0..self.nodes {
            let url = format!("http://127.0.0.1:{}", self.port + node);
            if self.enter.is_empty() {
                let api = Api::new(url)?;
                until("the cluster", async || api.ready().await).await?;
                continue;
            }
            let line = format!("curl -sS --fail --noproxy '*' {url}/readyz");
            until("the cluster", async || {
                let asked = self.shell(&line).output().await?;
                if asked.status.success() { Ok(()) } else { Err(format!("{asked:?}").into()) }
            })
            .await?;
        }
        Ok(())
    }

    /// A shell with this script, where its nodes are reached.
    #[must_use]
    pub fn shell(&self, script: &str) -> Command {
        let shell = ["/bin/sh", "-c", script];
        let mut words = self.enter.iter().map(String::as_str).chain(shell);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// The URL of its first node.
    #[must_use]
    pub fn server(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a signal to it.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> TestResult<()> {
        let pid = i32::try_from(self.pid()?).ok().and_then(Pid::from_raw).ok_or("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// It did not end well.
    pub async fn stop(mut self) -> TestResult<()> {
        self.signal(Signal::INT)?;
        let ended = self.process.wait().await?;
        if ended.success() { Ok(()) } else { Err(ended.to_string().into()) }
    }

    fn pid(&self) -> TestResult<u32> {
        Ok(self.process.id().ok_or("it has ended")?)
    }

    /// The processes of its nodes.
    ///
    /// # Errors
    /// It has ended, or has not as many.
    pub fn children(&self) -> TestResult<Vec<String>> {
        let pid = self.pid()?;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let children: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
        let all = children.len() == usize::from(self.nodes);
        if all { Ok(children) } else { Err(format!("its children are {children:?}").into()) }
    }
}

fn spawn(mut command: Command) -> TestResult<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command.spawn()?)
}

/// The first of the ports where so many nodes can listen for clients, and 1,000 below for peers.
async fn free_ports(nodes: u16) -> TestResult<u16> {
    until("free ports", async || {
        let first = rand::random_range(12_000..30_000);
        for port in first..first + nodes {
            TcpListener::bind(("127.0.0.1", port)).await?;
            TcpListener::bind(("127.0.0.1", port - 1_000)).await?;
        }
        Ok(first)
    })
    .await
}
