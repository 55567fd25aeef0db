//! Commands about executions.

mod change;

use clap::{Args, Subcommand};
use serde_json::Value;

pub use self::change::{ExecutionsArgs, StopArgs, retry, stop};

use crate::cli::choose::{Chosen, ListedTasksArgs};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::fetch;
use crate::cli::local::LocalClock;
use crate::cli::outputs::OutputChoice;
use crate::cli::table::{Table, fields};
use crate::cli::watch::WatchArgs;
use crate::cli::{task, words};
use crate::client::path;
use crate::dto::{
    AttemptView, ChainedView, ExecutionView, ParentView, QueueView, Rfc3339, TaskView,
};
use crate::ops::lists::is_glob;

/// What can be done with executions.
#[derive(Debug, Subcommand)]
pub enum ExecutionCommand {
    /// List executions, the newest first
    #[command(visible_alias = "ls")]
    List(ExecutionListArgs),
    /// Show executions
    Show(IdsArgs),
    /// Stop executions; of a task, all that have not ended
    Stop(StopArgs),
    /// Repeat ended executions; of a task, the newest that failed
    Retry(ExecutionsArgs),
    /// Take failed executions off the list of failed ones; of a task, all
    Dismiss(ExecutionsArgs),
    /// Print what executions printed
    Output(OutputArgs),
}

/// The ids of executions.
#[derive(Debug, Args)]
pub struct IdsArgs {
    /// The executions
    #[arg(id = "executions", value_name = "ID", value_parser = id, required = true)]
    ids: Vec<String>,
}

/// Options of `failed`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FailedArgs {
    #[command(subcommand)]
    command: Option<FailedCommand>,
    #[command(flatten)]
    tasks: ListedTasksArgs,
    /// How many
    #[arg(short, long = "limit", default_value_t = 20, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
}

/// What can be done with failed executions.
#[derive(Debug, Subcommand)]
pub enum FailedCommand {
    /// Take failed executions off the list; of a task, all
    Dismiss(ExecutionsArgs),
}

/// Options of `execution list`.
#[derive(Debug, Args)]
pub struct ExecutionListArgs {
    #[command(flatten)]
    tasks: ListedTasksArgs,
    /// The former way to name a task.
    #[arg(long = "task", hide = true)]
    task: Vec<String>,
    /// Only those with this status, such as running or failed
    #[arg(long)]
    status: Option<String>,
    /// Only those on this node
    #[arg(long)]
    node: Option<String>,
    /// Only those that were given to this executor
    #[arg(long, value_name = "ID")]
    executor: Option<String>,
    /// Only those that failed, with no retry left, and were not dismissed
    #[arg(long)]
    failed: bool,
    /// How many
    #[arg(short, long = "limit", default_value_t = 20, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Options of `execution output`.
#[derive(Debug, Args)]
pub struct OutputArgs {
    #[command(flatten)]
    executions: IdsArgs,
    /// Follow the output until the end; with several, the id is in front of each line
    #[arg(short, long, conflicts_with = "tail")]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
    /// Of this attempt; otherwise of the newest, or, with --follow, of all
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
}

fn id(text: &str) -> Result<String, String> {
    match text.parse::<u64>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("must be a number".to_owned()),
    }
}

/// Carries out a command.
pub async fn run(command: ExecutionCommand, context: &mut CliContext) -> CommandResult {
    match command {
        ExecutionCommand::List(args) => {
            let ExecutionListArgs { watch, n, .. } = args;
            let (tasks, query) = args.query();
            let look = async |context: &mut CliContext| list(&tasks, &query, n, context).await;
            watch.repeat(context, look).await
        }
        ExecutionCommand::Show(args) => Chosen::named(&args.ids).show_each(context, show).await,
        ExecutionCommand::Stop(args) => stop(&args, context).await,
        ExecutionCommand::Retry(args) => retry(&args, context).await,
        ExecutionCommand::Dismiss(args) => change::dismiss(&args, context).await,
        ExecutionCommand::Output(args) => {
            let choice = OutputChoice { attempt: args.attempt, tail: args.tail };
            task::output(&args.executions.ids, choice, args.follow, context).await
        }
    }
}

