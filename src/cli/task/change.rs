//! Commands that change the state of tasks. Each prints one line per task.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::cli::choose::{Chosen, LookAmong, TasksArgs, confirm_many};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{TypedReply, value};
use crate::cli::local::Day;
use crate::cli::many::{self, OneRequest};
use crate::cli::words;
use crate::client::path;
use crate::domain::time::Rfc3339;
use crate::dto::{BulkRequest, ItemView, PauseRequest, TaskChanged};

/// Message for a task that was removed.
const REMOVED: &str = "removed with its history; the name is free";
/// Message for a task that was cancelled.
const CANCELLED: &str = "cancelled; no tick fires until it is resumed";
/// Message for a task that was marked deleted.
const DELETED: &str = "deleted; no tick fires any more";
/// Message for a name that was marked deleted, with or without a task.
const MARKED: &str = "marked deleted; no task can be created under the name until it is reused";

/// Options of `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// The reason, shown to everyone
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Resume automatically at this time, or after a duration such as 2h
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Wait until every node knows and no start can follow; running executions go on
    #[arg(long)]
    wait: bool,
}

/// Options of `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Wait until every node knows and no start can follow; running executions go on
    #[arg(long)]
    wait: bool,
}

/// Options of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Wait until every node knows and no start can follow; running executions go on
    #[arg(long)]
    wait: bool,
    /// Stop running executions
    #[arg(long, conflicts_with = "cleanup")]
    stop: bool,
    /// Remove its history as well, and free the name
    #[arg(long)]
    cleanup: bool,
    /// Mark names deleted even if no task has them, so that none is added under them
    #[arg(long, conflicts_with = "cleanup")]
    tombstone: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// Options of `cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// Sends an operation on one task.
async fn post(
    context: &mut CliContext,
    name: &str,
    verb: &str,
    wait: bool,
    body: Option<&Value>,
) -> Result<TypedReply<TaskChanged>, Failure> {
    let query: &[(&str, String)] = if wait { &[("wait", "true".to_owned())] } else { &[] };
    let path = path(["tasks", name, verb]);
    context.send(Method::POST, &path, query, body).await
}

/// Pauses tasks.
pub async fn pause(args: PauseArgs, context: &mut CliContext) -> CommandResult {
    let clock = context.out.clock();
    let until = args.until.as_deref().map(|until| clock.read(until, Day::Next));
    let until = until.transpose().map_err(Failure::usage)?;
    let reason = Some(args.reason).filter(|reason| !reason.is_empty());
    let request = PauseRequest { reason, until: until.map(Rfc3339) };
    let body = value(&request);
    let names = match args.tasks.choose(LookAmong::Present, context).await? {
        Chosen::Many(names) => names,
        Chosen::One(name) => {
            let reply = post(context, &name, "pause", args.wait, Some(&body)).await?;
            context.out.one(&reply.body, |clock| {
                let state = reply.says.task.kept().map(|task| words::state(task, clock));
                format!("{name}: {}", state.unwrap_or_default())
            })?;
            still_running(context, &reply.says);
            return Ok(Exit::Ok);
        }
    };
    let items = if args.wait {
        let wait = [("wait", "true".to_owned())];
        let body = Some(&body);
        let request = OneRequest { query: &wait, body, ..OneRequest::post("tasks", "pause") };
        many::each(&names, &request, context).await?
    } else {
        let PauseRequest { reason, until } = request;
        let request = BulkRequest { reason, until, ..operation("pause") };
        many::bulk(&names, &request, context).await?
    };
    let until = until.map(|until| format!(" until {}", context.out.clock().short(until)));
    let until = until.unwrap_or_default();
    many::tell(items, "tasks", "paused", |_item| format!("paused{until}"), context)
}

/// Cancels tasks.
pub async fn cancel(args: CancelArgs, context: &mut CliContext) -> CommandResult {
    let names = match args.tasks.choose(LookAmong::Present, context).await? {
        Chosen::Many(names) => names,
        Chosen::One(name) => {
            let reply = post(context, &name, "cancel", args.wait, None).await?;
            context.out.one(&reply.body, |_clock| format!("{name}: {CANCELLED}"))?;
            still_running(context, &reply.says);
            return Ok(Exit::Ok);
        }
    };
    let items = if args.wait {
        let wait = [("wait", "true".to_owned())];
        let request = OneRequest { query: &wait, ..OneRequest::post("tasks", "cancel") };
        many::each(&names, &request, context).await?
    } else {
        many::bulk(&names, &operation("cancel"), context).await?
    };
    many::tell(items, "tasks", "cancelled", |_item| CANCELLED.to_owned(), context)
}

/// Resumes tasks.
pub async fn resume(args: &TasksArgs, context: &mut CliContext) -> CommandResult {
    match args.choose(LookAmong::Present, context).await? {
        Chosen::One(name) => {
            let reply = post(context, &name, "resume", false, None).await?;
            let resumed = format!("resumed{}", made_up(reply.says.execution_id.as_deref()));
            back(&name, &resumed, &reply, context)
        }
        Chosen::Many(names) => {
            let items = many::bulk(&names, &operation("resume"), context).await?;
            let good =
                |item: &ItemView| format!("resumed{}", made_up(item.execution_id.as_deref()));
            many::tell(items, "tasks", "resumed", good, context)
        }
    }
}

