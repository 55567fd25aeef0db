//! `executor`: commands about executors, and a worker that is one.

mod file;
mod run;
mod server;
mod worker;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::choose::{Chosen, confirm_many};
use super::context::CliContext;
use super::exit::{CommandResult, Exit};
use super::local::LocalClock;
use super::many::{self, OneRequest};
use super::objects::{ListedArgs, ObjectsArgs};
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
    List(ExecutorListArgs),
    /// Show executors
    Show(ExecutorsArgs),
    /// Give executors no new work; their running executions continue
    Maintenance(ExecutorStatusArgs),
    /// Give executors work again
    Online(ExecutorStatusArgs),
    /// Give executors no work until they answer again
    Offline(ExecutorStatusArgs),
    /// Remove executors; what they have is lost
    #[command(visible_alias = "rm")]
    Delete(ExecutorDeleteArgs),
}

/// Ids and patterns of executors.
#[derive(Debug, Args)]
#[command(mut_arg("objects", |ids| ids.value_name("ID").help(
    "Their ids; * and ? match any characters, and must be quoted"
)))]
pub struct ExecutorsArgs {
    #[command(flatten)]
    ids: ObjectsArgs,
}

/// Options of `executor list`.
#[derive(Debug, Args)]
pub struct ExecutorListArgs {
    #[command(flatten)]
    listed: ListedArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Options of `executor delete`.
#[derive(Debug, Args)]
pub struct ExecutorDeleteArgs {
    #[command(flatten)]
    executors: ExecutorsArgs,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// Executors and a reason.
#[derive(Debug, Args)]
pub struct ExecutorStatusArgs {
    #[command(flatten)]
    executors: ExecutorsArgs,
    /// Why, shown to everybody
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Carries out a command.
pub async fn run(args: ExecutorArgs, context: &mut CliContext) -> CommandResult {
    let Some(command) = args.command else { return worker::run(args.worker, context).await };
    match command {
        ExecutorCommand::List(args) => {
            let look = async |context: &mut CliContext| list(&args.listed, context).await;
            args.watch.repeat(context, look).await
        }
        ExecutorCommand::Show(executors) => {
            let chosen = executors.ids.choose::<ExecutorView>(context).await?;
            chosen.show_each(context, show).await
        }
        ExecutorCommand::Maintenance(args) => set(args, "maintenance", context).await,
        ExecutorCommand::Online(args) => set(args, "online", context).await,
        ExecutorCommand::Offline(args) => set(args, "offline", context).await,
        ExecutorCommand::Delete(args) => delete(&args, context).await,
    }
}

async fn show(id: &str, context: &mut CliContext) -> CommandResult {
    let reply = context.read(&path(["executors", id]), &[]).await?;
    context.out.one(&reply.body, |clock| describe(&reply.says, clock))?;
    Ok(Exit::Ok)
}

async fn delete(args: &ExecutorDeleteArgs, context: &mut CliContext) -> CommandResult {
    match args.executors.ids.choose::<ExecutorView>(context).await? {
        Chosen::One(id) => {
            let path = path(["executors", &id]);
            let reply = context.send::<ExecutorRemoved>(Method::DELETE, &path, &[], None).await?;
            context.out.one(&reply.body, |_clock| format!("{}: removed", reply.says.id))?;
            Ok(Exit::Ok)
        }
        Chosen::Many(ids) => {
            confirm_many("remove", "executors", &ids, args.yes, context)?;
            let items = many::each(&ids, &OneRequest::delete("executors"), context).await?;
            many::tell(items, "executors", "removed", |_item| "removed".to_owned(), context)
        }
    }
}

async fn set(
    args: ExecutorStatusArgs,
    status: &'static str,
    context: &mut CliContext,
) -> CommandResult {
    let body = json!({"status": status, "reason": args.reason});
    let (said, done) = match status {
        "maintenance" => ("gets no new work; what it has goes on", "in maintenance"),
        "offline" => ("gets no work until it answers again", "offline"),
        _ => ("gets work again", "online"),
    };
    match args.executors.ids.choose::<ExecutorView>(context).await? {
        Chosen::One(id) => {
            let path = path(["executors", &id, "status"]);
            let reply = context.send::<Message>(Method::PUT, &path, &[], Some(&body)).await?;
            context.out.one(&reply.body, |_clock| format!("{id}: {said}"))?;
            Ok(Exit::Ok)
        }
        Chosen::Many(ids) => {
            let (method, body) = (Method::PUT, Some(&body));
            let request = OneRequest { method, body, ..OneRequest::post("executors", "status") };
            let items = many::each(&ids, &request, context).await?;
            many::tell(items, "executors", done, |_item| said.to_owned(), context)
        }
    }
}

async fn list(listed: &ListedArgs, context: &mut CliContext) -> CommandResult {
    context.tolerate_stale();
    let list = listed.read::<ExecutorView>(context).await?;
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
