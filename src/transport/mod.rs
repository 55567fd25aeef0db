//! Bytes between nodes: framed connections over TCP, opened by a handshake.
//!
//! A connection has one [`Purpose`], so that a snapshot never stands in front of a heartbeat.
//! The node that wants something dials; both sides say who they are ([`hello`]), prove that they
//! know the cluster's secret, and refuse each other in plain sentences ([`handshake`]). After that
//! the connection carries [`PeerFrame`]s in order, both ways, until either side ends it.
//!
//! There are two ways to use one. [`PeerCaller`] keeps a connection to one peer and multiplexes
//! request and answer over it; it redials by itself, and says of every call that failed whether
//! it may have happened. [`Dialer::connect`] gives the connection itself, for a layer that builds
//! a pipelined stream on it.
//!
//! A connection that has gone quiet is worth nothing: a TCP stream kept through a 20 s partition
//! resumed 6.7 s after it healed, a new one after 0.16 s. So a call that times out drops its
//! connection, and a peer that sends nothing at all, not even the keepalives of [`frame`], is
//! given up.
//!
//! Nothing here knows what the bytes mean. Network and randomness come in through [`Fabric`],
//! and time is tokio's, so that a whole cluster can live in one simulated world.

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
pub use link::{Dialer, PeerConnection};
pub use network::{Network, Tcp};
pub use server::{ListenError, Listener, answer_calls, serve};

/// Fills a buffer with random bytes: nonces, which must not repeat, and jitter.
pub type RandomSource = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What all connections of a node are made from.
#[derive(Clone)]
pub struct Fabric {
    /// Where streams come from.
    pub network: Arc<dyn Network>,
    /// The source of nonces and jitter.
    pub random: RandomSource,
    /// The cluster's secret; none: peers are believed without proof.
    pub secret: Option<ClusterSecret>,
}
