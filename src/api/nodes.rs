//! The members of the cluster, as what gives and takes work.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::domain::assign::WEIGHT_MAX;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::NodeId;
use crate::domain::machine::command::{NodeIntent, NodePatch};
use crate::domain::machine::record::{Intent, Node};
use crate::domain::machine::{Command, Refusal};
use crate::domain::spec::check_label;

use super::extract::{Read, Reply, Segment, Write};
use super::fields::{Fields, escape};
use super::reply::{ok, reply};
use crate::api::lists::page;
use crate::dto::MemberView;
use crate::ops::OpError;
use crate::ops::context::{Context, View, aside};
use crate::ops::views::{self, NodesSeen};

/// Most executions at once.
const SLOTS_MAX: u64 = 1_000_000;
/// Labels of one node.
const LABELS_MAX: usize = 64;

/// A node by its configured id or its name.
///
/// # Errors
/// `node_not_found`.
pub(super) fn find<'a>(view: &'a View, id: &str) -> Result<&'a Arc<Node>, OpError> {
    let number = id.parse::<u64>().ok();
    let nodes = || view.state.nodes();
    let named = nodes().find(|node| node.info.name == id);
    // Of several joins under one id the last one counts.
    let found = named.or_else(|| {
        nodes().filter(|node| Some(node.id.configured()) == number).max_by_key(|node| node.id)
    });
    found.ok_or_else(|| Refusal::NodeNotFound.into())
}

/// What is known of the nodes beyond their records; counting what they own takes time.
pub(super) async fn nodes_seen(context: &Context, view: &View) -> Result<NodesSeen, OpError> {
    let running = context.running()?;
    let status = running.consensus.status();
    let heard = running.engine.heard();
    let counted = view.clone();
    let (owned, tasks) = aside(move || owned(&counted)).await?;
    let (leader, voters, term) = (status.leader, status.voters, status.term);
    let configured = view.state.nodes().map(|node| node.id.configured());
    let skews = configured.filter_map(|id| Some((id, running.consensus.skew_of(id)?))).collect();
    Ok(NodesSeen { leader, voters, term, heard, skews, owned, tasks })
}

/// How many tasks each node owns, and how many there are.
fn owned(view: &View) -> (BTreeMap<NodeId, u64>, u64) {
    let (mut owned, mut tasks) = (BTreeMap::new(), 0);
    for task in view.state.tasks().filter(|task| task.live.deleted.is_none()) {
        tasks += 1;
        if let Some(owner) = task.spec().and_then(|spec| view.members.owner(spec)) {
            *owned.entry(owner).or_default() += 1;
        }
    }
    (owned, tasks)
}

/// `GET /nodes`.
pub(super) async fn list(read: Read) -> Reply {
    let page = page(&read.params)?;
    let after = match page.after() {
        None => 0,
        Some(id) => id.parse().map_err(|_error| OpError::cursor())?,
    };
    let view = read.view().await?;
    let seen = nodes_seen(&read.context, &view).await?;
    let nodes = view.state.nodes().filter(|node| node.id.0 > after);
    let key = |node: &&Arc<Node>| node.id.to_string();
    Ok(ok(&view, page.list(nodes, key, |node| views::node(&view, &seen, node))))
}

/// `GET /nodes/{id}`.
pub(super) async fn get(Segment(id): Segment, read: Read) -> Reply {
    let view = read.view().await?;
    show(&read.context, view, &id).await
}

async fn show(context: &Context, view: View, id: &str) -> Reply {
    find(&view, id)?;
    let seen = nodes_seen(context, &view).await?;
    let body = views::node(&view, &seen, find(&view, id)?);
    Ok(reply(&view, StatusCode::OK, body))
}

/// `PATCH /nodes/{id}`: weight, slots, labels.
pub(super) async fn patch(Segment(id): Segment, write: Write) -> Reply {
    let body = write.body()?;
    let patched =
        write.caller.answer(|view| Ok(Some(Command::NodePatch(read_patch(body, find(view, &id)?)?))));
    patched.await?;
    show(&write.caller.context, write.caller.context.here()?, &id).await
}

fn read_patch(body: &Value, node: &Node) -> Result<NodePatch, OpError> {
    let fields = Fields::of(Some(body), &["weight", "slots", "labels"])?;
    let number = |key, max| {
        let number = fields.number(key, 0..=max);
        number.and_then(|number| u32::try_from(number).ok())
    };
    let (weight, slots) = (number("weight", u64::from(WEIGHT_MAX)), number("slots", SLOTS_MAX));
    let changes = fields.object("labels");
    let labels = changes.map(|changes| labels(&fields, &node.info.labels, changes));
    fields.done()?;
    Ok(NodePatch { node: node.id, weight, slots, labels })
}

/// Labels after a merge patch.
fn labels(
    fields: &Fields<'_>,
    own: &BTreeMap<String, String>,
    changes: &Map<String, Value>,
) -> BTreeMap<String, String> {
    let mut labels = own.clone();
    for (key, value) in changes {
        let pointer = format!("/labels/{}", escape(key));
        match value {
            Value::Null => drop(labels.remove(key)),
            Value::String(value) => match check_label(key, value) {
                Ok(()) => drop(labels.insert(key.clone(), value.clone())),
                Err(rule) => fields.refuse(&pointer, ErrorCode::InvalidLabel, rule),
            },
            _ => {
                fields.refuse(&pointer, ErrorCode::WrongType, "must be text, or null to remove it")
            }
        }
    }
    if labels.len() > LABELS_MAX {
        let message = format!("must have at most {LABELS_MAX} entries");
        fields.refuse("/labels", ErrorCode::TooLarge, message);
    }
    labels
}

/// `POST /nodes/{id}/drain`: it gives its tasks away until told otherwise.
pub(super) async fn drain(Segment(id): Segment, write: Write) -> Reply {
    intend(&id, &write, Intent::Draining).await
}

/// `POST /nodes/{id}/undrain`: it takes tasks again.
pub(super) async fn undrain(Segment(id): Segment, write: Write) -> Reply {
    intend(&id, &write, Intent::None).await
}

async fn intend(id: &str, write: &Write, intent: Intent) -> Reply {
    write.no_fields()?;
    let meant = write.caller.answer(|view| {
        let node = find(view, id)?;
        if matches!(node.intent, Intent::Leaving | Intent::Removing) {
            let why = "the node is on its way out, and its intent is its own; wait until it has left or is back";
            return Err(OpError::new(ErrorCode::NodeLeaving, why));
        }
        Ok(Some(Command::NodeIntent(NodeIntent { node: node.id, intent })))
    });
    meant.await?;
    show(&write.caller.context, write.caller.context.here()?, id).await
}

/// The nodes, one line each.
pub(super) fn members(view: &View, seen: &NodesSeen) -> Vec<MemberView> {
    view.state.nodes().map(|node| views::member(view, seen, node)).collect()
}
