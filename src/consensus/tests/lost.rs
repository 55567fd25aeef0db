//! A member whose log ends before an entry that it acknowledged.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;

use super::members::until_replaced;
use super::*;
use crate::storage::LogStore;
use crate::transport::Network;
use crate::transport::network::{BoxedListener, BoxedStream};

/// A network in which a node can be reached, but cannot connect until the gate opens.
struct GatedNetwork(Arc<AtomicBool>);

impl Network for GatedNetwork {
    fn connect<'a>(
        &'a self,
        local: Option<IpAddr>,
        addr: &'a str,
    ) -> BoxFuture<'a, std::io::Result<BoxedStream>> {
        if self.0.load(Ordering::Relaxed) {
            return Tcp.connect(local, addr);
        }
        Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) })
    }

    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, std::io::Result<BoxedListener>> {
        Tcp.listen(addr)
    }
}

/// Stops the last node. Returns its disk without the end of its log, the end of that log, and the
/// end of the original log.
async fn lose_the_end(disk: &TestDisk, nodes: &mut Vec<TestNode>) -> (TestDisk, u64, u64) {
    let mut last = 0;
    for number in 0..20 {
        last = submit(&nodes[0], add(&format!("task-{number}"))).await.0;
    }
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
    let follower = nodes.pop().unwrap();
    follower.consensus.stop().await;
    drop(follower);
    // The leader knows the entries that it had acknowledged.
    let (ends, log) = (last - 5, disk.log.open());
    let shorter = TestDisk { identity: Arc::clone(&disk.identity), ..TestDisk::new() };
    let copy = shorter.log.open();
    copy.save_vote(log.state().vote.unwrap(), Box::new(Result::unwrap));
    copy.append(log.read(0, ends + 1, usize::MAX).unwrap(), Box::new(Result::unwrap));
    copy.close();
    (shorter, ends, last)
}

/// Makes the last node a follower.
async fn follower_last(nodes: &[TestNode]) {
    submit(&nodes[0], add("first")).await.1.unwrap();
    while nodes[2].consensus.is_leader() {
        nodes[0].consensus.transfer(None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_lost_the_end_of_its_log_is_refused_and_readmitted() {
    let (addresses, disks, mut nodes) = three(1_000).await;
    follower_last(&nodes).await;
    let (shorter, ends, last) = lose_the_end(&disks[2], &mut nodes).await;
    let parts = |disk: &TestDisk, network: Arc<dyn Network>| {
        parts(settings(&addresses, 3, 1_000), disk, network).0
    };
    let mut refused = None;
    for _ in 0..1_000 {
        match start(parts(&shorter, Arc::new(Tcp))).await {
            // On a busy machine an answer may be late.
            Ok(started) => started.consensus.stop().await,
            Err(StartError::Listen(_)) => tokio::task::yield_now().await,
            Err(error) => refused = Some(error.to_string()),
        }
        if refused.is_some() {
            break;
        }
    }
    let said = refused.expect("the node starts");
    assert!(said.starts_with(&format!("the Raft log ends at entry {ends}, but")), "{said}");
    assert!(said.ends_with("readmit this node with: punctual cluster members replace 3"), "{said}");

    // If it cannot ask any member it starts, and detects the loss when entries do not follow its
    // log.
    let gate = Arc::new(AtomicBool::new(false));
    let network = Arc::new(GatedNetwork(Arc::clone(&gate)));
    let started = loop {
        match start(parts(&shorter, Arc::<GatedNetwork>::clone(&network))).await {
            Ok(started) => break started,
            // The previous node releases its address shortly after it has ended.
            Err(StartError::Listen(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    gate.store(true, Ordering::Relaxed);
    let mut fatal = started.consensus.fatal();
    let why = tokio::time::timeout(LIMIT, fatal.wait_for(Option::is_some)).await;
    let why = why.unwrap().unwrap().clone().unwrap();
    assert!(why.starts_with(&format!("the Raft log ends at entry {ends}, but")), "{why}");
    assert!(started.consensus.replica().applied() < last);
    started.consensus.stop().await;
    drop(started);
    // The leader does not count it for the majority, and continues.
    submit(&nodes[0], add("with two")).await.1.unwrap();

    let empty = TestDisk::new();
    let (again, disk) = (settings(&addresses, 3, 1_000), empty.clone());
    let waiting = tokio::spawn(async move { begin(again, &disk).await });
    // Any node accepts the request.
    until_replaced(&nodes[..1], 3).await;
    let back = tokio::time::timeout(LIMIT, waiting).await.unwrap().unwrap();
    let (last, _) = submit(&back, add("with three")).await;
    same_everywhere(&[&nodes[0], &nodes[1], &back], last).await;
    nodes.push(back);
    for node in &nodes {
        node.consensus.stop().await;
    }
}
