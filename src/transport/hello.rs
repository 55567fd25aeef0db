//! The first messages of a connection: the identities of both sides, and the reasons for a refusal.

use std::fmt;

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use bytes::{Buf, BufMut};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::domain::ids::NodeId;

/// The longest message of the handshake, in bytes, without its header.
pub const MESSAGE_MAX: usize = 4096;

/// The longest sentence of a refusal, in bytes.
const REASON_MAX: usize = 512;

const NONCE: usize = 32;

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Log entries, in order.
    Replication,
    /// Heartbeats and votes.
    Control,
    /// Snapshots.
    Snapshot,
    /// Forwarded writes and reads, and liveness.
    Forward,
    /// Requests that are held until there is news.
    Watch,
}

impl Purpose {
    /// The number on the wire; it never changes.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Replication => 1,
            Self::Control => 2,
            Self::Snapshot => 3,
            Self::Forward => 4,
            Self::Watch => 5,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        [Self::Replication, Self::Control, Self::Snapshot, Self::Forward, Self::Watch]
            .into_iter()
            .find(|purpose| purpose.number() == number)
    }
}

/// The identity that a node presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The highest level of commands that it knows.
    pub level: u16,
    /// The configured name of its cluster.
    pub cluster_name: String,
    /// The minted id of its cluster; none: it has never been part of one.
    pub cluster_id: Option<u128>,
    /// The id by which Raft knows it; 0 while it has none.
    pub node: NodeId,
    /// The id that the operator gave it.
    pub config_id: u16,
    /// Its version, for people.
    pub software: String,
    /// Whether it has no data: neither vote nor log nor state.
    pub empty: bool,
    /// The number that its process drew at its start, which tells it from a process with a copy of
    /// its data. None: it has drawn none yet, or its version draws none.
    pub boot: Option<u64>,
}

/// One side's half of the handshake. From a peer it is believed only once its proof was checked;
/// where there is no secret it is a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who speaks.
    pub identity: PeerIdentity,
    /// The configured id of the node that is spoken to.
    pub to_config_id: u16,
    /// What the connection is for.
    pub purpose: Purpose,
}

impl Hello {
    /// Whether two nodes that say this to each other may talk. A node without cluster id may talk
    /// to one with: what follows from that is decided above.
    pub(super) fn check(&self, theirs: &Self) -> Result<(), PeerRefusal> {
        let (ours, peer) = (&self.identity, &theirs.identity);
        if theirs.to_config_id != ours.config_id {
            return Err(PeerRefusal::new(
                PeerRefusalCode::ADDRESSEE,
                format!("this is node {}, not node {}", ours.config_id, theirs.to_config_id),
            ));
        }
        if peer.config_id != self.to_config_id {
            return Err(PeerRefusal::new(
                PeerRefusalCode::ADDRESSEE,
                format!("node {} answered in place of node {}", peer.config_id, self.to_config_id),
            ));
        }
        if peer.cluster_name != ours.cluster_name {
            return Err(PeerRefusal::new(
                PeerRefusalCode::CLUSTER_NAME,
                format!("this cluster is {:?}, not {:?}", ours.cluster_name, peer.cluster_name),
            ));
        }
        if let (Some(ours), Some(theirs)) = (ours.cluster_id, peer.cluster_id)
            && ours != theirs
        {
            return Err(PeerRefusal::new(
                PeerRefusalCode::CLUSTER_ID,
                format!("this cluster's id is {ours:032x}, not {theirs:032x}"),
            ));
        }
        if theirs.purpose != self.purpose {
            return Err(PeerRefusal::new(
                PeerRefusalCode::MALFORMED,
                format!("the purpose is {:?}, not {:?}", self.purpose, theirs.purpose),
            ));
        }
        Ok(())
    }
}

/// The kind of a refusal, a number that never changes. Those below 100 are the transport's;
/// the layer above gives out its own from 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerRefusalCode(pub u16);

impl PeerRefusalCode {
    /// The peer does not speak this protocol at all.
    pub const MAGIC: Self = Self(1);
    /// Another version of the protocol.
    pub const PROTOCOL: Self = Self(2);
    /// A message that cannot be read, is too long, or comes out of turn.
    pub const MALFORMED: Self = Self(3);
    /// Another cluster, by its configured name.
    pub const CLUSTER_NAME: Self = Self(4);
    /// Another cluster, by its minted id.
    pub const CLUSTER_ID: Self = Self(5);
    /// The peer wanted another node.
    pub const ADDRESSEE: Self = Self(6);
    /// A secret is set here and not there.
    pub const PROOF_MISSING: Self = Self(7);
    /// The secrets differ.
    pub const PROOF_WRONG: Self = Self(8);
    /// A secret is set there and not here.
    pub const PROOF_UNEXPECTED: Self = Self(9);
    /// The node has as many connections as it allows.
    pub const BUSY: Self = Self(10);
}

/// The reason why a node refuses another, as a sentence for its operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PeerRefusal {
    /// For programs.
    pub code: PeerRefusalCode,
    /// For people; at most 512 bytes are sent.
    pub reason: String,
}

impl PeerRefusal {
    /// A refusal with its reason.
    pub fn new(code: PeerRefusalCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        Self::new(PeerRefusalCode::MALFORMED, reason)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let text = self.reason.as_bytes();
        let mut body = self.code.0.to_be_bytes().to_vec();
        body.put_slice(text.get(..REASON_MAX).unwrap_or(text));
        body
    }

