//! Commands about the cluster and its scheduler.

use std::time::Duration;

use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

use super::backup::{self, BackupArgs};
use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::fetch::{self, ReplyKind, TypedReply};
use super::node;
use super::restore::{self, RecoverArgs};
use super::table::fields;
use crate::client::{Patience, path};
use crate::dto::{
    CleanupAllRequest, ClusterView, CurrentLeader, EnvelopeView, MemberAddRequest, MemberJoined,
    MemberRemoved, SchedulerSwitched, SchedulerView, StrategyRequest, StrategyView, TasksLeft,
    TransferRequest, Word,
};

/// Time limit of requests that may take long: a member may have much data to fetch, and there may
/// be many tasks to remove.
const ANSWER_WITHIN: Duration = Duration::from_secs(150);

/// Commands for the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the cluster, its leader and its nodes
    Status,
    /// Make another node the leader
    TransferLeader {
        /// The node, such as n2 [default: any that is up to date]
        node: Option<String>,
    },
    /// Change the members of the cluster
    #[command(subcommand)]
    Members(MembersCommand),
    /// Write all records to a file while the cluster runs; any node gives them
    Backup(BackupArgs),
    /// After the loss of a majority: begin a new cluster with the data of this node, which must not run
    Recover(RecoverArgs),
    /// Remove all tasks with their history, all deleted marks and all calendars
    CleanupAll {
        /// The name of the cluster, instead of a question for it
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
    },
}

/// Commands for the members.
#[derive(Debug, Subcommand)]
pub enum MembersCommand {
    /// Add a node that was started with an empty data folder; it prints this command with its addresses
    Add {
        /// Its node.id, such as 4
        id: u16,
        /// Host and port of its peer listener, as the other nodes reach it
        #[arg(long, value_name = "HOST:PORT")]
        peer: String,
        /// Base URL of its API, such as http://10.0.0.4:8080
        #[arg(long, value_name = "URL")]
        http: Option<String>,
    },
    /// Remove a member: its tasks move at once, what runs there may finish, then its process ends
    Remove {
        /// The member's name or id, such as n4
        member: String,
    },
    /// Readmit a member that lost its data and was started with an empty data folder
    Replace {
        /// The member's name or id, such as n3
        member: String,
    },
}

/// Commands for the scheduler of the whole cluster.
#[derive(Debug, Subcommand)]
pub enum SchedulerCommand {
    /// Turn scheduling on: ticks fire
    Start,
    /// Turn scheduling off: ticks are skipped
    Stop,
    /// Show whether scheduling is on
    Status,
    /// Show how tasks are given to nodes, or change it: consistent, hash_sharding, hash_slot, range, weighted, round_robin, or custom of an embedding program
    Strategy {
        /// The new strategy, for all tasks that name none
        name: Option<String>,
    },
}

/// Runs a command about the cluster.
pub async fn run(command: ClusterCommand, context: &mut CliContext) -> CommandResult {
    match command {
        ClusterCommand::Status => status(context).await,
        ClusterCommand::TransferLeader { node } => transfer(node.as_deref(), context).await,
        ClusterCommand::Members(MembersCommand::Add { id, peer, http }) => {
            add(MemberAddRequest { id, peer, http }, context).await
        }
        ClusterCommand::Members(MembersCommand::Remove { member }) => {
            remove(&member, context).await
        }
        ClusterCommand::Members(MembersCommand::Replace { member }) => {
            replace(&member, context).await
        }
        ClusterCommand::Backup(args) => backup::take(&args, context).await,
        ClusterCommand::Recover(args) => restore::recover(&args, context),
        ClusterCommand::CleanupAll { cluster } => cleanup_all(cluster, context).await,
    }
}

/// Removes all tasks. The name of the cluster is the confirmation.
async fn cleanup_all(cluster: Option<String>, context: &mut CliContext) -> CommandResult {
    let cluster = match cluster {
        Some(name) => name,
        None => {
            let now = context.read::<ClusterView>(&path(["cluster"]), &[]).await?.says;
            let question = format!(
                "remove all tasks of the cluster `{}` ({} now) with their history, all deleted \
                 marks and all calendars? type its name:",
                now.name, now.tasks
            );
            let typed = context.out.ask(&question).ok_or_else(|| {
                Failure::usage(
                    "nothing is removed without a terminal to ask on; add --cluster NAME",
                )
            })?;
            if typed != now.name {
                let message = "that is not its name; nothing was removed".to_owned();
                return Err(Failure { exit: Exit::No, message });
            }
            typed
        }
    };
    let body = fetch::value(&CleanupAllRequest { cluster });
    let reply = ask::<TasksLeft>(&path(["admin", "cleanup-all"]), Some(&body), context).await?;
    context.out.one(&reply.body, |_clock| match reply.says.tasks {
        0 => "all tasks and calendars were removed; their names are free".to_owned(),
        added => format!("all tasks and calendars were removed; {added} tasks were added since"),
    })?;
    Ok(Exit::Ok)
}

/// Transfers leadership, optionally to a given node.
async fn transfer(to: Option<&str>, context: &mut CliContext) -> CommandResult {
    let body = to.map(|to| fetch::value(&TransferRequest { to: Some(to.to_owned()) }));
    let path_to = path(["cluster", "transfer-leader"]);
    let reply = ask::<CurrentLeader>(&path_to, body.as_ref(), context).await?;
    // The response contains the next leader only if the election was quick. This request waits for
    // it.
    let leader = match reply.says.leader {
        Some(leader) => Some(leader),
        None => context.read::<ClusterView>(&path(["cluster"]), &[]).await?.says.leader,
    };
    let named = leader.clone().unwrap_or_default();
    let shown = fetch::value(&CurrentLeader { leader });
    context.out.one(&shown, |_clock| format!("leader: {named}"))?;
    Ok(Exit::Ok)
}

