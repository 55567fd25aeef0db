//! A member that lost its data comes back under another Raft id.

use super::super::members::ReplaceError;
use super::super::types::RaftMember;
use super::*;

async fn replaced(nodes: &[TestNode], member: u16) -> Result<NodeId, ReplaceError> {
    nodes[0].consensus.replace(member).await
}

/// Starts a member on an empty disk, which waits to be readmitted.
fn begin_empty(addresses: &[String], member: u16) -> (tokio::task::JoinHandle<TestNode>, TestDisk) {
    let disk = TestDisk::new();
    let (settings, empty) = (settings(addresses, member, 1_000), disk.clone());
    (tokio::spawn(async move { begin(settings, &empty).await }), disk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_member_comes_back_with_a_vote_and_the_old_one_is_gone() {
    let (addresses, _, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    // A follower; it may be the lowest member, which would otherwise make a cluster.
    let follower = nodes.iter().position(|node| !node.consensus.is_leader()).unwrap();
    let member = u16::try_from(follower).unwrap() + 1;
    let gone = nodes.remove(follower);
    gone.consensus.stop().await;
    drop(gone);

    // An earlier try got as far as the membership, but the member has lost that identity again.
    let leader = nodes.iter().find(|node| node.consensus.is_leader()).unwrap();
    let address = RaftMember { peer: addresses[follower].clone(), http: String::new() };
    let raft = &leader.consensus.core.raft;
    raft.add_learner(NodeId::new(member, 2).0, address, false).await.unwrap();

    // Nobody is put in the place of another before it is there and has all that this node has.
    let refused = replaced(&nodes, member).await;
    assert!(matches!(refused, Err(ReplaceError::Unreachable(m, _)) if m == member), "{refused:?}");
    assert!(nodes[0].consensus.status().voters.contains(&NodeId::new(member, 1).0));

    for join in [3, 4] {
        let (waiting, disk) = begin_empty(&addresses, member);
        let new = until_replaced(&nodes, member).await;
        assert_eq!(new, NodeId::new(member, join));
        let back = tokio::time::timeout(LIMIT, waiting).await.unwrap().unwrap();
        assert_eq!(back.consensus.id(), new.0);
        let (last, _) = submit(&nodes[0], add(&format!("join {join}"))).await;
        same_everywhere(&[&nodes[0], &nodes[1], &back], last).await;
        only_member(&nodes[0], new).await;
        let known = disk.identity.lock().clone().unwrap();
        assert_eq!(known.node, new);
        // One that has its data is not replaced, nor is one that nobody knows.
        assert_eq!(replaced(&nodes, member).await, Err(ReplaceError::NotEmpty(member)));
        assert_eq!(replaced(&nodes, 9).await, Err(ReplaceError::NotListed(9)));
        back.consensus.stop().await;
        if join == 4 {
            // Started again from its own disk it is who it was, and its vote counts.
            drop(back);
            let back = begin(settings(&addresses, member, 1_000), &disk).await;
            let leader = nodes.iter().position(|node| node.consensus.is_leader()).unwrap();
            let lost = nodes.remove(leader);
            lost.consensus.stop().await;
            drop(lost);
            nodes.push(back);
            let (last, _) = submit(&nodes[0], add("with two")).await;
            same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
        }
    }
    for node in &nodes {
        node.consensus.stop().await;
    }
}

/// Asks until the empty member listens.
pub(super) async fn until_replaced(nodes: &[TestNode], member: u16) -> NodeId {
    for _ in 0..1_000 {
        match replaced(nodes, member).await {
            Ok(new) => return new,
            Err(ReplaceError::Unreachable(..)) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the empty member never listened");
}

/// Waits until a node knows three members, all with a vote, of whom this is one.
async fn only_member(node: &TestNode, new: NodeId) {
    let mut seen = node.consensus.status();
    for _ in 0..1_000 {
        if seen.voters.contains(&new.0) && seen.voters.len() == 3 && seen.members == seen.voters {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        seen = node.consensus.status();
    }
    panic!("{seen:?}");
}
