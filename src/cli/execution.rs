//! Commands about executions.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::context::CliContext;
use super::exit::{CommandResult, Exit};
use super::fetch;
use super::local::LocalClock;
use super::table::{Table, fields};
use super::words;
use crate::client::{Client, ClientError, Query, Reply, path};
use crate::dto::{ExecutionChanged, ExecutionView, QueueView};
use crate::exec::TAIL_MAX_BYTES;

/// Between two looks at an output that may grow.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The header that says where in the whole output an answer begins.
const OUTPUT_FROM: &str = "punctual-output-from";
/// The header that says whether an answer is the kept output, not only the end of it that the
/// execution's record holds.
const OUTPUT_KEPT: &str = "punctual-output-kept";

/// What can be done with executions.
#[derive(Debug, Subcommand)]
pub enum ExecutionCommand {
    /// List executions, the newest first
    #[command(visible_alias = "ls")]
    List(ExecutionListArgs),
    /// Show an execution
    Show(IdArgs),
    /// Stop an execution
    Stop(IdArgs),
    /// Run again what an ended execution did
    Retry(IdArgs),
    /// Take a failed execution off the list of failed ones
    Dismiss(IdArgs),
    /// Print what an execution printed
    Output(OutputArgs),
}

/// An execution's id and nothing else.
#[derive(Debug, Args)]
pub struct IdArgs {
    /// The execution
    #[arg(value_parser = id)]
    id: String,
}

/// Options of `execution list`.
#[derive(Debug, Args)]
pub struct ExecutionListArgs {
    /// Only those of this task
    #[arg(long)]
    task: Option<String>,
    /// Only those with this status, such as running or failed
    #[arg(long)]
    status: Option<String>,
    /// Only those on this node
    #[arg(long)]
    node: Option<String>,
    /// Only those that failed, with no retry left, and were not dismissed
    #[arg(long)]
    failed: bool,
    /// How many
    #[arg(short, default_value_t = 20, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
}

/// Options of `execution output`.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// The execution
    #[arg(value_parser = id)]
    id: String,
    /// Go on with what comes, up to its end
    #[arg(short, long)]
    follow: bool,
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
        ExecutionCommand::List(args) => list(args, context).await,
        ExecutionCommand::Show(args) => {
            let path = path(["executions", &args.id]);
            let reply = context.read(&path, &[]).await?;
            context.out.one(&reply.body, |clock| describe(&reply.says, clock))?;
            Ok(Exit::Ok)
        }
        ExecutionCommand::Stop(args) => post(&args.id, "stop", "is being stopped", context).await,
        ExecutionCommand::Retry(args) => post(&args.id, "retry", "tried again", context).await,
        ExecutionCommand::Dismiss(args) => {
            let path = path(["executions", &args.id]);
            let reply = context.send::<ExecutionChanged>(Method::DELETE, &path, &[], None).await?;
            context.out.one(&reply.body, |_clock| format!("execution {}: dismissed", args.id))?;
            Ok(Exit::Ok)
        }
        ExecutionCommand::Output(args) => output(&args.id, args.follow, context).await,
    }
}

async fn post(id: &str, verb: &str, done: &str, context: &mut CliContext) -> CommandResult {
    let path = path(["executions", id, verb]);
    let reply = context.send::<ExecutionChanged>(Method::POST, &path, &[], None).await?;
    context.out.one(&reply.body, |_clock| match reply.says.execution.id() {
        made if made != id => format!("execution {id}: {done} as execution {made}"),
        _ => format!("execution {id}: {done}"),
    })?;
    Ok(Exit::Ok)
}

