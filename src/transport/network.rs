//! The abstraction of the network, so that a simulated network can replace TCP.

use std::io;
use std::net::{IpAddr, SocketAddr};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

/// Maximum number of addresses tried per name.
const ADDRESSES_MAX: usize = 8;

/// Time after which unacknowledged data breaks the stream, in milliseconds. The kernel's default is
/// about a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX_MS: u32 = 2_000;

/// A bidirectional ordered byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A stream of any network.
pub type BoxedStream = Box<dyn ByteStream>;

/// A listener.
pub trait Accept: Send {
    /// Accepts the next stream. Returns it with the address of its peer. Dropping the future loses
    /// nothing.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxedStream, SocketAddr)>>;

    /// The bound address, with the actual port if port 0 was requested.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A listener of any network.
pub type BoxedListener = Box<dyn Accept>;

/// Opens streams and listeners.
pub trait Network: Send + Sync {
    /// Opens a stream to `addr` (`host:port`), from the address `local` if it is given. It sets no
    /// time limit: the dialler drops the future.
    fn connect<'a>(
        &'a self,
        local: Option<IpAddr>,
        addr: &'a str,
    ) -> BoxFuture<'a, io::Result<BoxedStream>>;

    /// Listens on `addr` (`host:port`; port 0: any).
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<BoxedListener>>;
}

/// The real network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Network for Tcp {
    fn connect<'a>(
        &'a self,
        local: Option<IpAddr>,
        addr: &'a str,
    ) -> BoxFuture<'a, io::Result<BoxedStream>> {
        Box::pin(async move {
            let local = local.filter(|ip| !ip.is_unspecified());
            let family =
                |target: &SocketAddr| local.is_none_or(|local| local.is_ipv4() == target.is_ipv4());
            // All concurrently: one unreachable address must not use up the time of the others.
            let mut dials: FuturesUnordered<_> = lookup_host(addr)
                .await?
                .filter(family)
                .take(ADDRESSES_MAX)
                .map(|target| dial(local, target))
                .collect();
            let mut error = io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "the name has no address of the family of this node's own",
            );
            while let Some(dialled) = dials.next().await {
                match dialled {
                    Ok(stream) => return Ok(Box::new(stream) as BoxedStream),
                    Err(failed) => error = failed,
                }
            }
            Err(error)
        })
    }

    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<BoxedListener>> {
        Box::pin(async move {
            let listener = TcpListener::bind(addr).await?;
            Ok(Box::new(Accepting(listener)) as BoxedListener)
        })
    }
}

async fn dial(local: Option<IpAddr>, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local) = local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    let stream = socket.connect(target).await?;
    tune(&stream)?;
    Ok(stream)
}

struct Accepting(TcpListener);

impl Accept for Accepting {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxedStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            tune(&stream)?;
            Ok((Box::new(stream) as BoxedStream, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Disables Nagle's algorithm, and limits the time for unacknowledged data.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_MAX_MS)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test]
    async fn outgoing_sockets_carry_the_nodes_own_address() {
        let mut listener = Tcp.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let own = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        let (dialled, accepted) = tokio::join!(Tcp.connect(Some(own), &addr), listener.accept());
        let (mut dialled, (mut accepted, from)) = (dialled.unwrap(), accepted.unwrap());
        assert_eq!(from.ip(), own);
        dialled.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        accepted.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn names_are_resolved_and_the_unspecified_address_is_no_address() {
        let mut listener = Tcp.listen("127.0.0.1:0").await.unwrap();
        let addr = format!("localhost:{}", listener.local_addr().unwrap().port());
        let any = Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let (dialled, accepted) = tokio::join!(Tcp.connect(any, &addr), listener.accept());
        assert!(dialled.is_ok() && accepted.is_ok());
    }

    #[tokio::test]
    async fn a_name_without_an_address_of_the_family_is_an_error() {
        let own = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let error = Tcp.connect(Some(own), "[::1]:1").await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_at_once() {
        let listener = Tcp.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        drop(listener);
        let begun = Instant::now();
        let refused = timeout(Duration::from_secs(5), Tcp.connect(None, &addr)).await.unwrap();
        assert_eq!(refused.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
