//! Readmits a member that lost its data, under a new Raft id. The promises of the old id were lost
//! with its log, so the old id must never vote again.
//!
//! The leader assigns the new id to the empty node, adds it as a learner until it has caught up,
//! and replaces the old id by the new one in one membership change. Every step can be repeated: an
//! earlier attempt is visible in the membership. Any node accepts the request and forwards it to
//! the leader.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::Instant;

use crate::domain::ids::NodeId;
use crate::transport::{CallError, Purpose};

use super::bootstrap;
use super::core::RaftCore;
use super::limits::{REPLACE_ANSWER, REPLACE_LIMIT};
use super::network::{config_id, kind};
use super::types::RaftMember;
use super::wire::{self, Malformed, WireReader};

/// Time limit for the empty node to store its identity.
const ADOPT_LIMIT: Duration = Duration::from_secs(2);

/// Why a member was not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// Only a leader can do it, and no leader answers.
    #[error("no leader answered, and only a leader can replace a member")]
    NoLeader,
    /// The membership has no such member.
    #[error("there is no member {0}")]
    NotListed(u16),
    /// The member does not answer.
    #[error("member {0} cannot be asked: {1}")]
    Unreachable(u16, String),
    /// The member has its data, or is this node.
    #[error("member {0} has its data and needs no replacement; only an empty one is readmitted")]
    NotEmpty(u16),
    /// A step took too long, or the leader changed.
    #[error("member {0} was not readmitted: {1}; the same request goes on with it")]
    Unfinished(u16, String),
}

/// Time for which a node without a leader waits for one.
const LEADER_LIMIT: Duration = Duration::from_secs(2);
/// Pause after a node answered that it does not lead.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// Makes the leader readmit a member whose data folder is empty. Returns its new id.
pub(super) async fn replace(core: &RaftCore, member: u16) -> Result<NodeId, ReplaceError> {
    let deadline = Instant::now() + LEADER_LIMIT;
    let mut leader = core.leader.clone();
    loop {
        let now = *leader.borrow_and_update();
        let replaced = match now {
            None => Err(ReplaceError::NoLeader),
            Some(now) if now == core.id => replace_here(core, member).await,
            Some(now) => ask_to_replace(core, now, member).await,
        };
        match replaced {
            Err(ReplaceError::NoLeader) if Instant::now() < deadline => {}
            replaced => return replaced,
        }
        let _changed = tokio::time::timeout(ASK_PAUSE, leader.changed()).await;
    }
}

async fn ask_to_replace(core: &RaftCore, leader: u64, member: u16) -> Result<NodeId, ReplaceError> {
    let peer = core.peers.node(leader).ok_or(ReplaceError::NoLeader)?;
    let body = Bytes::copy_from_slice(&member.to_le_bytes());
    match peer.ask_alone(kind::REPLACE, body, REPLACE_ANSWER).await {
        Ok(answer) => read_answer(answer, member).unwrap_or_else(|error| {
            Err(ReplaceError::Unfinished(member, format!("the leader's answer: {error}")))
        }),
        Err(CallError::NotSent(_) | CallError::Refused { .. }) => Err(ReplaceError::NoLeader),
        Err(CallError::Unknown(why)) => {
            Err(ReplaceError::Unfinished(member, format!("the leader did not answer: {why}")))
        }
    }
}

/// Handles a peer's request to readmit a member.
pub(super) async fn replace_for(core: &RaftCore, body: Bytes) -> Result<Bytes, Malformed> {
    let member: [u8; 2] = (*body).try_into().map_err(|_length| Malformed("member"))?;
    Ok(answer_bytes(&replace_here(core, u16::from_le_bytes(member)).await))
}

fn answer_bytes(replaced: &Result<NodeId, ReplaceError>) -> Bytes {
    let mut out = BytesMut::new();
    match replaced {
        Ok(node) => {
            out.put_u8(0);
            out.put_u64_le(node.0);
        }
        Err(ReplaceError::NoLeader) => out.put_u8(1),
        Err(ReplaceError::NotListed(_)) => out.put_u8(2),
        Err(ReplaceError::NotEmpty(_)) => out.put_u8(3),
        Err(ReplaceError::Unreachable(_, why)) => {
            out.put_u8(4);
            wire::put_text(&mut out, why);
        }
        Err(ReplaceError::Unfinished(_, why)) => {
            out.put_u8(5);
            wire::put_text(&mut out, why);
        }
    }
    out.freeze()
}

fn read_answer(answer: Bytes, member: u16) -> Result<Result<NodeId, ReplaceError>, Malformed> {
    let mut reader = WireReader(answer);
    let replaced = match reader.u8()? {
        0 => Ok(NodeId(reader.u64()?)),
        1 => Err(ReplaceError::NoLeader),
        2 => Err(ReplaceError::NotListed(member)),
        3 => Err(ReplaceError::NotEmpty(member)),
        4 => Err(ReplaceError::Unreachable(member, reader.text()?)),
        5 => Err(ReplaceError::Unfinished(member, reader.text()?)),
        _ => return Err(Malformed("answer")),
    };
    reader.end()?;
    Ok(replaced)
}

