//! Slow connections delay an attempt and do not fail it.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use super::http::{read_head, request, serve, to};
use super::*;
use crate::exec::http;

/// A listener whose queue is full, so that the first packet of the next connection is lost.
pub(crate) fn full() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&socket, 0).unwrap();
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let wait = Duration::from_millis(100);
    let fillers = std::iter::from_fn(|| std::net::TcpStream::connect_timeout(&address, wait).ok());
    let fillers = fillers.collect();
    (listener, fillers)
}

/// The same attempt with a new grant.
fn granted_again(attempt: &GrantedAttempt) -> GrantedAttempt {
    let start_by = BootInstant::now().plus(Millis(10_000));
    GrantedAttempt { fence: Fence(attempt.fence.0 + 1), start_by, ..attempt.clone() }
}

#[tokio::test]
async fn a_lost_packet_costs_a_grant_and_no_more() {
    let (listener, fillers) = full();
    let address = listener.local_addr().unwrap();
    let bench = TestExec::new();
    let soon = GrantedAttempt { start_by: BootInstant::now().plus(Millis(100)), ..attempt() };
    let first = bench.start(to(address, "/"), soon.clone());
    until("the time to start is over", || BootInstant::now() > soon.start_by).await;
    // There is room again. The system resends the lost packet some seconds after the first.
    drop(fillers);
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let (requests, mut seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _from)) = listener.accept().await {
            let requests = requests.clone();
            tokio::spawn(async move {
                let head = read_head(&mut stream).await;
                if head.is_empty() {
                    return;
                }
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                requests.send(String::from_utf8(head).unwrap()).unwrap();
            });
        }
    });
    let outcome = first.ended().await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::NotStarted, None), "{outcome:?}");
    assert!(seen.try_recv().is_err(), "a request was sent without a valid grant");

    // The connection is already open, so this attempt starts immediately.
    let again = granted_again(&soon);
    let outcome = bench.run(&to(address, "/"), &again).await;
    assert_eq!(
        (outcome.status, outcome.http_status),
        (AttemptStatus::Success, Some(204)),
        "{outcome:?}"
    );
    let head = seen.recv().await.unwrap();
    assert!(head.contains(&format!("punctual-fence: {}\r\n", again.fence)), "{head}");
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_slow_handshake_costs_a_grant_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (go, gone) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let (stream, _from) = listener.accept().await.unwrap();
        gone.await.unwrap();
        let mut stream = tls_server().accept(stream).await.unwrap();
        let head = read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        // Only one connection is accepted.
        (String::from_utf8(head).unwrap(), listener)
    });
    let bench = TestExec::new();
    assert!(bench.exec.http.connector.tls.set(tls_client()).is_ok());
    let mut action = request(SocketAddr::from(([127, 0, 0, 1], port)), "POST", "/");
    action.url = format!("https://localhost:{port}/");
    let action = Action::Http(action);
    let soon = GrantedAttempt { start_by: BootInstant::now().plus(Millis(50)), ..attempt() };
    let first = bench.start(action.clone(), soon.clone());
    until("the time to start is over", || BootInstant::now() > soon.start_by).await;
    go.send(()).unwrap();
    assert_eq!(first.ended().await.status, AttemptStatus::NotStarted);
    let outcome = bench.run(&action, &granted_again(&soon)).await;
    assert_eq!((outcome.status, outcome.tail.as_slice()), (AttemptStatus::Success, &b"ok"[..]));
    assert!(server.await.unwrap().0.starts_with("POST / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_held_connection_that_was_closed_is_made_anew() {
    let (address, seen) = serve().await;
    let bench = TestExec::new();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", gone.local_addr().unwrap())).unwrap();
    let mut closed = bench.exec.http.connector.connect(&url).await.unwrap();
    let (server, _from) = gone.accept().await.unwrap();
    assert!(closed.is_quiet());
    drop(server);
    until("the connection was closed", || !closed.is_quiet()).await;
    let attempt = attempt();
    let ready = PreparedAttempt { connection: Some(closed), ..PreparedAttempt::default() };
    bench.exec.held.keep((attempt.execution, attempt.attempt), ready);
    let outcome = bench.run(&to(address, "/ok"), &attempt).await;
    assert_eq!(outcome.status, AttemptStatus::Success, "{outcome:?}");
    assert_eq!(seen.lock().len(), 1);
}

/// A further grant of an attempt may be for another executor.
#[tokio::test]
async fn a_held_connection_to_another_server_is_not_used() {
    let (address, seen) = serve().await;
    let bench = TestExec::new();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", other.local_addr().unwrap())).unwrap();
    let mut held = bench.exec.http.connector.connect(&url).await.unwrap();
    let (mut server, _from) = other.accept().await.unwrap();
    assert!(held.is_quiet());
    let attempt = attempt();
    let ready = PreparedAttempt { connection: Some(held), ..PreparedAttempt::default() };
    bench.exec.held.keep((attempt.execution, attempt.attempt), ready);
    let outcome = bench.run(&to(address, "/ok"), &attempt).await;
    assert_eq!(outcome.status, AttemptStatus::Success, "{outcome:?}");
    assert_eq!(seen.lock().len(), 1);
    assert!(read_head(&mut server).await.is_empty(), "the other server got the request");
}

#[tokio::test]
async fn the_length_of_the_content_is_always_said() {
    let (address, seen) = serve().await;
    let bench = TestExec::new();
    for (method, body, length) in [
        ("POST", Some(""), Some("0")),
        ("PUT", Some(""), Some("0")),
        ("PATCH", Some(""), Some("0")),
        ("DELETE", Some(""), Some("0")),
        ("POST", Some("abc"), Some("3")),
        ("GET", Some("abc"), Some("3")),
        ("GET", None, None),
        ("GET", Some(""), None),
        ("HEAD", None, None),
    ] {
        let mut action = request(address, method, "/ok");
        action.body = body.map(str::to_owned);
        let outcome = bench.run(&Action::Http(action), &attempt()).await;
        assert_eq!(outcome.status, AttemptStatus::Success, "{method}: {outcome:?}");
        let (_line, headers, sent) = seen.lock().pop().unwrap();
        let said = headers.get("content-length").map(|length| length.to_str().unwrap());
        assert_eq!(said, length, "{method} {body:?}");
        assert_eq!(sent, body.unwrap_or("").as_bytes());
        assert!(!headers.contains_key("transfer-encoding"));
    }
}

#[tokio::test]
async fn a_second_address_is_tried_beside_one_that_does_not_answer() {
    let (address, _seen) = serve().await;
    // 127.0.0.2 refuses immediately, and the other address of the name answers.
    let dead = SocketAddr::from(([127, 0, 0, 2], address.port()));
    let (listener, _fillers) = full();
    let silent = listener.local_addr().unwrap();
    for first in [dead, silent] {
        let reached = http::reach(vec![first, address]).await.unwrap();
        assert_eq!(reached.peer_addr().unwrap(), address);
    }
    assert!(http::reach(vec![dead]).await.unwrap_err().to_string().contains("refused"));
}

/// A self-signed certificate for `localhost`, with its key. It was made for these tests.
const LOCALHOST: &[u8] = include_bytes!("localhost.pem");

fn tls_server() -> tokio_rustls::TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(LOCALHOST).unwrap();
    let key = PrivateKeyDer::from_pem_slice(LOCALHOST).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config).into()
}

fn tls_client() -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(LOCALHOST).unwrap()).unwrap();
    http::tls_with(roots).unwrap()
}