async fn show(id: &str, context: &mut CliContext) -> CommandResult {
    let reply = context.read(&path(["executions", id]), &[]).await?;
    context.out.one(&reply.body, |clock| describe(&reply.says, clock))?;
    Ok(Exit::Ok)
}

/// Lists or dismisses what failed.
pub async fn failed(args: FailedArgs, context: &mut CliContext) -> CommandResult {
    match args.command {
        Some(FailedCommand::Dismiss(args)) => change::dismiss(&args, context).await,
        None => {
            let mut query = args.tasks.query("task_id");
            query.push(("failed", "true".to_owned()));
            list(&args.tasks.names, &query, args.n, context).await
        }
    }
}

impl ExecutionListArgs {
    /// The names of the tasks, and which executions are asked for.
    fn query(mut self) -> (Vec<String>, Vec<(&'static str, String)>) {
        self.tasks.names.append(&mut self.task);
        let named =
            [("status", &self.status), ("node", &self.node), ("executor_id", &self.executor)];
        let given = named.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
        let failed = self.failed.then(|| ("failed", "true".to_owned()));
        let query = self.tasks.query("task_id").into_iter().chain(given).chain(failed).collect();
        (self.tasks.names, query)
    }
}

/// Lists the executions of these tasks; no name: of all. A name that nothing has hides no others.
async fn list(
    tasks: &[String],
    query: &[(&str, String)],
    n: u32,
    context: &mut CliContext,
) -> CommandResult {
    let failed = query.iter().any(|(key, _)| *key == "failed");
    let what = if failed { "failed executions" } else { "executions" };
    let most = usize::try_from(n).unwrap_or(usize::MAX);
    let list = fetch::up_to::<ExecutionView>(context, &path(["executions"]), query, most).await?;
    let mut unknown = Vec::new();
    for name in tasks {
        if is_glob(name) || list.says.iter().any(|one| one.task == *name) {
            continue;
        }
        match context.read::<TaskView>(&path(["tasks", name]), &[]).await {
            Ok(_) => {}
            Err(failure) if failure.exit == Exit::Conflict && tasks.len() > 1 => {
                unknown.push(failure.message);
            }
            Err(failure) => return Err(failure),
        }
    }
    context.out.many(&list.whole, &list.items, |clock| {
        let mut table = Table::new(
            what,
            &["ID", "TASK", "STATUS", "NODE", "DUE", "LATE", "DURATION", "RESULT"],
        );
        for execution in &list.says {
            table.row([
                execution.id.clone(),
                execution.task.clone(),
                execution.status.to_string(),
                place(execution).unwrap_or_default(),
                clock.short(execution.due.0),
                words::lateness(execution.lateness_ms),
                words::duration(execution, clock),
                words::result(execution),
            ]);
        }
        table
    })?;
    list.say_more(what, context);
    for message in &unknown {
        context.out.say(&format!("error: {message}"));
    }
    Ok(if unknown.is_empty() { Exit::Ok } else { Exit::Conflict })
}

/// `hello: execution 42 success on n2, 3 ms, exit 0`
#[must_use]
pub fn line(execution: &ExecutionView, clock: &LocalClock) -> String {
    let ExecutionView { task, id, status, .. } = execution;
    let node = place(execution).map(|place| format!(" on {place}")).unwrap_or_default();
    let parts = [words::duration(execution, clock), words::result(execution)];
    let rest: String =
        parts.iter().filter(|part| !part.is_empty()).map(|part| format!(", {part}")).collect();
    format!("{task}: execution {id} {status}{node}{rest}")
}

/// Where it is: its executor, else its node.
fn place(execution: &ExecutionView) -> Option<String> {
    execution.executor_id.clone().or_else(|| execution.node.clone())
}

/// `position 2 in the line of group db, of which 1 runs (limit 1)`
fn queue(queue: &QueueView) -> String {
    let QueueView { line, position, running, limit, .. } = queue;
    let run = if *running == 1 { "runs" } else { "run" };
    format!("position {position} in the line of {line}, of which {running} {run} (limit {limit})")
}

/// `execution 42 of load, failed, exit 3`
fn started_by(parent: &ParentView) -> String {
    let ParentView { task, execution_id, status, exit_code, .. } = parent;
    let exit = exit_code.map(|code| format!(", exit {code}")).unwrap_or_default();
    format!("execution {execution_id} of {task}, {status}{exit}")
}

/// `on failure page: execution 43`
fn chained(chained: &ChainedView) -> String {
    let ChainedView { on, task, execution_id, refused } = chained;
    match (execution_id, refused) {
        (Some(id), _) => format!("on {on} {task}: execution {id}"),
        (None, refused) => {
            let why = refused.as_deref().unwrap_or("no reason is known");
            format!("on {on} {task}: not started, {why}")
        }
    }
}

/// `12:00:05.000 to 12:00:05.003, `, of an attempt that has started.
fn times(attempt: &AttemptView, clock: &LocalClock) -> String {
    let exact = |at: Option<Rfc3339>| at.map(|at| clock.exact(at.0));
    match (exact(attempt.started_at), exact(attempt.ended_at)) {
        (Some(from), Some(to)) => format!("{from} to {to}, "),
        (Some(from), None) => format!("since {from}, "),
        (None, Some(to)) => format!("not started, given up {to}, "),
        (None, None) => String::new(),
    }
}

/// An execution for people.
#[must_use]
pub fn describe(execution: &ExecutionView, clock: &LocalClock) -> String {
    let attempts = execution.attempts.iter().map(|attempt| {
        let outcome = attempt.outcome.as_deref().unwrap_or("running");
        let detail = attempt.detail.as_deref().unwrap_or_default();
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        let (number, fence) = (attempt.attempt, attempt.fence);
        let node = match &attempt.executor_id {
            Some(executor) => format!("executor {executor}, asked by {}", attempt.node),
            None => attempt.node.clone(),
        };
        let unknown = if attempt.unknown { ", effects unknown" } else { "" };
        let times = times(attempt, clock);
        format!("{number} on {node}, fence {fence}, {times}{outcome}{unknown}{detail}")
    });
    let attempts: Vec<String> = attempts.collect();
    let parameters = match &execution.parameters {
        Value::Null => String::new(),
        Value::Object(none) if none.is_empty() => String::new(),
        given => given.to_string(),
    };
    let dismissed = if execution.dismissed { "yes" } else { "" };
    fields(&[
        ("execution", execution.id.clone()),
        ("task", execution.task.clone()),
        ("status", execution.status.to_string()),
        ("executor", execution.executor_id.clone().unwrap_or_default()),
        ("queue", execution.queue.as_ref().map(queue).unwrap_or_default()),
        ("dismissed", dismissed.to_owned()),
        ("trigger", execution.trigger.to_string()),
        ("retry of", execution.retry_of.clone().unwrap_or_default()),
        ("started by", execution.parent.as_ref().map(started_by).unwrap_or_default()),
        ("tick", words::at(execution.tick, clock)),
        ("due", words::at(Some(execution.due), clock)),
        ("started", words::ago(execution.start_time, clock)),
        ("late", words::lateness(execution.lateness_ms)),
        ("next attempt", words::at(execution.next_attempt_at, clock)),
        ("ended", words::ago(execution.end_time, clock)),
        ("duration", words::duration(execution, clock)),
        ("result", words::result(execution)),
        ("attempts", attempts.join("\n")),
        ("then", execution.chained.iter().map(chained).collect::<Vec<_>>().join("\n")),
        ("parameters", parameters),
        ("key", execution.idempotency_key.clone()),
        ("output", execution.output_tail.clone().unwrap_or_default()),
    ])
}
