//! The leader: who it is, its contact with the voters, and the transfer of the lead.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::VoteRequest;
use openraft::{Instant as _, ServerState};
use tokio::time::Instant;

use super::contact::NoLeaderReason;
use super::core::RaftCore;
use super::limits::{SUCCESSOR_SILENCE, TRANSFER_ANSWER, TRANSFER_LIMIT};
use super::network::kind;
use super::types::Vote;
use super::wire::{Malformed, WireReader};
use super::{RaftRole, RaftStatus};

/// Between two looks at who leads.
const WATCH: Duration = Duration::from_millis(500);
/// Between two looks for a successor.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn status(core: &RaftCore) -> RaftStatus {
    let seen = core.raft.metrics().borrow_watched().clone();
    let index = |id: Option<super::types::LogId>| id.map_or(0, |id| id.index());
    // Once: a second look beside the first would wait for the writer that waits for the first.
    let (voters, members) = {
        let list = core.members.borrow();
        (list.voters(), list.nodes())
    };
    RaftStatus {
        term: seen.current_term,
        role: match seen.state {
            ServerState::Leader => RaftRole::Leader,
            ServerState::Learner => RaftRole::Learner,
            ServerState::Follower | ServerState::Candidate | ServerState::Shutdown => {
                RaftRole::Follower
            }
        },
        leader: seen.current_leader,
        last_log: seen.last_log_index.unwrap_or(0),
        committed: index(seen.cluster_committed),
        applied: index(seen.last_applied),
        checkpoint: index(seen.snapshot),
        purged: index(seen.purged),
        voters,
        members,
    }
}

/// Why no leader serves this node; none: one does. A single voter needs no acknowledgement.
pub(super) fn no_leader_reason(core: &RaftCore) -> Option<NoLeaderReason> {
    let seen = core.raft.metrics().borrow_watched().clone();
    let leads = seen.current_leader == Some(core.id);
    if leads && seen.membership_config.voter_ids().eq([core.id]) {
        return None;
    }
    let mut silence = core.contacts.silence();
    if let (true, Some(at)) = (leads, seen.last_quorum_acked) {
        silence = silence.min((*at).elapsed());
    }
    let led = seen.current_leader.is_some() && !core.contacts.too_long(silence);
    (!led).then(|| core.contacts.no_leader_reason(leads, silence, &core.members.borrow()))
}

/// Problems that do not stop the node.
pub(super) fn warnings(core: &RaftCore) -> Vec<String> {
    core.contacts.warnings(&core.members.borrow())
}

/// A voter that may succeed the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Voter {
    /// The last entry that it is known to have.
    matching: u64,
    /// Time since it answered a heartbeat.
    answered: Duration,
}

/// The most advanced voter of those that answer; of equals, the one that answered last. None, if no
/// such voter has all committed entries.
fn successor(voters: &BTreeMap<u64, Voter>, committed: u64) -> Option<u64> {
    let fit = voters
        .iter()
        .filter(|(_, voter)| voter.answered < SUCCESSOR_SILENCE && voter.matching >= committed);
    let best = fit.max_by_key(|(_, voter)| (voter.matching, std::cmp::Reverse(voter.answered)));
    best.map(|(id, _)| *id)
}

/// The other voters, as this node, leading, knows them; and what is committed.
fn voters(core: &RaftCore) -> (BTreeMap<u64, Voter>, u64) {
    let seen = core.raft.metrics().borrow_watched().clone();
    let (matching, heartbeat) =
        (seen.replication.unwrap_or_default(), seen.heartbeat.unwrap_or_default());
    let others = seen.membership_config.voter_ids().filter(|id| *id != core.id);
    let others = others.map(|id| {
        let matching = matching.get(&id).copied().flatten().map_or(0, |id| id.index());
        let answered = heartbeat.get(&id).copied().flatten();
        let answered = answered.map_or(Duration::MAX, |at| (*at).elapsed());
        (id, Voter { matching, answered })
    });
    (others.collect(), seen.cluster_committed.map_or(0, |id| id.index()))
}

/// Transfers the lead to the most advanced voter; true once it is transferred. After openraft has
/// been given a successor, it accepts no more writes and does not revoke this. So only a voter that
/// answers and has all committed entries becomes successor, and a single voter keeps the lead. A
/// leader that still leads at the end of the time limit resigns; it may be elected again.
pub(super) async fn leave(core: &RaftCore, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut leader = core.leader.clone();
    let mut named = false;
    while *leader.borrow_and_update() == Some(core.id) {
        let (others, committed) = voters(core);
        let rest = deadline.saturating_duration_since(Instant::now());
        if others.is_empty() || rest.is_zero() {
            break;
        }
        let pause = match successor(&others, committed) {
            Some(best) => {
                named = true;
                if core.raft.trigger().transfer_leader(best).await.is_err() {
                    return false;
                }
                WATCH
            }
            None => LOOK,
        };
        let _changed = tokio::time::timeout(rest.min(pause), leader.changed()).await;
    }
    let gone = *leader.borrow() != Some(core.id);
    if named && !gone {
        resign(core).await;
    }
    gone
}

