//! The command line: parsing, dispatch and exit codes.
//!
//! Commands about a cluster use HTTP through [`client`](crate::client). `preview`, `config` and the
//! dry run of `import` need no cluster. Each command is a struct of options and a function that
//! prints through [`output`] and returns an [`Exit`].

mod apply;
mod backup;
mod batch;
mod bench;
mod calendar;
mod children;
mod choose;
mod cluster;
mod context;
mod dev;
mod diff;
mod events;
mod execution;
mod executor;
mod exit;
mod export;
mod fetch;
mod import;
mod local;
mod manual;
mod many;
mod node;
mod objects;
mod output;
mod outputs;
mod owner;
mod preview;
mod restore;
mod serve;
mod settings;
mod signals;
mod simulate;
mod status;
mod suggest;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod ui;
mod usage;
mod watch;
mod what_if;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::json;

use self::context::{CliContext, Global};
use self::exit::{CommandResult, Exit, Failure};
use crate::bugs::COMPILED_IN;
use crate::domain::schedule::zone;

/// Time limit for background work after the command has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Printed if the command is missing.
const EXAMPLES: &str = "\
Examples:
  punctual add hello --every 5s -- echo \"on time\"
  punctual ls
  punctual logs hello -f
  punctual set hello --timeout 1m
  punctual pause 'web-*' --until 2h
  punctual status
  punctual preview \"0 2 * * *\" --tz Europe/Berlin
  punctual export > tasks.yaml; punctual apply -f tasks.yaml
  punctual import crontab /etc/crontab --system --dry-run

Exit codes: 0 ok, 1 the answer is no, 2 wrong usage, 3 not accepted (trying again is safe),
4 not allowed, 5 conflict or not found, 6 outcome unknown.";

/// cron for a cluster, in one binary
#[derive(Debug, Parser)]
#[command(name = "punctual", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct CliArgs {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run a throw-away cluster on loopback
    Dev(dev::DevArguments),
    /// Run a node
    Serve(serve::ServeArguments),
    /// Serve the web page apart from the nodes
    Ui(ui::UiArgs),
    /// Measure on clusters of its own
    Bench(bench::BenchArguments),
    /// Carry out shell actions for a node
    #[command(hide = true)]
    Shim {
        /// What the shim starts itself with, to become a command of another user
        #[arg(last = true)]
        as_user: Vec<OsString>,
    },
    /// The daily commands.
    #[command(flatten)]
    Daily(task::TaskCommand),
    /// Show which tasks are failing, late or stuck; exit code 1 if any is
    Status(status::StatusArgs),
    /// Stop executions; of a task, all that have not ended
    Stop(execution::StopArgs),
    /// Repeat ended executions; of a task, the newest that failed
    Retry(execution::ExecutionsArgs),
    /// List failed executions, with no retry left, that were not dismissed
    Failed(execution::FailedArgs),
    /// List the newest changes in the cluster; with --follow also those to come
    Events(events::EventsArgs),
    /// Commands about tasks, the same as the daily ones
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Commands about executions
    #[command(subcommand)]
    Execution(execution::ExecutionCommand),
    /// Commands about executors; without one, a worker that is an executor
    Executor(executor::ExecutorArgs),
    /// Commands about nodes
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Commands about the cluster
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Commands about backups; `punctual cluster backup` takes one
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Begin a new cluster from a backup, in the empty data folder of its first node
    Restore(restore::RestoreArgs),
    /// Turn scheduling on or off, or choose how tasks are given to nodes
    #[command(subcommand)]
    Scheduler(cluster::SchedulerCommand),
    /// Commands about calendars, whose times schedules exclude
    #[command(subcommand)]
    Calendar(calendar::CalendarCommand),
    /// Show which tasks would have another owner if nodes or the strategy changed
    WhatIf(what_if::WhatIfArgs),
    /// Show when an expression ticks; needs no cluster
    Preview(preview::PreviewArgs),
    /// Show what the tasks of files would do in a stretch of time; needs no cluster
    Simulate(simulate::SimulateArgs),
    /// Create and change tasks and calendars so that they are as in files
    Apply(apply::ApplyArgs),
    /// Print the definitions of tasks, as `apply` reads them
    Export(export::ExportArgs),
    /// Import tasks from another scheduler
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Check or show a node's settings
    #[command(subcommand)]
    Config(settings::ConfigCommand),
    /// Print completions for a shell
    Completions(manual::CompletionsArgs),
    /// Print the manual page, or write one for each command
    Man(manual::ManArgs),
    /// Show the version of this program
    Version,
}

