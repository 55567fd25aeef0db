//! Commands about nodes.

mod set;

use clap::{Args, Subcommand};
use reqwest::Method;

use super::context::CliContext;
use super::exit::{CommandResult, Exit};
use super::fetch;
use super::local::LocalClock;
use super::table::{Table, fields};
use super::watch::WatchArgs;
use crate::client::path;
use crate::dto::NodeView;

/// Commands for nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes of the cluster
    #[command(visible_alias = "ls")]
    List {
        /// Options for repetition.
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Show a node
    Show(NodeArgs),
    /// Make a node release its tasks to the other nodes
    Drain(NodeArgs),
    /// Let a drained node take tasks again
    Undrain(NodeArgs),
    /// Set weight, slots and labels of a node, in place of its own settings
    Set(set::NodeSetArgs),
}

/// The name of a node.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Its name or id
    node: String,
}

/// Runs a command.
pub async fn run(command: NodeCommand, context: &mut CliContext) -> CommandResult {
    let (node, verb) = match command {
        NodeCommand::List { watch } => return watch.repeat(context, list).await,
        NodeCommand::Show(args) => {
            let reply = context.read(&path(["nodes", &args.node]), &[]).await?;
            context.out.one(&reply.body, |clock| describe(&reply.says, clock))?;
            return Ok(Exit::Ok);
        }
        NodeCommand::Drain(args) => (args.node, "drain"),
        NodeCommand::Undrain(args) => (args.node, "undrain"),
        NodeCommand::Set(args) => return set::run(args, context).await,
    };
    let path = path(["nodes", &node, verb]);
    let reply = context.send::<NodeView>(Method::POST, &path, &[], None).await?;
    context.out.one(&reply.body, |_clock| match verb {
        "drain" => format!("{node}: gives its tasks away; what runs there goes on to its end"),
        _ => format!("{node}: may own tasks again"),
    })?;
    Ok(Exit::Ok)
}

async fn list(context: &mut CliContext) -> CommandResult {
    context.tolerate_stale();
    let list = fetch::all(context, &path(["nodes"]), &[]).await?;
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
