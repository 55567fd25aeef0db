//! A process that has a copy of the data of a member.

use std::sync::Arc;

use openraft::raft::AppendEntriesRequest;
use tokio::sync::watch;

use super::super::addresses::AnnouncedAddresses;
use super::super::network::kind;
use super::super::types::{RaftMember, Vote};
use super::super::wire;
use super::*;
use crate::transport::{
    CallError, Dialer, Hello, Listener, PeerCaller, PeerConnection, PeerFrame, PeerIdentity,
    Purpose, answer_calls, serve,
};

/// Time limit of every wait. It is sufficient for a busy machine.
const WAIT: Duration = Duration::from_secs(60);
/// The number of the process.
const BOOT: u64 = 7;

/// A process that says that it is member 3. It answers the handshake and nothing else.
struct SecondProcess {
    identity: PeerIdentity,
    /// To the node that it polls.
    dialer: Dialer,
    caller: PeerCaller,
    announcement: Bytes,
    stop: watch::Sender<bool>,
}

fn fabric() -> Fabric {
    let random = Arc::new(|bytes: &mut [u8]| rand::fill(bytes));
    Fabric { network: Arc::new(Tcp), random, secret: None }
}

impl SecondProcess {
    /// It says that it is at this address, and polls the node at the other one.
    fn new(cluster_id: u128, says: &str, polls: &str) -> Self {
        let identity = PeerIdentity {
            level: Formats::SOFTWARE.level,
            cluster_name: "test".to_owned(),
            cluster_id: Some(cluster_id),
            node: NodeId::new(3, 1),
            config_id: 3,
            software: "test".to_owned(),
            empty: false,
            boot: Some(BOOT),
        };
        let known = identity.clone();
        let dialer = Dialer {
            fabric: fabric(),
            local_ip: None,
            addr: polls.to_owned(),
            to_config_id: 1,
            node: None,
            connect_timeout: Duration::from_secs(1),
            identify: Arc::new(move || known.clone()),
        };
        let own = RaftMember { peer: says.to_owned(), http: String::new() };
        Self {
            identity,
            caller: PeerCaller::new(dialer.clone(), Purpose::Forward),
            dialer,
            announcement: AnnouncedAddresses::new(own).announcement(),
            stop: watch::channel(false).0,
        }
    }

    /// Listens.
    async fn listen(&self, address: &str) {
        let listener = Listener::bind(fabric(), address).await.unwrap();
        let known = self.identity.clone();
        let handle = |connection| async move {
            let _ended = answer_calls(connection, |_frame| async { None }).await;
        };
        let accept = move |_hello: &Hello| Ok(known.clone());
        tokio::spawn(serve(listener, accept, handle, self.stop.subscribe()));
    }

