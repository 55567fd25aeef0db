//! `logs`: what executions printed, and what they print.

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::follow;
use super::read::find;
use crate::cli::choose::{Chosen, LookAmong, TasksArgs};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{self, ListReply, TypedReply};
use crate::cli::local::LocalClock;
use crate::cli::outputs::OutputChoice;
use crate::cli::suggest::not_found;
use crate::cli::{outputs, words};
use crate::client::path;
use crate::dto::{ExecutionView, TaskView};

/// Outputs asked for at once.
const AT_ONCE: usize = 8;

/// Executions shown of a single task, unless -n says otherwise; of each of several it is one.
const OF_ONE: u32 = 10;

/// Options of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "An output is kept whole up to actions.output.kept_bytes (1 MiB) per \
    attempt; of a longer one the beginning and the end are kept, with a line between them.")]
#[command(mut_arg("tasks", |tasks| tasks.help(
    "Tasks, or executions by their ids; * and ? match any characters of a task's name, and must be \
     quoted"
)))]
pub struct LogsArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Go on with what is printed: of an execution up to its end, of tasks for ever; with several,
    /// the name is in front of each line
    #[arg(short, long, conflicts_with = "tail")]
    follow: bool,
    /// How many executions of each task, the newest [default: 10, of several tasks 1]
    #[arg(short, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    n: Option<u32>,
    /// Only the last lines of each output
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
    /// Of this attempt; otherwise of the newest, or, with --follow, of all
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
}

impl LogsArgs {
    const fn choice(&self) -> OutputChoice {
        OutputChoice { attempt: self.attempt, tail: self.tail }
    }

