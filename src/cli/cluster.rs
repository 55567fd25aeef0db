//! Commands about the cluster and its scheduler.

use std::time::Duration;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use super::context::Context;
use super::exit::{Exit, Failure, Outcome};
use super::fetch::{self, given, text, word};
use super::node;
use super::table::fields;
use crate::client::{Client, Patience, Reply, path};

/// An answer that only the leader has is waited for so long: a member may have much to fetch.
const ANSWER_WITHIN: Duration = Duration::from_secs(150);

/// What can be done with the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the cluster, its leader and its nodes
    Status,
    /// Let another node lead
    TransferLeader,
    /// Change who belongs to the cluster
    #[command(subcommand)]
    Members(MembersCommand),
}

/// What can be done with the members.
#[derive(Debug, Subcommand)]
pub enum MembersCommand {
    /// Readmit a member that was started with an empty data folder, since it lost its own
    Replace {
        /// The member's configured id
        id: u16,
    },
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
    match command {
        ClusterCommand::Status => status(context).await,
        ClusterCommand::TransferLeader => transfer(context).await,
        ClusterCommand::Members(MembersCommand::Replace { id }) => replace(context, id).await,
    }
}

/// Asks the leader to give the lead away; nobody else can.
async fn transfer(context: &mut Context) -> Outcome {
    let reply = ask_leader(context, &path(["cluster", "transfer-leader"])).await?;
    // The answer knows the next leader only if its election was quick; this question waits for it.
    let now = match text(&reply.body, "leader") {
        Some(_) => reply.body,
        None => context.client()?.get(&path(["cluster"]), &[]).await?.body,
    };
    let shown = json!({ "leader": now.get("leader") });
    context.out.one(&shown, |_clock| format!("leader: {}", word(&shown, "leader")))?;
    Ok(Exit::Ok)
}

/// Asks the leader to readmit a member; nobody else can.
async fn replace(context: &mut Context, id: u16) -> Outcome {
    let id = id.to_string();
    let reply = ask_leader(context, &path(["cluster", "members", &id, "replace"])).await?;
    context.out.one(&reply.body, |_clock| {
        format!("member {id} is readmitted; it is the member's join {}", word(&reply.body, "join"))
    })?;
    Ok(Exit::Ok)
}

/// Sends a request that only the leader can answer.
async fn ask_leader(context: &mut Context, path_to: &str) -> Result<Reply, Failure> {
    let cluster = context.client()?.get(&path(["cluster"]), &[]).await?.body;
    let members = cluster.get("members").and_then(Value::as_array).into_iter().flatten();
    let leader = members.filter(|member| text(member, "role") == Some("leader"));
    let server = leader.filter_map(|leader| Url::parse(text(leader, "http")?).ok()).next();
    let patience = Patience { answer_within: ANSWER_WITHIN, ..Patience::default() };
    Ok(match server {
        Some(server) => {
            let leader = Client::new(vec![server], patience)?;
            leader.send(Method::POST, path_to, &[], None, &[]).await?
        }
        None => context.client()?.send(Method::POST, path_to, &[], None, &[]).await?,
    })
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
            ("tasks", word(cluster, "tasks")),
        ]);
        format!("{head}\n{}", node::table(&nodes, clock).render(true))
    })?;
    Ok(Exit::Ok)
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