    /// Polls until the node refuses it. Returns the reason.
    async fn refused(&self) -> String {
        let refused = async {
            loop {
                match self.poll().await {
                    Err(CallError::Refused { reason, .. }) => return reason,
                    Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        tokio::time::timeout(WAIT, refused).await.expect("it is never refused")
    }

    async fn poll(&self) -> Result<Bytes, CallError> {
        let limit = Duration::from_millis(500);
        self.caller.call(kind::CLOCK, self.announcement.clone(), limit).await
    }

    /// Polls until a condition holds.
    async fn polls_until(&self, condition: impl Fn() -> bool) {
        let holds = async {
            while !condition() {
                let _answer = self.poll().await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT, holds).await.expect("the condition never held");
    }
}

/// A heartbeat of a leader that was replaced long ago. It is answered, and has no effect.
fn heartbeat() -> PeerFrame {
    let request = AppendEntriesRequest {
        vote: Vote::new(0, 0),
        prev_log_id: None,
        leader_commit: None,
        entries: Vec::new(),
    };
    PeerFrame { id: 1, kind: kind::APPEND, body: wire::append_bytes(&request) }
}

/// Sends a frame. Returns whether it is answered before the connection ends. A call that is not
/// answered stays open, so it has some time.
async fn is_answered(connection: &mut PeerConnection, frame: PeerFrame) -> bool {
    connection.sender.send(frame).await.unwrap();
    let limit = Duration::from_secs(2);
    let answer = tokio::time::timeout(limit, connection.receiver.next()).await;
    matches!(answer, Ok(Ok(Some(_))))
}

fn address_of_third(node: &TestNode) -> String {
    node.consensus.members().borrow().get(3).map(|member| member.peer.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_refused_while_the_member_runs_and_where_it_is_no_more_is_forgotten() {
    let (addresses, _, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    let cluster_id = named(nodes[0].consensus.replica()).await;
    let elsewhere = free_addresses(1).remove(0);
    let copy = SecondProcess::new(cluster_id, &elsewhere, &addresses[0]);
    copy.listen(&elsewhere).await;
    let reason = copy.refused().await;
    for part in [&*addresses[2], &*elsewhere, "Stop one of the two"] {
        assert!(reason.contains(part), "{reason}");
    }
    assert!(nodes[0].consensus.warnings().contains(&reason));
    assert_eq!(address_of_third(&nodes[0]), addresses[2]);
    // The member ends, and then the other is the only process of it.
    let gone = nodes.pop().unwrap();
    gone.consensus.stop().await;
    drop(gone);
    copy.polls_until(|| address_of_third(&nodes[0]) == elsewhere).await;
    assert!(!nodes[0].consensus.warnings().contains(&reason));
    // It ends too. What remains is what the settings say.
    copy.stop.send_replace(true);
    drop(copy);
    let back = async {
        while address_of_third(&nodes[0]) != addresses[2] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, back).await.expect("the address is never forgotten");
    for node in &nodes {
        node.consensus.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_says_that_it_is_where_the_member_runs_is_refused() {
    let (addresses, _, nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    let cluster_id = named(nodes[0].consensus.replica()).await;
    let copy = SecondProcess::new(cluster_id, &addresses[2], &addresses[0]);
    let reason = copy.refused().await;
    assert!(reason.contains(&addresses[2]), "{reason}");
    for node in &nodes {
        node.consensus.stop().await;
    }
}

/// A request that is held when its sender is refused is not answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_gets_no_answer_to_what_was_held_when_it_was_refused() {
    let (addresses, _, nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    let (asked, mut held) = watch::channel(0);
    let (release, released) = watch::channel(false);
    let asked = Arc::new(asked);
    nodes[0].consensus.serve(Arc::new(move |_, _, body| {
        let (asked, mut released) = (Arc::clone(&asked), released.clone());
        Box::pin(async move {
            asked.send_modify(|count| *count += 1);
            let _ended = released.wait_for(|released| *released).await;
            Some(body)
        })
    }));
    let cluster_id = named(nodes[0].consensus.replica()).await;
    let copy = SecondProcess::new(cluster_id, &addresses[2], &addresses[0]);
    let mut open = Vec::new();
    for purpose in [Purpose::Watch, Purpose::Forward] {
        let connection = copy.dialer.connect(purpose).await.unwrap();
        let body = Bytes::from_static(b"x");
        connection.sender.send(PeerFrame { id: 1, kind: kind::SERVICE, body }).await.unwrap();
        open.push((purpose, connection));
    }
    held.wait_for(|count| *count == 2).await.unwrap();
    copy.refused().await;
    release.send_replace(true);
    for (purpose, mut connection) in open {
        let limit = Duration::from_secs(2);
        let answer = tokio::time::timeout(limit, connection.receiver.next()).await;
        assert!(!matches!(answer, Ok(Ok(Some(_)))), "{purpose:?}");
    }
    for node in &nodes {
        node.consensus.stop().await;
    }
}

/// A connection that was opened before the refusal is of no more use than a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_refused_on_its_open_connections_too() {
    let (addresses, _, nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    nodes[0].consensus.serve(Arc::new(|_, _, body| Box::pin(async { Some(body) })));
    let cluster_id = named(nodes[0].consensus.replica()).await;
    let copy = SecondProcess::new(cluster_id, &addresses[2], &addresses[0]);
    let held = || PeerFrame { id: 1, kind: kind::SERVICE, body: Bytes::from_static(b"x") };
    let mut open = Vec::new();
    for (purpose, frame) in [(Purpose::Replication, heartbeat()), (Purpose::Watch, held())] {
        let mut before = copy.dialer.connect(purpose).await.unwrap();
        assert!(is_answered(&mut before, frame.clone()).await, "{purpose:?} before it is refused");
        open.push((purpose, frame, copy.dialer.connect(purpose).await.unwrap()));
    }
    copy.refused().await;
    for (purpose, frame, mut connection) in open {
        assert!(!is_answered(&mut connection, frame).await, "{purpose:?}");
    }
    for node in &nodes {
        node.consensus.stop().await;
    }
}
