//! Commands that change tasks: each prints one line.

use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::{confirm, name, pair};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{TypedReply, typed};
use crate::cli::local::Day;
use crate::cli::{execution, words};
use crate::client::{ClientError, path};
use crate::dto::{ExecutionChanged, ExecutionNow, TaskChanged};

/// Between two looks at an execution that has not ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The task
    #[arg(value_parser = name)]
    name: String,
    /// Wait for its end; exit code 1 if that is not success
    #[arg(long)]
    wait: bool,
    /// A parameter, over the task's own
    #[arg(short, long = "parameter", value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
}

/// Options of `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The task
    #[arg(value_parser = name)]
    name: String,
    /// Why; shown to everybody
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// When it goes on by itself: a time, or 2h from now
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Wait until every node knows and no start can follow; running executions go on
    #[arg(long)]
    wait: bool,
}

/// Options of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The task
    #[arg(value_parser = name)]
    name: String,
    /// Wait until every node knows and no start can follow; running executions go on
    #[arg(long)]
    wait: bool,
    /// Stop what runs
    #[arg(long, conflicts_with = "cleanup")]
    stop: bool,
    /// Remove its history as well, and free the name
    #[arg(long)]
    cleanup: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Does something to a task.
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

/// Triggers an execution, and perhaps waits for its end.
pub async fn run(args: RunArgs, context: &mut CliContext) -> CommandResult {
    let parameters: Map<String, Value> =
        args.parameters.into_iter().map(|(key, value)| (key, json!(value))).collect();
    let body = (!parameters.is_empty()).then(|| json!({ "parameters": parameters }));
    let path_to = path(["tasks", &args.name, "trigger"]);
    let sent = context.send::<ExecutionChanged>(Method::POST, &path_to, &[], body.as_ref());
    let reply = sent.await?;
    let id = reply.says.execution.id().to_owned();
    for warning in &reply.says.warnings {
        context.out.say(&format!("warning: {}", warning.detail));
    }
    if !args.wait {
        let line = format!("{}: execution {id} triggered", args.name);
        context.out.one(&reply.body, |_clock| line)?;
        return Ok(Exit::Ok);
    }
    let mut shown = reply.body;
    let mut found = match reply.says.execution {
        ExecutionNow::Kept(execution) => Some(*execution),
        ExecutionNow::Gone { .. } => None,
    };
    let execution = loop {
        match found {
            Some(execution) if words::ended(&execution) => break execution,
            Some(_) => sleep(LOOK_EVERY).await,
            None => {}
        }
        shown = match context.get(&path(["executions", &id]), &[]).await {
            Ok(reply) => reply.body,
            // What is live is always kept.
            Err(ClientError::Refused(refusal)) if refusal.code == "execution_not_found" => {
                let line = format!("{}: execution {id} has ended; no record is kept", args.name);
                context.out.one(&json!({"id": id, "task": args.name}), |_clock| line)?;
                return Ok(Exit::Ok);
            }
            Err(error) => return Err(error.into()),
        };
        found = Some(typed(&shown, Exit::Unknown)?);
    };
    context.out.one(&shown, |clock| execution::line(&execution, clock))?;
    if context.out.for_people() {
        let query = context.freshness();
        let (bytes, cut) = execution::printed(&execution, &query, context.client()?).await?;
        if let Some(cut) = cut {
            context.out.say(&cut);
        }
        context.out.printed(&bytes)?;
    }
    Ok(if execution.status == "success" { Exit::Ok } else { Exit::No })
}

/// Pauses a task.
pub async fn pause(args: PauseArgs, context: &mut CliContext) -> CommandResult {
    let mut body = Map::new();
    if !args.reason.is_empty() {
        body.insert("reason".to_owned(), json!(args.reason));
    }
    if let Some(until) = &args.until {
        let until = context.out.clock().read(until, Day::Next).map_err(Failure::usage)?;
        body.insert("until".to_owned(), json!(until.to_string()));
    }
    let body = Value::Object(body);
    let reply = post(context, &args.name, "pause", args.wait, Some(&body)).await?;
    context.out.one(&reply.body, |clock| {
        let state = reply.says.task.kept().map(|task| words::state(task, clock));
        format!("{}: {}", args.name, state.unwrap_or_default())
    })?;
    still_running(context, &reply.says);
    Ok(Exit::Ok)
}

/// Resumes a task.
pub async fn resume(name: &str, context: &mut CliContext) -> CommandResult {
    let reply = post(context, name, "resume", false, None).await?;
    back(name, "resumed", &reply, context)
}

/// Takes the deleted mark off a name.
pub async fn reuse(name: &str, context: &mut CliContext) -> CommandResult {
    let reply = post(context, name, "reuse", false, None).await?;
    back(name, "in use again", &reply, context)
}

/// Says that a task is there again.
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

/// Removes all that is known of a name.
pub async fn cleanup(name: &str, context: &mut CliContext) -> CommandResult {
    let reply = post(context, name, "cleanup", false, None).await?;
    let line = format!("{name}: removed with its history; the name is free");
    context.out.one(&reply.body, |_clock| line)?;
    Ok(Exit::Ok)
}

/// Marks a task deleted, or removes it.
pub async fn delete(args: DeleteArgs, context: &mut CliContext) -> CommandResult {
    let name = &args.name;
    if args.cleanup && !args.yes {
        let question = format!("remove {name} with its history? type yes:");
        if !confirm(&question, context).ok_or_else(|| {
            Failure::usage("nothing is removed without a terminal to ask on; add --yes")
        })? {
            return Err(Failure { exit: Exit::No, message: "nothing was removed".to_owned() });
        }
    }
    let asked = [("wait", args.wait), ("stop", args.stop), ("cleanup", args.cleanup)];
    let query: Vec<(&str, String)> =
        asked.iter().filter(|(_, on)| *on).map(|(key, _)| (*key, "true".to_owned())).collect();
    let path = path(["tasks", name]);
    let reply = context.send::<TaskChanged>(Method::DELETE, &path, &query, None).await?;
    context.out.one(&reply.body, |_clock| match args.cleanup {
        true => format!("{name}: removed with its history; the name is free"),
        false => format!("{name}: deleted; no tick fires any more"),
    })?;
    if !args.cleanup && context.out.for_people() {
        context.out.say(&format!(
            "its name and history stay: `punctual reuse {name}` brings the task back, \
             `punctual cleanup {name}` removes them"
        ));
    }
    still_running(context, &reply.says);
    Ok(Exit::Ok)
}

/// Names the executions that go on.
fn still_running(context: &mut CliContext, changed: &TaskChanged) {
    for execution in changed.running.iter().flatten() {
        let node = execution.node.as_deref().unwrap_or_default();
        context.out.say(&format!("execution {} still runs on {node}", execution.id));
    }
}
