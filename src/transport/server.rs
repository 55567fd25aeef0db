//! The listening side: accepts connections, shakes hands, passes them to the layer above.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use super::Fabric;
use super::frame::{CANCEL_KIND, PeerFrame, RecvError, SendError};
use super::handshake;
use super::hello::{Hello, PeerIdentity, PeerRefusal, PeerRefusalCode};
use super::link::PeerConnection;
use super::network::{BoxedListener, BoxedStream};
use crate::life::Life;

/// Connections after their handshake; more are refused as [`PeerRefusalCode::BUSY`].
pub const CONNECTIONS_MAX: usize = 256;

/// Connections in their handshake. One more replaces the oldest: a peer needs some milliseconds, so
/// the oldest one is probably abandoned.
pub const HANDSHAKES_MAX: usize = 64;

/// Calls of one connection that are answered at the same time; more wait in its stream.
pub const CALLS_MAX: usize = 64;

/// The same for calls that are held until there is news.
pub const HELD_MAX: usize = 1_024;

/// The wait after a failed accept: out of file descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the peer address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process, or this one, listens there.
    #[error("peer address {0} is in use: does another node, or this one already, listen there?")]
    InUse(String),
    /// The address is not one of this machine.
    #[error("peer address {0} is not an address of this machine")]
    NotHere(String),
    /// The port needs rights that the process lacks.
    #[error("peer address {0} may not be listened on by this user")]
    Denied(String),
    /// Anything else.
    #[error("peer address {addr} cannot be listened on: {source}")]
    Other {
        /// The purpose of a request.
        addr: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound peer address.
pub struct Listener {
    listener: BoxedListener,
    fabric: Fabric,
}

impl Listener {
    /// Binds `addr` (`host:port`; port 0: any).
    pub async fn bind(fabric: Fabric, addr: &str) -> Result<Self, ListenError> {
        let listener = fabric.network.listen(addr).await.map_err(|source| {
            let addr = addr.to_owned();
            match source.kind() {
                io::ErrorKind::AddrInUse => ListenError::InUse(addr),
                io::ErrorKind::AddrNotAvailable => ListenError::NotHere(addr),
                io::ErrorKind::PermissionDenied => ListenError::Denied(addr),
                _ => ListenError::Other { addr, source },
            }
        })?;
        Ok(Self { listener, fabric })
    }

    /// The address with its real port.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Serves until `stop` holds true or its sender is gone; then nothing more is accepted, and the
/// handlers are dropped where they wait.
///
/// `accept` says who this node is, or refuses. It sees what a dialler claims before the dialler
/// has proved it: it may answer, but must not act on it. `handler` gets connections whose
/// handshake has succeeded, one task each; a connection ends when the handler drops it.
pub async fn serve<A, H, F>(
    mut listener: Listener,
    accept: A,
    handler: H,
    mut stop: watch::Receiver<bool>,
) where
    A: Fn(&Hello) -> Result<PeerIdentity, PeerRefusal> + Send + Sync + 'static,
    H: Fn(PeerConnection) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let handlers = Arc::new(ConnectionHandlers {
        fabric: listener.fabric.clone(),
        accept,
        handler,
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    });
    let mut handshakes = Handshakes::default();
    let mut tasks = JoinSet::new();
    let life = Life::current();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = tasks.join_next() => report(ended),
            (stranger, from) = next_stranger(&mut listener.listener) => {
                let gives_way = handshakes.enter();
                tasks.spawn(life.wrap(handlers.clone().receive(stranger, from, gives_way)));
            }
        }
    }
    drop(listener);
    tasks.shutdown().await;
}

/// The handshakes in progress, oldest first; each handshake waits for the other end to close.
#[derive(Default)]
struct Handshakes(VecDeque<oneshot::Sender<()>>);

impl Handshakes {
    /// A place for one more. It ends when a later handshake needs it.
    fn enter(&mut self) -> oneshot::Receiver<()> {
        self.0.retain(|place| !place.is_closed());
        if self.0.len() >= HANDSHAKES_MAX {
            self.0.pop_front();
        }
        let (place, gives_way) = oneshot::channel();
        self.0.push_back(place);
        gives_way
    }
}

