//! Operations that change the members of the cluster.

use std::time::Duration;

use super::cluster::member;
use super::{Caller, OpAnswer, OpError};
use crate::consensus::{MemberChange, MemberError};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::NodeId;
use crate::dto::{MemberJoined, MemberRemoved};

/// Time for a node with a vote to register.
const REGISTRATION_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks at the state.
const LOOK: Duration = Duration::from_millis(20);

/// Adds a node that waits with an empty data folder. `peer` and `http` are its addresses.
///
/// # Errors
/// `member_exists`, `member_not_empty`, `members_changing`, `needs_upgrade`, `node_unreachable`,
/// `outcome_unknown`, `no_leader`.
pub(crate) async fn add(
    caller: &Caller,
    member: u16,
    peer: String,
    http: String,
) -> Result<OpAnswer<MemberJoined>, OpError> {
    joined(caller, &MemberChange::Add { member, peer, http }).await
}

/// Readmits a member that lost its data. `id` is its configured id or its node name.
///
/// # Errors
/// `member_not_found`; those of [`add`].
pub(crate) async fn replace(caller: &Caller, id: &str) -> Result<OpAnswer<MemberJoined>, OpError> {
    let member = member(&caller.context.here()?, id)?;
    joined(caller, &MemberChange::Replace(member)).await
}

/// Removes a member: its tasks go to other nodes, its executions end, and its vote is gone. `id` is
/// its configured id or its node name.
///
/// # Errors
/// `member_not_found`, `last_voter`, `quorum_at_risk`, `members_changing`, `node_not_found`,
/// `outcome_unknown`, `no_leader`.
pub(crate) async fn remove(caller: &Caller, id: &str) -> Result<OpAnswer<MemberRemoved>, OpError> {
    let member = member(&caller.context.here()?, id)?;
    let node = change(caller, &MemberChange::Remove(member)).await?;
    let body = MemberRemoved { member, node: node.to_string() };
    Ok(OpAnswer::of(caller.context.here()?, body))
}

async fn joined(caller: &Caller, change: &MemberChange) -> Result<OpAnswer<MemberJoined>, OpError> {
    let node = self::change(caller, change).await?;
    let body = MemberJoined { member: change.member(), node: node.to_string(), join: node.join() };
    Ok(OpAnswer::of(caller.context.here()?, body))
}

/// Begins a change, or finds that it is under way, and waits for its end.
async fn change(caller: &Caller, change: &MemberChange) -> Result<NodeId, OpError> {
    let consensus = &caller.context.running()?.consensus;
    let refused = |error| refusal(caller, &error);
    let allowed = consensus.may_change(change).await.map_err(refused)?;
    if let Some(command) = &allowed.command {
        caller.submit(command).await?;
    }
    consensus.members_changed(change, allowed.node).await.map_err(refused)?;
    let registered = tokio::time::timeout(REGISTRATION_LIMIT, registered(caller, allowed.node));
    registered.await.unwrap_or_else(|_late| {
        let why = "it has a vote and has not registered yet".to_owned();
        Err(refusal(caller, &MemberError::Unfinished(change.member(), why)))
    })?;
    Ok(allowed.node)
}

/// Waits until the state says that no change of this node is under way: a node that joined is
/// registered, so that the next change can begin.
async fn registered(caller: &Caller, node: NodeId) -> Result<(), OpError> {
    let consensus = &caller.context.running()?.consensus;
    while consensus.replica().read().joining().is_some_and(|joining| joining.node == node) {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn refusal(caller: &Caller, error: &MemberError) -> OpError {
    let code = match error {
        MemberError::NoLeader => return caller.context.unled(&error.to_string()),
        MemberError::NotListed(_) => ErrorCode::MemberNotFound,
        MemberError::Exists(_) => ErrorCode::MemberExists,
        MemberError::Unreachable(..) => ErrorCode::NodeUnreachable,
        MemberError::NotEmpty(_) => ErrorCode::MemberNotEmpty,
        MemberError::TooOld(_) => ErrorCode::NeedsUpgrade,
        MemberError::Changing(_) => ErrorCode::MembersChanging,
        MemberError::LastVoter(_) => ErrorCode::LastVoter,
        MemberError::QuorumAtRisk(..) => ErrorCode::QuorumAtRisk,
        MemberError::NotRegistered(_) => ErrorCode::NodeNotFound,
        MemberError::Unfinished(..) => ErrorCode::OutcomeUnknown,
    };
    OpError::new(code, error.to_string())
}