/// Removes the deleted mark from names.
pub async fn reuse(args: &TasksArgs, context: &mut CliContext) -> CommandResult {
    let did = "in use again";
    match args.choose(LookAmong::Deleted, context).await? {
        Chosen::One(name) => {
            let reply = post(context, &name, "reuse", false, None).await?;
            back(&name, did, &reply, context)
        }
        Chosen::Many(names) => {
            let request = OneRequest::post("tasks", "reuse");
            let items = many::each(&names, &request, context).await?;
            many::tell(items, "tasks", did, |_item| did.to_owned(), context)
        }
    }
}

/// The message about an execution that replaces a missed tick, if there is one.
fn made_up(execution: Option<&str>) -> String {
    let said =
        execution.map(|id| format!("; its time had come meanwhile: execution {id} runs now"));
    said.unwrap_or_default()
}

/// Prints that a task is active again.
fn back(
    name: &str,
    what: &str,
    reply: &TypedReply<TaskChanged>,
    context: &mut CliContext,
) -> CommandResult {
    context.out.one(&reply.body, |clock| {
        let next = reply.says.task.kept().map(|task| words::next_tick(task, clock));
        format!("{name}: {what}{}", next.unwrap_or_default())
    })?;
    Ok(Exit::Ok)
}

/// Removes everything stored under names.
pub async fn cleanup(args: CleanupArgs, context: &mut CliContext) -> CommandResult {
    match args.tasks.choose(LookAmong::Both, context).await? {
        Chosen::One(name) => {
            let reply = post(context, &name, "cleanup", false, None).await?;
            context.out.one(&reply.body, |_clock| format!("{name}: {REMOVED}"))?;
            Ok(Exit::Ok)
        }
        Chosen::Many(names) => {
            confirm_many("remove", "tasks", &names, args.yes, context)?;
            let items = many::bulk(&names, &operation("cleanup"), context).await?;
            many::tell(items, "tasks", "removed", |_item| REMOVED.to_owned(), context)
        }
    }
}

/// Marks tasks deleted, or removes them.
pub async fn delete(args: DeleteArgs, context: &mut CliContext) -> CommandResult {
    let asked = [
        ("wait", args.wait),
        ("stop", args.stop),
        ("cleanup", args.cleanup),
        ("tombstone", args.tombstone),
    ];
    let query: Vec<(&str, String)> =
        asked.iter().filter(|(_, on)| *on).map(|(key, _)| (*key, "true".to_owned())).collect();
    let (said, done, verb) = match (args.cleanup, args.tombstone) {
        (true, _) => (REMOVED, "removed", "remove"),
        (false, true) => (MARKED, "marked deleted", "mark deleted"),
        (false, false) => (DELETED, "deleted", "delete"),
    };
    let names = match args.tasks.choose(LookAmong::Present, context).await? {
        Chosen::Many(names) => names,
        Chosen::One(name) => return delete_one(&name, &args, &query, said, context).await,
    };
    confirm_many(verb, "tasks", &names, args.yes, context)?;
    let items = if args.wait {
        let request = OneRequest { query: &query, ..OneRequest::delete("tasks") };
        many::each(&names, &request, context).await?
    } else if args.cleanup {
        many::bulk(&names, &operation("cleanup"), context).await?
    } else {
        let (stop, tombstone) = (args.stop.then_some(true), args.tombstone.then_some(true));
        let request = BulkRequest { stop, tombstone, ..operation("delete") };
        many::bulk(&names, &request, context).await?
    };
    many::tell(items, "tasks", done, |_item| said.to_owned(), context)
}

async fn delete_one(
    name: &str,
    args: &DeleteArgs,
    query: &[(&str, String)],
    said: &str,
    context: &mut CliContext,
) -> CommandResult {
    if args.cleanup && !args.yes {
        let question = format!("remove {name} with its history? type yes:");
        if !context.out.confirm(&question).ok_or_else(|| {
            Failure::usage("nothing is removed without a terminal to ask on; add --yes")
        })? {
            return Err(Failure { exit: Exit::No, message: "nothing was removed".to_owned() });
        }
    }
    let path = path(["tasks", name]);
    let reply = context.send::<TaskChanged>(Method::DELETE, &path, query, None).await?;
    context.out.one(&reply.body, |_clock| format!("{name}: {said}"))?;
    if said == DELETED && context.out.for_people() {
        context.out.say(&format!(
            "its name and history stay: `punctual reuse {name}` brings the task back, \
             `punctual cleanup {name}` removes them"
        ));
    }
    still_running(context, &reply.says);
    Ok(Exit::Ok)
}

/// A bulk operation without the fields that only some operations have.
fn operation(op: &'static str) -> BulkRequest {
    BulkRequest { op: op.into(), ..BulkRequest::default() }
}

/// Prints the executions that continue to run.
fn still_running(context: &mut CliContext, changed: &TaskChanged) {
    for execution in changed.running.iter().flatten() {
        let node = execution.node.as_deref().unwrap_or_default();
        context.out.say(&format!("execution {} still runs on {node}", execution.id));
    }
}
