//! The handle shared by the parts of consensus while Raft runs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use openraft::ReadPolicy;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::{Clock, ClusterClock};
use crate::domain::machine::envelope::{self, EntryHead};
use crate::domain::time::Timestamp;
use crate::telemetry::metrics::Metrics;
use crate::transport::CallError;

use super::addresses::AnnouncedAddresses;
use super::contact::Contacts;
use super::limits::{FAREWELL, FORWARD_LIMIT, LEAD_LIMIT, READ_LIMIT, RETRY_PAUSE};
use super::log::RaftLog;
use super::membership::MemberList;
use super::network::kind;
use super::peers::Peers;
use super::replica::Replica;
use super::types::{Payload, RaftHandle};
use super::wire::{self, Malformed, WireReader};

/// The answer of a node that is not the leader to a request for the leader.
pub const NOT_LEADER: Bytes = Bytes::from_static(&[0]);

/// Handles a request from a peer for the layer above. Parameters: Raft node id of the peer, kind,
/// body. Result: the answer.
pub type Service = Arc<dyn Fn(u64, u16, Bytes) -> BoxFuture<'static, Option<Bytes>> + Send + Sync>;

/// Raft and the components around it.
pub(super) struct RaftCore {
    pub id: u64,
    pub raft: RaftHandle,
    pub log: RaftLog,
    pub replica: Arc<Replica>,
    pub peers: Arc<Peers>,
    pub contacts: Contacts,
    pub clock: Arc<ClusterClock>,
    pub leader: watch::Receiver<Option<u64>>,
    /// The members in the last membership of the log.
    pub members: watch::Receiver<MemberList>,
    /// Where members say that they are.
    pub announced: AnnouncedAddresses,
    /// Whether this node ends because it was removed from the cluster.
    pub removed: AtomicBool,
    pub metrics: Metrics,
}

/// The result of an entry at a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubmitOutcome {
    /// The leader applied it.
    Applied,
    /// It was not added to the log.
    Refused,
    /// It may be in the log.
    Unknown,
}

