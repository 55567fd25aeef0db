//! The leader's checks of a requested change of the members.

use std::collections::BTreeSet;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::Instant;

use crate::domain::ids::NodeId;
use crate::domain::machine::command::{NodeIntent, NodeJoin, OfNode};
use crate::domain::machine::record::{Intent, JoiningNode};
use crate::domain::machine::{Command, State};
use crate::transport::{PeerIdentity, Purpose};

use super::super::core::RaftCore;
use super::super::lead;
use super::super::limits::SUCCESSOR_SILENCE;
use super::super::network::config_id;
use super::steps::{MustStay, may_decide};
use super::{ChangeAllowed, MemberChange, MemberError};

type Checked = Result<ChangeAllowed, MemberError>;

/// Whether a change is allowed, and how it begins. Only a leader knows.
pub(super) async fn check(core: &RaftCore, change: &MemberChange) -> Checked {
    if *core.leader.borrow() != Some(core.id) || core.replica.read().cluster().id == 0 {
        // Without an id the first command of the cluster is not applied yet.
        return Err(MemberError::NoLeader);
    }
    let member = change.member();
    if let Some(what) = other_change(&core.replica.read(), member) {
        return Err(MemberError::Changing(what));
    }
    match change {
        MemberChange::Remove(_) => may_leave_soon(core, member).await,
        MemberChange::Replace(_) if config_id(core.id) == member => {
            Err(MemberError::NotEmpty(member))
        }
        MemberChange::Replace(_) => {
            let listed = core.members.borrow().get(member).cloned();
            let listed = listed.ok_or(MemberError::NotListed(member))?;
            let allowed = may_join(core, member, listed.peer, listed.http).await?;
            let voters = core.members.borrow().voters();
            // Its change has ended but for its registration: it has its data again.
            let done = allowed.command.is_none() && voters.contains(&allowed.node.0);
            if done { Err(MemberError::NotEmpty(member)) } else { Ok(allowed) }
        }
        MemberChange::Add { peer, http, .. } => {
            let joins = core.replica.read().joining().is_some_and(|node| is(member, node));
            let listed = core.members.borrow().get(member).cloned();
            if let Some(listed) = listed.filter(|_| !joins) {
                // The same request again, after it was carried out.
                let done = listed.votes && listed.peer == *peer;
                let node = NodeId(listed.node);
                let same = done.then_some(ChangeAllowed { node, command: None });
                return same.ok_or(MemberError::Exists(member));
            }
            may_join(core, member, peer.clone(), http.clone()).await
        }
    }
}

fn is(member: u16, joining: &JoiningNode) -> bool {
    config_id(joining.node.0) == member
}

/// The change of another member that is under way.
fn other_change(state: &State, member: u16) -> Option<String> {
    let joining = state.joining().filter(|joining| !is(member, joining));
    let added = joining.map(|joining| (config_id(joining.node.0), "added"));
    let removing = |node: &NodeId| config_id(node.0) != member;
    let mut removed =
        state.nodes().filter(|node| node.intent == Intent::Removing).map(|node| node.id);
    let removed = removed.find(removing).map(|node| (config_id(node.0), "removed"));
    added.or(removed).map(|(other, what)| format!("member {other} is being {what}"))
}

/// Whether the node at this address can join: it answers, is empty, and knows every command.
async fn may_join(core: &RaftCore, member: u16, peer: String, http: String) -> Checked {
    let there = identity(core, member, &peer).await?;
    let state = core.replica.read();
    let joining = state.joining().filter(|joining| is(member, joining));
    let node = match joining {
        // It goes on, unless the node has lost its data again.
        Some(joining) if there.node == joining.node => joining.node,
        _ if !there.empty => return Err(MemberError::NotEmpty(member)),
        _ => next_id(core, &state, member),
    };
    if there.level < state.level() {
        return Err(MemberError::TooOld(member));
    }
    let join = NodeJoin { node, peer, http };
    let same = |known: &JoiningNode| {
        known.node == node && known.peer == join.peer && known.http == join.http
    };
    let command = (!joining.is_some_and(same)).then(|| Command::NodeJoin(Box::new(join.clone())));
    Ok(ChangeAllowed { node, command })
}

/// A Raft id of this member that was never used.
fn next_id(core: &RaftCore, state: &State, member: u16) -> NodeId {
    let logged = core.raft.metrics().borrow_watched().membership_config.clone();
    let used = logged.nodes().map(|(id, _)| NodeId(*id)).chain(state.nodes().map(|node| node.id));
    let used = used.chain(state.joining().map(|joining| joining.node));
    let used = used.filter(|node| config_id(node.0) == member).map(NodeId::join);
    let last = used.max().unwrap_or(0).max(state.last_gone(u64::from(member)));
    NodeId((u64::from(member) << 16) | (last + 1))
}

/// Who answers at this address.
async fn identity(core: &RaftCore, member: u16, peer: &str) -> Result<PeerIdentity, MemberError> {
    let dialer = core.peers.dialer(member, None, peer);
    let connected = dialer.connect(Purpose::Forward).await;
    let connected =
        connected.map_err(|error| MemberError::Unreachable(member, error.to_string()))?;
    Ok(connected.hello.identity)
}

/// [`may_leave`], after others had the time to answer: a leader that was just elected has heard
/// nobody.
async fn may_leave_soon(core: &RaftCore, member: u16) -> Checked {
    let deadline = Instant::now() + SUCCESSOR_SILENCE;
    loop {
        match may_leave(core, member) {
            Err(MemberError::QuorumAtRisk(..)) if Instant::now() < deadline => {
                tokio::time::sleep(super::ASK_PAUSE).await;
            }
            checked => return checked,
        }
    }
}

/// Whether a member can be removed: others decide without it.
fn may_leave(core: &RaftCore, member: u16) -> Checked {
    let state = core.replica.read();
    let logged = core.raft.metrics().borrow_watched().membership_config.clone();
    let of_member = |node: &NodeId| config_id(node.0) == member;
    let members = logged.nodes().map(|(id, _)| NodeId(*id)).filter(of_member).max();
    let joining = state.joining().map(|joining| joining.node).filter(of_member);
    let recorded = state.nodes().map(|node| node.id).filter(of_member).max();
    // The same request again, after it was carried out.
    let last_gone = Some(state.last_gone(u64::from(member))).filter(|join| *join > 0);
    let last_gone = last_gone.map(|join| NodeId((u64::from(member) << 16) | join));
    let node = members.max(joining).max(recorded).or(last_gone);
    let node = node.ok_or(MemberError::NotListed(member))?;
    let record = state.node(node);
    if state.is_gone(node) || record.is_some_and(|record| record.intent == Intent::Removing) {
        return Ok(ChangeAllowed { node, command: None });
    }
    let mut after: BTreeSet<u64> =
        logged.voter_ids().filter(|id| !state.is_gone(NodeId(*id))).collect();
    if after.remove(&node.0) {
        may_decide(&after, &lead::answering(core)).map_err(|rule| match rule {
            MustStay::Last => MemberError::LastVoter(member),
            MustStay::Majority(answer, needed) => MemberError::QuorumAtRisk(
                member,
                format!(
                    "of the {} other voters {answer} answer, and a majority of {needed} is needed",
                    after.len()
                ),
            ),
        })?;
    }
    let command = match record {
        Some(_) => Command::NodeIntent(NodeIntent { node, intent: Intent::Removing }),
        None if joining == Some(node) => Command::NodeRemove(OfNode { node }),
        None => return Err(MemberError::NotRegistered(member)),
    };
    Ok(ChangeAllowed { node, command: Some(command) })
}
