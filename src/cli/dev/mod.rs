//! `dev`: a temporary cluster on loopback. Each node is a child process of this binary, so `dev
//! kill n2` is a real `kill -9`. The children exit with their parent.

mod control;
mod demo;
mod follow;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::signal::unix::SignalKind;
use tokio::sync::Mutex;
use url::Url;

use crate::client::{Client, Patience};

use self::control::{ControlSocket, SocketPlace};
use super::children::{Children, Flavour, ports_from};
use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::fetch;
use super::output::Output;
use super::signals::Signals;

/// The default port that commands connect to.
const PORT: u16 = 8080;
/// Time limit for all nodes to become ready.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Runs a temporary cluster on loopback.
#[derive(Args, Debug, Clone)]
pub struct DevArguments {
    /// Send a command to a node of the running cluster, from another terminal.
    #[command(subcommand)]
    pub action: Option<DevAction>,
    /// Number of nodes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=7))]
    pub nodes: u16,
    /// Keep the data in this folder; by default it is removed at the end. From another terminal:
    /// the folder of the running cluster.
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// HTTP port of the first node. The others follow; peer ports are 1,000 lower.
    #[arg(long, default_value_t = PORT, global = true)]
    pub port: u16,
    /// Add demo tasks.
    #[arg(long)]
    pub demo: bool,
}

/// Commands for a node.
#[derive(Subcommand, Debug, Clone)]
pub enum DevAction {
    /// Kill it with `kill -9`.
    Kill {
        /// Such as n2.
        node: String,
    },
    /// Start it again.
    Start {
        /// Such as n2.
        node: String,
    },
    /// Pause it with SIGSTOP.
    Pause {
        /// Such as n2.
        node: String,
    },
    /// Resume it.
    Resume {
        /// Such as n2.
        node: String,
    },
}

/// Runs the cluster until interrupted, or sends a command to a running one.
///
/// # Errors
/// Ports or folders that cannot be used, or a cluster that does not become ready.
pub async fn run(arguments: DevArguments, context: &mut CliContext) -> CommandResult {
    let out = &mut context.out;
    match &arguments.action {
        Some(action) => act(&arguments, action, out).await,
        None => cluster(&arguments, out).await,
    }
}

async fn act(arguments: &DevArguments, action: &DevAction, out: &mut Output) -> CommandResult {
    let line = match action {
        DevAction::Kill { node } => format!("kill {node}"),
        DevAction::Start { node } => format!("start {node}"),
        DevAction::Pause { node } => format!("pause {node}"),
        DevAction::Resume { node } => format!("resume {node}"),
    };
    let (place, named) = match &arguments.data {
        Some(folder) => (SocketPlace::Folder(folder.clone()), format!("in {}", folder.display())),
        None => (SocketPlace::Port(arguments.port), format!("for port {}", arguments.port)),
    };
    let answer = control::ask(&place, &line).await.map_err(|error| Failure {
        exit: Exit::No,
        message: format!(
            "no dev cluster answers {named}: {error}\n  Start one with `punctual dev`, or name its \
             --port or --data."
        ),
    })?;
    match answer.strip_prefix("ok ") {
        Some(what) => {
            out.say(what);
            Ok(Exit::Ok)
        }
        None => Err(Failure { exit: Exit::Conflict, message: answer }),
    }
}

/// The data folder, and whether it is removed at the end.
struct Data {
    path: PathBuf,
    thrown_away: bool,
}

impl Data {
    fn new(kept: Option<&Path>) -> io::Result<Self> {
        let (path, thrown_away) = match kept {
            Some(path) => (std::path::absolute(path)?, false),
            None => {
                let number: u64 = rand::random();
                (std::env::temp_dir().join(format!("punctual-dev-{number:016x}")), true)
            }
        };
        // Only the user may read the settings, output and logs of the nodes.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot make {}: {error}", path.display()))
        })?;
        Ok(Self { path, thrown_away })
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.thrown_away {
            // If it cannot be removed, the system cleans up its temporary folder.
            let _removed = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn failure(error: impl std::fmt::Display) -> Failure {
    Failure { exit: Exit::No, message: error.to_string() }
}

async fn cluster(arguments: &DevArguments, out: &mut Output) -> CommandResult {
    let ports = ports_from(arguments.port, arguments.nodes);
    let ports = ports.map_err(|error| Failure::usage(error.to_string()))?;
    let data = Data::new(arguments.data.as_deref()).map_err(failure)?;
    let by_port = ControlSocket::bind(&SocketPlace::Port(arguments.port)).await.map_err(failure)?;
    let in_folder =
        ControlSocket::bind(&SocketPlace::Folder(data.path.clone())).await.map_err(failure)?;
    let mut ends =
        Signals::receive(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]);
    let mut children = Children::new(&data.path, &ports, &Flavour::default()).map_err(failure)?;
    children.start_all().map_err(failure)?;
    let urls = children.urls();
    let servers = urls.iter().filter_map(|url| Url::parse(url).ok()).collect();
    let client = Client::new(servers, Patience::default())?;
    let children = Arc::new(Mutex::new(children));
    tokio::select! {
        () = ends.next() => {}
        ended = by_port.serve(&children) => return Err(failure(ended)),
        ended = in_folder.serve(&children) => return Err(failure(ended)),
        ended = show(arguments, &data, &urls, &client, &children, out) => {
            children.lock().await.stop_all().await;
            return ended;
        }
    }
    out.say("stopping; once more ends it at once");
    let mut children = children.lock().await;
    let stopped = tokio::select! {
        () = children.stop_all() => true,
        () = ends.next() => false,
    };
    if !stopped {
        children.kill_all();
    }
    Ok(Exit::Ok)
}

