//! The nodes of the cluster, as what gives and takes work.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::{Context, StateView};
use super::lists::PageRequest;
use super::views::{self, NodesSeen};
use super::{Caller, OpAnswer, OpError, kept};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::NodeId;
use crate::domain::machine::command::{NodeIntent, NodePatch};
use crate::domain::machine::record::{Intent, NodeRecord, Status};
use crate::domain::machine::{Command, Refusal};
use crate::dto::{LabelChanges, ListView, MemberView, NodePatchRequest, NodeView};

/// Labels that are set for one node.
const LABELS_MAX: usize = 64;

/// A node by its configured id or its name.
///
/// # Errors
/// `node_not_found`.
pub(crate) fn find<'a>(view: &'a StateView, id: &str) -> Result<&'a Arc<NodeRecord>, OpError> {
    let number = id.parse::<u64>().ok();
    // Of several joins under one id or name the last one counts.
    let last = |fits: &dyn Fn(&NodeRecord) -> bool| {
        view.state.nodes().filter(|node| fits(node)).max_by_key(|node| node.id)
    };
    let named = last(&|node| node.info.name == id);
    let found = named.or_else(|| last(&|node| Some(node.id.configured()) == number));
    found.ok_or_else(|| Refusal::NodeNotFound.into())
}

/// What is known of the nodes beyond their records; counting what they own may take time.
pub(crate) async fn nodes_seen(context: &Context, view: &StateView) -> Result<NodesSeen, OpError> {
    let parts = context.running()?;
    let status = parts.consensus.status();
    let heard = parts.engine.heard().await;
    let (owned, tasks) = kept::owned(context, view).await?;
    let (leader, voters, term) = (status.leader, status.voters, status.term);
    let configured = view.state.nodes().map(|node| node.id.configured());
    let skews = configured.filter_map(|id| Some((id, parts.consensus.skew_of(id)?))).collect();
    let running = running_on(view);
    Ok(NodesSeen { leader, voters, term, heard, skews, owned, tasks, running })
}

/// How many executions run on each node.
fn running_on(view: &StateView) -> BTreeMap<NodeId, u64> {
    let mut running = BTreeMap::new();
    let live = view.state.busy_tasks().flat_map(|task| task.live_executions());
    for execution in live.filter(|execution| execution.status == Status::Running) {
        if let Some(attempt) = &execution.attempt {
            *running.entry(attempt.node).or_default() += 1;
        }
    }
    running
}

/// Nodes from a place on.
///
/// # Errors
/// `no_leader`; `invalid_parameter`.
pub(crate) async fn list(
    context: &Context,
    view: &StateView,
    page: &PageRequest,
) -> Result<ListView<NodeView>, OpError> {
    let seen = nodes_seen(context, view).await?;
    let after = match page.after() {
        None => 0,
        Some(id) => id.parse().map_err(|_error| OpError::cursor())?,
    };
    let nodes = view.state.nodes().filter(|node| node.id.0 > after);
    let key = |node: &&Arc<NodeRecord>| node.id.to_string();
    Ok(page.list(nodes, key, |node| views::node(view, &seen, node)))
}

/// A node.
///
/// # Errors
/// `node_not_found`.
pub(crate) async fn show(
    context: &Context,
    view: StateView,
    id: &str,
) -> Result<OpAnswer<NodeView>, OpError> {
    find(&view, id)?;
    let seen = nodes_seen(context, &view).await?;
    let body = views::node(&view, &seen, find(&view, id)?);
    Ok(OpAnswer::of(view, body))
}

/// Changes what is set for a node: weight, slots and labels.
///
/// # Errors
/// `node_not_found`, `too_large`, `all_weights_0`.
pub(crate) async fn patch(
    caller: &Caller,
    id: &str,
    changes: &NodePatchRequest,
) -> Result<OpAnswer<NodeView>, OpError> {
    let patched = caller.answer(|view| {
        let node = find(view, id)?;
        let labels = changes.labels.as_ref().map(|changes| labels(node, changes.as_ref()));
        let (weight, slots, labels) = (changes.weight, changes.slots, labels.transpose()?);
        Ok(Some(Command::NodePatch(NodePatch { node: node.id, weight, slots, labels })))
    });
    patched.await?;
    show(&caller.context, caller.context.here()?, id).await
}