/// Parses and runs the command line. Returns the exit code of the process.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let arguments = match CliArgs::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => return usage::tell(error, &words),
    };
    if matches!(arguments.command, CliCommand::Shim { .. }) {
        // The shim has its own runtime and uses no other part of this program.
        return match crate::exec::shim::serve() {
            Ok(code) => code,
            Err(_) => ExitCode::FAILURE,
        };
    }
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(run(arguments));
            // The wait is limited: a thread may be blocked by a disk that no longer responds, and
            // the node must still exit after reporting that.
            runtime.shutdown_timeout(LAST_WORDS);
            code
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Runs a command and prints its error, if any.
async fn run(arguments: CliArgs) -> ExitCode {
    let mut context = CliContext::new(&arguments.global);
    let outcome = dispatch(arguments.command, &mut context).await;
    conclude(outcome, &mut context).into()
}

/// Prints why a command failed, if it did.
pub fn conclude(outcome: CommandResult, context: &mut CliContext) -> Exit {
    match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.message.is_empty() {
                context.out.say(&format!("error: {}", failure.message));
            }
            failure.exit
        }
    }
}

async fn dispatch(command: CliCommand, context: &mut CliContext) -> CommandResult {
    match command {
        CliCommand::Dev(arguments) => dev::run(arguments, context).await,
        CliCommand::Serve(arguments) => serve::run(arguments).await,
        CliCommand::Ui(args) => ui::run(args, context).await,
        CliCommand::Bench(arguments) => bench::run(arguments, context).await,
        CliCommand::Shim { .. } => Err(Failure::usage("the shim is started by a node only")),
        CliCommand::Daily(command) | CliCommand::Task(command) => task::run(command, context).await,
        CliCommand::Status(args) => status::run(&args, context).await,
        CliCommand::Stop(args) => execution::stop(&args, context).await,
        CliCommand::Retry(args) => execution::retry(&args, context).await,
        CliCommand::Failed(args) => execution::failed(args, context).await,
        CliCommand::Events(args) => events::run(&args, context).await,
        CliCommand::Execution(command) => execution::run(command, context).await,
        CliCommand::Executor(args) => executor::run(args, context).await,
        CliCommand::Node(command) => node::run(command, context).await,
        CliCommand::Cluster(command) => cluster::run(command, context).await,
        CliCommand::Backup(command) => backup::run(command, context),
        CliCommand::Restore(args) => restore::restore(&args, context),
        CliCommand::Scheduler(command) => cluster::scheduler_command(command, context).await,
        CliCommand::Calendar(command) => calendar::run(command, context).await,
        CliCommand::WhatIf(args) => what_if::run(&args, context).await,
        CliCommand::Preview(args) => preview::run(&args, context),
        CliCommand::Simulate(args) => simulate::run(&args, context),
        CliCommand::Apply(args) => apply::run(&args, context).await,
        CliCommand::Export(args) => export::run(&args, context).await,
        CliCommand::Import(command) => import::run(command, context).await,
        CliCommand::Config(command) => settings::run(command, context),
        CliCommand::Completions(args) => manual::completions(&args, context),
        CliCommand::Man(args) => manual::man(&args, context),
        CliCommand::Version => version(context),
    }
}

fn version(context: &mut CliContext) -> CommandResult {
    let zones = zone::data_version();
    let (value, bugs) = match COMPILED_IN {
        false => (json!({"version": VERSION, "timezone_data": zones}), ""),
        true => (
            json!({"version": VERSION, "timezone_data": zones, "seeded_bugs": true}),
            ", with seeded bugs: not for use",
        ),
    };
    context.out.one(&value, |_clock| format!("punctual {VERSION} (time zones {zones}){bugs}"))?;
    Ok(Exit::Ok)
}
