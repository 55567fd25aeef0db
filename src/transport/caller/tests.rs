//! Calls to a node that answers, is slow, stops, or restarts.

use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::*;
use crate::transport::network::Tcp;
use crate::transport::testing::{
    COUNTED, ECHO, MemoryNetwork, SILENCE, TestPeer, dialer, fabric, identity,
};
use crate::transport::{Hello, PeerIdentity, PeerRefusal};

const LIMIT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(300);

fn caller(network: &Arc<MemoryNetwork>) -> PeerCaller {
    PeerCaller::new(dialer(network.clone(), "two:1"), Purpose::Forward)
}

async fn echo(caller: &PeerCaller, text: &'static str) -> Result<Bytes, CallError> {
    caller.call(ECHO, Bytes::from_static(text.as_bytes()), LIMIT).await
}

/// Waits for a condition. The test fails at its time limit.
async fn until(mut condition: impl FnMut() -> bool) {
    timeout(Duration::from_secs(10), async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the condition never came");
}

#[tokio::test]
async fn calls_are_answered_and_share_one_dial() {
    let network = MemoryNetwork::new();
    let _node = TestPeer::start(network.clone(), "two:1").await;
    let caller = caller(&network);
    let calls = (0..1000_u32).map(|number| {
        let body = Bytes::copy_from_slice(&number.to_be_bytes());
        let caller = caller.clone();
        async move { assert_eq!(caller.call(ECHO, body.clone(), LIMIT).await, Ok(body)) }
    });
    join_all(calls).await;
    assert_eq!(network.dials(), 1);
}

/// A connection must not end or stall with the runtime of one of its callers.
#[test]
fn a_connection_lives_on_the_runtime_of_its_caller() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (home, other) = (runtime(), runtime());
    let network = MemoryNetwork::new();
    let (node, caller) = home
        .block_on(async { (TestPeer::start(network.clone(), "two:1").await, caller(&network)) });
    assert_eq!(other.block_on(echo(&caller, "a")).unwrap(), "a");
    drop(other);
    assert_eq!(home.block_on(echo(&caller, "b")).unwrap(), "b");
    assert_eq!(network.dials(), 1);
    // Nothing is dialled on a runtime that has ended, and the call does not wait.
    drop((node, home));
    let gone = runtime().block_on(echo(&caller, "c"));
    assert!(matches!(gone, Err(CallError::NotSent(_) | CallError::Unknown(_))), "{gone:?}");
    let gone = runtime().block_on(echo(&caller, "d"));
    assert!(matches!(gone, Err(CallError::NotSent(_))), "{gone:?}");
    assert_eq!(network.dials(), 1);
}