/// Adds a node.
async fn add(node: MemberAddRequest, context: &mut CliContext) -> CommandResult {
    let body = fetch::value(&node);
    let reply = ask::<MemberJoined>(&path(["cluster", "members"]), Some(&body), context).await?;
    context.out.one(&reply.body, |_clock| {
        format!("member {} added; it has all data and a vote", reply.says.member)
    })?;
    Ok(Exit::Ok)
}

/// Removes a member.
async fn remove(member: &str, context: &mut CliContext) -> CommandResult {
    let path_to = path(["cluster", "members", member]);
    let client = context.patient_client(patience())?;
    let reply = client.send(Method::DELETE, &path_to, &[], None, &[]).await?;
    let says: MemberRemoved = fetch::typed(&reply.body, Exit::Unknown)?;
    context
        .out
        .one(&reply.body, |_clock| format!("member {} removed; its process ends", says.member))?;
    Ok(Exit::Ok)
}

/// Readmits a member.
async fn replace(member: &str, context: &mut CliContext) -> CommandResult {
    let path_to = path(["cluster", "members", member, "replace"]);
    let reply = ask::<MemberJoined>(&path_to, None, context).await?;
    context.out.one(&reply.body, |_clock| {
        let number = member.parse::<u16>().is_ok();
        let name = if number { format!("member {member}") } else { member.to_owned() };
        format!("{name} readmitted; it has all data and a vote")
    })?;
    Ok(Exit::Ok)
}

fn patience() -> Patience {
    Patience { answer_within: ANSWER_WITHIN, ..Patience::default() }
}

/// Sends a request that may take long.
async fn ask<T: ReplyKind>(
    path_to: &str,
    body: Option<&Value>,
    context: &CliContext,
) -> Result<TypedReply<T>, Failure> {
    let client = context.patient_client(patience())?;
    let reply = client.send(Method::POST, path_to, &[], body, &[]).await?;
    let says = fetch::typed(&reply.body, Exit::Unknown)?;
    Ok(TypedReply { status: reply.status, body: reply.body, says })
}

async fn status(context: &mut CliContext) -> CommandResult {
    context.tolerate_stale();
    let reply = context.read::<ClusterView>(&path(["cluster"]), &[]).await?;
    let nodes = fetch::all(context, &path(["nodes"]), &[]).await?.says;
    let cluster = &reply.says;
    context.out.one(&reply.body, |clock| {
        let mut lines = vec![
            ("cluster", cluster.name.clone()),
            ("id", cluster.id.clone()),
            ("leader", cluster.leader.clone().unwrap_or_default()),
            ("term", cluster.term.to_string()),
            ("log end", log_end(cluster)),
            ("applied", cluster.applied_index.to_string()),
            ("scheduling", scheduling(cluster.scheduler == "started").to_owned()),
            ("timezone", cluster.timezone.clone()),
            ("tasks", cluster.tasks.to_string()),
        ];
        if let Some(joining) = &cluster.joining {
            lines.push(("joining", joining.clone()));
        }
        let head = fields(&lines);
        format!("{head}\n{}", node::table(&nodes, clock).render(true))
    })?;
    Ok(Exit::Ok)
}

/// Where the log of the node that answered ends.
fn log_end(cluster: &ClusterView) -> String {
    match (cluster.last_log_term, cluster.last_log_index) {
        // A node of an earlier version does not tell.
        (0, 0) => "not told".to_owned(),
        (term, index) => format!("term {term}, index {index} ({})", cluster.node),
    }
}

/// Whether ticks fire: `on` or `off`.
const fn scheduling(started: bool) -> &'static str {
    if started { "on" } else { "off" }
}

/// How tasks are given to nodes.
fn strategy(strategy: &Word) -> String {
    format!("strategy: {strategy}, for all tasks that name none")
}

/// Runs a command about the scheduler.
pub async fn scheduler_command(
    command: SchedulerCommand,
    context: &mut CliContext,
) -> CommandResult {
    let verb = match command {
        SchedulerCommand::Status => {
            let path = path(["scheduler", "status"]);
            let reply = context.read::<SchedulerView>(&path, &[]).await?;
            let on = scheduling(reply.says.started);
            context.out.one(&reply.body, |_clock| format!("scheduling: {on}"))?;
            return Ok(Exit::Ok);
        }
        SchedulerCommand::Strategy { name: None } => {
            let path = path(["scheduler", "status"]);
            let reply = context.read::<SchedulerView>(&path, &[]).await?;
            context.out.one(&reply.body, |_clock| strategy(&reply.says.strategy))?;
            return Ok(Exit::Ok);
        }
        SchedulerCommand::Strategy { name: Some(name) } => {
            let path = path(["scheduler", "strategy"]);
            let body = fetch::value(&StrategyRequest { strategy: name.into() });
            let reply = context.send::<StrategyView>(Method::PUT, &path, &[], Some(&body)).await?;
            context.out.one(&reply.body, |_clock| strategy(&reply.says.strategy))?;
            return Ok(Exit::Ok);
        }
        SchedulerCommand::Start => "start",
        SchedulerCommand::Stop => "stop",
    };
    let path = path(["scheduler", verb]);
    type Switched = EnvelopeView<SchedulerSwitched>;
    let reply = context.send::<Switched>(Method::POST, &path, &[], None).await?;
    context.out.one(&reply.body, |_clock| match verb {
        "start" => "scheduling: on; ticks fire from now on".to_owned(),
        _ => "scheduling: off; no tick fires until `punctual scheduler start`".to_owned(),
    })?;
    Ok(Exit::Ok)
}
