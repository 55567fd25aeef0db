//! The listening side: its limits, its errors, its end.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join_all, pending};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use super::*;
use crate::transport::link::DialError;
use crate::transport::network::{Network, Tcp};
use crate::transport::testing::{ECHO, MemoryNetwork, TestPeer, dialer, fabric, identity};
use crate::transport::{PeerCaller, Purpose};

const LIMIT: Duration = Duration::from_secs(10);

async fn hold(connection: PeerConnection) {
    let _held = connection;
    pending::<()>().await;
}

#[tokio::test]
async fn a_port_in_use_and_a_foreign_address_are_named() {
    let tcp = || fabric(Arc::new(Tcp), None);
    let first = Listener::bind(tcp(), "127.0.0.1:0").await.unwrap();
    let addr = first.local_addr().unwrap().to_string();
    let error = Listener::bind(tcp(), &addr).await.err().unwrap();
    assert!(matches!(error, ListenError::InUse(_)), "{error}");
    assert!(error.to_string().starts_with(&format!("peer address {addr} is in use")));

    let error = Listener::bind(tcp(), "192.0.2.1:0").await.err().unwrap();
    assert_eq!(error.to_string(), "peer address 192.0.2.1:0 is not an address of this machine");
    let error = Listener::bind(tcp(), "no port").await.err().unwrap();
    assert!(error.to_string().starts_with("peer address no port cannot be listened on: "));
}

#[tokio::test]
async fn stopping_ends_the_connections_and_frees_the_port() {
    let network: Arc<dyn Network> = Arc::new(Tcp);
    let start = |addr: String| {
        let fabric = fabric(network.clone(), None);
        async move { TestPeer::start_with(fabric, &addr, |_| Ok(identity(2)), hold).await }
    };
    let node = start("127.0.0.1:0".to_owned()).await;
    let addr = node.addr.clone();
    let dialler = dialer(network.clone(), &addr);
    let mut connection = dialler.connect(Purpose::Control).await.unwrap();
    timeout(LIMIT, node.stop()).await.unwrap();
    let ended = timeout(LIMIT, connection.receiver.next()).await.unwrap();
    assert!(!matches!(ended, Ok(Some(_))));
    assert!(matches!(dialler.connect(Purpose::Control).await, Err(DialError::Unreachable { .. })));

    let _again = start(addr).await;
    assert!(dialler.connect(Purpose::Control).await.is_ok());
}

#[tokio::test]
async fn one_connection_too_many_is_refused_until_one_ends() {
    let network = MemoryNetwork::new();
    let handler = |connection: PeerConnection| async move {
        let mut connection = connection;
        while let Ok(Some(_)) = connection.receiver.next().await {}
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), handler).await;
    let dialler = dialer(network, "two:1");
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        connections.push(dialler.connect(Purpose::Control).await.unwrap());
    }
    let error = dialler.connect(Purpose::Control).await.unwrap_err();
    let reason = "this node has 256 peer connections";
    assert!(matches!(
        &error,
        DialError::Refused { code: PeerRefusalCode::BUSY, reason: told, .. } if told == reason
    ));
    connections.clear();
    let begun = Instant::now();
    while let Err(error) = dialler.connect(Purpose::Control).await {
        assert!(begun.elapsed() < LIMIT, "no place became free: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_who_say_nothing_keep_nobody_out() {
    let network = MemoryNetwork::new();
    let _node = TestPeer::start(network.clone(), "two:1").await;
    let mut strangers = Vec::new();
    for _ in 0..HANDSHAKES_MAX * 3 {
        strangers.push(network.connect(None, "two:1").await.unwrap());
    }
    let dialler = dialer(network, "two:1");
    let begun = Instant::now();
    let connected = dialler.connect(Purpose::Control).await;
    assert!(connected.is_ok(), "{connected:?}");
    // In virtual time, which passes only where somebody waits for a timer.
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // The first of them has given way, the last has not.
    let mut byte = [0];
    assert_eq!(strangers[0].read(&mut byte).await.unwrap(), 0);
    let last = strangers.last_mut().unwrap();
    assert!(timeout(Duration::from_millis(500), last.read(&mut byte)).await.is_err());
    assert_eq!(last.read(&mut byte).await.unwrap(), 0, "its own second is over");
}

#[tokio::test]
async fn a_handler_that_panics_takes_only_its_own_connection() {
    let network = MemoryNetwork::new();
    let handler = |connection: PeerConnection| async move {
        assert_ne!(connection.hello.purpose, Purpose::Snapshot, "a fault of the layer above");
        let _ = answer_calls(connection, |frame| async move { Some(frame.body) }).await;
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), handler).await;
    let dialler = dialer(network, "two:1");
    let mut doomed = dialler.connect(Purpose::Snapshot).await.unwrap();
    assert!(!matches!(timeout(LIMIT, doomed.receiver.next()).await.unwrap(), Ok(Some(_))));
    let caller = PeerCaller::new(dialler, Purpose::Forward);
    assert_eq!(caller.call(ECHO, Bytes::from("a"), LIMIT).await.unwrap(), "a");
}