/// Readmits a member, as leader.
async fn replace_here(core: &RaftCore, member: u16) -> Result<NodeId, ReplaceError> {
    if *core.leader.borrow() != Some(core.id) {
        return Err(ReplaceError::NoLeader);
    }
    let cluster_id = core.replica.read().cluster().id;
    if cluster_id == 0 {
        // The first command of the cluster is not applied yet.
        return Err(ReplaceError::NoLeader);
    }
    if config_id(core.id) == member {
        return Err(ReplaceError::NotEmpty(member));
    }
    let known = core.raft.metrics().borrow_watched().membership_config.clone();
    let of_member: Vec<(u64, RaftMember)> = known
        .nodes()
        .filter(|(id, _)| config_id(**id) == member)
        .map(|(id, node)| (*id, node.clone()))
        .collect();
    let Some((last, address)) = of_member.last().cloned() else {
        return Err(ReplaceError::NotListed(member));
    };
    let voters: BTreeSet<u64> = known.voter_ids().collect();
    // An earlier attempt left a learner. It is not reused if it has lost its data again.
    let began = !voters.contains(&last) && is(core, member, last, &address).await?;
    let new = if began { last } else { last + 1 };
    if !began && !adopt(core, cluster_id, member, new, &address).await? {
        return Err(ReplaceError::NotEmpty(member));
    }
    let unfinished = |why: String| ReplaceError::Unfinished(member, why);
    let steps = change(core, new, &address, voters, of_member.iter().map(|(id, _)| *id).collect());
    match tokio::time::timeout(REPLACE_LIMIT, steps).await {
        Ok(Ok(())) => {
            tracing::info!("n{member} is readmitted with an empty data folder; it has all data");
            Ok(NodeId(new))
        }
        Ok(Err(why)) => Err(unfinished(why)),
        Err(_late) => Err(unfinished(format!("not within {} s", REPLACE_LIMIT.as_secs()))),
    }
}

/// Whether the member has this id.
async fn is(
    core: &RaftCore,
    member: u16,
    id: u64,
    address: &RaftMember,
) -> Result<bool, ReplaceError> {
    let peer = core.peers.at(member, &address.peer);
    let connected = peer.dialer.connect(Purpose::Forward).await;
    let connected =
        connected.map_err(|error| ReplaceError::Unreachable(member, error.to_string()))?;
    Ok(connected.hello.identity.node == NodeId(id))
}

/// Assigns the id to the member. True: the member has it now.
async fn adopt(
    core: &RaftCore,
    cluster_id: u128,
    member: u16,
    id: u64,
    address: &RaftMember,
) -> Result<bool, ReplaceError> {
    let peer = core.peers.at(member, &address.peer);
    let body = bootstrap::adopt_bytes(cluster_id, NodeId(id));
    let answer = peer.forward.call(kind::ADOPT, body, ADOPT_LIMIT).await;
    let answer = answer.map_err(|error| ReplaceError::Unreachable(member, error.to_string()))?;
    Ok(*answer == [1])
}

/// As leader, waits until a learner has all entries that this node has now. openraft's own wait
/// returns immediately while the log is shorter than its `replication_lag_threshold`.
async fn caught_up(core: &RaftCore, learner: u64) -> Result<(), String> {
    let upto = core.log.last();
    let mut metrics = core.raft.metrics();
    loop {
        let followers = metrics.borrow_watched().replication.clone();
        let followers = followers.ok_or("this node no longer leads")?;
        if followers.get(&learner).copied().flatten() >= upto {
            return Ok(());
        }
        metrics.changed().await.map_err(|_stopped| "this node stops".to_owned())?;
    }
}

async fn change(
    core: &RaftCore,
    new: u64,
    address: &RaftMember,
    mut voters: BTreeSet<u64>,
    former: BTreeSet<u64>,
) -> Result<(), String> {
    let learner = core.raft.add_learner(new, address.clone(), true).await;
    learner.map_err(|error| error.to_string())?;
    caught_up(core, new).await?;
    voters.retain(|id| !former.contains(id));
    voters.insert(new);
    let placed = core.raft.change_membership(voters, false).await;
    placed.map_err(|error| error.to_string())?;
    let known = core.raft.metrics().borrow_watched().membership_config.clone();
    let left: BTreeSet<u64> =
        known.nodes().map(|(id, _)| *id).filter(|id| *id != new && former.contains(id)).collect();
    if !left.is_empty() {
        let removed = core.raft.change_membership(ChangeMembers::RemoveNodes(left), false).await;
        removed.map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_back() {
        let why = || "because".to_owned();
        for replaced in [
            Ok(NodeId::new(3, 2)),
            Err(ReplaceError::NoLeader),
            Err(ReplaceError::NotListed(3)),
            Err(ReplaceError::NotEmpty(3)),
            Err(ReplaceError::Unreachable(3, why())),
            Err(ReplaceError::Unfinished(3, why())),
        ] {
            assert_eq!(read_answer(answer_bytes(&replaced), 3), Ok(replaced));
        }
    }
}