/// The labels that are set for a node after a change; without one: none.
fn labels(
    node: &NodeRecord,
    changes: Option<&LabelChanges>,
) -> Result<BTreeMap<String, String>, OpError> {
    let Some(changes) = changes else { return Ok(BTreeMap::new()) };
    let mut labels = node.overrides.labels.clone();
    for (key, value) in changes {
        match value {
            None => drop(labels.remove(key)),
            Some(value) => drop(labels.insert(key.clone(), value.clone())),
        }
    }
    if labels.len() > LABELS_MAX {
        let message = format!("must have at most {LABELS_MAX} entries");
        return Err(OpError::field("/labels", ErrorCode::TooLarge, message));
    }
    Ok(labels)
}

/// Makes a node give its tasks away, or take tasks again.
///
/// # Errors
/// `node_not_found`, `node_leaving`.
pub(crate) async fn drain(
    caller: &Caller,
    id: &str,
    drains: bool,
) -> Result<OpAnswer<NodeView>, OpError> {
    let intent = if drains { Intent::Draining } else { Intent::None };
    let meant = caller.answer(|view| {
        let node = find(view, id)?;
        Ok(Some(Command::NodeIntent(NodeIntent { node: node.id, intent })))
    });
    meant.await?;
    show(&caller.context, caller.context.here()?, id).await
}

/// The nodes, one line each.
pub(crate) fn members(view: &StateView, seen: &NodesSeen) -> Vec<MemberView> {
    view.state.nodes().map(|node| views::member(view, seen, node)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::assign::Members;
    use crate::domain::ids::NodeId;
    use crate::domain::machine::command::{Genesis, NodeUp};
    use crate::domain::machine::envelope::{self, EntryHead};
    use crate::domain::machine::{Applied, State, node_info};
    use crate::domain::time::Timestamp;

    fn apply(state: &mut State, command: &Command) {
        let mut packed = Vec::new();
        envelope::pack(&mut packed, command, "", None);
        let index = state.cluster().applied + 1;
        let entry =
            envelope::entry(EntryHead { stamp: Timestamp(1), origin: 1, seq: index }, &packed);
        let mut applied = Applied::default();
        state.apply(index, &entry, &mut applied).unwrap();
        assert!(applied.responses[0].is_ok(), "{:?}", applied.responses);
    }

    fn join(state: &mut State, node: NodeId) {
        let info = node_info(node.configured());
        apply(state, &Command::NodeUp(Box::new(NodeUp { node, boot: u128::from(node.0), info })));
    }

    fn view(state: &State, own: NodeId) -> StateView {
        StateView { state: state.clone(), members: Members::of(state), now: Timestamp(1), own }
    }

    /// The roles of the nodes, in their order, with these voters, the first of which leads.
    fn roles(state: &State, voters: &[NodeId]) -> Vec<String> {
        let seen = NodesSeen {
            leader: voters.first().map(|node| node.0),
            voters: voters.iter().map(|node| node.0).collect(),
            term: 1,
            heard: BTreeMap::new(),
            skews: BTreeMap::new(),
            owned: BTreeMap::new(),
            tasks: 0,
            running: BTreeMap::new(),
        };
        let shown = members(&view(state, voters[0]), &seen).into_iter();
        shown.map(|member| format!("{} {}", member.name, &*member.role)).collect()
    }

    #[test]
    fn the_roles_that_are_shown_follow_the_membership() {
        let mut state = State::default();
        let genesis = Genesis {
            id: 1,
            name: "test".to_owned(),
            timezone: "UTC".to_owned(),
            scheduler: true,
            callback_key: 7,
        };
        apply(&mut state, &Command::Genesis(genesis));
        let [one, two, three, anew] =
            [(1, 1), (2, 1), (3, 1), (3, 2)].map(|(id, join)| NodeId::new(id, join));
        for node in [one, two, three] {
            join(&mut state, node);
        }
        let shown = roles(&state, &[one, two, three]);
        assert_eq!(shown, ["n1 leader", "n2 follower", "n3 follower"]);
        // The third lost its data and comes back: first without a vote, then in its own place.
        join(&mut state, anew);
        assert_eq!(roles(&state, &[one, two, three])[3], "n3 learner");
        let shown = roles(&state, &[two, one, anew]);
        assert_eq!(shown, ["n1 follower", "n2 leader", "n3 learner", "n3 follower"]);
        // Until its former record is gone there are two of one name. The new node is meant.
        for called in ["n3", "3"] {
            assert_eq!(find(&view(&state, one), called).unwrap().id, anew, "{called}");
        }
    }
}
