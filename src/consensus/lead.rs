//! Leadership: the current leader, its contact with the voters, and the transfer of the lead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::VoteRequest;
use openraft::{Instant as _, ServerState};
use tokio::time::Instant;

use super::contact::NoLeaderReason;
use super::core::RaftCore;
use super::limits::{SUCCESSOR_SILENCE, TRANSFER_ANSWER, TRANSFER_LIMIT};
use super::membership::MemberList;
use super::network::{config_id, kind};
use super::types::{Vote, pos};
use super::wire::Malformed;
use super::{RaftRole, RaftStatus};

/// Polling interval for the current leader.
const WATCH: Duration = Duration::from_millis(500);
/// Polling interval for a successor.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn status(core: &RaftCore) -> RaftStatus {
    let seen = core.raft.metrics().borrow_watched().clone();
    let index = |id: Option<super::types::LogId>| id.map_or(0, |id| id.index());
    let last = core.log.last();
    // Borrow only once: a second read lock would wait for a writer that waits for the first.
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
        last_log: index(last),
        last_log_term: last.map_or(0, |id| pos(&id).term),
        committed: index(seen.cluster_committed),
        applied: index(seen.last_applied),
        checkpoint: index(seen.snapshot),
        purged: index(seen.purged),
        voters,
        members,
    }
}

/// Why this node has no leader. None: it has one. A single voter needs no acknowledgement.
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
    let mut warnings = core.contacts.warnings(&core.members.borrow());
    warnings.append(&mut core.announced.copies.warnings());
    warnings
}

/// A voter that may succeed the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Voter {
    /// The last entry that it has, as far as the leader knows.
    matching: u64,
    /// Time since its last answer to a heartbeat.
    answered: Duration,
}

/// The most advanced of the voters that answer; of several, the one that answered last. None if no
/// such voter has all committed entries.
fn successor(voters: &BTreeMap<u64, Voter>, committed: u64) -> Option<u64> {
    let fit = voters
        .iter()
        .filter(|(_, voter)| voter.answered < SUCCESSOR_SILENCE && voter.matching >= committed);
    let best = fit.max_by_key(|(_, voter)| (voter.matching, std::cmp::Reverse(voter.answered)));
    best.map(|(id, _)| *id)
}

/// As leader, the members that answer its heartbeats, with or without a vote, and this node.
pub(super) fn answering(core: &RaftCore) -> BTreeSet<u64> {
    let heartbeat = core.raft.metrics().borrow_watched().heartbeat.clone().unwrap_or_default();
    let answer = heartbeat
        .into_iter()
        .filter(|(_, at)| at.is_some_and(|at| (*at).elapsed() < SUCCESSOR_SILENCE));
    answer.map(|(id, _)| id).chain([core.id]).collect()
}

/// As leader, the state of the other voters, and the index of the last committed entry.
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

