//! The replicated log. Only this module names openraft.
//!
//! ```text
//! Command ──▶ proposer ──▶ (peer) leader: stamp ──▶ openraft ──▶ log ──▶ apply ──▶ Replica
//!                                                                             │
//!                                     ReplicaEvent (hints) ◀────────────────┘
//! ```
//!
//! The rest of the node uses a [`Consensus`]: it proposes, requests read barriers, reads the
//! [`Replica`] and receives events. Everything runs on the runtime that calls `start`. It should be
//! a runtime of its own, so that requests and actions cannot delay heartbeats.
//!
//! Architecture invariant: openraft's types go neither on the wire nor on the disk.
//! Architecture invariant: nothing acts on the answer to a proposal; only the applied state counts.

mod acknowledged;
mod addresses;
mod agreement;
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "the command line reads backups"))]
pub mod backup;
mod bootstrap;
mod checkpoint;
mod clocks;
mod contact;
mod copies;
mod core;
mod events;
mod formats;
mod lead;
pub(crate) mod limits;
mod load;
mod log;
mod machine;
mod members;
mod membership;
mod network;
mod peers;
mod proposer;
mod replica;
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "the command line restores"))]
pub mod restore;
#[cfg(feature = "simulation")]
mod runtime;
mod server;
mod start;
mod tally;
#[cfg(test)]
mod tests;
mod types;
mod watches;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::domain::ids::NodeId;
#[cfg(feature = "simulation")]
use crate::domain::machine::{Command, envelope};
use crate::domain::task::Strategy;
use crate::life;
use crate::transport::CallError;

pub use self::agreement::DigestPoll;
pub use self::contact::NoLeaderReason;
pub use self::core::{NOT_LEADER, Service};
pub use self::events::EventsAfter;
pub use self::formats::Formats;
pub use self::lead::TransferError;
pub use self::members::{ChangeAllowed, MemberChange, MemberError};
pub use self::membership::MemberList;
pub use self::proposer::Proposal;
pub use self::replica::{
    DigestMark, ProposalAnswers, ProposalOutcome, ProposalReply, ProposeError, Replica,
    ReplicaEvent,
};
pub use self::start::{ConsensusDisk, ConsensusParts, RunningConsensus, StartError, start};

/// Kinds of peer requests from here on belong to the layer above.
pub const SERVICE_KIND: u16 = network::kind::SERVICE;
/// Proposals that may wait for the proposer.
const QUEUE_MAX: usize = 65_536;

/// One member of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAddress {
    /// Its configured id.
    pub id: u16,
    /// Host and port of its peer listener.
    pub peer: String,
    /// Base URL of its API.
    pub http: String,
}

/// The settings of consensus.
#[derive(Clone, Debug)]
pub struct ConsensusSettings {
    /// The cluster's name.
    pub cluster_name: String,
    /// This node's configured id.
    pub member: u16,
    /// The members of a new cluster, this one included.
    pub members: Vec<MemberAddress>,
    /// Host and port to listen on for peers.
    pub listen: String,
    /// Interval of a leader's heartbeats.
    pub heartbeat: Duration,
    /// Shortest wait before an election.
    pub election_min: Duration,
    /// Longest wait before an election.
    pub election_max: Duration,
    /// Entries kept behind a checkpoint for members that were away.
    pub retained_log: u64,
    /// Entries between two checkpoints.
    pub snapshot_every: u64,
    /// Longest time between two checkpoints, if anything was applied.
    pub checkpoint_interval: Duration,
    /// Default zone of a new cluster.
    pub timezone: String,
    /// Whether the scheduler of a new cluster begins started.
    pub scheduler: bool,
    /// How a new cluster begins to give tasks to nodes.
    pub strategy: Strategy,
    /// Members that a new cluster is created without.
    pub bootstrap_without: Vec<u16>,
    /// The formats that it writes and may propose.
    pub formats: Formats,
    /// Name and version of the software.
    pub software: String,
}

/// The role of a node in Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaftRole {
    /// It accepts entries.
    Leader,
    /// It votes and follows.
    Follower,
    /// It follows without a vote.
    Learner,
}

