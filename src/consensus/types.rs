//! The types that openraft is instantiated with, and conversions between them and ours.

use std::fmt;

use bytes::Bytes;
use openraft::entry::RaftEntry;
#[cfg(not(feature = "simulation"))]
use openraft::impls::TokioRuntime as RaftRuntime;
use openraft::vote::leader_id_adv::LeaderId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(feature = "simulation")]
use super::runtime::LifeRuntime as RaftRuntime;
use crate::storage::LogPos;

/// The payload of a log entry: an entry of the state machine after a type byte, as on disk and on
/// the wire. A clone shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

// openraft requires these traits. Our code does not use them.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| Self(bytes.into()))
    }
}

/// The addresses of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftMember {
    /// Its peer address.
    pub peer: String,
    /// Its API.
    pub http: String,
}

openraft::declare_raft_types!(
    /// The type configuration of openraft.
    pub TypeConfig:
        D = Payload,
        R = (),
        NodeId = u64,
        Node = RaftMember,
        AsyncRuntime = RaftRuntime,
);

pub(super) type LeaderIdOf = LeaderId<u64, u64>;
pub(super) type LogId = openraft::LogId<LeaderIdOf>;
pub(super) type Vote = openraft::Vote<LeaderIdOf>;
pub(super) type LogEntry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(super) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(super) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(super) type RaftHandle = openraft::Raft<TypeConfig, super::machine::MachineStore>;

pub(super) fn log_id(pos: LogPos) -> LogId {
    LogId::new(LeaderId { term: pos.term, node_id: pos.node }, pos.index)
}

pub(super) fn pos(log_id: &LogId) -> LogPos {
    let leader = log_id.committed_leader_id();
    LogPos { term: leader.term, node: leader.node_id, index: log_id.index() }
}

pub(super) fn entry_pos(entry: &LogEntry) -> LogPos {
    pos(&entry.log_id())
}