async fn list(args: ExecutionListArgs, context: &mut CliContext) -> CommandResult {
    let mut query = Vec::new();
    query.extend(args.task.map(|task| ("task_id", task)));
    query.extend(args.status.map(|status| ("status", status)));
    query.extend(args.node.map(|node| ("node", node)));
    if args.failed {
        query.push(("failed", "true".to_owned()));
    }
    let most = usize::try_from(args.n).unwrap_or(usize::MAX);
    let list = fetch::up_to::<ExecutionView>(context, &path(["executions"]), &query, most).await?;
    context.out.many(&list.whole, &list.items, |clock| {
        let mut table =
            Table::new(&["ID", "TASK", "STATUS", "NODE", "DUE", "LATE", "DURATION", "RESULT"]);
        for execution in &list.says {
            table.row([
                execution.id.clone(),
                execution.task.clone(),
                execution.status.to_string(),
                execution.node.clone().unwrap_or_default(),
                clock.short(execution.due.0),
                words::lateness(execution.lateness_ms),
                words::duration(execution, clock),
                words::result(execution),
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

/// Prints the whole output of an execution; following, until the execution has ended.
pub async fn output(id: &str, follow: bool, context: &mut CliContext) -> CommandResult {
    let mut from: u64 = 0;
    loop {
        // Looked at before the output is read: what an ended execution printed is then all there.
        let ended = !follow || {
            let path = path(["executions", id]);
            words::ended(&context.read(&path, &[]).await?.says)
        };
        let query = [("from", from.to_string())];
        let reply = context.get(&path(["executions", id, "output"]), &query).await?;
        if let Some(cut) = cut(&reply).filter(|_| from == 0) {
            context.out.say(&cut);
        }
        context.out.printed(&reply.raw)?;
        // Of a long output the middle may be gone: then it goes on behind the gap.
        let begins = number(&reply, OUTPUT_FROM).unwrap_or(from);
        from = begins.saturating_add(reply.raw.len() as u64);
        if ended {
            return Ok(Exit::Ok);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// A header of an answer that is a number.
fn number(reply: &Reply, header: &str) -> Option<u64> {
    reply.headers.get(header)?.to_str().ok()?.parse().ok()
}

/// What is missing from an answer with an output; none: nothing is, or a line in it says so.
fn cut(reply: &Reply) -> Option<String> {
    let kept = reply.headers.get(OUTPUT_KEPT).is_some_and(|kept| kept == "true");
    let length = reply.raw.len();
    match number(reply, OUTPUT_FROM) {
        Some(from) if kept && from > 0 => {
            Some(format!("[punctual: the first {from} bytes are no longer kept]"))
        }
        None if !kept && length >= TAIL_MAX_BYTES => {
            Some(format!("[punctual: only the last {length} bytes are kept]"))
        }
        _ => None,
    }
}

/// What is left of what an ended execution printed, and a line about what is not.
///
/// # Errors
/// No good answer. An execution that is gone has what its own record holds.
pub async fn printed(
    execution: &ExecutionView,
    query: Query<'_>,
    client: &Client,
) -> Result<(Vec<u8>, Option<String>), ClientError> {
    let tail = execution.output_tail.as_deref().unwrap_or_default();
    // Less than a tail can hold is all there was; of a lost execution the node may have kept some.
    if tail.len() < TAIL_MAX_BYTES && execution.status != "lost" {
        return Ok((tail.as_bytes().to_vec(), None));
    }
    let path = path(["executions", &execution.id, "output"]);
    match client.get(&path, query).await {
        Ok(reply) => Ok((reply.raw.to_vec(), cut(&reply))),
        Err(ClientError::Refused(refusal)) if refusal.status == 404 => {
            Ok((tail.as_bytes().to_vec(), None))
        }
        Err(error) => Err(error),
    }
}

/// `hello: execution 42 success on n2, 3 ms, exit 0`
#[must_use]
pub fn line(execution: &ExecutionView, clock: &LocalClock) -> String {
    let ExecutionView { task, id, status, node, .. } = execution;
    let node = node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let parts = [words::duration(execution, clock), words::result(execution)];
    let rest: String =
        parts.iter().filter(|part| !part.is_empty()).map(|part| format!(", {part}")).collect();
    format!("{task}: execution {id} {status}{node}{rest}")
}

/// `position 2 in the line of group db, 3 ahead`
fn queue(queue: &QueueView) -> String {
    let QueueView { line, position, ahead, .. } = queue;
    format!("position {position} in the line of {line}, {ahead} ahead")
}

/// An execution for people.
#[must_use]
pub fn describe(execution: &ExecutionView, clock: &LocalClock) -> String {
    let attempts = execution.attempts.iter().map(|attempt| {
        let outcome = attempt.outcome.as_deref().unwrap_or("running");
        let detail = attempt.detail.as_deref().unwrap_or_default();
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        let (number, node, fence) = (attempt.attempt, &attempt.node, attempt.fence);
        format!("{number} on {node}, fence {fence}, {outcome}{detail}")
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
        ("queue", execution.queue.as_ref().map(queue).unwrap_or_default()),
        ("dismissed", dismissed.to_owned()),
        ("trigger", execution.trigger.to_string()),
        ("retry of", execution.retry_of.clone().unwrap_or_default()),
        ("tick", words::at(execution.tick, clock)),
        ("due", words::at(Some(execution.due), clock)),
        ("started", words::ago(execution.start_time, clock)),
        ("late", words::lateness(execution.lateness_ms)),
        ("ended", words::ago(execution.end_time, clock)),
        ("duration", words::duration(execution, clock)),
        ("result", words::result(execution)),
        ("attempts", attempts.join("\n")),
        ("parameters", parameters),
        ("key", execution.idempotency_key.clone()),
        ("output", execution.output_tail.clone().unwrap_or_default()),
    ])
}