/// Prints an overview, then follows the executions.
async fn show(
    arguments: &DevArguments,
    data: &Data,
    urls: &[String],
    client: &Client,
    children: &Arc<Mutex<Children>>,
    out: &mut Output,
) -> CommandResult {
    let leader = ready(urls, client, children).await?;
    out.say(&format!("punctual {}  data {}", crate::node::VERSION, data.path.display()));
    for (number, url) in urls.iter().enumerate() {
        let lead = if leader == number + 1 { "  leader" } else { "" };
        out.say(&format!("  n{}  {url}{lead}", number + 1));
    }
    out.say("a cluster for trying out: loopback only, no tokens, shell actions on");
    if let Some(first) = urls.first() {
        out.say(&format!("the web page: {first}"));
    }
    if arguments.demo {
        demo::add(client).await?;
    }
    out.say("in another terminal:");
    for command in commands(arguments) {
        out.say(&format!("  {command}"));
    }
    follow::follow(client, out).await
}

/// Example commands for another terminal.
fn commands(arguments: &DevArguments) -> Vec<String> {
    let port = arguments.port;
    let default = port == PORT;
    let server = if default { String::new() } else { format!(" --server http://127.0.0.1:{port}") };
    let mut commands = vec![
        format!("punctual{server} add hello --every 5s -- echo \"on time\""),
        format!("punctual{server} ls"),
    ];
    if arguments.nodes > 1 {
        let port = if default { String::new() } else { format!(" --port {port}") };
        commands.push(format!("punctual dev{port} kill n2"));
    }
    commands
}

/// Waits until every node is ready. Returns the number of the leader.
async fn ready(
    urls: &[String],
    client: &Client,
    children: &Arc<Mutex<Children>>,
) -> Result<usize, Failure> {
    let deadline = tokio::time::Instant::now() + READY_LIMIT;
    let http = crate::client::plain(Some(READY_LIMIT)).map_err(failure)?;
    for url in urls {
        loop {
            if let Some(ended) = children.lock().await.ended() {
                return Err(failure(ended));
            }
            let answer = http.get(format!("{url}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            if tokio::time::Instant::now() > deadline {
                return Err(failure(format!("{url} is not ready after 30 s")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let cluster = client.get("/api/v1/cluster", &[]).await?;
    let cluster = fetch::typed(&cluster.body, Exit::Unknown)?;
    Ok(follow::leader_number(&cluster).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{CliArgs, CliCommand};

    fn parse(line: &str) -> DevArguments {
        let arguments = CliArgs::try_parse_from(line.replace('"', "").split(' ')).unwrap();
        let CliCommand::Dev(arguments) = arguments.command else { panic!("{line}") };
        arguments
    }

    #[test]
    fn the_commands_that_are_shown_work_as_typed() {
        let shown = commands(&parse("punctual dev --nodes 3 --demo"));
        assert_eq!(shown[1..], ["punctual ls", "punctual dev kill n2"]);
        assert_eq!(commands(&parse("punctual dev")).len(), 2, "there is no n2");
        let shown = commands(&parse("punctual dev --nodes 3 --port 9180"));
        for line in &shown[..2] {
            let arguments = CliArgs::try_parse_from(line.replace('"', "").split(' ')).unwrap();
            assert_eq!(arguments.global.server[0].as_str(), "http://127.0.0.1:9180/");
        }
        assert_eq!(parse(&shown[2]).port, 9_180);
    }

    #[test]
    fn the_folder_may_stand_before_and_after_what_is_done() {
        for line in ["punctual dev --data x kill n2", "punctual dev kill n2 --data x"] {
            assert_eq!(parse(line).data, Some(PathBuf::from("x")), "{line}");
        }
    }

    /// The folder contains settings with secrets and the output of attempts.
    #[test]
    fn the_folder_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let rights = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let thrown_away = Data::new(None).unwrap();
        let path = thrown_away.path.clone();
        assert_eq!(rights(&path), 0o700);
        drop(thrown_away);
        assert!(!path.exists());
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a/b");
        drop(Data::new(Some(&path)).unwrap());
        assert_eq!((rights(&path), rights(path.parent().unwrap())), (0o700, 0o700));
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
        let mut out = Output::standard(
            crate::cli::output::Format::Table,
            true,
            crate::cli::local::LocalClock::new("UTC", crate::domain::time::Timestamp(0)),
        );
        let wrong = cluster(&parse("punctual dev --port 500"), &mut out).await.unwrap_err();
        assert_eq!(wrong.exit, Exit::Usage, "{wrong:?}");
        let wrong = cluster(&parse("punctual dev --data /proc/x"), &mut out).await.unwrap_err();
        assert!(wrong.message.starts_with("cannot make /proc/x: "), "{wrong:?}");
    }
}
