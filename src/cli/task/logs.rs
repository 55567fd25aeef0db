//! `logs`: what executions printed.

use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use super::read::find;
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{self, ListReply};
use crate::cli::local::LocalClock;
use crate::cli::suggest::not_found;
use crate::cli::{outputs, words};
use crate::client::path;
use crate::dto::{ExecutionView, TaskView};

/// Between two looks at what goes on.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Executions looked at each time while following.
const WINDOW: usize = 100;
/// Outputs asked for at once.
const AT_ONCE: usize = 8;

/// Options of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// A task's name, or an execution's id
    name: String,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// How many executions of a task, the newest
    #[arg(short, default_value_t = 10, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    n: u32,
}

/// Shows what was printed.
pub async fn run(args: &LogsArgs, context: &mut CliContext) -> CommandResult {
    let name = &args.name;
    if find::<TaskView>(context, "tasks", name).await?.is_some() {
        return of_task(args, context).await;
    }
    let number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if number && find::<ExecutionView>(context, "executions", name).await?.is_some() {
        return outputs::output(name, args.follow, context).await;
    }
    Err(not_found("task or execution", name, "not_found", context).await)
}

/// What a task's last executions printed, oldest first.
async fn of_task(args: &LogsArgs, context: &mut CliContext) -> CommandResult {
    let most = usize::try_from(args.n).unwrap_or(usize::MAX);
    if !args.follow {
        print_new(&args.name, most, None, context).await?;
        return Ok(Exit::Ok);
    }
    // Those that have ended by now and are not among the last ones are never printed.
    let path = path(["tasks", &args.name, "executions"]);
    let executions = fetch::up_to::<ExecutionView>(context, &path, &[], WINDOW).await?;
    let ended = executions.says.iter().filter(|one| words::ended(one));
    let mut shown: Vec<String> = ended.map(|one| one.id.clone()).collect();
    shown.extend(print_new(&args.name, most, None, context).await?);
    loop {
        sleep(LOOK_EVERY).await;
        shown = print_new(&args.name, WINDOW, Some(shown), context).await?;
    }
}

/// Prints the ended executions that are not among those shown; gives all that were seen.
async fn print_new(
    name: &str,
    most: usize,
    shown: Option<Vec<String>>,
    context: &mut CliContext,
) -> Result<Vec<String>, Failure> {
    let path = path(["tasks", name, "executions"]);
    let ListReply { whole, items, says } =
        fetch::up_to::<ExecutionView>(context, &path, &[], most).await?;
    let first = shown.is_none();
    let shown = shown.unwrap_or_default();
    let new = |one: &ExecutionView| words::ended(one) && !shown.contains(&one.id);
    let (items, executions): (Vec<_>, Vec<_>) =
        items.into_iter().zip(says).rev().filter(|(_, one)| new(one)).unzip();
    if !context.out.for_people() {
        // A list that goes on is no JSON document, but its items are.
        if first {
            context.out.many(&whole, &items, |_clock| Default::default())?;
        } else {
            for one in &items {
                context.out.one(one, |_clock| String::new())?;
            }
        }
    } else {
        print(&executions, context).await?;
        if first && executions.is_empty() {
            context.out.say("no execution has ended yet");
        }
    }
    let seen = executions.iter().map(|one| one.id.clone());
    let kept = shown.len().saturating_sub(10 * WINDOW);
    Ok(shown.into_iter().skip(kept).chain(seen).collect())
}

/// Prints each execution with all that is kept of its output.
async fn print(executions: &[ExecutionView], context: &mut CliContext) -> Result<(), Failure> {
    let query = context.freshness();
    let client = context.client()?;
    let outputs: Vec<_> = stream::iter(executions)
        .map(|one| outputs::printed(one, &query, client))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for (one, (bytes, cut)) in executions.iter().zip(outputs) {
        let mut head = heading(one, context.out.clock());
        head.push('\n');
        head.extend(cut.map(|cut| cut + "\n"));
        context.out.printed(head.as_bytes())?;
        context.out.printed(&bytes)?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            context.out.bytes(b"\n")?;
        }
    }
    Ok(())
}

/// `12:00:05.000 n2 failed 3 ms exit 5`
fn heading(execution: &ExecutionView, clock: &LocalClock) -> String {
    let at = execution.start_time.unwrap_or(execution.due).0;
    let status = execution.status.to_string();
    // A success needs no reason.
    let result = if status == "success" { String::new() } else { words::result(execution) };
    let parts = [
        clock.exact(at),
        execution.node.clone().unwrap_or_default(),
        status,
        words::duration(execution, clock),
        result,
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
