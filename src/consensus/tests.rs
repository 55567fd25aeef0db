//! Three nodes over real sockets, with logs and stores in memory.

mod agreement;
mod copies;
mod damage;
mod events;
mod golden;
mod leaders;
mod loss;
mod lost;
mod members;
mod restore;
mod suite;
mod versions;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::clock::{ClusterClock, HardwareClocks};
use crate::domain::ids::{EventId, NodeId};
use crate::domain::machine::command::{Put, PutMode};
use crate::domain::machine::{Answer, Command, Response, State, envelope};
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::task::{Strategy, TaskSpec};
use crate::domain::time::Millis;
use crate::storage::memory::MemoryDisk;
use crate::storage::sim::SimDisk;
use crate::telemetry::metrics::Metrics;
use crate::transport::{Fabric, Network, Tcp};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// A node's disk. It is kept when the node stops.
#[derive(Clone)]
struct TestDisk {
    log: SimDisk,
    stores: MemoryDisk,
    identity: Arc<Mutex<Option<crate::storage::FolderIdentity>>>,
}

impl TestDisk {
    fn new() -> Self {
        Self { log: SimDisk::new(), stores: MemoryDisk::new(), identity: Arc::default() }
    }

    fn open(&self) -> ConsensusDisk {
        let saved = Arc::clone(&self.identity);
        ConsensusDisk {
            log: Arc::new(self.log.open()),
            stores: Box::new(self.stores.open()),
            identity: self.identity.lock().clone(),
            save_identity: Box::new(move |identity| {
                *saved.lock() = Some(identity.clone());
                Ok(())
            }),
        }
    }
}

/// Free addresses below the range for outgoing connections, so that the address of a stopped node
/// is still free when it restarts.
fn free_addresses(count: usize) -> Vec<String> {
    let mut addresses = Vec::new();
    for _ in 0..1_000 {
        let address = format!("127.0.0.1:{}", rand::random_range(10_000..30_000));
        if !addresses.contains(&address) && TcpListener::bind(&address).is_ok() {
            addresses.push(address);
        }
        if addresses.len() == count {
            break;
        }
    }
    addresses
}

pub(super) fn settings(addresses: &[String], member: u16, retained: u64) -> ConsensusSettings {
    let members = addresses.iter().zip(1..).map(|(peer, id)| MemberAddress {
        id,
        peer: peer.clone(),
        http: String::new(),
    });
    ConsensusSettings {
        cluster_name: "test".to_owned(),
        member,
        members: members.collect(),
        listen: addresses[usize::from(member) - 1].clone(),
        heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(300),
        election_max: Duration::from_millis(600),
        retained_log: retained,
        snapshot_every: 200,
        checkpoint_interval: Duration::from_secs(600),
        timezone: "UTC".to_owned(),
        scheduler: true,
        strategy: Strategy::default(),
        bootstrap_without: Vec::new(),
        formats: Formats::SOFTWARE,
        software: "test".to_owned(),
    }
}

struct TestNode {
    consensus: Consensus,
    metrics: Metrics,
    _events: mpsc::UnboundedReceiver<ReplicaEvent>,
}

fn parts(
    settings: ConsensusSettings,
    disk: &TestDisk,
    network: Arc<dyn Network>,
) -> (ConsensusParts, Metrics) {
    let metrics = Metrics::new("test");
    let (members, skew) = (settings.members.len(), Duration::from_millis(500));
    let parts = ConsensusParts {
        settings,
        disk: disk.open(),
        fabric: Fabric {
            network,
            random: Arc::new(|bytes: &mut [u8]| rand::fill(bytes)),
            secret: None,
        },
        clock: Arc::new(ClusterClock::new(HardwareClocks, members, skew)),
        metrics: metrics.clone(),
        progress: watch::channel(String::new()).0,
    };
    (parts, metrics)
}

async fn begin(settings: ConsensusSettings, disk: &TestDisk) -> TestNode {
    try_begin(settings, disk).await.unwrap()
}

async fn try_begin(settings: ConsensusSettings, disk: &TestDisk) -> Result<TestNode, StartError> {
    let (parts, metrics) = parts(settings, disk, Arc::new(Tcp));
    let RunningConsensus { consensus, events } = start(parts).await?;
    Ok(TestNode { consensus, metrics, _events: events })
}

async fn begin_all(addresses: &[String], disks: &[TestDisk], retained: u64) -> Vec<TestNode> {
    let nodes = disks
        .iter()
        .zip(1..)
        .map(|(disk, member)| begin(settings(addresses, member, retained), disk));
    tokio::time::timeout(LIMIT, futures_util::future::join_all(nodes)).await.unwrap()
}

/// A cluster of three nodes, and their disks.
async fn three(retained: u64) -> (Vec<String>, [TestDisk; 3], Vec<TestNode>) {
    let addresses = free_addresses(3);
    let disks = [TestDisk::new(), TestDisk::new(), TestDisk::new()];
    let nodes = begin_all(&addresses, &disks, retained).await;
    (addresses, disks, nodes)
}

fn add(name: &str) -> Bytes {
    let schedule = Schedule::of(Rule::Interval { every: Millis(1_000), anchor: None });
    let put = Put { mode: PutMode::Add, spec: TaskSpec::new(name, schedule, None) };
    let mut bytes = Vec::new();
    envelope::pack(&mut bytes, &Command::Put(Box::new(put)), "tester", None);
    bytes.into()
}

/// Submits until there is an outcome. It may be unknown while the leader changes.
async fn submit(node: &TestNode, commands: Bytes) -> (u64, Response) {
    for _ in 0..5 {
        if let Ok(answered) = node.consensus.submit(commands.clone(), 1, LIMIT).await {
            return (answered.index, answered.responses[0].clone());
        }
    }
    panic!("no answer");
}

