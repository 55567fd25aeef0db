//! Dials that fail in different ways.

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::*;
use crate::transport::network::Tcp;
use crate::transport::testing::{MemoryNetwork, TestPeer, dialer, fabric, identity};

#[tokio::test(start_paused = true)]
async fn a_black_hole_is_given_up_within_the_connect_timeout() {
    let memory = MemoryNetwork::new();
    memory.black_hole("two:1");
    let begun = Instant::now();
    let error = dialer(memory, "two:1").connect(Purpose::Control).await.unwrap_err();
    assert!(begun.elapsed() >= CONNECT_TIMEOUT);
    assert!(begun.elapsed() < CONNECT_TIMEOUT + Duration::from_millis(10));
    assert_eq!(error.to_string(), "two:1 cannot be reached: no answer within 250 ms");
}

/// Linux drops packets that do not fit into a listener's queue, as a black hole would.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_black_hole_on_loopback_is_given_up_too() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await {
        queued.push(stream.unwrap());
        assert!(queued.len() < 64, "the queue does not fill");
    }
    let begun = Instant::now();
    let dialler = dialer(Arc::new(Tcp), &addr.to_string());
    let error = dialler.connect(Purpose::Control).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() < 4 * CONNECT_TIMEOUT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_closed_port_and_a_bad_name_are_unreachable() {
    for addr in ["nobody:1", "127.0.0.1:0", "no port"] {
        let network: Arc<dyn crate::transport::Network> =
            if addr.starts_with("nobody") { MemoryNetwork::new() } else { Arc::new(Tcp) };
        let error = dialer(network, addr).connect(Purpose::Control).await.unwrap_err();
        assert!(matches!(&error, DialError::Unreachable { .. }), "{error}");
        assert!(error.to_string().starts_with(addr), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_surfaces_with_code_and_sentence() {
    let network = MemoryNetwork::new();
    let accept = |_: &Hello| Ok(identity(3));
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", accept, |_| async {}).await;
    let error = dialer(network, "two:1").connect(Purpose::Control).await.unwrap_err();
    let refused = DialError::Refused {
        addr: "two:1".to_owned(),
        code: PeerRefusalCode::ADDRESSEE,
        reason: "this is node 3, not node 2".to_owned(),
    };
    assert_eq!(error, refused);
}

#[tokio::test]
async fn each_dial_asks_anew_who_this_node_is_and_says_what_for() {
    let network = MemoryNetwork::new();
    let (heard, mut hellos) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |connection: PeerConnection| {
        let heard = heard.clone();
        async move { heard.send(connection.hello).unwrap() }
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), handler).await;
    let joined = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut dialler = dialer(network, "two:1");
    let says = joined.clone();
    dialler.identify = Arc::new(move || {
        let joined = says.load(std::sync::atomic::Ordering::Relaxed);
        PeerIdentity { cluster_id: joined.then_some(7), empty: !joined, ..identity(1) }
    });
    let purposes = [Purpose::Replication, Purpose::Control, Purpose::Snapshot, Purpose::Forward];
    for purpose in purposes {
        let connection = dialler.connect(purpose).await.unwrap();
        assert_eq!(connection.hello.identity, identity(2));
        let hello = hellos.recv().await.unwrap();
        let was_joined = joined.swap(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!((hello.purpose, hello.identity.empty), (purpose, !was_joined));
    }
}