impl SubmitOutcome {
    fn bytes(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Applied => &[0],
            Self::Refused => &[1],
            Self::Unknown => &[2],
        })
    }

    fn read(bytes: &[u8]) -> Self {
        match bytes {
            [0] => Self::Applied,
            [1] => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

/// The outcome of an entry at a leader. Unknown if the leader does not answer while it leads.
async fn while_leading(
    taken: impl Future<Output = SubmitOutcome>,
    leader: &mut watch::Receiver<Option<u64>>,
    deadline: Instant,
) -> SubmitOutcome {
    let mut taken = std::pin::pin!(taken);
    let until = tokio::select! {
        biased;
        taken = &mut taken => return taken,
        _ = leader.changed() => deadline.min(Instant::now() + FAREWELL),
        () = tokio::time::sleep_until(deadline) => return SubmitOutcome::Unknown,
    };
    // Keep the change visible for the next loop iteration.
    leader.mark_changed();
    tokio::time::timeout_at(until, taken).await.unwrap_or(SubmitOutcome::Unknown)
}

impl RaftCore {
    /// Submits an entry of this process to the current leader, until the deadline. The outcome of
    /// an entry at a former leader is unknown. The applied state shows the outcome, so the caller
    /// does not wait for the answer.
    pub async fn submit_entry(
        &self,
        seq: u64,
        commands: Bytes,
        deadline: Instant,
    ) -> SubmitOutcome {
        let mut leader_seen = self.leader.clone();
        loop {
            let leader = *leader_seen.borrow_and_update();
            let taken = match leader {
                None => SubmitOutcome::Refused,
                Some(leader) => {
                    let taken = self.hand_over(leader, seq, &commands);
                    while_leading(taken, &mut leader_seen, deadline).await
                }
            };
            if taken != SubmitOutcome::Refused || Instant::now() + RETRY_PAUSE >= deadline {
                return taken;
            }
            // Retry after a leader change or after the pause.
            let _changed = tokio::time::timeout(RETRY_PAUSE, leader_seen.changed()).await;
        }
    }

    async fn hand_over(&self, leader: u64, seq: u64, commands: &[u8]) -> SubmitOutcome {
        if leader == self.id {
            self.take(self.replica.origin(), seq, commands).await
        } else {
            self.forward(leader, seq, commands).await
        }
    }

    /// Accepts an entry as leader: adds the timestamp and appends it to the log.
    async fn take(&self, origin: u64, seq: u64, commands: &[u8]) -> SubmitOutcome {
        if !self.clock.sure() {
            return SubmitOutcome::Refused;
        }
        let stamp: Timestamp = self.clock.now();
        let mut bytes = Vec::with_capacity(commands.len() + 32);
        bytes.push(wire::NORMAL);
        bytes.extend_from_slice(&envelope::entry(EntryHead { stamp, origin, seq }, commands));
        let (responder, applied) = ProgressResponder::complete_only();
        let payload = Payload(bytes.into());
        if self.raft.client_write_ff(payload, Some(responder)).await.is_err() {
            return SubmitOutcome::Unknown;
        }
        match applied.await {
            Ok(Ok(_)) => SubmitOutcome::Applied,
            Ok(Err(ClientWriteError::ForwardToLeader(_))) => SubmitOutcome::Refused,
            Ok(Err(_)) | Err(_) => SubmitOutcome::Unknown,
        }
    }

    async fn forward(&self, leader: u64, seq: u64, commands: &[u8]) -> SubmitOutcome {
        let Some(peer) = self.peers.node(leader) else { return SubmitOutcome::Refused };
        let mut body = BytesMut::with_capacity(commands.len() + 16);
        body.put_u64_le(self.replica.origin());
        body.put_u64_le(seq);
        body.put_slice(commands);
        match peer.forward.call(kind::PROPOSE, body.freeze(), FORWARD_LIMIT).await {
            Ok(answer) => SubmitOutcome::read(&answer),
            Err(CallError::NoConnection(_) | CallError::NotSent(_) | CallError::Refused { .. }) => {
                SubmitOutcome::Refused
            }
            Err(CallError::Unknown(_)) => SubmitOutcome::Unknown,
        }
    }

    /// Handles an entry from a peer.
    pub async fn propose(&self, body: Bytes) -> Result<Bytes, Malformed> {
        let mut reader = WireReader(body);
        let (origin, seq) = (reader.u64()?, reader.u64()?);
        Ok(self.take(origin, seq, &reader.0).await.bytes())
    }

    /// As leader, the index that a linearizable read must have applied. None: this node does not
    /// lead, or no majority confirms it.
    async fn lead_index(&self) -> Option<u64> {
        let read = self.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        let linearizer = tokio::time::timeout(LEAD_LIMIT, read).await.ok()?.ok()?;
        Some(linearizer.read_log_id().index())
    }

    /// Answers a peer's request for [`RaftCore::lead_index`]. A zero byte means that there is none,
    /// so the peer asks another node immediately.
    pub async fn read_index(&self) -> Bytes {
        match self.lead_index().await {
            Some(index) => Bytes::copy_from_slice(&index.to_le_bytes()),
            None => NOT_LEADER,
        }
    }

    /// Waits until this replica has applied everything acknowledged before the call. False: no
    /// leader confirmed it in time.
    pub async fn read_barrier(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut leader_seen = self.leader.clone();
        loop {
            let leader = *leader_seen.borrow_and_update();
            let index = tokio::select! {
                biased;
                index = self.ask_index(leader) => index,
                _ = leader_seen.changed() => continue,
                () = tokio::time::sleep_until(deadline) => return false,
            };
            if let Some(index) = index {
                return self.replica.reach(index, deadline.duration_since(Instant::now())).await;
            }
            if Instant::now() + RETRY_PAUSE >= deadline {
                return false;
            }
            let _changed = tokio::time::timeout(RETRY_PAUSE, leader_seen.changed()).await;
        }
    }

    async fn ask_index(&self, leader: Option<u64>) -> Option<u64> {
        let leader = leader?;
        if leader == self.id {
            return self.lead_index().await;
        }
        let peer = self.peers.node(leader)?;
        let answer = peer.forward.call(kind::READ_INDEX, Bytes::new(), READ_LIMIT).await.ok()?;
        WireReader(answer).u64().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    async fn later(taken: SubmitOutcome, millis: u64) -> SubmitOutcome {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_carried_no_longer_than_its_leader_leads() {
        let (leads, mut leader) = watch::channel(Some(1));
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(5);
        let taken = while_leading(ready(SubmitOutcome::Applied), &mut leader, deadline).await;
        assert_eq!(taken, SubmitOutcome::Applied);
        // No answer, and no new leader.
        let taken = while_leading(pending(), &mut leader, deadline).await;
        assert_eq!((taken, Instant::now()), (SubmitOutcome::Unknown, deadline));
        // No answer, but a new leader.
        let deadline = Instant::now() + Duration::from_secs(5);
        let change = async {
            tokio::time::sleep(Duration::from_millis(800)).await;
            leads.send_replace(Some(2));
        };
        let begun = Instant::now();
        let (taken, ()) = tokio::join!(while_leading(pending(), &mut leader, deadline), change);
        assert_eq!(taken, SubmitOutcome::Unknown);
        assert_eq!(begun.elapsed(), Duration::from_millis(800) + FAREWELL);
        assert!(leader.has_changed().unwrap(), "the next iteration must see it");
        // A former leader that transferred its lead still answers that it refused the entry.
        leader.mark_unchanged();
        leads.send_replace(Some(3));
        let taken = while_leading(later(SubmitOutcome::Refused, 50), &mut leader, deadline).await;
        assert_eq!(taken, SubmitOutcome::Refused);
    }
}
