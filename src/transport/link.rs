//! A dialer to one peer: it connects, shakes hands and returns a connection.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Fabric;
use super::frame::{self, Receiver, Sender};
use super::handshake::{self, HandshakeError};
use super::hello::{Hello, PeerIdentity, PeerRefusal, PeerRefusalCode, Purpose};
use super::network::BoxedStream;
use crate::domain::ids::NodeId;

/// The default [`Dialer::connect_timeout`]. It is shorter than every election timeout.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// Returns the current identity of this node. It changes when the node joins a cluster.
pub type Identify = Arc<dyn Fn() -> PeerIdentity + Send + Sync>;

/// The reason why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// No stream could be opened in time.
    #[error("{addr} cannot be reached: {reason}")]
    Unreachable {
        /// The dialled address.
        addr: String,
        /// The error of the system.
        reason: String,
    },
    /// The stream was opened, but failed or timed out.
    #[error("{addr}: {reason}")]
    Broken {
        /// The dialled address.
        addr: String,
        /// What happened.
        reason: String,
    },
    /// The peer refused this node.
    #[error("{addr} refused this node: {reason}")]
    Refused {
        /// The dialled address.
        addr: String,
        /// The kind of refusal.
        code: PeerRefusalCode,
        /// The peer's reason.
        reason: String,
    },
    /// This node refused the peer, although the peer accepted this node.
    #[error("{addr} is not the peer: {reason}")]
    Untrusted {
        /// The dialled address.
        addr: String,
        /// The kind of refusal.
        code: PeerRefusalCode,
        /// Why it was refused.
        reason: String,
    },
}

/// Opens connections to one peer.
#[derive(Clone)]
pub struct Dialer {
    /// Network, randomness, secret.
    pub fabric: Fabric,
    /// The local address of outgoing sockets, which lets tests distinguish links. None: any.
    pub local_ip: Option<IpAddr>,
    /// `host:port` of the peer, resolved at each dial.
    pub addr: String,
    /// The configured id of the peer.
    pub to_config_id: u16,
    /// The Raft id that the peer must have; none: any node with the configured id.
    pub node: Option<NodeId>,
    /// Time limit to open a stream, including name resolution. The handshake has its own.
    pub connect_timeout: Duration,
    /// Returns the identity of this node.
    pub identify: Identify,
}

impl Dialer {
    /// Dials once, within [`Dialer::connect_timeout`] and the time limit of the handshake.
    pub async fn connect(&self, purpose: Purpose) -> Result<PeerConnection, DialError> {
        let connecting = self.fabric.network.connect(self.local_ip, &self.addr);
        let mut stream = match timeout(self.connect_timeout, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.unreachable(error.to_string())),
            Err(_) => {
                let limit = self.connect_timeout.as_millis();
                return Err(self.unreachable(format!("no answer within {limit} ms")));
            }
        };
        let identity = (self.identify)();
        let hello = Hello { identity, to_config_id: self.to_config_id, purpose };
        let theirs = handshake::dial(&mut stream, hello, &self.fabric)
            .await
            .map_err(|fault| self.failed(fault))?;
        let is = theirs.identity.node;
        if let Some(node) = self.node.filter(|node| *node != is) {
            return Err(DialError::Untrusted {
                addr: self.addr.clone(),
                code: PeerRefusalCode::ADDRESSEE,
                reason: format!("Raft knows it as {is}, not as {node}"),
            });
        }
        Ok(PeerConnection::new(theirs, stream))
    }

    fn unreachable(&self, reason: String) -> DialError {
        DialError::Unreachable { addr: self.addr.clone(), reason }
    }

    fn failed(&self, fault: HandshakeError) -> DialError {
        let addr = self.addr.clone();
        match fault {
            HandshakeError::Refused(PeerRefusal { code, reason }) => {
                DialError::Refused { addr, code, reason }
            }
            HandshakeError::Refusing(PeerRefusal { code, reason }) => {
                DialError::Untrusted { addr, code, reason }
            }
            HandshakeError::Broken(_) | HandshakeError::Late => {
                DialError::Broken { addr, reason: fault.to_string() }
            }
        }
    }
}

/// A connection after its handshake, on either side. Its writing task runs on the runtime on which
/// it was opened. Dropping the last sender closes the connection, so a handler that only receives
/// must keep its sender.
pub struct PeerConnection {
    /// The peer's hello.
    pub hello: Hello,
    /// Frames to the peer.
    pub sender: Sender,
    /// Frames from the peer.
    pub receiver: Receiver,
}

impl fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("hello", &self.hello).finish_non_exhaustive()
    }
}

impl PeerConnection {
    pub(super) fn new(hello: Hello, stream: BoxedStream) -> Self {
        let (sender, receiver) = frame::open(stream);
        Self { hello, sender, receiver }
    }

    /// Both directions, each ordered, for use in separate tasks.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

#[cfg(test)]
mod tests;
