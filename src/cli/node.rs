//! Commands about nodes.

mod set;

use clap::{Args, Subcommand};
use reqwest::Method;

use super::choose::Chosen;
use super::context::CliContext;
use super::exit::{CommandResult, Exit};
use super::local::LocalClock;
use super::many::{self, OneRequest};
use super::objects::{ListedNodesArgs, NodesArgs};
use super::table::{Table, fields};
use super::watch::WatchArgs;
use crate::client::path;
use crate::dto::NodeView;

/// Commands for nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes of the cluster
    #[command(visible_alias = "ls")]
    List(NodeListArgs),
    /// Show nodes
    Show(NodesArgs),
    /// Give the tasks of nodes to others until `node undrain`; what runs there goes on
    Drain(NodesArgs),
    /// Let drained nodes take tasks again
    Undrain(NodesArgs),
    /// Set weight, slots and labels of nodes, in place of their own settings
    Set(set::NodeSetArgs),
}

/// Options of `node list`.
#[derive(Debug, Args)]
pub struct NodeListArgs {
    #[command(flatten)]
    listed: ListedNodesArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Runs a command.
pub async fn run(command: NodeCommand, context: &mut CliContext) -> CommandResult {
    match command {
        NodeCommand::List(args) => {
            let look = async |context: &mut CliContext| list(&args.listed, context).await;
            args.watch.repeat(context, look).await
        }
        NodeCommand::Show(args) => args.choose(context).await?.show_each(context, show).await,
        NodeCommand::Drain(args) => intend(&args, "drain", context).await,
        NodeCommand::Set(args) => set::run(args, context).await,
        NodeCommand::Undrain(args) => intend(&args, "undrain", context).await,
    }
}

async fn show(node: &str, context: &mut CliContext) -> CommandResult {
    let reply = context.read(&path(["nodes", node]), &[]).await?;
    context.out.one(&reply.body, |clock| describe(&reply.says, clock))?;
    Ok(Exit::Ok)
}

/// Drains nodes, or ends that.
async fn intend(args: &NodesArgs, verb: &'static str, context: &mut CliContext) -> CommandResult {
    let (said, done) = match verb {
        "drain" => ("gives its tasks away; what runs there goes on to its end", "drained"),
        _ => ("may own tasks again", "undrained"),
    };
    match args.choose(context).await? {
        Chosen::One(node) => {
            let path = path(["nodes", &node, verb]);
            let reply = context.send::<NodeView>(Method::POST, &path, &[], None).await?;
            context.out.one(&reply.body, |_clock| format!("{node}: {said}"))?;
            Ok(Exit::Ok)
        }
        Chosen::Many(nodes) => {
            let items = many::each(&nodes, &OneRequest::post("nodes", verb), context).await?;
            many::tell(items, "nodes", done, |_item| said.to_owned(), context)
        }
    }
}

async fn list(listed: &ListedNodesArgs, context: &mut CliContext) -> CommandResult {
    context.tolerate_stale();
    let list = listed.read(context).await?;
    context.out.many(&list.whole, &list.items, |clock| table(&list.says, clock))?;
    Ok(Exit::Ok)
}

/// The table of nodes.
#[must_use]
pub fn table(nodes: &[NodeView], clock: &LocalClock) -> Table {
    let mut table = Table::new(
        "nodes",
        &["NAME", "ROLE", "STATE", "CLOCK", "TASKS", "HTTP", "PEER", "VERSION", "STARTED"],
    );
    for node in nodes {
        table.row([
            node.name.clone(),
            node.role.to_string(),
            state(node),
            skew(node),
            node.tasks_owned.to_string(),
            node.http.clone(),
            node.peer.clone(),
            node.version.clone(),
            clock.with_age(node.started_at.0),
        ]);
    }
    table
}

/// `working`, `working, draining`
fn state(node: &NodeView) -> String {
    let NodeView { state, intent, .. } = node;
    if intent == "none" { state.to_string() } else { format!("{state}, {intent}") }
}

/// The offset of the node's wall clock from cluster time: `+3 ms`, `-86400 s`. Empty if unknown.
fn skew(node: &NodeView) -> String {
    match node.clock_skew_ms {
        None => String::new(),
        Some(skew) if skew.abs() < 10_000 => format!("{skew:+} ms"),
        Some(skew) => format!("{:+} s", skew / 1_000),
    }
}

/// The description of a node.
#[must_use]
pub fn describe(node: &NodeView, clock: &LocalClock) -> String {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let last_seen = node.last_seen.map(|at| clock.with_age(at.0));
    fields(&[
        ("node", node.name.clone()),
        ("id", node.id.clone()),
        ("state", state(node)),
        ("role", node.role.to_string()),
        ("clock", skew(node)),
        ("tasks", node.tasks_owned.to_string()),
        ("running", node.running.to_string()),
        ("http", node.http.clone()),
        ("peer", node.peer.clone()),
        ("host", node.hostname.clone()),
        ("process", node.pid.to_string()),
        ("version", node.version.clone()),
        ("weight", in_force(node.weight, node.overrides.weight)),
        ("slots", in_force(node.slots, node.overrides.slots)),
        ("labels", labels(node)),
        ("term", number(node.term)),
        ("applied", number(node.applied_index)),
        ("digest", node.digest.clone().unwrap_or_default()),
        ("started", clock.with_age(node.started_at.0)),
        ("last seen", last_seen.unwrap_or_default()),
    ])
}

/// What assignment and grants look at, in a line.
fn describe_settings(node: &NodeView) -> String {
    let weight = in_force(node.weight, node.overrides.weight);
    let slots = in_force(node.slots, node.overrides.slots);
    format!("{}: weight {weight}, slots {slots}, labels {}", node.name, labels(node))
}

/// `2`, or `2 (set)` if that was set for the node.
fn in_force(value: u32, set: Option<u32>) -> String {
    if set.is_some() { format!("{value} (set)") } else { value.to_string() }
}

/// `zone=a, gpu=1 (set), host=m1, node=n1`: the labels that selectors can use.
fn labels(node: &NodeView) -> String {
    let set = &node.overrides.labels;
    let labels = node.labels.iter().chain(&node.automatic_labels).map(|(key, value)| {
        let set = if set.contains_key(key) { " (set)" } else { "" };
        format!("{key}={value}{set}")
    });
    labels.collect::<Vec<_>>().join(", ")
}