/// Why the lead was not given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// No voter could take it.
    #[error("there is no other voter to give the lead to")]
    Alone,
    /// No voter took it.
    #[error("no other voter took the lead in time")]
    NotTaken,
    /// There is no leader, or it does not answer.
    #[error("no leader answered in time")]
    NoLeader,
}

/// Before a node that did not lead is asked again.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// Makes the current leader transfer the lead to another voter. Returns the Raft id of the next
/// leader, if this node learns it in time.
pub(super) async fn transfer(core: &RaftCore) -> Result<Option<u64>, TransferError> {
    let deadline = Instant::now() + TRANSFER_LIMIT;
    let mut leader = core.leader.clone();
    let former = loop {
        let now = *leader.borrow_and_update();
        let given = match now {
            None => Err(TransferError::NoLeader),
            Some(now) if now == core.id => give_away(core).await,
            Some(now) => ask_to_leave(core, now).await,
        };
        match given {
            Ok(()) => break now,
            Err(TransferError::NoLeader) if Instant::now() < deadline => {}
            Err(error) => return Err(error),
        }
        let _changed = tokio::time::timeout(ASK_PAUSE, leader.changed()).await;
    };
    let next = leader.wait_for(|now| now.is_some() && *now != former);
    let next = tokio::time::timeout(TRANSFER_LIMIT, next).await;
    Ok(next.ok().and_then(Result::ok).and_then(|next| *next))
}

/// As leader.
async fn give_away(core: &RaftCore) -> Result<(), TransferError> {
    if *core.leader.borrow() != Some(core.id) {
        return Err(TransferError::NoLeader);
    }
    if voters(core).0.is_empty() {
        return Err(TransferError::Alone);
    }
    leave(core, TRANSFER_LIMIT).await.then_some(()).ok_or(TransferError::NotTaken)
}

async fn ask_to_leave(core: &RaftCore, leader: u64) -> Result<(), TransferError> {
    let Some(peer) = core.peers.node(leader) else { return Err(TransferError::NoLeader) };
    let answer = peer.ask_alone(kind::LEAVE, Bytes::new(), TRANSFER_ANSWER).await;
    match answer.as_deref() {
        Ok([0]) => Ok(()),
        Ok([1]) => Err(TransferError::Alone),
        Ok([2]) => Err(TransferError::NotTaken),
        Ok(_) | Err(_) => Err(TransferError::NoLeader),
    }
}

/// Transfers the lead for a peer.
pub(super) async fn leave_for(core: &RaftCore, body: Bytes) -> Result<Bytes, Malformed> {
    WireReader(body).end()?;
    Ok(Bytes::from_static(match give_away(core).await {
        Ok(()) => &[0],
        Err(TransferError::Alone) => &[1],
        Err(TransferError::NotTaken) => &[2],
        Err(TransferError::NoLeader) => &[3],
    }))
}

/// The Raft id of no node, as a candidate of an election.
const NOBODY: u64 = 0;

/// Ends this node's lead, like a vote request of a later term. No candidate exists in that term, so
/// an election follows as after the end of any leader.
pub(super) async fn resign(core: &RaftCore) {
    let term = core.raft.metrics().borrow_watched().current_term;
    let last = core.log.last();
    let mut request = VoteRequest::new(Vote::new(term + 1, NOBODY), last);
    request.leadership_transfer = true;
    match core.raft.vote(request).await {
        Ok(_) => tracing::info!("no other member took the lead; an election follows"),
        Err(error) => tracing::warn!(%error, "the leader could not resign"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(matching: u64, answered: u64) -> Voter {
        Voter { matching, answered: Duration::from_millis(answered) }
    }

    #[test]
    fn only_a_voter_that_answers_and_has_what_is_committed_succeeds() {
        let of = |voters: &[(u64, Voter)]| successor(&voters.iter().copied().collect(), 10);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(2, voter(12, 100)), (3, voter(11, 10))]), Some(2));
        assert_eq!(of(&[(2, voter(12, 900)), (3, voter(11, 10))]), Some(3), "2 is silent");
        assert_eq!(of(&[(2, voter(12, 100)), (3, voter(12, 10))]), Some(3), "of equals");
        assert_eq!(of(&[(2, voter(9, 10)), (3, voter(12, 500))]), None);
        let never = Voter { matching: 0, answered: Duration::MAX };
        assert_eq!(of(&[(2, never)]), None);
    }
}
