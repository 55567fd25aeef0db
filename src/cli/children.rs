//! The nodes of a temporary cluster on loopback. Each is a process of this binary.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A node that does not stop within this time is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Polling interval when waiting for a process to exit.
const LOOK: Duration = Duration::from_millis(20);

struct ChildNode {
    name: String,
    url: String,
    config: PathBuf,
    log: PathBuf,
    arguments: Vec<&'static str>,
    child: Option<Child>,
}

/// The nodes of the cluster.
pub(super) struct Children {
    nodes: Vec<ChildNode>,
}

/// Maximum number of ports tried.
const PORT_TRIES: usize = 1_000;

/// How the nodes are started.
#[derive(Clone, Debug, Default)]
pub(super) struct Flavour {
    /// Additional arguments of `serve`.
    pub arguments: Vec<&'static str>,
    /// Additional settings, as TOML.
    pub settings: &'static str,
}

/// HTTP and peer ports of `count` nodes. HTTP ports start at `first`, peer ports are 1,000 lower.
pub(super) fn ports_from(first: u16, count: u16) -> io::Result<Vec<(u16, u16)>> {
    let ports = (0..count).map(|number| {
        let http = first.checked_add(number);
        http.and_then(|http| Some((http, http.checked_sub(1_000).filter(|peer| *peer > 0)?)))
    });
    let ports: Option<Vec<(u16, u16)>> = ports.collect();
    ports.ok_or_else(|| io::Error::other("--port must lie between 1001 and 65000"))
}

/// Free ports below the range for outgoing connections, so that a node's port is still free when
/// the node is restarted.
pub(super) fn free_ports(count: u16) -> io::Result<Vec<(u16, u16)>> {
    let mut free = Vec::new();
    for _ in 0..PORT_TRIES {
        let port = rand::random_range(10_000..30_000);
        if !free.contains(&port) && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            free.push(port);
        }
        if free.len() == usize::from(count) * 2 {
            return Ok(free.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect());
        }
    }
    Err(io::Error::other("no free ports between 10000 and 30000"))
}

impl Children {
    /// Writes a settings file for each node.
    pub fn new(data: &Path, ports: &[(u16, u16)], flavour: &Flavour) -> io::Result<Self> {
        let mut members = String::new();
        for ((http, peer), number) in ports.iter().zip(1..) {
            let number: u16 = number;
            // Writing to a string cannot fail.
            let _written = write!(
                members,
                "\n[[cluster.member]]\nid = {number}\npeer = \"127.0.0.1:{peer}\"\n\
                 http = \"http://127.0.0.1:{http}\"\n"
            );
        }
        let mut nodes = Vec::new();
        for ((http, peer), number) in ports.iter().zip(1..) {
            let number: u16 = number;
            let name = format!("n{number}");
            let config = data.join(format!("{name}.toml"));
            let folder = data.join(&name);
            let text = format!(
                "# written by punctual for a throw-away cluster\n[cluster]\nname = \"dev\"\n\
                 {members}\n[node]\nid = {number}\ndata_dir = {folder:?}\n\n[http]\n\
                 listen = \"127.0.0.1:{http}\"\n\n[peer]\nlisten = \"127.0.0.1:{peer}\"\n\n\
                 [actions.shell]\nenabled = true\n{}",
                flavour.settings
            );
            fs::write(&config, text)?;
            let log = data.join(format!("{name}.log"));
            let url = format!("http://127.0.0.1:{http}");
            let arguments = flavour.arguments.clone();
            nodes.push(ChildNode { name, url, config, log, arguments, child: None });
        }
        Ok(Self { nodes })
    }

    /// The base URLs, in order.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.url.clone()).collect()
    }

    pub fn start_all(&mut self) -> io::Result<()> {
        self.nodes.iter_mut().try_for_each(ChildNode::start)
    }

    /// A message about a node that exited unexpectedly, if any.
    pub fn ended(&mut self) -> Option<String> {
        self.nodes.iter_mut().find_map(ChildNode::ended)
    }

    /// Executes one line from the control socket.
    pub async fn act(&mut self, line: &str) -> Result<String, String> {
        let (what, name) = line.split_once(' ').ok_or("say what to do with which node")?;
        let count = self.nodes.len();
        let node = self.nodes.iter_mut().find(|node| node.name == name);
        let node =
            node.ok_or_else(|| format!("there is no node {name}; name one from n1 to n{count}"))?;
        match what {
            "kill" => node.signal(Signal::KILL, "killed").await,
            "pause" => node.signal(Signal::STOP, "paused").await,
            "resume" => node.signal(Signal::CONT, "goes on").await,
            "start" if node.runs() => {
                Err(format!("{name} runs already; `punctual dev kill {name}` ends it"))
            }
            "start" => {
                node.start().map(|()| format!("{name} started")).map_err(|error| error.to_string())
            }
            other => Err(format!("{other} is not known here")),
        }
    }

    /// Stops all nodes and waits for them.
    pub async fn stop_all(&mut self) {
        for node in &mut self.nodes {
            if let Some(child) = &node.child {
                // A paused process cannot exit.
                let _gone = send(child, Signal::CONT);
                let _gone = send(child, Signal::TERM);
            }
        }
        let deadline = tokio::time::Instant::now() + STOP_LIMIT;
        for node in &mut self.nodes {
            while node.runs() && tokio::time::Instant::now() < deadline {
                tokio::time::sleep(LOOK).await;
            }
        }
        self.kill_all();
    }

    /// Kills all nodes.
    pub fn kill_all(&mut self) {
        for child in self.nodes.iter_mut().filter_map(|node| node.child.as_mut()) {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

fn send(child: &Child, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("no process id"))?;
    Ok(kill_process(pid, signal)?)
}

impl ChildNode {
    fn start(&mut self) -> io::Result<()> {
        let log = fs::File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--with-parent")
            .args(&self.arguments)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // ^C in the terminal reaches only the parent, which then stops its children in order.
            .process_group(0)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let last = said.lines().last().unwrap_or("it said nothing");
        Some(format!("{} ended ({status}): {last}", self.name))
    }

    async fn signal(&mut self, signal: Signal, done: &str) -> Result<String, String> {
        if !self.runs() {
            return Err(format!("{0} does not run; `punctual dev start {0}` starts it", self.name));
        }
        let Some(child) = &mut self.child else { return Err("no process".to_owned()) };
        send(child, signal).map_err(|error| error.to_string())?;
        if signal == Signal::KILL {
            while matches!(child.try_wait(), Ok(None)) {
                tokio::time::sleep(LOOK).await;
            }
            self.child = None;
        }
        Ok(format!("{} {done}", self.name))
    }
}