#[tokio::test]
async fn notices_arrive_without_answer() {
    let network = MemoryNetwork::new();
    let node = TestPeer::start(network.clone(), "two:1").await;
    let caller = caller(&network);
    for _ in 0..10 {
        caller.notify(COUNTED, Bytes::new()).await.unwrap();
    }
    caller.notify(ECHO, Bytes::from_static(b"nobody waits for this")).await.unwrap();
    assert_eq!(echo(&caller, "a").await.unwrap(), "a");
    until(|| node.counted.load(Ordering::Relaxed) == 10).await;
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_times_out_takes_the_connection_with_it() {
    let network = MemoryNetwork::new();
    let _node = TestPeer::start(network.clone(), "two:1").await;
    let caller = caller(&network);
    assert_eq!(echo(&caller, "a").await.unwrap(), "a");
    let begun = Instant::now();
    let slow = caller.call(SILENCE, Bytes::new(), SHORT);
    let other = caller.call(SILENCE, Bytes::new(), LIMIT);
    let reason = "no answer within 300 ms".to_owned();
    let (slow, other) = tokio::join!(slow, other);
    assert_eq!(slow, Err(CallError::Unknown(reason.clone())));
    assert_eq!(other, Err(CallError::Unknown(reason)), "another call on the same connection");
    assert_eq!(begun.elapsed().as_millis() / 10, 30);
    // It had answered before, so it is dialled again without a delay.
    assert_eq!(echo(&caller, "b").await.unwrap(), "b");
    assert_eq!(network.dials(), 2);
    assert_eq!(begun.elapsed().as_millis() / 10, 30);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_nobodys() {
    // Answers arrive in reverse order, and one belongs to a call that was dropped.
    let network = MemoryNetwork::new();
    let handler = |connection: PeerConnection| async move {
        let (sender, mut receiver) = connection.split();
        let mut asked = Vec::new();
        while asked.len() < 3 {
            asked.push(receiver.next().await.unwrap().unwrap());
        }
        for frame in asked.into_iter().rev() {
            sender.send(frame).await.unwrap();
        }
        let _ = receiver.next().await;
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), handler).await;
    let caller = caller(&network);
    let dropped = timeout(SHORT, echo(&caller, "dropped")).await;
    assert!(dropped.is_err(), "there is no answer before the third call");
    let (second, third) = tokio::join!(echo(&caller, "second"), echo(&caller, "third"));
    assert_eq!((second.unwrap(), third.unwrap()), ("second".into(), "third".into()));
    assert_eq!(network.dials(), 1, "a dropped call keeps the connection");
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_fails_within_the_connect_timeout_and_then_at_once() {
    let network = MemoryNetwork::new();
    let _node = TestPeer::start(network.clone(), "two:1").await;
    network.black_hole("two:1");
    let caller = caller(&network);
    let begun = Instant::now();
    let reason = "two:1 cannot be reached: no answer within 250 ms".to_owned();
    let calls = (0..10).map(|_| echo(&caller, "a"));
    for answer in join_all(calls).await {
        assert_eq!(answer, Err(CallError::NoConnection(reason.clone())));
    }
    assert_eq!(begun.elapsed().as_millis() / 10, 25);
    assert_eq!(network.dials(), 1);
    assert_eq!(echo(&caller, "b").await, Err(CallError::NoConnection(reason)));
    assert_eq!(begun.elapsed().as_millis() / 10, 25, "calls between two dials fail immediately");
    assert_eq!(network.dials(), 1);

    network.heal();
    sleep(BACKOFF_MIN).await;
    assert_eq!(echo(&caller, "c").await.unwrap(), "c");
}

#[tokio::test(start_paused = true)]
async fn a_call_shorter_than_the_dial_leaves_the_dial_to_the_others() {
    let network = MemoryNetwork::new();
    network.black_hole("two:1");
    let caller = caller(&network);
    let short = Duration::from_millis(100);
    let first = caller.call(ECHO, Bytes::new(), short).await;
    let reason = "two:1 has not answered the dial yet".to_owned();
    assert_eq!(first, Err(CallError::NoConnection(reason)));
    assert!(matches!(echo(&caller, "a").await, Err(CallError::NoConnection(_))));
    assert_eq!(network.dials(), 1, "the second call waited for the first one's dial");
}

#[tokio::test(start_paused = true)]
async fn dials_become_rarer_up_to_a_second() {
    let network = MemoryNetwork::new();
    let caller = caller(&network);
    let mut dials = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        assert!(matches!(echo(&caller, "a").await, Err(CallError::NoConnection(_))));
        if network.dials() > dials.len() {
            dials.push(begun.elapsed());
        }
        sleep(Duration::from_millis(1)).await;
    }
    let waits: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let slack = Duration::from_millis(3);
    assert!(waits[0] >= BACKOFF_MIN / 2 && waits[0] <= BACKOFF_MIN + slack, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= BACKOFF_MAX + slack), "{waits:?}");
    assert!(waits[6..].iter().all(|wait| *wait >= BACKOFF_MAX / 2), "{waits:?}");
    assert!(waits[6..].windows(2).any(|pair| pair[0] != pair[1]), "no jitter: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_lets_in_and_never_answers_is_not_dialled_in_a_loop() {
    let network = MemoryNetwork::new();
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), |_| async {}).await;
    let caller = caller(&network);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        assert!(echo(&caller, "a").await.is_err());
        sleep(Duration::from_millis(1)).await;
    }
    assert!(network.dials() < 30, "{} dials in 10 s", network.dials());
}