    /// How many executions of each task are shown.
    fn count(&self, several: bool) -> usize {
        let count = self.n.unwrap_or(if several { 1 } else { OF_ONE });
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

/// What has a name.
pub(super) enum Printer {
    Task,
    Execution(Box<TypedReply<ExecutionView>>),
}

/// Finds what has this name. A task comes before an execution.
pub(super) async fn find_printer(name: &str, context: &mut CliContext) -> Result<Printer, Failure> {
    if find::<TaskView>(context, "tasks", name).await?.is_some() {
        return Ok(Printer::Task);
    }
    let number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if number && let Some(found) = find::<ExecutionView>(context, "executions", name).await? {
        return Ok(Printer::Execution(Box::new(found)));
    }
    Err(not_found("task or execution", name, "not_found", context).await)
}

/// Shows what was printed.
pub async fn run(args: &LogsArgs, context: &mut CliContext) -> CommandResult {
    let chosen = args.tasks.choose(LookAmong::Present, context).await?;
    let several = matches!(chosen, Chosen::Many(_));
    let (choice, count) = (args.choice(), args.count(several));
    if args.follow {
        return match chosen {
            Chosen::One(name) => follow::one(name, choice, count, context).await,
            Chosen::Many(names) => follow::several(&names, choice, count, context).await,
        };
    }
    let look = async |name: &str, context: &mut CliContext| match find_printer(name, context)
        .await?
    {
        Printer::Task => of_task(name, choice, count, context).await,
        Printer::Execution(execution) => of_execution(&execution, choice, several, context).await,
    };
    chosen.show_each(context, look).await
}

/// Prints what the executions of these ids printed.
///
/// # Errors
/// No good answer.
pub(in crate::cli) async fn output(
    ids: &[String],
    choice: OutputChoice,
    follow: bool,
    context: &mut CliContext,
) -> CommandResult {
    let ids = match Chosen::named(ids) {
        Chosen::One(id) if follow => return outputs::follow(&id, choice, context).await,
        Chosen::One(id) => return outputs::output(&id, choice, context).await,
        Chosen::Many(ids) => ids,
    };
    if follow {
        return follow::executions(&ids, choice, context).await;
    }
    let look = async |id: &str, context: &mut CliContext| {
        let execution = context.read::<ExecutionView>(&path(["executions", id]), &[]).await?;
        of_execution(&execution, choice, true, context).await
    };
    Chosen::Many(ids).show_each(context, look).await
}

/// What one execution printed.
async fn of_execution(
    execution: &TypedReply<ExecutionView>,
    choice: OutputChoice,
    several: bool,
    context: &mut CliContext,
) -> CommandResult {
    if several && !context.out.for_people() {
        context.out.one(&execution.body, |_clock| String::new())?;
        return Ok(Exit::Ok);
    }
    let exit = outputs::output(&execution.says.id, choice, context).await?;
    if outputs::end_may_miss(&execution.says, choice) {
        context.out.say(outputs::END_MAY_MISS);
    }
    Ok(exit)
}

/// What a task's last executions printed, oldest first.
async fn of_task(
    name: &str,
    choice: OutputChoice,
    count: usize,
    context: &mut CliContext,
) -> CommandResult {
    let live =
        print_ended(name, choice, count, count.saturating_add(follow::WINDOW), context).await?;
    if context.out.for_people() && !live.is_empty() {
        let (verb, many) = if live.len() == 1 { ("has", "") } else { ("have", "s") };
        let count = live.len();
        let line =
            format!("{count} execution{many} {verb} not ended: see the output with --follow");
        context.out.say(&line);
    }
    Ok(Exit::Ok)
}

/// Prints `shown` of the ended ones among the newest executions; gives the others, oldest first.
pub(super) async fn print_ended(
    name: &str,
    choice: OutputChoice,
    shown: usize,
    newest: usize,
    context: &mut CliContext,
) -> Result<Vec<ExecutionView>, Failure> {
    let path = path(["tasks", name, "executions"]);
    let ListReply { items, says, .. } =
        fetch::up_to::<ExecutionView>(context, &path, &[], newest).await?;
    let (ended, live): (Vec<_>, Vec<_>) =
        items.into_iter().zip(says).rev().partition(|(_, one)| words::ended(one));
    let surplus = ended.len().saturating_sub(shown);
    let (items, executions): (Vec<_>, Vec<_>) = ended.into_iter().skip(surplus).unzip();
    if !context.out.for_people() {
        context.out.many(&json!({"items": items}), &items, |_clock| Default::default())?;
    } else {
        print(&executions, choice, context).await?;
        if executions.is_empty() {
            context.out.nothing("ended executions");
        }
    }
    Ok(live.into_iter().map(|(_, one)| one).collect())
}

/// Prints each execution with all that is kept of its output.
async fn print(
    executions: &[ExecutionView],
    choice: OutputChoice,
    context: &mut CliContext,
) -> Result<(), Failure> {
    let query = context.freshness();
    let client = context.client()?;
    let outputs: Vec<_> = stream::iter(executions)
        .map(|one| outputs::printed(one, choice, &query, client))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for (one, (bytes, cut)) in executions.iter().zip(outputs) {
        let mut head = heading(one, context.out.clock());
        head.push('\n');
        head.extend(cut.map(|cut| cut + "\n"));
        context.out.printed(head.as_bytes())?;
        let bytes = choice.cut(&bytes);
        context.out.printed(bytes)?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            context.out.bytes(b"\n")?;
        }
    }
    Ok(())
}

/// `12:00:05.000 n2 failed 3 ms exit 5`
fn heading(execution: &ExecutionView, clock: &LocalClock) -> String {
    let at = execution.start_time.unwrap_or(execution.due).0;
    let node = execution.node.clone().unwrap_or_default();
    let parts = [clock.exact(at), node, result(execution, clock)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `failed 3 ms exit 5`
pub(super) fn result(execution: &ExecutionView, clock: &LocalClock) -> String {
    let status = execution.status.to_string();
    // A success needs no reason.
    let result = if status == "success" { String::new() } else { words::result(execution) };
    let parts = [status, words::duration(execution, clock), result];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
