//! Leaders that become silent, have no followers, or transfer their lead.

use super::super::core::NOT_LEADER;
use super::super::network::kind;
use super::*;

/// A node on its own runtime, which can be frozen like a paused process.
struct FreezableNode {
    consensus: Consensus,
    runtime: tokio::runtime::Runtime,
    _node: TestNode,
}

impl FreezableNode {
    fn begin(settings: ConsensusSettings, disk: TestDisk) -> std::thread::JoinHandle<Self> {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
            let node = runtime.block_on(async {
                let begun = runtime.spawn(async move { begin(settings, &disk).await });
                tokio::time::timeout(LIMIT, begun).await.unwrap().unwrap()
            });
            Self { consensus: node.consensus.clone(), runtime, _node: node }
        })
    }

    /// Stops its execution until the guard is dropped.
    async fn freeze(&self) -> std::sync::mpsc::Sender<()> {
        let (guard, frozen) = std::sync::mpsc::channel::<()>();
        let (tell, begins) = oneshot::channel();
        self.runtime.spawn(async move {
            let _listens = tell.send(());
            // The receive fails when the guard is dropped.
            let _dropped = frozen.recv();
        });
        begins.await.unwrap();
        guard
    }
}

fn three_freezable() -> Vec<FreezableNode> {
    let addresses = free_addresses(3);
    let threads: Vec<_> = (1..=3)
        .map(|member| FreezableNode::begin(settings(&addresses, member, 1_000), TestDisk::new()))
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

async fn until(what: &str, mut look: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if look() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited for {what}");
}

fn leader_of(nodes: &[FreezableNode]) -> usize {
    nodes.iter().position(|node| node.consensus.is_leader()).unwrap()
}

/// Submits entries until this number is in flight. Their deadline is one minute.
async fn fill(node: &Consensus, entries: usize) {
    let before = node.replica().under_way();
    for number in 0..entries {
        let (node, commands) = (node.clone(), add(&format!("lost-{number}")));
        tokio::spawn(async move { node.submit(commands, 1, LIMIT * 6).await });
    }
    let busy = before + 16;
    until("entries in flight", || node.replica().under_way() >= busy.min(before + entries)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_leader_was_given_does_not_keep_the_next_one_from_writing() {
    let nodes = tokio::task::spawn_blocking(three_freezable).await.unwrap();
    submit_to(&nodes[0].consensus, add("before")).await;
    let leader = leader_of(&nodes);
    let guard = nodes[leader].freeze().await;
    let others: Vec<&FreezableNode> =
        nodes.iter().enumerate().filter(|(at, _)| *at != leader).map(|(_, node)| node).collect();
    for other in &others {
        // Submit one at a time, so that each command is a separate entry.
        for _ in 0..16 {
            fill(&other.consensus, 1).await;
        }
    }
    let former = nodes[leader].consensus.id();
    for other in &others {
        let leads = other.consensus.leader();
        until("another leader", || leads.borrow().is_some_and(|now| now != former)).await;
        // The lost entries stay in flight for a minute.
        submit_to(&other.consensus, add(&format!("after-{}", other.consensus.id()))).await;
    }
    drop(guard);
    let applied = others[0].consensus.replica().applied();
    assert!(nodes[leader].consensus.replica().reach(applied, LIMIT).await);
    stop_freezable(nodes).await;
}

async fn submit_to(node: &Consensus, commands: Bytes) {
    for _ in 0..5 {
        if node.submit(commands.clone(), 1, LIMIT).await.is_ok() {
            return;
        }
    }
    panic!("no answer");
}

async fn stop_freezable(nodes: Vec<FreezableNode>) {
    for node in &nodes {
        let consensus = node.consensus.clone();
        node.runtime.spawn(async move { consensus.stop().await }).await.unwrap();
    }
    tokio::task::spawn_blocking(move || drop(nodes)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_lead_says_so_at_once() {
    let (_, _, nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    let followers: Vec<&TestNode> =
        nodes.iter().filter(|node| !node.consensus.is_leader()).collect();
    let (asker, asked) = (&followers[0].consensus, followers[1].consensus.id());
    let peer = asker.core.peers.node(asked).unwrap();
    let answer = peer.forward.call(kind::READ_INDEX, Bytes::new(), LIMIT).await;
    assert_eq!(answer, Ok(NOT_LEADER));
    for node in &nodes {
        node.consensus.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_node_is_led_by_itself_however_long() {
    let addresses = free_addresses(1);
    let node = begin(settings(&addresses, 1, 1_000), &TestDisk::new()).await;
    submit(&node, add("first")).await.1.unwrap();
    let contacts = &node.consensus.core.contacts;
    until("a long silence", || contacts.too_long(contacts.silence())).await;
    assert_eq!(node.consensus.no_leader_reason(), None);
    assert_eq!(node.consensus.warnings(), Vec::<String>::new());
    // There is no other voter to transfer the lead to, and the node continues.
    assert_eq!(node.consensus.transfer(None).await, Err(TransferError::Alone));
    assert!(!node.consensus.leave_leadership(Duration::from_millis(100)).await);
    submit(&node, add("second")).await.1.unwrap();
    // openraft takes no writes after a transfer to an unknown node. The node recovers from this.
    let core = &node.consensus.core;
    core.raft.trigger().transfer_leader(NodeId::new(9, 1).0).await.unwrap();
    let refused = node.consensus.submit(add("third"), 1, Duration::from_millis(200)).await;
    assert!(refused.is_err(), "{refused:?}");
    lead::resign(core).await;
    submit(&node, add("third")).await.1.unwrap();
    node.consensus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_majority_says_why_and_whom_it_does_not_reach() {
    let (addresses, _, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    let left = nodes.pop().unwrap();
    until("a leader", || left.consensus.no_leader_reason().is_none()).await;
    for node in nodes {
        node.consensus.stop().await;
    }
    let mut seen = None;
    until("the reason", || {
        seen = left.consensus.no_leader_reason();
        seen.as_ref().is_some_and(|no_leader_reason| no_leader_reason.unreachable == addresses[..2])
    })
    .await;
    let said = seen.unwrap().to_string();
    let both = format!("; {}, {} unreachable", addresses[0], addresses[1]);
    assert!(said.ends_with(&both), "{said}");
    assert!(!left.consensus.read_barrier(Duration::from_millis(100)).await);
    left.consensus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_has_the_lead_given_away_and_writes_go_on() {
    let (_, _, nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    for number in 0..4 {
        let former = nodes.iter().position(|node| node.consensus.is_leader()).unwrap();
        let asked = (former + number) % nodes.len();
        let next = nodes[asked].consensus.transfer(None).await.unwrap();
        assert_ne!(next, None);
        assert_ne!(next, Some(nodes[former].consensus.id()));
        let (index, _) = submit(&nodes[asked], add(&format!("task-{number}"))).await;
        same_everywhere(&nodes.iter().collect::<Vec<_>>(), index).await;
    }
    for node in &nodes {
        node.consensus.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lead_goes_to_the_voter_that_is_named() {
    let (_, _, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    // Requests to the leader and to other nodes, also for the current leader as target.
    for (asked, to) in [(0, 1), (0, 2), (1, 2), (1, 3), (2, 1), (2, 2), (1, 2)] {
        let own = nodes[to - 1].consensus.id();
        // On a busy machine the target may be late, and another node may be elected.
        let started = Instant::now();
        loop {
            match nodes[asked].consensus.transfer(u16::try_from(to).ok()).await {
                Ok(next) if next == Some(own) => break,
                other => assert!(started.elapsed() < LIMIT, "{to}, asked of {asked}: {other:?}"),
            }
        }
        let (index, _) = submit(&nodes[asked], add(&format!("task-{asked}-{to}"))).await;
        same_everywhere(&nodes.iter().collect::<Vec<_>>(), index).await;
    }
    for node in &nodes {
        assert_eq!(node.consensus.transfer(Some(9)).await, Err(TransferError::NotListed(9)));
    }
    // A stopped node does not take the lead, and writes continue.
    let gone = nodes.pop().unwrap();
    gone.consensus.stop().await;
    drop(gone);
    let given = nodes[0].consensus.transfer(Some(3)).await;
    assert_eq!(given, Err(TransferError::NotTakenBy(3)));
    let (index, _) = submit(&nodes[0], add("without the third")).await;
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), index).await;
    for node in &nodes {
        node.consensus.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_that_nobody_takes_is_not_said_to_be_given_away() {
    let nodes = tokio::task::spawn_blocking(three_freezable).await.unwrap();
    submit_to(&nodes[0].consensus, add("before")).await;
    let leader = leader_of(&nodes);
    let mut guards = Vec::new();
    for (_, node) in nodes.iter().enumerate().filter(|(at, _)| *at != leader) {
        guards.push(node.freeze().await);
    }
    let given = nodes[leader].consensus.transfer(None).await;
    assert_eq!(given, Err(TransferError::NotTaken));
    drop(guards);
    // Writes continue with any leader.
    submit_to(&nodes[leader].consensus, add("after")).await;
    stop_freezable(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_member_list_is_told_on_both_sides() {
    let (addresses, disks, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    let last = nodes.pop().unwrap();
    last.consensus.stop().await;
    drop(last);
    let shorter = settings(&addresses[..2], 1, 1_000).members;
    let settings = ConsensusSettings { ..settings(&addresses, 3, 1_000) };
    let mut members = shorter;
    members.retain(|member| member.id == 2);
    members.push(settings.members[2].clone());
    let back = begin(ConsensusSettings { members, ..settings }, &disks[2]).await;
    until("a warning about its list", || {
        let told = back.consensus.warnings();
        told.iter().any(|warning| warning.contains("cluster.member lacks member 1"))
            && told.iter().any(|warning| warning.contains("member 2 (127.0.0.1"))
    })
    .await;
    until("a warning about the other's list", || {
        let told = nodes[0].consensus.warnings();
        told.iter().any(|warning| warning.starts_with("member 3 (127.0.0.1"))
    })
    .await;
    back.consensus.stop().await;
    for node in &nodes {
        node.consensus.stop().await;
    }
}
