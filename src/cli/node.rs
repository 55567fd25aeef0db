//! Commands about nodes.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::context::Context;
use super::exit::{Exit, Outcome};
use super::fetch::{self, NODE, word};
use super::local::LocalClock;
use super::table::{Table, fields};
use super::words;
use crate::client::path;

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes of the cluster
    #[command(visible_alias = "ls")]
    List,
    /// Show a node
    Show(NodeArgs),
    /// Make a node give its tasks to the others
    Drain(NodeArgs),
    /// Let a drained node take tasks again
    Undrain(NodeArgs),
}

/// A node and nothing else.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Its name or id
    node: String,
}

/// Carries out a command.
pub async fn run(command: NodeCommand, context: &mut Context) -> Outcome {
    let (node, verb) = match command {
        NodeCommand::List => return list(context).await,
        NodeCommand::Show(args) => {
            let reply = context.read(&path(["nodes", &args.node]), &[], &NODE).await?;
            context.out.one(&reply.body, |clock| describe(&reply.body, clock))?;
            return Ok(Exit::Ok);
        }
        NodeCommand::Drain(args) => (args.node, "drain"),
        NodeCommand::Undrain(args) => (args.node, "undrain"),
    };
    let path = path(["nodes", &node, verb]);
    let reply = context.send(Method::POST, &path, &[], None, &NODE).await?;
    context.out.one(&reply.body, |_clock| match verb {
        "drain" => format!("{node}: gives its tasks away; what runs there goes on to its end"),
        _ => format!("{node}: may own tasks again"),
    })?;
    Ok(Exit::Ok)
}

async fn list(context: &mut Context) -> Outcome {
    context.tolerate_stale();
    let (whole, nodes) = fetch::all(context, &path(["nodes"]), &[], &NODE).await?;
    context.out.many(&whole, &nodes, |clock| table(&nodes, clock))?;
    Ok(Exit::Ok)
}

/// The nodes for people.
#[must_use]
pub fn table(nodes: &[Value], clock: &LocalClock) -> Table {
    let mut table = Table::new(&[
        "NAME", "ROLE", "STATE", "CLOCK", "TASKS", "HTTP", "PEER", "VERSION", "STARTED",
    ]);
    for node in nodes {
        table.row([
            word(node, "name"),
            word(node, "role"),
            state(node),
            skew(node),
            word(node, "tasks_owned"),
            word(node, "http"),
            word(node, "peer"),
            word(node, "version"),
            words::past(node, "started_at", clock),
        ]);
    }
    table
}

/// `working`, `working, draining`
fn state(node: &Value) -> String {
    let (state, intent) = (word(node, "state"), word(node, "intent"));
    if intent.is_empty() || intent == "none" { state } else { format!("{state}, {intent}") }
}

/// How far its wall clock is ahead of cluster time: `+3 ms`, `-86400 s`; nothing if unknown.
fn skew(node: &Value) -> String {
    match node["clock_skew_ms"].as_i64() {
        None => String::new(),
        Some(skew) if skew.abs() < 10_000 => format!("{skew:+} ms"),
        Some(skew) => format!("{:+} s", skew / 1_000),
    }
}

/// A node for people.
#[must_use]
pub fn describe(node: &Value, clock: &LocalClock) -> String {
    fields(&[
        ("node", word(node, "name")),
        ("id", word(node, "id")),
        ("state", state(node)),
        ("role", word(node, "role")),
        ("clock", skew(node)),
        ("tasks", word(node, "tasks_owned")),
        ("http", word(node, "http")),
        ("peer", word(node, "peer")),
        ("host", word(node, "hostname")),
        ("process", word(node, "pid")),
        ("version", word(node, "version")),
        ("weight", word(node, "weight")),
        ("slots", word(node, "slots")),
        ("labels", words::labels(node, "labels")),
        ("term", word(node, "term")),
        ("applied", word(node, "applied_index")),
        ("digest", word(node, "digest")),
        ("started", words::past(node, "started_at", clock)),
        ("last seen", words::past(node, "last_seen", clock)),
    ])
}
