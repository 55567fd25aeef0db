//! A node whose state differs from that of the other nodes.

use super::*;

/// Enough entries for a digest of all replicas at the same index.
const ENTRIES: usize = 1_100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_a_majority_contradicts_ends_and_takes_its_state_anew() {
    let (addresses, disks, mut nodes) = three(50).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    let wrong = nodes.pop().unwrap();
    wrong.consensus.replica().with_state(State::bend);
    let mut last = 0;
    for number in 0..ENTRIES {
        last = submit(&nodes[0], add(&format!("task-{number}"))).await.0;
    }
    let mut poll = DigestPoll::default();
    let mut majority = None;
    for (node, id) in nodes.iter().chain([&wrong]).zip(1..) {
        assert!(node.consensus.replica().reach(last, LIMIT).await);
        let mark = node.consensus.replica().last_mark().unwrap();
        assert_eq!(mark.index, 1_024);
        majority = poll.tell(id, mark, &[1, 2, 3]);
    }
    let majority = majority.unwrap();
    for node in nodes.iter().chain([&wrong]) {
        node.consensus.compare(majority);
    }
    let why = end(&wrong).await;
    assert!(why.starts_with("at log index 1024 this node's state is not what a majority"), "{why}");
    wrong.consensus.stop().await;
    drop(wrong);
    assert!(nodes.iter().all(|node| node.consensus.fatal().borrow().is_none()));

    let back = begin(settings(&addresses, 3, 50), &disks[2]).await;
    let (last, _) = submit(&nodes[0], add("last")).await;
    nodes.push(back);
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
    for node in &nodes {
        node.consensus.stop().await;
    }
}
