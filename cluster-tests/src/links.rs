//! Proxies between nodes: one in front of each peer address, which can stop forwarding.
//!
//! A node's outgoing connections use its own address, so the proxies know both ends, and a node can
//! be cut off in both directions. Connections stay open and are not refused in the meantime, but
//! sent bytes do not arrive, as with a firewall that drops packets.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::TestResult;

/// Size of one read.
const READ_BYTES: usize = 64 << 10;

/// The proxies of a cluster.
#[derive(Debug)]
pub struct Links {
    cut: Arc<watch::Sender<BTreeSet<IpAddr>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Links {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Links {
    /// Forwards from the first address of each pair to the second.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub(crate) async fn start(pairs: Vec<(SocketAddr, SocketAddr)>) -> TestResult<Self> {
        let cut = Arc::new(watch::Sender::new(BTreeSet::new()));
        let mut tasks = Vec::new();
        for (listen, target) in pairs {
            let listener = TcpListener::bind(listen).await?;
            tasks.push(tokio::spawn(accept(listener, target, Arc::clone(&cut))));
        }
        Ok(Self { cut, tasks })
    }

    /// Stops forwarding from and to this node.
    pub(crate) fn cut_off(&self, node: IpAddr) {
        self.cut.send_modify(|cut| {
            cut.insert(node);
        });
    }

    /// Forwards everything again.
    pub(crate) fn heal(&self) {
        self.cut.send_modify(BTreeSet::clear);
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    cut: Arc<watch::Sender<BTreeSet<IpAddr>>>,
) {
    while let Ok((stream, from)) = listener.accept().await {
        let gate = LinkGate { ends: [from.ip(), target.ip()], cut: cut.subscribe() };
        // It ends with its stream or with the runtime.
        tokio::spawn(forward(stream, target, gate));
    }
}

/// Whether a connection is forwarded.
#[derive(Clone)]
struct LinkGate {
    ends: [IpAddr; 2],
    cut: watch::Receiver<BTreeSet<IpAddr>>,
}

impl LinkGate {
    async fn passed(&mut self) {
        let ends = self.ends;
        let _gone = self.cut.wait_for(|cut| !ends.iter().any(|end| cut.contains(end))).await;
    }
}

async fn forward(stream: TcpStream, target: SocketAddr, mut gate: LinkGate) {
    gate.passed().await;
    // If the target cannot be reached, the accepted connection is closed.
    let Ok(onward) = TcpStream::connect(target).await else { return };
    if stream.set_nodelay(true).is_err() || onward.set_nodelay(true).is_err() {
        return;
    }
    let (from, to) = stream.into_split();
    let (back_from, back_to) = onward.into_split();
    tokio::join!(pump(from, back_to, gate.clone()), pump(back_from, to, gate));
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: LinkGate,
) {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        gate.passed().await;
        let passed = to.write_all(bytes.get(..count).unwrap_or_default()).await;
        if count == 0 || passed.is_err() {
            let _gone = to.shutdown().await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::LIMIT;

    #[tokio::test]
    async fn what_is_cut_off_waits_and_what_is_healed_goes_on() {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap();
        drop(free);
        let links = Links::start(vec![(listen, target.local_addr().unwrap())]).await.unwrap();
        let mut near = TcpStream::connect(listen).await.unwrap();
        let (mut far, _) = target.accept().await.unwrap();
        near.write_all(b"a").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'a');

        links.cut_off(near.local_addr().unwrap().ip());
        near.write_all(b"b").await.unwrap();
        far.write_all(b"c").await.unwrap();
        let silent = Duration::from_millis(100);
        timeout(silent, far.read_u8()).await.unwrap_err();
        timeout(silent, near.read_u8()).await.unwrap_err();

        links.heal();
        assert_eq!(timeout(LIMIT, far.read_u8()).await.unwrap().unwrap(), b'b');
        assert_eq!(timeout(LIMIT, near.read_u8()).await.unwrap().unwrap(), b'c');
    }
}
