//! Bytes between nodes: framed connections over TCP, opened by a handshake.
//!
//! A connection has one [`Purpose`], so that a snapshot does not delay a heartbeat. The node that
//! needs a connection dials. Both sides state their identity ([`hello`]), prove that they know the
//! cluster's secret, and refuse each other with readable reasons ([`handshake`]). The connection
//! then carries [`PeerFrame`]s in order, both ways, until either side ends it.
//!
//! It can be used in two ways. [`PeerCaller`] keeps a connection to one peer and multiplexes
//! requests and answers over it; it reconnects by itself, and reports for every failed call whether
//! it may have happened. [`Dialer::connect`] returns the connection itself, for a layer that builds
//! a pipelined stream on it.
//!
//! A silent connection is useless: a TCP stream kept through a 20 s partition resumed 6.7 s after
//! the partition healed, a new one after 0.16 s. So a call that times out drops its connection, and
//! a peer that sends nothing at all, not even the keepalives of [`frame`], is disconnected.
//!
//! Nothing here knows the meaning of the bytes. The network and the random source come from
//! [`Fabric`], and timers are tokio's, so that a whole cluster can run in one simulation.

pub mod caller;
pub mod frame;
pub mod handshake;
pub mod hello;
pub mod link;
pub mod network;
pub mod server;
#[cfg(test)]
mod testing;

use std::sync::Arc;

pub use caller::{CallError, PeerCaller};
pub use frame::{PeerFrame, RecvError, Sender};
pub use hello::{ClusterSecret, Hello, PeerIdentity, PeerRefusal, PeerRefusalCode, Purpose};
pub use link::{DialError, Dialer, PeerConnection};
pub use network::{Network, Tcp};
pub use server::{ListenError, Listener, answer_calls, answer_held, serve};

/// Fills a buffer with random bytes: nonces, which must not repeat, and jitter.
pub type RandomSource = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// The parameters of all connections of a node.
#[derive(Clone)]
pub struct Fabric {
    /// Where streams come from.
    pub network: Arc<dyn Network>,
    /// The source of nonces and jitter.
    pub random: RandomSource,
    /// The cluster's secret; none: peers are believed without proof.
    pub secret: Option<ClusterSecret>,
}