/// The progress of Raft, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftStatus {
    /// Term.
    pub term: u64,
    /// This node's role.
    pub role: RaftRole,
    /// Raft node id of the leader.
    pub leader: Option<u64>,
    /// Index of the last entry in the log.
    pub last_log: u64,
    /// Term of that entry.
    pub last_log_term: u64,
    /// Last entry known to be committed.
    pub committed: u64,
    /// Last entry applied.
    pub applied: u64,
    /// Last entry covered by a checkpoint.
    pub checkpoint: u64,
    /// Entries up to here were removed.
    pub purged: u64,
    /// Raft node ids of the voters.
    pub voters: Vec<u64>,
    /// Raft node ids of all members, including those without a vote.
    pub members: Vec<u64>,
}

/// The handle to consensus; clones share it.
#[derive(Clone)]
pub struct Consensus {
    core: Arc<core::RaftCore>,
    formats: Formats,
    requests: Arc<server::PeerRequests>,
    work: mpsc::Sender<Proposal>,
    liveness: mpsc::Sender<Proposal>,
    fatal: watch::Sender<Option<String>>,
    checkpoints: Arc<Mutex<checkpoint::Checkpoints>>,
    stop: Arc<watch::Sender<bool>>,
    disk: Arc<dyn crate::storage::LogStore>,
}