/// The next connection.
async fn next_stranger(listener: &mut BoxedListener) -> (BoxedStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => return (stream, from),
            Err(error) => {
                tracing::warn!(%error, "a peer connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the handler of a peer connection failed");
    }
}

struct ConnectionHandlers<A, H> {
    fabric: Fabric,
    accept: A,
    handler: H,
    connections: Arc<Semaphore>,
}

impl<A, H, F> ConnectionHandlers<A, H>
where
    A: Fn(&Hello) -> Result<PeerIdentity, PeerRefusal>,
    H: Fn(PeerConnection) -> F,
    F: Future<Output = ()>,
{
    /// One connection from its first byte to its end.
    async fn receive(
        self: Arc<Self>,
        mut stream: BoxedStream,
        from: SocketAddr,
        gives_way: oneshot::Receiver<()>,
    ) {
        let admit = || {
            self.connections.clone().try_acquire_owned().map_err(|_| {
                let reason = format!("this node has {CONNECTIONS_MAX} peer connections");
                PeerRefusal::new(PeerRefusalCode::BUSY, reason)
            })
        };
        let answered = tokio::select! {
            biased;
            answered = handshake::answer(&mut stream, &self.fabric, &self.accept, admit) => answered,
            _ = gives_way => {
                tracing::debug!(%from, "a handshake was dropped for a newer one");
                return;
            }
        };
        match answered {
            Ok((hello, _place)) => (self.handler)(PeerConnection::new(hello, stream)).await,
            Err(fault) => tracing::debug!(%from, %fault, "a peer connection failed"),
        }
    }
}

/// Answers the calls of one connection until its peer ends it or it breaks. At most [`CALLS_MAX`]
/// are answered at the same time, in any order; no answer is sent for a frame with id 0 or where
/// `handle` gives none. The futures of `handle` run in this task, and are dropped with it.
pub async fn answer_calls<H, F>(connection: PeerConnection, handle: H) -> Result<(), RecvError>
where
    H: Fn(PeerFrame) -> F,
    F: Future<Output = Option<Bytes>>,
{
    answer(connection, CALLS_MAX, handle).await
}

/// [`answer_calls`] for calls that may be held: [`HELD_MAX`] at the same time. A call that its peer
/// gives up is dropped.
pub async fn answer_held<H, F>(connection: PeerConnection, handle: H) -> Result<(), RecvError>
where
    H: Fn(PeerFrame) -> F,
    F: Future<Output = Option<Bytes>>,
{
    answer(connection, HELD_MAX, handle).await
}

async fn answer<H, F>(connection: PeerConnection, max: usize, handle: H) -> Result<(), RecvError>
where
    H: Fn(PeerFrame) -> F,
    F: Future<Output = Option<Bytes>>,
{
    let (sender, mut receiver) = connection.split();
    let mut calls = FuturesUnordered::new();
    let mut open: BTreeMap<u64, AbortHandle> = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            Some((id, kind, answer)) = calls.next() => {
                open.remove(&id);
                let Ok(Some(body)) = answer else { continue };
                match sender.send(PeerFrame { id, kind, body }).await {
                    Ok(()) => {}
                    Err(SendError::Closed) => return Ok(()),
                    Err(error) => tracing::error!(%error, kind, "an answer cannot be sent"),
                }
            }
            frame = receiver.next(), if calls.len() < max => {
                let Some(frame) = frame? else { return Ok(()) };
                let (id, kind) = (frame.id, frame.kind);
                if kind == CANCEL_KIND {
                    if let Some(call) = open.remove(&id) {
                        call.abort();
                    }
                    continue;
                }
                let (call, abort) = abortable(handle(frame));
                open.insert(id, abort);
                calls.push(async move {
                    (id, kind, call.await.map(|answer| answer.filter(|_| id != 0)))
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