/// Transfers the lead to the most advanced voter, or to the one with this configured id. True: this
/// node no longer leads. After openraft has been given a successor, it accepts no more writes and
/// does not revoke this. So only a voter that answers and has all committed entries becomes
/// successor, and a single voter keeps the lead. A leader that still leads at the end of the time
/// limit resigns; it may be elected again.
pub(super) async fn leave(core: &RaftCore, to: Option<u16>, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut leader = core.leader.clone();
    let mut named = false;
    while *leader.borrow_and_update() == Some(core.id) {
        let (mut others, committed) = voters(core);
        others.retain(|id, _| to.is_none_or(|to| config_id(*id) == to));
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

/// Why the lead was not transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// There is no other voter.
    #[error("there is no other voter to give the lead to")]
    Alone,
    /// No voter took the lead in time.
    #[error("no other voter took the lead in time")]
    NotTaken,
    /// The membership has no such member.
    #[error("there is no member {0}")]
    NotListed(u16),
    /// This member is not a voter.
    #[error("member {0} has no vote, and only a voter can lead")]
    NotVoter(u16),
    /// This member did not take the lead in time.
    #[error("member {0} did not take the lead in time")]
    NotTakenBy(u16),
    /// There is no leader, or it does not answer.
    #[error("no leader answered in time")]
    NoLeader,
}

/// Pause after a node answered that it does not lead.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// Makes the current leader transfer the lead to another voter, or to the one with this configured
/// id. Returns the Raft id of the next leader, if this node learns it in time.
pub(super) async fn transfer(
    core: &RaftCore,
    to: Option<u16>,
) -> Result<Option<u64>, TransferError> {
    let deadline = Instant::now() + TRANSFER_LIMIT;
    let mut leader = core.leader.clone();
    let former = loop {
        let now = *leader.borrow_and_update();
        let given = match now {
            None => Err(TransferError::NoLeader),
            Some(now) if to == Some(config_id(now)) => return Ok(Some(now)),
            Some(now) if now == core.id => give_away(core, to).await,
            Some(now) => ask_to_leave(core, now, to).await,
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
    let next = next.ok().and_then(Result::ok).and_then(|next| *next);
    match (to, next) {
        // Another node was elected first.
        (Some(to), Some(next)) if config_id(next) != to => Err(TransferError::NotTakenBy(to)),
        _ => Ok(next),
    }
}

/// Transfers the lead, as leader.
async fn give_away(core: &RaftCore, to: Option<u16>) -> Result<(), TransferError> {
    if *core.leader.borrow() != Some(core.id) {
        return Err(TransferError::NoLeader);
    }
    match to {
        Some(to) => check_voter(&core.members.borrow(), to)?,
        None if voters(core).0.is_empty() => return Err(TransferError::Alone),
        None => {}
    }
    let not_taken = to.map_or(TransferError::NotTaken, TransferError::NotTakenBy);
    leave(core, to, TRANSFER_LIMIT).await.then_some(()).ok_or(not_taken)
}

/// Checks that a member may lead.
fn check_voter(members: &MemberList, id: u16) -> Result<(), TransferError> {
    match members.get(id) {
        None => Err(TransferError::NotListed(id)),
        Some(member) if !member.votes => Err(TransferError::NotVoter(id)),
        Some(_) => Ok(()),
    }
}

async fn ask_to_leave(core: &RaftCore, leader: u64, to: Option<u16>) -> Result<(), TransferError> {
    let Some(peer) = core.peers.node(leader) else { return Err(TransferError::NoLeader) };
    let body = to.map_or(Bytes::new(), |to| Bytes::copy_from_slice(&to.to_le_bytes()));
    let answer = peer.ask_alone(kind::LEAVE, body, TRANSFER_ANSWER).await;
    match (answer.as_deref(), to) {
        (Ok([0]), _) => Ok(()),
        (Ok([1]), _) => Err(TransferError::Alone),
        (Ok([2]), to) => Err(to.map_or(TransferError::NotTaken, TransferError::NotTakenBy)),
        (Ok([4]), Some(to)) => Err(TransferError::NotListed(to)),
        (Ok([5]), Some(to)) => Err(TransferError::NotVoter(to)),
        (Ok(_) | Err(_), _) => Err(TransferError::NoLeader),
    }
}

/// Transfers the lead for a peer: to any voter, or to the one that the body names.
pub(super) async fn leave_for(core: &RaftCore, body: Bytes) -> Result<Bytes, Malformed> {
    let to = match *body {
        [] => None,
        [low, high] => Some(u16::from_le_bytes([low, high])),
        _ => return Err(Malformed("member")),
    };
    Ok(Bytes::from_static(match give_away(core, to).await {
        Ok(()) => &[0],
        Err(TransferError::Alone) => &[1],
        Err(TransferError::NotTaken | TransferError::NotTakenBy(_)) => &[2],
        Err(TransferError::NoLeader) => &[3],
        Err(TransferError::NotListed(_)) => &[4],
        Err(TransferError::NotVoter(_)) => &[5],
    }))
}

/// A Raft id that no node has, used as candidate of an election.
const NOBODY: u64 = 0;

/// Ends this node's lead with a vote request of a later term. There is no candidate in that term,
/// so an election follows.
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
    use super::super::membership::tests::list;
    use super::*;
    use crate::domain::ids::NodeId;

    fn voter(matching: u64, answered: u64) -> Voter {
        Voter { matching, answered: Duration::from_millis(answered) }
    }

    #[test]
    fn only_a_voter_that_answers_and_has_what_is_committed_succeeds() {
        let of = |voters: &[(u64, Voter)]| successor(&voters.iter().copied().collect(), 10);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(2, voter(12, 100)), (3, voter(11, 10))]), Some(2));
        assert_eq!(of(&[(2, voter(12, 900)), (3, voter(11, 10))]), Some(3), "2 is silent");
        assert_eq!(of(&[(2, voter(12, 100)), (3, voter(12, 10))]), Some(3), "of two equal voters");
        assert_eq!(of(&[(2, voter(9, 10)), (3, voter(12, 500))]), None);
        let never = Voter { matching: 0, answered: Duration::MAX };
        assert_eq!(of(&[(2, never)]), None);
    }

    #[test]
    fn only_a_voter_may_be_chosen() {
        let [first, second] =
            [(1, true), (2, false)].map(|(id, votes)| (NodeId::new(id, 1), votes));
        let members = list(&[(first.0, "a", first.1), (second.0, "b", second.1)]);
        assert_eq!(check_voter(&members, 1), Ok(()));
        assert_eq!(check_voter(&members, 2), Err(TransferError::NotVoter(2)));
        assert_eq!(check_voter(&members, 3), Err(TransferError::NotListed(3)));
    }
}
