//! A member that lost its data comes back under another Raft id.

use super::super::bootstrap;
use super::super::members::ReplaceError;
use super::super::network::kind;
use super::super::types::RaftMember;
use super::*;

async fn replaced(nodes: &[TestNode], member: u16) -> Result<NodeId, ReplaceError> {
    nodes[0].consensus.replace(member).await
}

/// Starts a member on an empty disk, which waits to be readmitted.
fn begin_empty(addresses: &[String], member: u16) -> (tokio::task::JoinHandle<TestNode>, TestDisk) {
    let disk = TestDisk::new();
    (begin_on(&disk, addresses, member), disk)
}

fn begin_on(
    disk: &TestDisk,
    addresses: &[String],
    member: u16,
) -> tokio::task::JoinHandle<TestNode> {
    let (settings, disk) = (settings(addresses, member, 1_000), disk.clone());
    tokio::spawn(async move { begin(settings, &disk).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_member_comes_back_with_a_vote_and_the_old_one_is_gone() {
    let (addresses, _, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    // A follower. It may be the member with the lowest id, which would otherwise create a cluster.
    let follower = nodes.iter().position(|node| !node.consensus.is_leader()).unwrap();
    let member = u16::try_from(follower).unwrap() + 1;
    let gone = nodes.remove(follower);
    gone.consensus.stop().await;
    drop(gone);

    // An earlier attempt changed the membership, but the member has lost that identity again.
    let leader = nodes.iter().find(|node| node.consensus.is_leader()).unwrap();
    let address = RaftMember { peer: addresses[follower].clone(), http: String::new() };
    let raft = &leader.consensus.core.raft;
    raft.add_learner(NodeId::new(member, 2).0, address, false).await.unwrap();

    // A member is replaced only if it answers and has all entries of this node.
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
        // A member with data is not replaced, and neither is an unknown one.
        assert_eq!(replaced(&nodes, member).await, Err(ReplaceError::NotEmpty(member)));
        assert_eq!(replaced(&nodes, 9).await, Err(ReplaceError::NotListed(9)));
        back.consensus.stop().await;
        if join == 4 {
            // After a restart with its own disk it has the same identity, and its vote counts.
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

/// Repeats the request until the empty member listens.
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

/// Waits until a node has three members, all voters, including this one.
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

/// A member stores its new identity, and then its disk accepts no more writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_all_entries_gets_no_vote() {
    let (addresses, _, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    let follower = nodes.iter().position(|node| !node.consensus.is_leader()).unwrap();
    let member = u16::try_from(follower).unwrap() + 1;
    let gone = nodes.remove(follower);
    gone.consensus.stop().await;
    drop(gone);

    let disk = TestDisk::new();
    disk.log.set_manual(true);
    let waiting = begin_on(&disk, &addresses, member);
    let (former, new) = (NodeId::new(member, 1), NodeId::new(member, 2));
    let mut replacing = std::pin::pin!(until_replaced(&nodes, member));
    let leader = nodes.iter().find(|node| node.consensus.is_leader()).unwrap();
    // It is a member, its disk holds the leader's entries back, and other entries are committed.
    let learns = async {
        let holds = || leader.consensus.status().members.contains(&new.0);
        while !holds() || disk.log.unsynced() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for number in 0..20 {
            submit(&nodes[0], add(&format!("meanwhile-{number}"))).await.1.unwrap();
        }
    };
    tokio::select! {
        new = &mut replacing => panic!("{new} was given a vote without an entry"),
        () = learns => {}
    }
    let voters = leader.consensus.status().voters;
    assert!(voters.contains(&former.0) && !voters.contains(&new.0), "{voters:?}");

    disk.log.set_manual(false);
    disk.log.sync();
    let replaced = tokio::time::timeout(LIMIT, replacing).await.unwrap();
    assert_eq!(replaced, new);
    let back = tokio::time::timeout(LIMIT, waiting).await.unwrap().unwrap();
    only_member(&nodes[0], new).await;
    let (last, _) = submit(&nodes[0], add("with three")).await;
    same_everywhere(&[&nodes[0], &nodes[1], &back], last).await;
    for node in nodes.iter().chain([&back]) {
        node.consensus.stop().await;
    }
}

/// A learner that has every entry and answers is still no successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_is_never_given_the_lead() {
    let addresses = free_addresses(2);
    let leader = begin(settings(&addresses[..1], 1, 1_000), &TestDisk::new()).await;
    submit(&leader, add("first")).await.1.unwrap();
    let (waiting, _disk) = begin_empty(&addresses, 2);
    let core = &leader.consensus.core;
    let learner = NodeId::new(2, 1);
    let address = RaftMember { peer: addresses[1].clone(), http: String::new() };
    core.raft.add_learner(learner.0, address, false).await.unwrap();
    let cluster_id = named(leader.consensus.replica()).await;
    let peer = core.peers.at(2, &addresses[1]);
    let mut adopted = false;
    for _ in 0..1_000 {
        let body = bootstrap::adopt_bytes(cluster_id, learner);
        adopted = peer.forward.call(kind::ADOPT, body, LIMIT).await.is_ok_and(|took| *took == [1]);
        if adopted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(adopted, "the empty member never listened");
    let learner = tokio::time::timeout(LIMIT, waiting).await.unwrap().unwrap();
    let (last, _) = submit(&leader, add("second")).await;
    same_everywhere(&[&leader, &learner], last).await;
    // Neither node finds a voter to transfer the lead to, and the leader continues.
    for asked in [&leader, &learner] {
        assert_eq!(asked.consensus.transfer(None).await, Err(TransferError::Alone));
    }
    assert!(leader.consensus.is_leader());
    submit(&learner, add("third")).await.1.unwrap();
    learner.consensus.stop().await;
    leader.consensus.stop().await;
}
