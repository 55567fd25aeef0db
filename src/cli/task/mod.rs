//! Commands about tasks; the daily ones stand at the top level as well.

mod add;
mod backfill;
mod change;
mod definition;
mod drift;
mod edit;
mod explain;
mod follow;
mod logs;
mod options;
mod read;
mod revisions;
mod run;
pub(super) mod set;
mod stats;
mod ticks;

use clap::Subcommand;

pub(super) use self::logs::output;

use super::choose::TasksArgs;
use super::context::CliContext;
use super::exit::CommandResult;
use crate::domain::spec::check_name;

/// What can be done with tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Create a task
    Add(Box<add::AddArgs>),
    /// Change some fields of tasks; the others stay as they are
    Set(Box<set::TaskSetArgs>),
    /// Change tasks in an editor ($VISUAL, $EDITOR, or vi)
    Edit(edit::EditArgs),
    /// List tasks
    #[command(visible_alias = "list")]
    Ls(read::TaskListArgs),
    /// Show tasks, executions or nodes
    Show(read::TaskShowArgs),
    /// Run tasks once now; their schedules are unaffected
    Run(run::RunArgs),
    /// Execute the ticks of a past range, each once; repeat the command to continue it
    Backfill(backfill::BackfillArgs),
    /// Pause tasks: their ticks are skipped
    Pause(change::PauseArgs),
    /// Cancel tasks: waiting executions end, and ticks are skipped until the tasks are resumed
    Cancel(change::CancelArgs),
    /// End pauses and cancellations
    Resume(TasksArgs),
    /// Delete tasks; their names and history stay (`cleanup` removes them)
    Delete(change::DeleteArgs),
    /// Bring deleted tasks back
    Reuse(TasksArgs),
    /// Remove tasks with their history, and free their names
    Cleanup(change::CleanupArgs),
    /// Show what the last executions of tasks, or single executions, printed
    Logs(logs::LogsArgs),
    /// Show the next ticks of tasks, or of all
    Next(ticks::NextArgs),
    /// Show the past ticks of tasks and their outcome
    Ticks(ticks::TicksArgs),
    /// Say why tasks fired or did not
    Why(ticks::WhyArgs),
    /// Show which node owns a task and why, and which nodes would take it over, in order
    Explain(TasksArgs),
    /// List the last 20 definitions of tasks, and what each changed
    Revisions(TasksArgs),
    /// Go back to an earlier definition of a task
    Revert(revisions::RevertArgs),
    /// Compare the tasks of the cluster with the files that the answering node reads (tasks.path)
    Drift(drift::DriftArgs),
    /// Show statistics of tasks, or of all: success rate, durations, lateness
    Stats(stats::StatsArgs),
}

/// Carries out a command.
pub async fn run(command: TaskCommand, context: &mut CliContext) -> CommandResult {
    match command {
        TaskCommand::Add(args) => add::run(*args, context).await,
        TaskCommand::Ls(args) => read::list(&args, context).await,
        TaskCommand::Show(args) => read::show(&args, context).await,
        TaskCommand::Set(args) => set::run(*args, context).await,
        TaskCommand::Edit(args) => edit::run(&args, context).await,
        TaskCommand::Run(args) => run::run(args, context).await,
        TaskCommand::Backfill(args) => backfill::run(args, context).await,
        TaskCommand::Pause(args) => change::pause(args, context).await,
        TaskCommand::Cancel(args) => change::cancel(args, context).await,
        TaskCommand::Resume(args) => change::resume(&args, context).await,
        TaskCommand::Delete(args) => change::delete(args, context).await,
        TaskCommand::Reuse(args) => change::reuse(&args, context).await,
        TaskCommand::Cleanup(args) => change::cleanup(args, context).await,
        TaskCommand::Logs(args) => logs::run(&args, context).await,
        TaskCommand::Next(args) => ticks::next(&args, context).await,
        TaskCommand::Ticks(args) => ticks::ticks(&args, context).await,
        TaskCommand::Why(args) => ticks::why(&args, context).await,
        TaskCommand::Explain(args) => explain::explain(&args, context).await,
        TaskCommand::Revisions(args) => revisions::list(&args, context).await,
        TaskCommand::Revert(args) => revisions::revert(&args, context).await,
        TaskCommand::Drift(args) => drift::run(&args, context).await,
        TaskCommand::Stats(args) => stats::run(&args, context).await,
    }
}

/// Reads the name of a task.
pub(super) fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// Reads `key=value`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}