/// Waits for the first command of the cluster, which may follow those of a test. Returns its id.
async fn named(replica: &Replica) -> u128 {
    let named = async {
        let mut seen = EventId(0);
        while replica.read().cluster().id == 0 {
            replica.event_after(seen).await;
            seen = replica.newest_event();
        }
    };
    tokio::time::timeout(LIMIT, named).await.unwrap();
    replica.read().cluster().id
}

async fn same_everywhere(nodes: &[&TestNode], index: u64) {
    for node in nodes {
        assert!(node.consensus.replica().reach(index, LIMIT).await);
    }
    // The indexes may differ because of later entries. Wait until they are equal.
    for _ in 0..200 {
        let states: Vec<(u64, u128)> = nodes
            .iter()
            .map(|node| {
                let state = node.consensus.replica().read();
                (state.cluster().applied, state.digest())
            })
            .collect();
        if states.iter().all(|state| state.0 == states[0].0) {
            assert!(states.iter().all(|state| state.1 == states[0].1), "{states:?}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the replicas never applied the same index");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_empty_nodes_become_one_cluster_and_agree() {
    let (_, _, nodes) = three(1_000).await;
    let mut last = 0;
    for (number, node) in nodes.iter().enumerate() {
        let (index, response) = submit(node, add(&format!("task-{number}"))).await;
        assert!(matches!(response, Ok(Answer::Task { created: true, .. })), "{response:?}");
        last = index;
    }
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
    for node in &nodes {
        assert!(node.consensus.read_barrier(LIMIT).await);
        assert_eq!(node.consensus.replica().read().task_count(), 3);
    }
    for node in &nodes {
        node.consensus.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_survives_the_loss_of_its_leader_and_a_restart_of_all() {
    let (addresses, disks, mut nodes) = three(1_000).await;
    submit(&nodes[0], add("before")).await.1.unwrap();
    let leader = nodes.iter().position(|node| node.consensus.is_leader()).unwrap();
    let gone = nodes.remove(leader);
    gone.consensus.stop().await;
    drop(gone);
    let (index, _) = submit(&nodes[0], add("without the leader")).await;
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), index).await;
    for node in nodes {
        node.consensus.stop().await;
    }
    let nodes = begin_all(&addresses, &disks, 1_000).await;
    let (index, _) = submit(&nodes[2], add("after")).await;
    same_everywhere(&nodes.iter().collect::<Vec<_>>(), index).await;
    let names: Vec<String> = {
        let state = nodes[1].consensus.replica().read();
        state.by_name("").map(|task| task.live.name.to_string()).collect()
    };
    assert_eq!(names, ["after", "before", "without the leader"]);
    for node in &nodes {
        node.consensus.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_missed_what_was_purged_gets_a_snapshot() {
    let (addresses, disks, mut nodes) = three(50).await;
    submit(&nodes[0], add("first")).await.1.unwrap();
    let away = nodes.pop().unwrap();
    let told = away.consensus.replica().newest_event();
    away.consensus.stop().await;
    drop(away);
    let mut last = 0;
    for number in 0..600 {
        last = submit(&nodes[0], add(&format!("missed-{number}"))).await.0;
    }
    let leader = nodes.iter().find(|node| node.consensus.is_leader()).unwrap();
    for _ in 0..3_000 {
        if leader.consensus.status().purged > 100 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let back = begin(settings(&addresses, 3, 50), &disks[2]).await;
    same_everywhere(&[&nodes[0], &nodes[1], &back], last).await;
    let seen: Vec<RaftStatus> = nodes.iter().map(|node| node.consensus.status()).collect();
    assert!(back.metrics.snapshots_installed.get() >= 1, "it caught up from the log: {seen:?}");
    let missed = back.consensus.replica().events_after(told, 1);
    assert!(matches!(missed, EventsAfter::Reset { .. }), "{missed:?}");
    nodes.push(back);
    for node in &nodes {
        node.consensus.stop().await;
    }
}

/// The reason why a node ended.
async fn end(node: &TestNode) -> String {
    let mut fatal = node.consensus.fatal();
    let why = tokio::time::timeout(LIMIT * 6, fatal.wait_for(Option::is_some)).await;
    why.unwrap().unwrap().clone().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_that_never_ends_is_fatal_and_its_place_named() {
    let addresses = free_addresses(1);
    let disk = TestDisk::new();
    let node = begin(settings(&addresses, 1, 1_000), &disk).await;
    submit(&node, add("before")).await.1.unwrap();
    disk.log.set_manual(true);
    disk.log.set_age(Some(Duration::from_secs(21)));
    let never = node.consensus.submit(add("never"), 1, LIMIT);
    let (why, _late) = tokio::join!(end(&node), never);
    assert_eq!(why, "cannot write memory/log: the disk has not answered for 21 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_is_fatal_and_its_reason_told() {
    for of_the_log in [true, false] {
        let addresses = free_addresses(1);
        let disk = TestDisk::new();
        let mut settings = settings(&addresses, 1, 1_000);
        settings.snapshot_every = 20;
        let node = begin(settings, &disk).await;
        submit(&node, add("before")).await.1.unwrap();
        let error = std::io::Error::new(std::io::ErrorKind::StorageFull, "no room is left");
        if of_the_log {
            disk.log.fail_next(error);
        } else {
            disk.stores.fail_next(error, false);
        }
        // Enough entries for a checkpoint.
        let commands = async {
            for number in 0..40 {
                let name = format!("after-{number}");
                let _unknown = node.consensus.submit(add(&name), 1, LIMIT).await;
            }
        };
        let why = tokio::select! {
            why = end(&node) => why,
            () = commands => end(&node).await,
        };
        assert!(why.contains("no room is left"), "{why}");
    }
}
