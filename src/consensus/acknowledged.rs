//! Detects a member whose log ends before an entry that it acknowledged.
//!
//! A disk that lost the end of a log, or an old copy of a folder, yields a log that is consistent
//! in itself. Only the leader that received the acknowledgements can detect the loss. Such a member
//! must stop: its vote and its place in a majority would count for entries that it does not have. A
//! node therefore asks the other members before its Raft starts, and again whenever a leader's
//! entries do not follow its log. A leader does not accept a conflict from a member that
//! acknowledged the entry before.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use parking_lot::Mutex;

use super::core::RaftCore;
use super::limits::ACKNOWLEDGED_LIMIT;
use super::log::RaftLog;
use super::network::kind;
use super::peers::{PeerConnections, Peers};
use super::types::{LogId, Vote};
use super::wire::{self, Malformed, WireReader};

/// By Raft id of a member: this node's vote at the last acknowledgement, and the last entry.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Mutex<BTreeMap<u64, (Vote, LogId)>>);

impl Acknowledged {
    /// Records that a member acknowledged all entries up to this one.
    pub fn note(&self, member: u64, vote: Vote, upto: LogId) {
        let mut all = self.0.lock();
        let known = all.entry(member).or_insert((vote, upto));
        if known.0 != vote || known.1 < upto {
            *known = (vote, upto);
        }
    }

    /// Whether a member acknowledged an entry that it now reports as missing.
    pub fn contradicts(&self, member: u64, vote: &Vote, missing: &LogId) -> bool {
        let all = self.0.lock();
        all.get(&member).is_some_and(|(under, upto)| under == vote && missing <= upto)
    }

    fn of(&self, member: u64) -> Option<(Vote, LogId)> {
        self.0.lock().get(&member).copied()
    }
}

/// Answers a peer that asks for its acknowledgements to this node.
pub(super) fn answer(core: &RaftCore, body: Bytes) -> Result<Bytes, Malformed> {
    let mut reader = WireReader(body);
    let member = reader.u64()?;
    reader.end()?;
    let mut out = BytesMut::new();
    if let Some((vote, upto)) = core.peers.acknowledged.of(member) {
        wire::put_vote(&mut out, &vote);
        wire::put_log_id(&mut out, Some(&upto));
    }
    Ok(out.freeze())
}

fn read_answer(body: Bytes) -> Result<Option<(Vote, LogId)>, Malformed> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut reader = WireReader(body);
    let vote = wire::get_vote(&mut reader)?;
    let upto = wire::get_log_id(&mut reader)?;
    reader.end()?;
    Ok(upto.map(|upto| (vote, upto)))
}

/// A log that ends before an acknowledged entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Raft log ends at entry {last}, but this node acknowledged entry {acknowledged} to member \
     {to}: what is missing was lost by the disk or is not in the copy that was put back; empty the \
     data folder, and readmit this node with: punctual cluster members replace {own}"
)]
pub struct LostAcknowledged {
    /// The last entry of the log.
    pub last: u64,
    /// The last acknowledged entry.
    pub acknowledged: u64,
    /// The configured id of the leader at that time.
    pub to: u16,
    /// This member's configured id.
    pub own: u16,
}

/// The missing entries of a log with this vote and this last entry. A leader with a lower vote than
/// the log's was replaced by another leader, which may have replaced its entries.
fn missing(
    vote: Option<Vote>,
    last: Option<u64>,
    (under, upto): (Vote, LogId),
) -> Option<(u64, u64)> {
    let followed = vote.is_some_and(|vote| vote > under);
    let last = last.unwrap_or(0);
    (!followed && last < upto.index()).then_some((last, upto.index()))
}

async fn ask(peer: &PeerConnections, node: u64, log: &RaftLog) -> Option<LostAcknowledged> {
    let body = Bytes::copy_from_slice(&node.to_le_bytes());
    let answer = peer.forward.call(kind::ACKNOWLEDGED, body, ACKNOWLEDGED_LIMIT).await.ok()?;
    let acknowledged = read_answer(answer).ok()??;
    // Read the log after the answer: an entry is in the log before the leader gets its
    // acknowledgement.
    let (vote, last) = log.end();
    let (last, acknowledged) = missing(vote, last, acknowledged)?;
    Some(LostAcknowledged { last, acknowledged, to: peer.id, own: super::network::config_id(node) })
}

/// Asks all members whether this node's log has every entry that it acknowledged to them.
pub(super) async fn check_all(
    peers: &Peers,
    node: u64,
    log: &RaftLog,
) -> Result<(), LostAcknowledged> {
    let all = peers.all();
    let asked = all.iter().map(|peer| ask(peer, node, log));
    join_all(asked).await.into_iter().flatten().next().map_or(Ok(()), Err)
}

/// Asks the leader whose entries do not follow this node's log.
pub(super) async fn check_with(core: &RaftCore, leader: u64) -> Result<(), LostAcknowledged> {
    let Some(peer) = core.peers.node(leader) else { return Ok(()) };
    ask(&peer, core.id, &core.log).await.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::super::types::log_id;
    use super::*;
    use crate::storage::LogPos;

    fn id(index: u64) -> LogId {
        log_id(LogPos { term: 3, node: 1, index })
    }

    #[test]
    fn only_a_log_of_the_same_or_an_earlier_leader_can_have_lost_entries() {
        let under = Vote::new_committed(3, 1);
        let lost = |vote, last| missing(vote, last, (under, id(9)));
        assert_eq!(lost(Some(under), Some(9)), None);
        assert_eq!(lost(Some(under), Some(8)), Some((8, 9)));
        assert_eq!(lost(Some(Vote::new(2, 1)), Some(8)), Some((8, 9)), "the vote is lost as well");
        assert_eq!(lost(None, None), Some((0, 9)));
        // A later leader may have replaced the entries of this one.
        assert_eq!(lost(Some(Vote::new(4, 2)), Some(8)), None);
    }

    #[test]
    fn what_was_acknowledged_to_one_vote_says_nothing_of_another() {
        let all = Acknowledged::default();
        let (first, second) = (Vote::new_committed(3, 1), Vote::new_committed(5, 1));
        all.note(7, first, id(9));
        all.note(7, first, id(4));
        assert!(all.contradicts(7, &first, &id(9)));
        assert!(!all.contradicts(7, &first, &id(10)));
        assert!(!all.contradicts(8, &first, &id(1)));
        assert!(!all.contradicts(7, &second, &id(1)), "the acknowledgement had another vote");
        all.note(7, second, id(2));
        assert_eq!(all.of(7), Some((second, id(2))));
    }

    #[test]
    fn an_answer_reads_back() {
        assert_eq!(read_answer(Bytes::new()), Ok(None));
        let mut out = BytesMut::new();
        wire::put_vote(&mut out, &Vote::new_committed(3, 1));
        wire::put_log_id(&mut out, Some(&id(9)));
        let told = read_answer(out.freeze());
        assert_eq!(told, Ok(Some((Vote::new_committed(3, 1), id(9)))));
    }
}
