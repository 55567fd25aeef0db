//! What the parts of consensus share once Raft runs: the handle that the rest of the node holds.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use openraft::ReadPolicy;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::{Clock, ClusterClock};
use crate::domain::machine::envelope::{self, Head};
use crate::domain::time::Timestamp;
use crate::telemetry::metrics::Metrics;
use crate::transport::CallError;

use super::network::{Peers, kind};
use super::replica::Replica;
use super::types::{Payload, Raft};
use super::wire::{self, Malformed, Reader};

/// A forwarded entry is answered when its leader has applied it; at most this long.
const FORWARD_LIMIT: Duration = Duration::from_secs(5);
/// Before the next try, when no leader is known or it refused.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// A leader asked for its read index answers within a few heartbeats.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// A request of the layer above from a peer: its Raft node id, the kind, the body; the answer.
pub type Service = Arc<dyn Fn(u64, u16, Bytes) -> BoxFuture<'static, Option<Bytes>> + Send + Sync>;

/// Raft with what is around it.
pub(super) struct Core {
    pub id: u64,
    pub raft: Raft,
    pub replica: Arc<Replica>,
    pub peers: Arc<Peers>,
    pub clock: Arc<ClusterClock>,
    pub leader: watch::Receiver<Option<u64>>,
    pub metrics: Metrics,
}

/// How far a leader got with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was applied there.
    Applied,
    /// It never entered the log.
    Refused,
    /// It may have.
    Unknown,
}

impl Taken {
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

impl Core {
    /// Brings an entry of this process into the log, whoever leads, until the deadline.
    pub async fn carry(&self, seq: u64, commands: Bytes, deadline: Instant) -> Taken {
        let mut leader_seen = self.leader.clone();
        loop {
            let leader = *leader_seen.borrow_and_update();
            let taken = match leader {
                None => Taken::Refused,
                Some(leader) if leader == self.id => {
                    self.take(self.replica.origin(), seq, &commands).await
                }
                Some(leader) => self.forward(leader, seq, &commands).await,
            };
            if taken != Taken::Refused || Instant::now() + RETRY_PAUSE >= deadline {
                return taken;
            }
            // Either the leader changes or the pause is over; both mean: try again.
            let _changed = tokio::time::timeout(RETRY_PAUSE, leader_seen.changed()).await;
        }
    }

    /// Takes an entry as leader: stamps it and puts it into the log.
    async fn take(&self, origin: u64, seq: u64, commands: &[u8]) -> Taken {
        if !self.clock.sure() {
            return Taken::Refused;
        }
        let stamp: Timestamp = self.clock.now();
        let mut bytes = Vec::with_capacity(commands.len() + 32);
        bytes.push(wire::NORMAL);
        bytes.extend_from_slice(&envelope::entry(Head { stamp, origin, seq }, commands));
        let (responder, applied) = ProgressResponder::complete_only();
        let payload = Payload(bytes.into());
        if self.raft.client_write_ff(payload, Some(responder)).await.is_err() {
            return Taken::Unknown;
        }
        match applied.await {
            Ok(Ok(_)) => Taken::Applied,
            Ok(Err(ClientWriteError::ForwardToLeader(_))) => Taken::Refused,
            Ok(Err(_)) | Err(_) => Taken::Unknown,
        }
    }

    async fn forward(&self, leader: u64, seq: u64, commands: &[u8]) -> Taken {
        let Some(peer) = self.peers.node(leader) else { return Taken::Refused };
        let mut body = BytesMut::with_capacity(commands.len() + 16);
        body.put_u64_le(self.replica.origin());
        body.put_u64_le(seq);
        body.put_slice(commands);
        match peer.forward.call(kind::PROPOSE, body.freeze(), FORWARD_LIMIT).await {
            Ok(answer) => Taken::read(&answer),
            Err(CallError::NotSent(_) | CallError::Refused { .. }) => Taken::Refused,
            Err(CallError::Unknown(_)) => Taken::Unknown,
        }
    }

    /// A peer's entry.
    pub async fn propose(&self, body: Bytes) -> Result<Bytes, Malformed> {
        let mut reader = Reader(body);
        let (origin, seq) = (reader.u64()?, reader.u64()?);
        Ok(self.take(origin, seq, &reader.0).await.bytes())
    }

    /// The index up to which a linearizable read must see the log, as the leader knows it.
    pub async fn lead_index(&self) -> Option<u64> {
        let read = self.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        let linearizer = tokio::time::timeout(READ_LIMIT, read).await.ok()?.ok()?;
        Some(linearizer.read_log_id().index())
    }

    /// Waits until this replica has all that was acknowledged before the call; false: no leader
    /// confirmed it in time.
    pub async fn read_barrier(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut leader_seen = self.leader.clone();
        loop {
            let leader = *leader_seen.borrow_and_update();
            if let Some(index) = self.ask_index(leader).await {
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
        Reader(answer).u64().ok()
    }
}
