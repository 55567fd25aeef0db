//! `bench`: measures, on a cluster of its own in a temporary folder, or on the one that `--server`
//! names: its nodes must have been started with `serve --bench`, which adds the routes for it.

mod claims;
mod cluster;
mod lag;
mod scale;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};

use crate::node::NodeBuilder;

use self::cluster::BenchCluster;
use super::context::CliContext;
use super::exit::{CommandResult, Failure};
use super::output::Output;

/// The function of lag measurements: it does nothing.
const NOOP: &str = "bench-noop";

/// Measures.
#[derive(Args, Debug, Clone)]
pub struct BenchArguments {
    /// What.
    #[command(subcommand)]
    pub what: BenchCommand,
}

/// What can be measured.
#[derive(Subcommand, Debug, Clone)]
pub enum BenchCommand {
    /// Claims per second through the replicated log, and how long one takes.
    Claims(ClaimsArguments),
    /// How late ticks start.
    Lag(LagArguments),
    /// Many dormant tasks: adding, memory, failover, restart.
    Scale(ScaleArguments),
}

/// Arguments of `bench claims`.
#[derive(Args, Debug, Clone)]
pub struct ClaimsArguments {
    /// Claims in flight in the whole cluster, one run each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 512])]
    pub in_flight: Vec<usize>,
    /// Seconds of a run.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Manual tasks to claim ticks of.
    #[arg(long, default_value_t = 30_000)]
    pub tasks: usize,
    /// The execution mode of the tasks. With sequential each claim takes the one place of its task's
    /// line, so that the execution before is finished with it.
    #[arg(long, value_enum, default_value_t = ClaimMode::Parallel)]
    pub mode: ClaimMode,
    /// Finish each execution as well, so that memory stays level in long runs.
    #[arg(long)]
    pub finish: bool,
}

/// The execution mode of the tasks of `bench claims`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimMode {
    /// In no line.
    Parallel,
    /// In a line of their own.
    Sequential,
}

/// What the tasks of `bench lag` do.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagAction {
    /// A function inside the node that does nothing.
    Noop,
    /// A small program that writes its own clock to a file.
    Shell,
}

/// When the tasks of `bench lag` are due.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagDue {
    /// Evenly over the second.
    Staggered,
    /// All on the whole second.
    Together,
}

/// Arguments of `bench lag`.
#[derive(Args, Debug, Clone)]
pub struct LagArguments {
    /// One-second tasks.
    #[arg(long, default_value_t = 1_000)]
    pub tasks: usize,
    /// Seconds.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// What they do.
    #[arg(long, value_enum, default_value_t = LagAction::Noop)]
    pub action: LagAction,
    /// The program that shell tasks start: it writes its own clock to a file. It is made by
    /// `cargo build --release -p cluster-tests --bin witness-under-test`.
    #[arg(long, value_name = "FILE", required_if_eq("action", "shell"))]
    pub witness: Option<PathBuf>,
    /// When they are due; shell tasks together unless said otherwise.
    #[arg(long, value_enum)]
    pub due: Option<LagDue>,
}

/// Arguments of `bench scale`.
#[derive(Args, Debug, Clone)]
pub struct ScaleArguments {
    /// Dormant tasks.
    #[arg(long, default_value_t = 50_000)]
    pub tasks: usize,
    /// Kills of the leader.
    #[arg(long, default_value_t = 5)]
    pub kills: usize,
}

/// Measures.
///
/// # Errors
/// A cluster that does not come up or does not answer.
pub async fn run(arguments: BenchArguments, context: &mut CliContext) -> CommandResult {
    let scale = matches!(arguments.what, BenchCommand::Scale(_));
    if scale && !context.servers.is_empty() {
        return Err(Failure::usage(
            "bench scale kills nodes: it measures only a cluster of its own",
        ));
    }
    let cluster = BenchCluster::open(&context.servers).await?;
    let out: &mut Output = &mut context.out;
    match arguments.what {
        BenchCommand::Claims(arguments) => claims::run(cluster, &arguments, out).await,
        BenchCommand::Lag(arguments) => lag::run(cluster, &arguments, out).await,
        BenchCommand::Scale(arguments) => scale::run(cluster, &arguments, out).await,
    }
}

/// Makes a node one that can be measured.
pub(super) fn prepare(builder: NodeBuilder) -> NodeBuilder {
    builder.bench().func(NOOP, Arc::new(|_context| Box::pin(async { Ok(String::new()) })))
}
