//! Commands about the cluster and its scheduler.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Outcome};
use super::fetch::{self, given, text, word};
use super::table::fields;
use super::{node, words};
use crate::client::path;

/// What can be done with the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the cluster, its leader and its nodes
    Status,
    /// Let another node lead
    TransferLeader(TransferArgs),
}

/// Options of `cluster transfer-leader`.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// The node that is to lead [default: any other]
    node: Option<String>,
}

/// What can be done with the scheduler, in the whole cluster.
#[derive(Debug, Subcommand)]
pub enum SchedulerCommand {
    /// Let ticks fire
    Start,
    /// Let ticks pass without firing
    Stop,
    /// Show whether ticks fire
    Status,
}

/// Carries out a command about the cluster.
pub async fn run(command: ClusterCommand, context: &mut Context) -> Outcome {
    let args = match command {
        ClusterCommand::Status => return status(context).await,
        ClusterCommand::TransferLeader(args) => args,
    };
    let body = args.node.as_ref().map(|node| json!({ "to": node }));
    let path = path(["cluster", "transfer-leader"]);
    let reply = context.client()?.send(Method::POST, &path, &[], body.as_ref(), &[]).await?;
    context.out.one(&reply.body, |_clock| format!("leader: {}", word(&reply.body, "leader")))?;
    Ok(Exit::Ok)
}

async fn status(context: &mut Context) -> Outcome {
    let reply = context.client()?.get(&path(["cluster"]), &[]).await?;
    let (_, nodes) = fetch::all(context.client()?, &path(["nodes"]), &[]).await?;
    let cluster = &reply.body;
    context.out.one(cluster, |clock| {
        let head = fields(&[
            ("cluster", word(cluster, "name")),
            ("id", word(cluster, "id")),
            ("leader", word(cluster, "leader")),
            ("term", word(cluster, "term")),
            ("applied", word(cluster, "applied_index")),
            ("scheduler", scheduler(cluster)),
            ("timezone", word(cluster, "timezone")),
            ("tasks", given(cluster, "tasks").map(words::list).unwrap_or_default()),
        ]);
        format!("{head}\n{}", node::table(&nodes, clock).render(true))
    })?;
    let working = |node: &&Value| text(node, "state") == Some("working");
    let healthy = nodes.iter().filter(working).count() == nodes.len();
    Ok(if healthy { Exit::Ok } else { Exit::No })
}

/// Whether ticks fire, as the answer tells it.
fn scheduler(body: &Value) -> String {
    let started = ["started", "scheduler"].into_iter().find_map(|key| given(body, key));
    match started {
        Some(Value::Bool(true)) => "started".to_owned(),
        Some(Value::Bool(false)) => "stopped".to_owned(),
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}

/// Carries out a command about the scheduler.
pub async fn scheduler_command(command: SchedulerCommand, context: &mut Context) -> Outcome {
    let verb = match command {
        SchedulerCommand::Status => {
            let reply = context.client()?.get(&path(["scheduler", "status"]), &[]).await?;
            let body = &reply.body;
            context.out.one(body, |_clock| format!("scheduler {}", scheduler(body)))?;
            return Ok(Exit::Ok);
        }
        SchedulerCommand::Start => "start",
        SchedulerCommand::Stop => "stop",
    };
    let path = path(["scheduler", verb]);
    let reply = context.client()?.send(Method::POST, &path, &[], None, &[]).await?;
    context.out.one(&reply.body, |_clock| match verb {
        "start" => "scheduler started: ticks fire from now on".to_owned(),
        _ => "scheduler stopped: no tick fires until it is started".to_owned(),
    })?;
    Ok(Exit::Ok)
}
