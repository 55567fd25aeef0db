//! A member that lost its data comes back under a new Raft id: what the old one promised is gone
//! with its log, so the old one may never vote again.
//!
//! The leader tells the empty node the id that it has from now on, has it follow until it knows
//! what the others know, and then puts it in the place of the old one, in one change of the
//! membership. Each step may be repeated: what an earlier try has done is found in the membership.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;

use crate::domain::ids::NodeId;
use crate::transport::Purpose;

use super::bootstrap;
use super::core::Core;
use super::network::{config_id, kind};
use super::types::Member;

/// The empty node writes its identity down within this.
const ADOPT_LIMIT: Duration = Duration::from_secs(2);

/// Why a member was not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// Only the leader can.
    #[error("only the leader can replace a member")]
    NotLeader,
    /// The membership has no such member.
    #[error("there is no member {0}")]
    NotListed(u16),
    /// It is not there.
    #[error("member {0} cannot be asked: {1}")]
    Unreachable(u16, String),
    /// It has its data, or is this node.
    #[error("member {0} has its data and needs no replacement; only an empty one is readmitted")]
    NotEmpty(u16),
    /// A step took too long, or leadership went elsewhere.
    #[error("member {0} was not readmitted: {1}; the same request goes on with it")]
    Unfinished(u16, String),
}

/// Readmits a member whose data folder is empty; gives its new id.
pub(super) async fn replace(
    core: &Core,
    cluster_id: u128,
    member: u16,
    limit: Duration,
) -> Result<NodeId, ReplaceError> {
    if *core.leader.borrow() != Some(core.id) {
        return Err(ReplaceError::NotLeader);
    }
    if config_id(core.id) == member {
        return Err(ReplaceError::NotEmpty(member));
    }
    let known = core.raft.metrics().borrow_watched().membership_config.clone();
    let of_member: Vec<(u64, Member)> = known
        .nodes()
        .filter(|(id, _)| config_id(**id) == member)
        .map(|(id, node)| (*id, node.clone()))
        .collect();
    let Some((last, address)) = of_member.last().cloned() else {
        return Err(ReplaceError::NotListed(member));
    };
    let voters: BTreeSet<u64> = known.voter_ids().collect();
    // A learner is what an earlier try left. If it lost its data again it is not that any more.
    let began = !voters.contains(&last) && is(core, member, last, &address).await?;
    let new = if began { last } else { last + 1 };
    if !began && !adopt(core, cluster_id, member, new, &address).await? {
        return Err(ReplaceError::NotEmpty(member));
    }
    let unfinished = |why: String| ReplaceError::Unfinished(member, why);
    let steps = change(core, new, &address, voters, of_member.iter().map(|(id, _)| *id).collect());
    match tokio::time::timeout(limit, steps).await {
        Ok(Ok(())) => {
            tracing::info!("n{member} is readmitted with an empty data folder; it has copied all");
            Ok(NodeId(new))
        }
        Ok(Err(why)) => Err(unfinished(why)),
        Err(_late) => Err(unfinished(format!("not within {} s", limit.as_secs()))),
    }
}

/// Whether the member has that id.
async fn is(core: &Core, member: u16, id: u64, address: &Member) -> Result<bool, ReplaceError> {
    let peer = core.peers.at(member, &address.peer);
    let connected = peer.dialer.connect(Purpose::Forward).await;
    let connected =
        connected.map_err(|error| ReplaceError::Unreachable(member, error.to_string()))?;
    Ok(connected.hello.identity.node == NodeId(id))
}

/// Whether the member takes the id, or has it.
async fn adopt(
    core: &Core,
    cluster_id: u128,
    member: u16,
    id: u64,
    address: &Member,
) -> Result<bool, ReplaceError> {
    let peer = core.peers.at(member, &address.peer);
    let body = bootstrap::adopt_bytes(cluster_id, NodeId(id));
    let answer = peer.forward.call(kind::ADOPT, body, ADOPT_LIMIT).await;
    let answer = answer.map_err(|error| ReplaceError::Unreachable(member, error.to_string()))?;
    Ok(*answer == [1])
}

async fn change(
    core: &Core,
    new: u64,
    address: &Member,
    mut voters: BTreeSet<u64>,
    former: BTreeSet<u64>,
) -> Result<(), String> {
    let learner = core.raft.add_learner(new, address.clone(), true).await;
    learner.map_err(|error| error.to_string())?;
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
