//! Makes the connection of one request: looks up and checks the host, connects to one of its
//! addresses, and starts TLS if the URL asks for it. No byte of the request is sent here.
//!
//! Names are looked up once, here, and only addresses that the guard allows are connected to. A
//! connection is not shared between requests. No proxy is used, because it would bypass the guard.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};
use url::{Origin, Url};

use super::guard::{AddressError, AddressGuard, bare};
use crate::exec::shortage::is_shortage;

/// An address that has not answered by then gets company by the next one.
const NEXT_ADDRESS: Duration = Duration::from_millis(300);
/// A peer that is gone without a word is noticed after four of these.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// A stream of bytes.
trait HttpStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> HttpStream for S {}

/// A connection on which nothing of a request was sent yet.
pub(in crate::exec) struct HttpConnection {
    stream: Box<dyn HttpStream>,
    /// The scheme, host and port that it leads to.
    origin: Origin,
}

/// The reason why there is no connection.
#[derive(Debug)]
pub(in crate::exec) enum ConnectError {
    /// A known failure, as a sentence.
    Failed(String),
    /// See [`crate::exec::shortage`].
    Short,
}

impl HttpConnection {
    /// Whether a request to this URL may use it. A further grant of an attempt may be for another
    /// executor.
    pub(in crate::exec) fn leads_to(&self, url: &Url) -> bool {
        self.origin == url.origin()
    }

    /// Whether the other end still waits for the request; what it closed or spoke on is of no use.
    pub(in crate::exec) fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut room = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut context, &mut room).is_pending()
    }

    /// The stream itself.
    pub(super) fn into_stream(self) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static {
        self.stream
    }
}

/// Makes connections.
pub(in crate::exec) struct HttpConnector {
    pub(super) guard: AddressGuard,
    /// Made when it is first needed: reading the machine's certificates takes its time.
    pub(in crate::exec) tls: OnceCell<TlsConnector>,
}

impl HttpConnector {
    pub(super) fn new(guard: AddressGuard) -> Self {
        Self { guard, tls: OnceCell::new() }
    }

    /// Connects to the host of a URL, without a time limit of its own.
    pub(in crate::exec) async fn connect(&self, url: &Url) -> Result<HttpConnection, ConnectError> {
        let failed = |why: &str| ConnectError::Failed(why.to_owned());
        let host = url.host_str().ok_or_else(|| failed("the URL has no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| failed("the URL has no port"))?;
        let addresses =
            self.guard.addresses(host, port).await.map_err(|no_address| match no_address {
                AddressError::Refused(why) | AddressError::Unknown(why) => {
                    ConnectError::Failed(why)
                }
                AddressError::Short => ConnectError::Short,
            })?;
        let stream = reach(addresses).await.map_err(|error| not_connected(&error))?;
        if url.scheme() == "http" {
            return Ok(HttpConnection { stream: Box::new(stream), origin: url.origin() });
        }
        let name = ServerName::try_from(bare(host).to_owned())
            .map_err(|_error| failed("the URL's host is no name that TLS knows"))?;
        let tls = self.tls.get_or_try_init(|| async {
            let made = tokio::task::spawn_blocking(make_tls).await;
            made.map_err(|error| error.to_string())?
        });
        let tls = tls.await.map_err(ConnectError::Failed)?;
        let stream = tls.connect(name, stream).await.map_err(|error| not_connected(&error))?;
        Ok(HttpConnection { stream: Box::new(stream), origin: url.origin() })
    }
}

fn not_connected(error: &io::Error) -> ConnectError {
    if is_shortage(error) {
        return ConnectError::Short;
    }
    ConnectError::Failed(format!("not connected: {error}"))
}

/// Connects to the first address that answers. They are tried in turn, each beside those before
/// it: an address that does not answer takes the time of none that would.
pub(in crate::exec) async fn reach(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut rest = addresses.into_iter();
    let mut tries = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(address) = rest.next() {
            tries.push(TcpStream::connect(address));
        }
        let more = rest.len() > 0;
        tokio::select! {
            tried = tries.next() => match tried {
                Some(Ok(stream)) => return prepare(stream),
                Some(Err(error)) => last = error,
                None if more => {}
                None => return Err(last),
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if more => {}
        }
    }
}

fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    // A request may wait for its answer for hours; that its server is gone must show.
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
    Ok(stream)
}

/// TLS that trusts the machine's certificate authorities.
fn make_tls() -> Result<TlsConnector, String> {
    let mut roots = rustls::RootCertStore::empty();
    // None at all: https then fails and says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    tls_with(roots)
}

/// TLS that trusts these certificates.
pub(in crate::exec) fn tls_with(roots: rustls::RootCertStore) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
