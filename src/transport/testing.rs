//! Helpers for the tests of this module: a network in memory, nodes with identities, and a server
//! that answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::{BoxFuture, pending};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::link::CONNECT_TIMEOUT;
use super::network::{Accept, BoxedListener, BoxedStream, Network};
use super::{
    ClusterSecret, Dialer, Fabric, Hello, Listener, PeerConnection, PeerFrame, PeerIdentity,
    PeerRefusal, Purpose, RandomSource, answer_calls, serve,
};
use crate::domain::ids::NodeId;

/// A frame kind: the body is returned.
pub const ECHO: u16 = 1;
/// A frame kind: there is no answer.
pub const SILENCE: u16 = 2;
/// A frame kind: it is counted, and there is no answer.
pub const COUNTED: u16 = 3;

/// Bytes that do not repeat and are the same in every test.
pub fn random() -> RandomSource {
    let drawn = AtomicU64::new(0);
    Arc::new(move |buffer: &mut [u8]| {
        for chunk in buffer.chunks_mut(8) {
            let draw = drawn.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&draw.to_be_bytes()[..chunk.len()]);
        }
    })
}

pub fn identity(config_id: u16) -> PeerIdentity {
    PeerIdentity {
        level: 1,
        cluster_name: "test".to_owned(),
        cluster_id: Some(7),
        node: NodeId::new(config_id, 1),
        config_id,
        software: "0.1.0".to_owned(),
        empty: false,
        boot: None,
    }
}

/// The hello of node 1 to node 2.
pub fn hello() -> Hello {
    Hello { identity: identity(1), to_config_id: 2, purpose: Purpose::Control }
}

pub fn fabric(network: Arc<dyn Network>, secret: Option<&str>) -> Fabric {
    let secret = secret.map(|secret| ClusterSecret::new(secret.as_bytes()).unwrap());
    Fabric { network, random: random(), secret }
}

/// Node 1's dialer to node 2 at this address.
pub fn dialer(network: Arc<dyn Network>, addr: &str) -> Dialer {
    Dialer {
        fabric: fabric(network, None),
        local_ip: None,
        addr: addr.to_owned(),
        to_config_id: 2,
        node: None,
        connect_timeout: CONNECT_TIMEOUT,
        identify: Arc::new(|| identity(1)),
    }
}

/// In-memory streams, by address.
#[derive(Default)]
pub struct MemoryNetwork {
    listeners: Mutex<BTreeMap<String, mpsc::UnboundedSender<BoxedStream>>>,
    black_holes: Mutex<BTreeSet<String>>,
    dials: AtomicUsize,
}

impl MemoryNetwork {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on, dials of this address never complete.
    pub fn black_hole(&self, addr: &str) {
        self.black_holes.lock().insert(addr.to_owned());
    }

    pub fn heal(&self) {
        self.black_holes.lock().clear();
    }

    /// The number of dials.
    pub fn dials(&self) -> usize {
        self.dials.load(Ordering::Relaxed)
    }
}

impl Network for MemoryNetwork {
    fn connect<'a>(
        &'a self,
        _local: Option<IpAddr>,
        addr: &'a str,
    ) -> BoxFuture<'a, io::Result<BoxedStream>> {
        Box::pin(async move {
            self.dials.fetch_add(1, Ordering::Relaxed);
            let dead = self.black_holes.lock().contains(addr);
            if dead {
                pending::<()>().await;
            }
            let (near, far) = tokio::io::duplex(64 << 10);
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let listeners = self.listeners.lock();
            let listener = listeners.get(addr).ok_or_else(refused)?;
            listener.send(Box::new(far)).map_err(|_| refused())?;
            Ok(Box::new(near) as BoxedStream)
        })
    }

    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<BoxedListener>> {
        Box::pin(async move {
            let (streams, incoming) = mpsc::unbounded_channel();
            self.listeners.lock().insert(addr.to_owned(), streams);
            Ok(Box::new(MemoryListener(incoming)) as BoxedListener)
        })
    }
}

struct MemoryListener(mpsc::UnboundedReceiver<BoxedStream>);

impl Accept for MemoryListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxedStream, SocketAddr)>> {
        Box::pin(async move {
            let stream = self.0.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            Ok((stream, SocketAddr::from(([127, 0, 0, 1], 1))))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
    }
}

/// A node 2 that serves until it is stopped.
pub struct TestPeer {
    pub addr: String,
    pub counted: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl TestPeer {
    /// Starts to serve calls by their kinds.
    pub async fn start(network: Arc<dyn Network>, addr: &str) -> Self {
        let counted = Arc::new(AtomicUsize::new(0));
        let count = counted.clone();
        let handler = move |connection: PeerConnection| {
            let count = count.clone();
            async move {
                let _ = answer_calls(connection, |frame| answer(frame, count.clone())).await;
            }
        };
        let fabric = fabric(network, None);
        let mut node = Self::start_with(fabric, addr, |_| Ok(identity(2)), handler).await;
        node.counted = counted;
        node
    }

    pub async fn start_with<A, H, F>(fabric: Fabric, addr: &str, accept: A, handler: H) -> Self
    where
        A: Fn(&Hello) -> Result<PeerIdentity, PeerRefusal> + Send + Sync + 'static,
        H: Fn(PeerConnection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = Listener::bind(fabric, addr).await.unwrap();
        // The actual port of port 0 is known only now.
        let addr = match addr.strip_suffix(":0") {
            Some(_) => listener.local_addr().unwrap().to_string(),
            None => addr.to_owned(),
        };
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, accept, handler, stopped));
        Self { addr, counted: Arc::default(), stop, task }
    }

    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

async fn answer(frame: PeerFrame, counted: Arc<AtomicUsize>) -> Option<Bytes> {
    match frame.kind {
        ECHO => Some(frame.body),
        SILENCE => pending().await,
        _ => {
            counted.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}