#[tokio::test]
async fn calls_are_answered_side_by_side_within_a_bound() {
    let network = MemoryNetwork::new();
    let (open_gate, gate) = watch::channel(false);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let handler = move |connection: PeerConnection| {
        let (gate, now, most) = (gate.clone(), now.clone(), most.clone());
        async move {
            let _ = answer_calls(connection, |frame| {
                let (mut gate, now, most) = (gate.clone(), now.clone(), most.clone());
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    gate.wait_for(|open| *open).await.unwrap();
                    now.fetch_sub(1, Ordering::Relaxed);
                    Some(frame.body)
                }
            })
            .await;
        }
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), handler).await;
    let caller = PeerCaller::new(dialer(network, "two:1"), Purpose::Forward);
    let calls = (0..500_u32).map(|number| {
        let body = Bytes::copy_from_slice(&number.to_be_bytes());
        let caller = caller.clone();
        async move { assert_eq!(caller.call(ECHO, body.clone(), LIMIT).await, Ok(body)) }
    });
    let opening = async {
        let begun = Instant::now();
        while seen.load(Ordering::Relaxed) < CALLS_MAX {
            assert!(begun.elapsed() < LIMIT, "only {} at once", seen.load(Ordering::Relaxed));
            tokio::task::yield_now().await;
        }
        open_gate.send_replace(true);
    };
    tokio::join!(join_all(calls), opening);
    assert_eq!(seen.load(Ordering::Relaxed), CALLS_MAX);
}

#[tokio::test]
async fn the_end_of_a_peer_drops_the_calls_it_waited_for() {
    let network = MemoryNetwork::new();
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |connection: PeerConnection| {
        let ended = ended.clone();
        async move {
            let outcome = answer_calls(connection, |_| pending()).await;
            ended.send(outcome).unwrap();
        }
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), handler).await;
    let connection = dialer(network, "two:1").connect(Purpose::Forward).await.unwrap();
    let question = PeerFrame { id: 1, kind: ECHO, body: Bytes::new() };
    connection.sender.send(question).await.unwrap();
    drop(connection);
    assert!(timeout(LIMIT, ends.recv()).await.unwrap().unwrap().is_ok());
}

/// A call that nobody waits for any more is dropped where it is held.
#[tokio::test]
async fn a_held_call_is_given_up_with_its_caller() {
    let network = MemoryNetwork::new();
    let held = Arc::new(AtomicUsize::new(0));
    let counted = held.clone();
    let handler = move |connection: PeerConnection| {
        let held = counted.clone();
        async move {
            let _ = answer_held(connection, |frame| {
                let place = HeldPlace::take(&held);
                async move {
                    if frame.kind != ECHO {
                        pending::<()>().await;
                    }
                    drop(place);
                    Some(frame.body)
                }
            })
            .await;
        }
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), handler).await;
    let caller = PeerCaller::new(dialer(network, "two:1"), Purpose::Watch);
    let count = |wanted: usize| {
        let held = held.clone();
        async move {
            while held.load(Ordering::Relaxed) != wanted {
                tokio::task::yield_now().await;
            }
        }
    };
    // More than are answered at the same time on other connections.
    let calls: Vec<_> = (0..CALLS_MAX + 10)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.hold(ECHO + 1, Bytes::new(), LIMIT).await })
        })
        .collect();
    timeout(LIMIT, count(CALLS_MAX + 10)).await.unwrap();
    for call in &calls {
        call.abort();
    }
    timeout(LIMIT, count(0)).await.unwrap();
    // The connection goes on.
    let body = Bytes::from_static(b"still there");
    assert_eq!(caller.hold(ECHO, body.clone(), LIMIT).await, Ok(body));
}

/// Counts itself.
struct HeldPlace(Arc<AtomicUsize>);

impl HeldPlace {
    fn take(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