impl Consensus {
    /// This node's Raft id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.core.id
    }

    /// Milliseconds by which the wall clock of a member, given by its configured id, is ahead of
    /// cluster time, if known.
    #[must_use]
    pub fn skew_of(&self, member: u64) -> Option<i64> {
        let (clock, member) = (&self.core.clock, u16::try_from(member).ok()?);
        let own = member == network::config_id(self.core.id);
        let nanos = if own { Some(clock.skew()) } else { clock.skew_of(member) };
        nanos.map(|nanos| nanos / 1_000_000)
    }

    /// The applied state.
    #[must_use]
    pub fn replica(&self) -> &Arc<Replica> {
        &self.core.replica
    }

    /// Raft id of the leader, as far as this node knows.
    #[must_use]
    pub fn leader(&self) -> watch::Receiver<Option<u64>> {
        self.core.leader.clone()
    }

    /// Whether this node leads, as far as it knows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        *self.core.leader.borrow() == Some(self.core.id)
    }

    /// Why no leader serves this node; none: one does. A follower is served while it hears its
    /// leader, a leader while a majority acknowledges it.
    #[must_use]
    pub fn no_leader_reason(&self) -> Option<NoLeaderReason> {
        lead::no_leader_reason(&self.core)
    }

    /// Problems that do not stop the node, each as a sentence for its operator.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        lead::warnings(&self.core)
    }

    /// Reports why this node cannot continue, if it cannot.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.fatal.subscribe()
    }

    /// Ends this node if its state at that index differed from the majority's. Its checkpoint is
    /// then invalid, and the next start takes the state from the log or from a member.
    pub fn compare(&self, majority: DigestMark) {
        if !self.core.replica.differs(majority) {
            return;
        }
        let (checkpoints, fatal) = (Arc::clone(&self.checkpoints), self.fatal.clone());
        life::spawn(async move {
            let voided = life::blocking(move || checkpoints.lock().void()).await;
            let voided = voided.map_err(|error| error.to_string());
            let then = match voided.and_then(|voided| voided.map_err(|error| error.to_string())) {
                Ok(()) => "its checkpoint is void, and the next start takes the state anew".into(),
                Err(error) => format!("its checkpoint must not be used again, but: {error}"),
            };
            fatal.send_replace(Some(format!(
                "at log index {} this node's state is not what a majority holds; {then}",
                majority.index
            )));
        });
    }

    /// Hands commands to the proposer.
    pub async fn propose(&self, proposal: Proposal) {
        self.send(&self.work, proposal).await;
    }

    /// Hands liveness commands to the proposer; they do not wait for other commands.
    pub async fn propose_liveness(&self, proposal: Proposal) {
        let lane = if bug!("place-held-by-unknown") { &self.work } else { &self.liveness };
        self.send(lane, proposal).await;
    }

    /// Proposes one command without waiting for its outcome. False: the queue is full, or the level
    /// of the cluster is too low.
    #[cfg(feature = "simulation")]
    pub fn hint(&self, command: &Command, limit: Duration) -> bool {
        let mut bytes = Vec::new();
        envelope::pack(&mut bytes, command, "", None);
        let deadline = Instant::now() + limit;
        let proposal =
            Proposal { commands: bytes.into(), count: 1, reply: ProposalReply::Nobody, deadline };
        self.admit(proposal).is_some_and(|proposal| self.work.try_send(proposal).is_ok())
    }

    /// The only gate to the log. A command above the level of the cluster is refused, and its
    /// proposer is informed.
    fn admit(&self, proposal: Proposal) -> Option<Proposal> {
        match self.formats.check(&proposal.commands, self.core.replica.level()) {
            Ok(()) => Some(proposal),
            Err(above) => {
                proposal.reply.refuse(above);
                None
            }
        }
    }

    async fn send(&self, lane: &mpsc::Sender<Proposal>, proposal: Proposal) {
        let Some(proposal) = self.admit(proposal) else { return };
        if let Err(stopped) = lane.send(proposal).await {
            stopped.0.reply.refuse(ProposeError::Stopping);
        }
    }

    /// Proposes commands and waits for their outcome.
    ///
    /// # Errors
    /// No answer within `limit`.
    pub async fn submit(&self, commands: Bytes, count: usize, limit: Duration) -> ProposalOutcome {
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + limit;
        self.propose(Proposal { commands, count, reply: ProposalReply::Once(reply), deadline })
            .await;
        answer.await.unwrap_or(Err(ProposeError::Stopping))
    }

    /// Waits until this replica has applied everything acknowledged before; false: not in time.
    pub async fn read_barrier(&self, limit: Duration) -> bool {
        self.core.read_barrier(limit).await
    }

    fn peer(&self, node: u64) -> Result<Arc<peers::PeerConnections>, CallError> {
        let unknown = || CallError::NotSent("no such member".to_owned());
        self.core.peers.node(node).ok_or_else(unknown)
    }

    /// Sends a request to the layer above of a member.
    ///
    /// # Errors
    /// No answer within `limit`, or the member is not known.
    pub async fn ask(
        &self,
        node: u64,
        kind: u16,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, CallError> {
        self.peer(node)?.forward.call(kind, body, limit).await
    }

    /// [`Consensus::ask`] for a request that is held until there is news. If the future is dropped,
    /// the member gives the request up.
    ///
    /// # Errors
    /// No answer within `limit`, or the member is not known.
    pub async fn watch(
        &self,
        node: u64,
        kind: u16,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, CallError> {
        self.peer(node)?.watch.hold(kind, body, limit).await
    }

    /// Sets the handler of peers' requests to the layer above; only the first call counts.
    pub fn serve(&self, service: Service) {
        let _first_counts = self.requests.service.set(service);
    }

    /// Number of syncs of the log since the start.
    #[must_use]
    pub fn fsyncs(&self) -> u64 {
        self.disk.fsyncs()
    }

    /// The progress of Raft.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        lead::status(&self.core)
    }

    /// The members, with each change of them.
    #[must_use]
    pub fn members(&self) -> watch::Receiver<MemberList> {
        self.core.members.clone()
    }

    /// Transfers leadership to another voter, if this node has it; true once it is transferred.
    pub async fn leave_leadership(&self, limit: Duration) -> bool {
        lead::leave(&self.core, None, limit).await
    }

    /// Makes the leader transfer the lead to another voter, or to the one with this configured id.
    /// Returns the Raft id of the next leader, if it is known in time.
    ///
    /// # Errors
    /// Nobody could take it, nobody took it, or no leader answered.
    pub async fn transfer(&self, to: Option<u16>) -> Result<Option<u64>, TransferError> {
        lead::transfer(&self.core, to).await
    }

    /// Asks the leader whether the members may be changed so, and for the command that begins it.
    ///
    /// # Errors
    /// Why they may not.
    pub async fn may_change(&self, change: &MemberChange) -> Result<ChangeAllowed, MemberError> {
        members::check(&self.core, change).await
    }

    /// Waits until the membership has followed a change that began.
    ///
    /// # Errors
    /// It takes longer than this waits. Repeating the change is safe.
    pub async fn members_changed(
        &self,
        change: &MemberChange,
        node: NodeId,
    ) -> Result<(), MemberError> {
        members::followed(&self.core, change, node).await
    }

    /// Whether this node ends because it was removed from the cluster.
    #[must_use]
    pub fn was_removed(&self) -> bool {
        self.core.removed.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Stops: no more proposals, no more peers, a last checkpoint, the log closed.
    pub async fn stop(&self) {
        start::stop(self).await;
    }
}