    /// Reads what anybody may have sent: it ends up in logs, so it is cut to one short line.
    pub(super) fn decode(mut body: &[u8]) -> Self {
        let Ok(code) = body.try_get_u16() else {
            return Self::malformed("the peer refused without a reason");
        };
        let text = String::from_utf8_lossy(body.get(..REASON_MAX).unwrap_or(body));
        let line = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Self { code: PeerRefusalCode(code), reason: line }
    }
}

/// The contents of each side's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub hello: Hello,
    /// Whether the sender has a secret, and so proves and wants proof.
    pub secured: bool,
    /// Makes every handshake another one.
    pub nonce: [u8; NONCE],
}

/// [`Opening`] on the wire. Fields are only ever appended: a reader skips what follows the ones
/// that it knows.
#[derive(Serialize, Deserialize)]
struct OpeningWire {
    level: u16,
    cluster_name: String,
    cluster_id: Option<u128>,
    from: u64,
    from_config_id: u16,
    to_config_id: u16,
    purpose: u8,
    software: String,
    empty: bool,
    secured: bool,
    nonce: [u8; NONCE],
}

const ENCODING: Configuration<LittleEndian, Varint, Limit<MESSAGE_MAX>> =
    config::standard().with_limit::<MESSAGE_MAX>();

impl Opening {
    pub fn encode(&self) -> Result<Vec<u8>, PeerRefusal> {
        let PeerIdentity {
            level,
            cluster_name,
            cluster_id,
            node,
            config_id,
            software,
            empty,
            boot,
        } = self.hello.identity.clone();
        let wire = OpeningWire {
            level,
            cluster_name,
            cluster_id,
            from: node.0,
            from_config_id: config_id,
            to_config_id: self.hello.to_config_id,
            purpose: self.hello.purpose.number(),
            software,
            empty,
            secured: self.secured,
            nonce: self.nonce,
        };
        let own = |error| PeerRefusal::malformed(format!("this node's hello: {error}"));
        let mut bytes = bincode::serde::encode_to_vec(wire, ENCODING).map_err(own)?;
        if let Some(boot) = boot {
            bytes.extend(bincode::serde::encode_to_vec(boot, ENCODING).map_err(own)?);
        }
        Ok(bytes)
    }

    pub fn decode(body: &[u8]) -> Result<Self, PeerRefusal> {
        let theirs = |error| PeerRefusal::malformed(format!("the hello cannot be read: {error}"));
        let (wire, used): (OpeningWire, usize) =
            bincode::serde::decode_from_slice(body, ENCODING).map_err(theirs)?;
        // The first version of the hello ends here.
        let boot = match body.get(used..).unwrap_or_default() {
            [] => None,
            rest => Some(bincode::serde::decode_from_slice(rest, ENCODING).map_err(theirs)?.0),
        };
        let purpose = Purpose::from_number(wire.purpose).ok_or_else(|| {
            PeerRefusal::malformed(format!("purpose {} is unknown", wire.purpose))
        })?;
        let identity = PeerIdentity {
            level: wire.level,
            cluster_name: wire.cluster_name,
            cluster_id: wire.cluster_id,
            node: NodeId(wire.from),
            config_id: wire.from_config_id,
            software: wire.software,
            empty: wire.empty,
            boot,
        };
        let hello = Hello { identity, to_config_id: wire.to_config_id, purpose };
        Ok(Self { hello, secured: wire.secured, nonce: wire.nonce })
    }
}

/// A secret of no bytes protects nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cluster's secret is empty")]
pub struct EmptySecret;

/// The cluster's shared secret. It is never sent: each side shows that it knows it.
#[derive(Clone)]
pub struct ClusterSecret(hmac::Key);

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Which side proves; one side's proof is never good for the other's.
#[derive(Clone, Copy, Debug)]
pub(super) enum HandshakeSide {
    Dialler = 1,
    Listener = 2,
}

impl ClusterSecret {
    /// The secret with these bytes, all of them.
    pub fn new(secret: &[u8]) -> Result<Self, EmptySecret> {
        if secret.is_empty() {
            return Err(EmptySecret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// What is proved: the role and both openings as they were on the wire, nonces included.
    fn message(role: HandshakeSide, dialler: &[u8], listener: &[u8]) -> Vec<u8> {
        let mut message = b"punctual peer proof".to_vec();
        message.push(role as u8);
        for opening in [dialler, listener] {
            message.extend((opening.len() as u64).to_be_bytes());
            message.extend(opening);
        }
        message
    }

    /// The HMAC-SHA-256 (RFC 2104) of the message.
    pub(super) fn prove(&self, role: HandshakeSide, dialler: &[u8], listener: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, &Self::message(role, dialler, listener)).as_ref().to_vec()
    }

    /// Compares in constant time.
    pub(super) fn verify(
        &self,
        role: HandshakeSide,
        dialler: &[u8],
        listener: &[u8],
        proof: &[u8],
    ) -> Result<(), PeerRefusal> {
        if proof.is_empty() {
            return Err(PeerRefusal::new(
                PeerRefusalCode::PROOF_MISSING,
                "the peer proved nothing",
            ));
        }
        hmac::verify(&self.0, &Self::message(role, dialler, listener), proof).map_err(|_| {
            PeerRefusal::new(PeerRefusalCode::PROOF_WRONG, "the peer has another cluster.secret")
        })
    }
}