#[tokio::test]
async fn a_refusal_is_told_to_every_caller() {
    let network = MemoryNetwork::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let accept = move |_: &Hello| -> Result<PeerIdentity, PeerRefusal> {
        count.fetch_add(1, Ordering::Relaxed);
        Err(PeerRefusal::new(PeerRefusalCode(100), "removed"))
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", accept, |_| async {}).await;
    let caller = caller(&network);
    let refused = CallError::Refused { code: PeerRefusalCode(100), reason: "removed".to_owned() };
    assert_eq!(echo(&caller, "a").await, Err(refused.clone()));
    assert_eq!(echo(&caller, "b").await, Err(refused.clone()));
    assert_eq!(caller.notify(ECHO, Bytes::new()).await, Err(refused));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_that_stops_leaves_calls_unknown_and_is_found_again() {
    let network: Arc<dyn crate::transport::Network> = Arc::new(Tcp);
    let node = TestPeer::start(network.clone(), "127.0.0.1:0").await;
    let addr = node.addr.clone();
    let caller = PeerCaller::new(dialer(network.clone(), &addr), Purpose::Forward);
    assert_eq!(echo(&caller, "a").await.unwrap(), "a");

    let waiting = tokio::spawn({
        let caller = caller.clone();
        async move { caller.call(SILENCE, Bytes::new(), LIMIT).await }
    });
    // The first call is sent before the answer to this later one arrives.
    tokio::task::yield_now().await;
    assert_eq!(echo(&caller, "b").await.unwrap(), "b");
    node.stop().await;
    let unknown = waiting.await.unwrap();
    assert!(matches!(unknown, Err(CallError::Unknown(_))), "{unknown:?}");
    until_not_sent(&caller).await;

    let _node = TestPeer::start(network, &addr).await;
    let begun = Instant::now();
    while let Err(error) = echo(&caller, "c").await {
        assert!(matches!(error, CallError::NoConnection(_) | CallError::NotSent(_)), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "the server was never reached again");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until calls fail as not sent. The end of a connection is detected after a short time.
async fn until_not_sent(caller: &PeerCaller) {
    for _ in 0..100 {
        match echo(caller, "gone").await {
            Err(CallError::NoConnection(_) | CallError::NotSent(_)) => return,
            Err(CallError::Unknown(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the connection to a stopped server stays open");
}

#[tokio::test]
async fn what_can_never_be_sent_leaves_the_connection_alone() {
    let network = MemoryNetwork::new();
    let _node = TestPeer::start(network.clone(), "two:1").await;
    let caller = caller(&network);
    let long = Bytes::from(vec![0; crate::transport::frame::BODY_MAX + 1]);
    assert!(matches!(caller.call(ECHO, long, LIMIT).await, Err(CallError::NotSent(_))));
    assert!(matches!(caller.notify(0, Bytes::new()).await, Err(CallError::NotSent(_))));
    assert_eq!(echo(&caller, "a").await.unwrap(), "a");
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_bytes_is_dropped_and_the_call_was_not_sent() {
    let network = MemoryNetwork::new();
    let handler = |connection: PeerConnection| async move {
        let _held = connection;
        std::future::pending::<()>().await;
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), handler).await;
    let caller = caller(&network);
    let body = Bytes::from(vec![0; 7 << 20]);
    caller.notify(COUNTED, body.clone()).await.unwrap();
    let stalled = caller.call(ECHO, body, SHORT).await;
    let reason = "the peer takes no bytes for 300 ms".to_owned();
    assert_eq!(stalled, Err(CallError::NotSent(reason)));
}

#[tokio::test]
async fn dropping_the_caller_ends_the_connection() {
    let network = MemoryNetwork::new();
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |connection: PeerConnection| {
        let ended = ended.clone();
        async move {
            let mut connection = connection;
            while let Ok(Some(_)) = connection.receiver.next().await {}
            ended.send(()).unwrap();
        }
    };
    let fabric = fabric(network.clone(), None);
    let _node = TestPeer::start_with(fabric, "two:1", |_| Ok(identity(2)), handler).await;
    let caller = caller(&network);
    caller.notify(COUNTED, Bytes::new()).await.unwrap();
    drop(caller);
    timeout(LIMIT, ends.recv()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_only_carried_notices_is_dialled_again_without_a_wait() {
    let network = MemoryNetwork::new();
    let caller = caller(&network);
    for turn in 1..=10 {
        let node = TestPeer::start(network.clone(), "two:1").await;
        caller.notify(COUNTED, Bytes::new()).await.unwrap();
        until(|| node.counted.load(Ordering::Relaxed) == 1).await;
        sleep(2 * BACKOFF_MAX).await;
        node.stop().await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(network.dials(), turn);
    }
}
