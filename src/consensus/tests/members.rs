//! A member that lost its data comes back under another Raft id.

use super::super::bootstrap;
use super::super::lead;
use super::super::network::{config_id, kind};
use super::super::types::RaftMember;
use super::*;
use openraft::async_runtime::watch::WatchReceiver;

use crate::domain::machine::Refusal;
use crate::domain::machine::command::{NodeJoin, NodeUp, OfNode};
use crate::domain::machine::node_info;

async fn replaced(nodes: &[TestNode], member: u16) -> Result<NodeId, MemberError> {
    changed(&nodes[0], MemberChange::Replace(member)).await
}

/// Time limit of every wait. It is sufficient for a busy machine.
const WAIT: Duration = Duration::from_secs(60);

/// Changes the members from any node, as an operation does. A request is repeated as long as the
/// lead changes or its end takes long, as an operator repeats it.
async fn changed(node: &TestNode, change: MemberChange) -> Result<NodeId, MemberError> {
    let deadline = Instant::now() + WAIT;
    loop {
        match changed_once(node, &change).await {
            Err(MemberError::NoLeader | MemberError::Unfinished(..))
                if Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn changed_once(node: &TestNode, change: &MemberChange) -> Result<NodeId, MemberError> {
    let allowed = node.consensus.may_change(change).await?;
    if let Some(command) = &allowed.command {
        submit(node, packed(command)).await.1.unwrap();
    }
    node.consensus.members_changed(change, allowed.node).await?;
    Ok(allowed.node)
}

/// Repeats a change that must be refused until it is refused so. Meanwhile a member may not answer
/// in time, or the lead may change.
async fn refused(node: &TestNode, change: MemberChange, why: MemberError) {
    let last = Mutex::new(None);
    let holds = async {
        loop {
            let refusal = changed(node, change.clone()).await.expect_err("it must be refused");
            if refusal == why {
                return;
            }
            *last.lock() = Some(refusal);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = tokio::time::timeout(WAIT, holds).await;
    assert!(ended.is_ok(), "{change:?} must be refused as {why:?}, not {:?}", last.lock());
}

fn packed(command: &Command) -> Bytes {
    let mut bytes = Vec::new();
    envelope::pack(&mut bytes, command, "", None);
    bytes.into()
}

/// Registers a member, as its engine does, and waits until its join has ended.
async fn register(nodes: &[TestNode], node: NodeId) {
    let info = node_info(node.configured());
    let up = NodeUp { node, boot: u128::from(node.0), info };
    submit(&nodes[0], packed(&Command::NodeUp(Box::new(up)))).await.1.unwrap();
    until(|| nodes[0].consensus.replica().read().joining().is_none()).await;
}

async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, holds).await.expect("the condition never held");
}

/// The position of a node that leads. There is none during an election.
async fn leader(nodes: &[TestNode]) -> usize {
    let place = || nodes.iter().position(|node| node.consensus.is_leader());
    until(|| place().is_some()).await;
    loop {
        match place() {
            Some(place) => return place,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Gives the lead to a node, until it leads. An election may come in between.
async fn give_lead(nodes: &[TestNode], place: usize) {
    let member = config_id(nodes[place].consensus.id());
    let leads = async {
        while !nodes[place].consensus.is_leader() {
            let _taken = nodes[0].consensus.transfer(Some(member)).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, leads).await.expect("it never led");
}

/// Waits for the start of a node.
async fn started(starting: tokio::task::JoinHandle<TestNode>) -> TestNode {
    tokio::time::timeout(WAIT, starting).await.expect("the start never ended").unwrap()
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
    let address = RaftMember { peer: addresses[follower].clone(), http: String::new() };
    let learns = async {
        loop {
            let raft = &nodes[leader(&nodes).await].consensus.core.raft;
            let learner = NodeId::new(member, 2).0;
            // It is another one's to do after an election.
            if raft.add_learner(learner, address.clone(), false).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(WAIT, learns).await.expect("the leader takes the learner");

    // A member is replaced only if it answers and has all entries of this node.
    let unreachable = replaced(&nodes, member).await;
    assert!(
        matches!(unreachable, Err(MemberError::Unreachable(m, _)) if m == member),
        "{unreachable:?}"
    );
    assert!(nodes[0].consensus.status().voters.contains(&NodeId::new(member, 1).0));

    for join in [3, 4] {
        let (waiting, disk) = begin_empty(&addresses, member);
        let new = until_replaced(&nodes, member).await;
        assert_eq!(new, NodeId::new(member, join));
        let back = started(waiting).await;
        assert_eq!(back.consensus.id(), new.0);
        let (last, _) = submit(&nodes[0], add(&format!("join {join}"))).await;
        same_everywhere(&[&nodes[0], &nodes[1], &back], last).await;
        only_member(&nodes[0], new).await;
        let known = disk.identity.lock().clone().unwrap();
        assert_eq!(known.node, new);
        register(&nodes, new).await;
        // A member with data is not replaced, and neither is an unknown one.
        let replace = MemberChange::Replace;
        refused(&nodes[0], replace(member), MemberError::NotEmpty(member)).await;
        refused(&nodes[0], replace(9), MemberError::NotListed(9)).await;
        back.consensus.stop().await;
        if join == 4 {
            // After a restart with its own disk it has the same identity, and its vote counts.
            drop(back);
            let back = begin(settings(&addresses, member, 1_000), &disk).await;
            nodes.push(back);
            // One of the two others is lost, the leader if it is one of them.
            let lost = leader(&nodes).await.min(1);
            let lost = nodes.remove(lost);
            lost.consensus.stop().await;
            drop(lost);
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
    until_taken(&nodes[0], MemberChange::Replace(member)).await
}

/// Repeats a request until the empty node listens.
async fn until_taken(node: &TestNode, change: MemberChange) -> NodeId {
    let taken = async {
        loop {
            match changed(node, change.clone()).await {
                Ok(new) => return new,
                Err(MemberError::Unreachable(..)) => {}
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, taken).await.expect("the empty node never listened")
}

/// Waits until a node has three members, all voters, including this one.
async fn only_member(node: &TestNode, new: NodeId) {
    let only = || {
        let seen = node.consensus.status();
        seen.voters.contains(&new.0) && seen.voters.len() == 3 && seen.members == seen.voters
    };
    until(only).await;
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
    // It is a member, its disk holds the leader's entries back, and other entries are committed.
    let learns = async {
        let member = || nodes[0].consensus.status().members.contains(&new.0);
        until(|| member() && disk.log.unsynced() > 0).await;
        for number in 0..20 {
            submit(&nodes[0], add(&format!("meanwhile-{number}"))).await.1.unwrap();
        }
    };
    tokio::select! {
        new = &mut replacing => panic!("{new} was given a vote without an entry"),
        () = learns => {}
    }
    let voters = nodes[0].consensus.status().voters;
    assert!(voters.contains(&former.0) && !voters.contains(&new.0), "{voters:?}");

    disk.log.set_manual(false);
    disk.log.sync();
    let replaced = tokio::time::timeout(WAIT, replacing).await.unwrap();
    assert_eq!(replaced, new);
    let back = started(waiting).await;
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
    let learner = started(waiting).await;
    let (last, _) = submit(&leader, add("second")).await;
    same_everywhere(&[&leader, &learner], last).await;
    // Neither node finds a voter to transfer the lead to, and the leader continues.
    for asked in [&leader, &learner] {
        let mut transferred = asked.consensus.transfer(None).await;
        // The leader did not answer in time.
        while transferred == Err(TransferError::NoLeader) {
            transferred = asked.consensus.transfer(None).await;
        }
        assert_eq!(transferred, Err(TransferError::Alone));
    }
    assert!(leader.consensus.is_leader());
    submit(&learner, add("third")).await.1.unwrap();
    learner.consensus.stop().await;
    leader.consensus.stop().await;
}

/// A cluster of three, and a fourth node that waits with an empty disk.
async fn three_and_one() -> (Vec<String>, Vec<TestNode>, tokio::task::JoinHandle<TestNode>, TestDisk)
{
    let addresses = free_addresses(4);
    let disks = [TestDisk::new(), TestDisk::new(), TestDisk::new()];
    let nodes = begin_all(&addresses[..3], &disks, 1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    named(nodes[0].consensus.replica()).await;
    let (waiting, disk) = begin_empty(&addresses, 4);
    (addresses, nodes, waiting, disk)
}

fn fourth(addresses: &[String]) -> MemberChange {
    MemberChange::Add { member: 4, peer: addresses[3].clone(), http: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_added_from_any_node_and_the_leader_is_removed() {
    let (addresses, mut nodes, waiting, disk) = three_and_one().await;
    let follower = nodes.iter().position(|node| !node.consensus.is_leader()).unwrap();
    let new = until_taken(&nodes[follower], fourth(&addresses)).await;
    assert_eq!(new, NodeId::new(4, 1));
    nodes.push(started(waiting).await);
    let (last, _) = submit(&nodes[3], add("with four")).await;
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
    until(|| nodes[0].consensus.status().voters.len() == 4).await;
    // The members change one at a time, until the new one has registered.
    let remove = |member| MemberChange::Remove(member);
    let busy = MemberError::Changing("member 4 is being added".to_owned());
    refused(&nodes[0], remove(1), busy).await;
    register(&nodes, new).await;
    // The same request again finds it done; another address is another node.
    assert_eq!(changed(&nodes[1], fourth(&addresses)).await, Ok(new));
    let elsewhere =
        MemberChange::Add { member: 4, peer: "elsewhere:1".to_owned(), http: "".into() };
    refused(&nodes[1], elsewhere, MemberError::Exists(4)).await;
    refused(&nodes[1], remove(9), MemberError::NotListed(9)).await;

    // The new node leads and is removed, asked by itself.
    give_lead(&nodes, 3).await;
    let removing = changed(&nodes[3], remove(4));
    let ends = async {
        until(|| !nodes[3].consensus.is_leader()).await;
        // As the engine does when nothing runs there.
        let gone = packed(&Command::NodeRemove(OfNode { node: new }));
        let (_, removed) = submit(&nodes[0], gone).await;
        // An answer may have been lost, and the command was sent again.
        let twice = removed == Err(Refusal::NodeNotFound);
        assert!(removed.is_ok() || twice, "{removed:?}");
        until(|| nodes[0].consensus.replica().read().is_gone(new)).await;
    };
    let (removed, ()) = tokio::join!(removing, ends);
    assert_eq!(removed, Ok(new));
    let why = end(&nodes[3]).await;
    assert!(why.contains("was removed from the cluster"), "{why}");
    assert!(nodes[3].consensus.was_removed());
    let gone = nodes.pop().unwrap();
    gone.consensus.stop().await;
    drop(gone);
    until(|| nodes[0].consensus.status().members.len() == 3).await;
    let (last, _) = submit(&nodes[0], add("with three")).await;
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
    assert_eq!(changed(&nodes[0], remove(4)).await, Ok(new), "the same request again");
    // It cannot come back with its data, and its registration is refused.
    let back = begin(settings(&addresses, 4, 1_000), &disk).await;
    let why = end(&back).await;
    assert!(why.contains("punctual cluster members add 4"), "{why}");
    let up = NodeUp { node: new, boot: 77, info: node_info(4) };
    let registered = submit(&nodes[0], packed(&Command::NodeUp(Box::new(up)))).await.1;
    assert_eq!(registered, Err(Refusal::NodeGone));
    back.consensus.stop().await;
    // With an empty folder it is added under a further number.
    let (waiting, _disk) = begin_empty(&addresses, 4);
    let again = until_taken(&nodes[1], fourth(&addresses)).await;
    assert_eq!(again, NodeId::new(4, 2));
    nodes.push(started(waiting).await);
    for node in &nodes {
        node.consensus.stop().await;
    }
}

/// The leader is lost as soon as the record says that a node joins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_goes_on_under_the_next_leader() {
    let (addresses, mut nodes, waiting, _disk) = three_and_one().await;
    let node = NodeId::new(4, 1);
    let join = NodeJoin { node, peer: addresses[3].clone(), http: String::new() };
    let follower = nodes.iter().position(|node| !node.consensus.is_leader()).unwrap();
    submit(&nodes[follower], packed(&Command::NodeJoin(Box::new(join)))).await.1.unwrap();
    let lost = leader(&nodes).await;
    let lost = nodes.remove(lost);
    lost.consensus.stop().await;
    drop(lost);
    until(|| nodes[0].consensus.status().voters.contains(&node.0)).await;
    nodes.push(started(waiting).await);
    let (last, _) = submit(&nodes[2], add("with three of four")).await;
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
    // What the request that was lost began is found.
    assert_eq!(changed(&nodes[1], fourth(&addresses)).await, Ok(node));
    for node in &nodes {
        node.consensus.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_the_others_need_is_not_removed() {
    let (_, _, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    named(nodes[0].consensus.replica()).await;
    let away = nodes.iter().position(|node| !node.consensus.is_leader()).unwrap();
    let gone = nodes.remove(away);
    let away = gone.consensus.id();
    gone.consensus.stop().await;
    drop(gone);
    // Those that answer are known after a heartbeat without an answer.
    let silent = |leader: &TestNode| !lead::answering(&leader.consensus.core).contains(&away);
    until(|| nodes.iter().any(|node| node.consensus.is_leader() && silent(node))).await;
    let needed = 1 - leader(&nodes).await;
    let member = config_id(nodes[needed].consensus.id());
    let why = "of the 2 other voters 1 answer, and a majority of 2 is needed".to_owned();
    let why = MemberError::QuorumAtRisk(member, why);
    refused(&nodes[0], MemberChange::Remove(member), why).await;
    for node in &nodes {
        node.consensus.stop().await;
    }
    let alone = begin(settings(&free_addresses(1), 1, 1_000), &TestDisk::new()).await;
    named(alone.consensus.replica()).await;
    refused(&alone, MemberChange::Remove(1), MemberError::LastVoter(1)).await;
    alone.consensus.stop().await;
}

/// A member moves to another port, and only its own settings say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_moves_while_the_settings_of_the_others_stay() {
    let (mut addresses, disks, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    named(nodes[0].consensus.replica()).await;
    let gone = nodes.pop().unwrap();
    gone.consensus.stop().await;
    drop(gone);
    let former = addresses.clone();
    addresses[2] = free_addresses(1).remove(0);
    nodes.push(begin(settings(&addresses, 3, 1_000), &disks[2]).await);
    let moved = |node: &TestNode| {
        node.consensus.members().borrow().get(3).map(|member| member.peer.clone())
            == Some(addresses[2].clone())
    };
    until(|| nodes.iter().all(moved)).await;
    let (last, _) = submit(&nodes[2], add("moved")).await;
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
    // The log has it, unless the moved member itself leads.
    let logged = |node: &TestNode| {
        let seen = node.consensus.core.raft.metrics().borrow_watched().membership_config.clone();
        let id = NodeId::new(3, 1).0;
        let peers: Vec<String> =
            seen.nodes().filter(|(node, _)| **node == id).map(|(_, at)| at.peer.clone()).collect();
        peers == [addresses[2].clone()]
    };
    let follows = async {
        while !nodes.iter().all(logged) {
            if nodes[2].consensus.is_leader() {
                // Another one may take it, or none in time.
                let _taken = nodes[2].consensus.transfer(Some(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, follows).await.expect("the log never had the address");
    // Another member starts again with its former settings and finds it, and is found.
    let gone = nodes.remove(1);
    gone.consensus.stop().await;
    drop(gone);
    nodes.insert(1, begin(settings(&former, 2, 1_000), &disks[1]).await);
    until(|| moved(&nodes[1])).await;
    let (last, _) = submit(&nodes[1], add("again")).await;
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
    for node in &nodes {
        node.consensus.stop().await;
    }
}
