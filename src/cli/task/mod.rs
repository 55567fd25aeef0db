//! Commands about tasks; the daily ones stand at the top level as well.

mod add;
mod change;
mod logs;
mod read;
mod ticks;

use std::io::{BufRead, IsTerminal};

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::exit::CommandResult;
use crate::domain::spec::check_name;

/// What can be done with tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Create a task
    Add(Box<add::AddArgs>),
    /// List tasks
    #[command(visible_alias = "list")]
    Ls(read::TaskListArgs),
    /// Show a task, an execution or a node
    Show(read::TaskShowArgs),
    /// Run a task once now; its schedule is unaffected
    Run(change::RunArgs),
    /// Pause a task: its ticks are skipped
    Pause(change::PauseArgs),
    /// End a pause
    Resume(TaskNameArgs),
    /// Delete a task; its name and history stay (`cleanup` removes them)
    Delete(change::DeleteArgs),
    /// Bring a deleted task back
    Reuse(TaskNameArgs),
    /// Remove a task with its history, and free its name
    Cleanup(TaskNameArgs),
    /// Show what a task's last executions, or one execution, printed
    Logs(logs::LogsArgs),
    /// Show the next ticks of a task, or of all
    Next(ticks::NextArgs),
    /// Show a task's past ticks and their outcome
    Ticks(ticks::TicksArgs),
    /// Say why a task fired or did not
    Why(ticks::WhyArgs),
}

/// A task's name and nothing else.
#[derive(Debug, Args)]
pub struct TaskNameArgs {
    /// The task
    #[arg(value_parser = name)]
    pub name: String,
}

/// Carries out a command.
pub async fn run(command: TaskCommand, context: &mut CliContext) -> CommandResult {
    match command {
        TaskCommand::Add(args) => add::run(*args, context).await,
        TaskCommand::Ls(args) => read::list(&args, context).await,
        TaskCommand::Show(args) => read::show(&args.name, context).await,
        TaskCommand::Run(args) => change::run(args, context).await,
        TaskCommand::Pause(args) => change::pause(args, context).await,
        TaskCommand::Resume(args) => change::resume(&args.name, context).await,
        TaskCommand::Delete(args) => change::delete(args, context).await,
        TaskCommand::Reuse(args) => change::reuse(&args.name, context).await,
        TaskCommand::Cleanup(args) => change::cleanup(&args.name, context).await,
        TaskCommand::Logs(args) => logs::run(&args, context).await,
        TaskCommand::Next(args) => ticks::next(&args, context).await,
        TaskCommand::Ticks(args) => ticks::ticks(&args, context).await,
        TaskCommand::Why(args) => ticks::why(&args, context).await,
    }
}

/// Asks on a terminal for a yes; none: there is no terminal, and nobody could answer.
fn confirm(question: &str, context: &mut CliContext) -> Option<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return None;
    }
    context.out.ask(question);
    let mut answer = String::new();
    let read = input.lock().read_line(&mut answer);
    let answer = answer.trim().to_ascii_lowercase();
    Some(read.is_ok() && matches!(answer.as_str(), "y" | "yes"))
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
