//! `executor`: commands about executors, and a worker that is one.

mod file;
mod run;
mod server;
mod worker;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::context::CliContext;
use super::exit::{CommandResult, Exit};
use super::fetch;
use super::local::LocalClock;
use super::table::{Table, fields};
use super::watch::WatchArgs;
use super::words;
use crate::client::path;
use crate::dto::{ExecutorHead, ExecutorRemoved, ExecutorView, Message};

/// A worker, or a command about executors.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = worker::EXAMPLE)]
pub struct ExecutorArgs {
    #[command(subcommand)]
    command: Option<ExecutorCommand>,
    #[command(flatten)]
    worker: worker::WorkerArgs,
}

/// What can be done with executors.
#[derive(Debug, Subcommand)]
pub enum ExecutorCommand {
    /// List the executors
    #[command(visible_alias = "ls")]
    List {
        /// Whether it is repeated.
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Show an executor
    Show(ExecutorIdArgs),
    /// Give an executor no new work; its running executions continue
    Maintenance(ExecutorStatusArgs),
    /// Give an executor work again
    Online(ExecutorStatusArgs),
    /// Give an executor no work until it answers again
    Offline(ExecutorStatusArgs),
    /// Remove an executor; what it has is lost
    #[command(visible_alias = "rm")]
    Delete(ExecutorIdArgs),
}

/// An executor and nothing else.
#[derive(Debug, Args)]
pub struct ExecutorIdArgs {
    /// Its id
    id: String,
}

/// An executor and a reason.
#[derive(Debug, Args)]
pub struct ExecutorStatusArgs {
    /// Its id
    id: String,
    /// Why, shown to everybody
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Carries out a command.
pub async fn run(args: ExecutorArgs, context: &mut CliContext) -> CommandResult {
    let Some(command) = args.command else { return worker::run(args.worker, context).await };
    match command {
        ExecutorCommand::List { watch } => watch.repeat(context, list).await,
        ExecutorCommand::Show(args) => {
            let reply = context.read(&path(["executors", &args.id]), &[]).await?;
            context.out.one(&reply.body, |clock| describe(&reply.says, clock))?;
            Ok(Exit::Ok)
        }
        ExecutorCommand::Maintenance(args) => set(args, "maintenance", context).await,
        ExecutorCommand::Online(args) => set(args, "online", context).await,
        ExecutorCommand::Offline(args) => set(args, "offline", context).await,
        ExecutorCommand::Delete(args) => {
            let path = path(["executors", &args.id]);
            let reply = context.send::<ExecutorRemoved>(Method::DELETE, &path, &[], None).await?;
            context.out.one(&reply.body, |_clock| format!("{}: removed", reply.says.id))?;
            Ok(Exit::Ok)
        }
    }
}

async fn set(
    args: ExecutorStatusArgs,
    status: &'static str,
    context: &mut CliContext,
) -> CommandResult {
    let path = path(["executors", &args.id, "status"]);
    let body = json!({"status": status, "reason": args.reason});
    let reply = context.send::<Message>(Method::PUT, &path, &[], Some(&body)).await?;
    context.out.one(&reply.body, |_clock| match status {
        "maintenance" => format!("{}: gets no new work; what it has goes on", args.id),
        "offline" => format!("{}: gets no work until it answers again", args.id),
        _ => format!("{}: gets work again", args.id),
    })?;
    Ok(Exit::Ok)
}

async fn list(context: &mut CliContext) -> CommandResult {
    context.tolerate_stale();
    let list = fetch::all(context, &path(["executors"]), &[]).await?;
    context.out.many(&list.whole, &list.items, |clock| table(&list.says, clock))?;
    Ok(Exit::Ok)
}

/// The executors for people.
#[must_use]
fn table(executors: &[ExecutorView], clock: &LocalClock) -> Table {
    let mut table = Table::new(
        "executors",
        &["ID", "NAME", "STATUS", "RUNS", "WEIGHT", "TASKS", "URL", "LAST HEARTBEAT"],
    );
    for executor in executors {
        let head = &executor.head;
        table.row([
            head.id.clone(),
            head.name.clone(),
            status(head),
            load(head),
            head.weight.to_string(),
            executor.tasks.len().to_string(),
            head.base_url.clone(),
            clock.with_age(head.last_heartbeat.0),
        ]);
    }
    table
}

/// `maintenance (upgrade)`
fn status(head: &ExecutorHead) -> String {
    if head.reason.is_empty() {
        head.status.to_string()
    } else {
        format!("{} ({})", head.status, head.reason)
    }
}

/// `3 of 4`
fn load(head: &ExecutorHead) -> String {
    match head.capacity {
        0 => head.in_flight.to_string(),
        capacity => format!("{} of {capacity}", head.in_flight),
    }
}

/// An executor for people.
fn describe(executor: &ExecutorView, clock: &LocalClock) -> String {
    let head = &executor.head;
    let offline = head.offline_since.map(|at| clock.with_age(at.0));
    fields(&[
        ("executor", head.id.clone()),
        ("name", head.name.clone()),
        ("status", status(head)),
        ("url", head.base_url.clone()),
        ("health", head.health_check_url.clone().unwrap_or_default()),
        ("runs", load(head)),
        ("weight", head.weight.to_string()),
        ("tasks", executor.tasks.join(", ")),
        ("metadata", words::pairs(&head.metadata)),
        ("offline since", offline.unwrap_or_default()),
        ("registered", clock.with_age(head.registered_at.0)),
        ("last heartbeat", clock.with_age(head.last_heartbeat.0)),
    ])
}
