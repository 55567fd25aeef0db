//! `serve`: a production node. It runs until a signal or a fatal error. This is the only place that
//! ends the process.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::pin;

use clap::Args;
use rustix::process::{Resource, Signal, getrlimit, set_parent_process_death_signal};
use tokio::signal::unix::SignalKind;
use tokio::sync::oneshot;

use crate::budget;
use crate::config::{Config, Flag, LogFormat, Rotate, Sources};
use crate::exec::ShimProgram;
use crate::node::{Error, FilesReload, Node, NodeBuilder};
use crate::telemetry::log::{Every, LineFormat, LogFile, LogOptions, RunningLog};

use super::exit::{CommandResult, Exit, Failure};
use super::signals::Signals;

/// Runs a node.
#[derive(Args, Debug, Clone)]
pub struct ServeArguments {
    /// The settings file. Without a file and without members: a single node on loopback.
    #[arg(long, value_name = "FILE", env = "PUNCTUAL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Override a setting of the file and the environment, as KEY=VALUE.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Create a new cluster without this listed member, which is unreachable. If the member belongs
    /// to a running cluster, the data acknowledged by that cluster is lost.
    #[arg(long, value_name = "ID")]
    pub bootstrap_without: Vec<u16>,
    /// Exit at the end of standard input, for parents that must not leave nodes behind.
    #[arg(long, hide = true)]
    pub with_parent: bool,
    /// Enable the benchmark routes.
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// Runs a node until it is stopped.
///
/// # Errors
/// Invalid settings (exit code 2), or the reason why the node ended by itself (exit code 1).
pub async fn run(arguments: ServeArguments) -> CommandResult {
    // This must come first: the process raises its own limit, but commands get the original one.
    let open_files = getrlimit(Resource::Nofile).current;
    let config = load(&arguments)?;
    let log = RunningLog::start(&log_options(&config))
        .map_err(|error| Failure::usage(error.to_string()))?;
    if let Err(error) = budget::raise_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let with_parent = arguments.with_parent;
    if with_parent {
        // A frozen process cannot notice the end of its parent. The signal makes it continue, so
        // that it can exit.
        let _as_it_is = set_parent_process_death_signal(Some(Signal::CONT));
    }
    let mut builder: NodeBuilder = Node::builder()
        .loaded(config)
        .shim(ShimProgram::this())
        .bootstrap_without(arguments.bootstrap_without.clone())
        .open_files(open_files);
    if arguments.bench {
        builder = super::bench::prepare(builder);
    }
    let mut ends = Signals::receive(&[SignalKind::terminate(), SignalKind::interrupt()]);
    let mut hang_ups = Signals::receive(&[SignalKind::hangup()]);
    let node = builder.start().await.map_err(|fatal| fault(&fatal))?;
    if let Some(http) = node.http() {
        tracing::info!(%http, version = crate::node::VERSION, "serving");
    }
    let files = node.files();
    let (ask, asked) = oneshot::channel();
    let asked = async {
        let _gone = asked.await;
    };
    let ended = tokio::select! {
        ended = node.run(asked) => ended,
        never = reload_when_asked(&mut hang_ups, &arguments, &log, &files) => match never {},
        () = asked_twice(&mut ends, with_parent, ask) => {
            let message = "ended at once by a second signal; its tasks wait for the others to \
                           notice"
                .to_owned();
            return Err(Failure { exit: Exit::No, message });
        }
    };
    if let Err(fatal) = &ended {
        tracing::error!("{fatal}");
    }
    drop(log);
    ended.map(|()| Exit::Ok).map_err(|fatal| fault(&fatal))
}

fn fault(fatal: &Error) -> Failure {
    let advice = fatal.advice().map(|advice| format!("\n  {advice}")).unwrap_or_default();
    Failure { exit: Exit::No, message: format!("{fatal}{advice}") }
}

fn load(arguments: &ServeArguments) -> Result<Config, Failure> {
    let mut flags = Vec::new();
    for setting in &arguments.set {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Failure::usage(format!("--set {setting}: must be KEY=VALUE")));
        };
        let name = format!("--set {key}");
        flags.push(Flag { name, key: key.to_owned(), value: value.to_owned() });
    }
    Config::load(&Sources::of_process(arguments.config.clone(), flags))
        .map_err(|errors| Failure::usage(errors.to_string()))
}

fn log_options(config: &Config) -> LogOptions {
    let every = match config.log.rotate {
        Rotate::Never => Every::Never,
        Rotate::Minute => Every::Minute,
        Rotate::Hour => Every::Hour,
        Rotate::Day => Every::Day,
        Rotate::Week => Every::Week,
    };
    let keep = usize::try_from(config.log.keep).unwrap_or(usize::MAX);
    LogOptions {
        node: config.node.name(),
        directives: config.log.level.directives(),
        form: match config.log.format {
            LogFormat::Auto => None,
            LogFormat::Text => Some(LineFormat::Text),
            LogFormat::Json => Some(LineFormat::Json),
        },
        file: config.log.file.clone().map(|path| LogFile { path, every, keep }),
    }
}

/// Passes the first request to stop on, and returns on the second one, which ends the process without
/// waiting.
async fn asked_twice(ends: &mut Signals, with_parent: bool, ask: oneshot::Sender<()>) {
    let mut parent_gone = pin!(parent_gone());
    tokio::select! {
        () = ends.next() => {}
        () = &mut parent_gone, if with_parent => {}
    }
    let _gone = ask.send(());
    ends.next().await;
}

/// Reads the log level and the files of tasks again on SIGHUP.
async fn reload_when_asked(
    hang_ups: &mut Signals,
    arguments: &ServeArguments,
    log: &RunningLog,
    files: &FilesReload,
) -> Infallible {
    loop {
        hang_ups.next().await;
        reload(arguments, log);
        files.reload();
    }
}

fn reload(arguments: &ServeArguments, log: &RunningLog) {
    match load(arguments) {
        Ok(config) => match log.reload(&config.log.level.directives()) {
            Ok(()) => tracing::info!("log levels re-read"),
            Err(error) => tracing::warn!(%error, "log levels not changed"),
        },
        Err(failure) => tracing::warn!("settings not re-read: {}", failure.message),
    }
}

/// Returns when standard input ends, which happens when the parent exits for any reason. It is read
/// on a detached thread, because a thread of the runtime would keep the process from exiting.
async fn parent_gone() {
    let (tell, gone) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ended = io::copy(&mut io::stdin(), &mut io::sink());
        drop(tell);
    });
    let _gone = gone.await;
}
