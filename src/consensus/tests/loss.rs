//! Nodes that find less data on their disk than they wrote.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use openraft::RaftSnapshotBuilder;
use openraft::storage::{EntryResponder, RaftStateMachine};

use super::super::checkpoint::Checkpoints;
use super::super::load::{self, Advice};
use super::super::machine::{self, FrozenState, MachineStore};
use super::super::peers::Peers;
use super::super::start::{ASK_AGAIN, LAST_CHECKPOINT};
use super::super::types::{SnapshotMeta, TypeConfig};
use super::damage::{entry, opened};
use super::*;
use crate::storage::descriptors::DescriptorReserve;
use crate::storage::{LogStore, StateFolders};

/// Settings under which most of the log is soon purged.
fn forgetful(addresses: &[String], member: u16) -> ConsensusSettings {
    ConsensusSettings { snapshot_every: 20, ..settings(addresses, member, 10) }
}

/// A single node that has written this number of tasks and stopped. Returns its address.
async fn lone(disk: &TestDisk, retained: u64, tasks: u64) -> Vec<String> {
    let addresses = free_addresses(1);
    let settings = ConsensusSettings { retained_log: retained, ..forgetful(&addresses, 1) };
    let node = begin(settings, disk).await;
    for number in 0..tasks {
        submit(&node, add(&format!("task-{number}"))).await.1.unwrap();
    }
    if retained < tasks {
        purged(&node).await;
    }
    node.consensus.stop().await;
    addresses
}

/// Waits until a node has purged some of its log.
async fn purged(node: &TestNode) {
    let started = Instant::now();
    while node.consensus.status().purged == 0 {
        assert!(started.elapsed() < LIMIT, "{:?}", node.consensus.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn refusal(addresses: &[String], disk: &TestDisk) -> String {
    let refused = tokio::time::timeout(LIMIT, try_begin(forgetful(addresses, 1), disk)).await;
    refused.expect("it waits for a member that does not exist").err().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_before_what_its_checkpoint_knows_to_be_synced_is_refused() {
    let disk = TestDisk::new();
    let addresses = lone(&disk, 1_000, 40).await;
    for _ in 0..15 {
        disk.log.lose_last();
    }
    let said = refusal(&addresses, &disk).await;
    assert!(said.contains("the Raft log ends before entry"), "{said}");
    assert!(said.contains("only copy") && !said.contains("replace"), "{said}");

    let log: Arc<dyn LogStore> = Arc::new(disk.log.open());
    let mut checkpoints = Checkpoints::open(Box::new(disk.stores.open()), log).unwrap();
    let advice = Advice { member: 3, alone: false };
    let peers = Peers::new(|_, _, _| unreachable!("there are no peers"));
    let (progress, _says) = watch::channel(String::new());
    let refused = load::load(&mut checkpoints, &peers, advice, &progress).await;
    let said = refused.err().unwrap().to_string();
    assert!(said.contains("punctual cluster members replace 3"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_node_with_a_damaged_checkpoint_refuses_unless_its_log_is_whole() {
    let damages: [fn(&MemoryDisk); 2] =
        [MemoryDisk::make_unreadable, |stores| stores.damage(|records| records.clear())];
    for damage in damages {
        let disk = TestDisk::new();
        let addresses = lone(&disk, 10, 60).await;
        damage(&disk.stores);
        let said = refusal(&addresses, &disk).await;
        assert!(said.contains("the log begins behind entry"), "{said}");
        assert!(said.contains("only copy") && !said.contains("replace"), "{said}");

        let disk = TestDisk::new();
        let addresses = lone(&disk, 1_000, 60).await;
        damage(&disk.stores);
        let node = begin(forgetful(&addresses, 1), &disk).await;
        assert!(node.consensus.read_barrier(LIMIT).await);
        assert_eq!(node.consensus.replica().read().task_count(), 60);
        node.consensus.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_a_damaged_checkpoint_takes_the_state_of_another() {
    let addresses = free_addresses(3);
    let disks = [TestDisk::new(), TestDisk::new(), TestDisk::new()];
    let nodes =
        disks.iter().zip(1..).map(|(disk, member)| begin(forgetful(&addresses, member), disk));
    let mut nodes = futures_util::future::join_all(nodes).await;
    let mut last = 0;
    for number in 0..100 {
        last = submit(&nodes[0], add(&format!("task-{number}"))).await.0;
    }
    let damages: [fn(&MemoryDisk); 2] =
        [MemoryDisk::make_unreadable, |stores| stores.damage(|records| records.clear())];
    for damage in damages {
        let third = nodes.pop().unwrap();
        purged(&third).await;
        third.consensus.stop().await;
        drop(third);
        damage(&disks[2].stores);
        nodes.push(begin(forgetful(&addresses, 3), &disks[2]).await);
        same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
    }
    for node in &nodes {
        node.consensus.stop().await;
    }
}

/// A node whose checkpoints are real files.
async fn begin_on_files(settings: ConsensusSettings, disk: &TestDisk, folder: &Path) -> TestNode {
    let (mut parts, metrics) = parts(settings, disk, Arc::new(Tcp));
    parts.disk.stores = Box::new(StateFolders::new(folder, &DescriptorReserve::default()));
    let RunningConsensus { consensus, events } = start(parts).await.unwrap();
    TestNode { consensus, metrics, _events: events }
}

/// A member recovers from damage to the files of a checkpoint, whether it is detected at open or
/// later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_checkpoint_files_are_damaged_takes_the_state_of_another() {
    let addresses = free_addresses(3);
    let disks = [TestDisk::new(), TestDisk::new(), TestDisk::new()];
    let folder = tempfile::tempdir().unwrap();
    let (first, second, third) = tokio::join!(
        begin(forgetful(&addresses, 1), &disks[0]),
        begin(forgetful(&addresses, 2), &disks[1]),
        begin_on_files(forgetful(&addresses, 3), &disks[2], folder.path()),
    );
    let mut nodes = vec![first, second, third];
    let current = || fs::read_to_string(folder.path().join("CURRENT")).unwrap().trim().to_owned();
    for (file, bytes) in
        [("db", &b""[..]), ("conf", b"segment_size: x\nand more"), ("redo", b"junk")]
    {
        let mut last = 0;
        for number in 0..60 {
            last = submit(&nodes[0], add(&format!("{file}-{number}"))).await.0;
        }
        let third = nodes.pop().unwrap();
        purged(&third).await;
        third.consensus.stop().await;
        drop(third);
        // sled writes, and releases its lock, some time after a store is dropped.
        drop(opened(folder.path()).unwrap());
        let former = current();
        fs::write(folder.path().join(&former).join(file), bytes).unwrap();
        nodes.push(begin_on_files(forgetful(&addresses, 3), &disks[2], folder.path()).await);
        same_everywhere(&nodes.iter().collect::<Vec<_>>(), last).await;
        assert_ne!(current(), former, "{file}: the state was not fetched from a member");
    }
    for node in &nodes {
        node.consensus.stop().await;
    }
}

/// Applies the entries of this range to a state machine with an empty state.
async fn applied(
    range: std::ops::RangeInclusive<u64>,
    store: &mut MachineStore,
) -> std::io::Result<()> {
    let entries: Vec<std::io::Result<EntryResponder<TypeConfig>>> =
        range.map(|index| Ok(entry(index))).collect();
    store.apply(futures_util::stream::iter(entries)).await
}

fn machine_on(stores: &MemoryDisk) -> MachineStore {
    let log: Arc<dyn LogStore> = Arc::new(SimDisk::new().open());
    let checkpoints = Checkpoints::open(Box::new(stores.open()), log).unwrap();
    let replica =
        Arc::new(Replica::new(7, State::default(), Formats::SOFTWARE, Metrics::new("test")));
    MachineStore::new(replica, checkpoints, None, Metrics::new("test"))
}

/// Changes collected for a checkpoint must not be written to the store of a state installed later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_under_way_leaves_an_installed_snapshot_alone() {
    let stores = MemoryDisk::new();
    let mut ahead = machine_on(&MemoryDisk::new());
    applied(1..=60, &mut ahead).await.unwrap();
    let snapshot = ahead.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let expected = snapshot.snapshot.state().digest();

    let mut store = machine_on(&stores);
    applied(1..=20, &mut store).await.unwrap();
    store.get_snapshot_builder().await.build_snapshot().await.unwrap();
    applied(21..=30, &mut store).await.unwrap();
    let mut under_way = store.get_snapshot_builder().await;
    let meta: SnapshotMeta = snapshot.meta.clone();
    store.install_snapshot(&meta, snapshot.snapshot).await.unwrap();
    under_way.build_snapshot().await.unwrap();
    let on_disk = |stores: &MemoryDisk| {
        let log: Arc<dyn LogStore> = Arc::new(SimDisk::new().open());
        let checkpoints = Checkpoints::open(Box::new(stores.open()), log).unwrap();
        machine::load(&checkpoints).unwrap().unwrap()
    };
    let loaded = on_disk(&stores);
    assert_eq!(loaded.state.digest(), expected);
    assert_eq!(loaded.applied.map(|id| id.index()), Some(60));
    drop(store);

    // The next checkpoint goes to the new store.
    let mut store = machine_on(&stores);
    store.install_snapshot(&meta, FrozenState::new(loaded.state)).await.unwrap();
    applied(61..=70, &mut store).await.unwrap();
    store.get_snapshot_builder().await.build_snapshot().await.unwrap();
    assert_eq!(on_disk(&stores).applied.map(|id| id.index()), Some(70));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_applied_before_anyone_listened_is_told_as_one_replacement() {
    let replica =
        Arc::new(Replica::new(7, State::default(), Formats::SOFTWARE, Metrics::new("test")));
    let log: Arc<dyn LogStore> = Arc::new(SimDisk::new().open());
    let checkpoints = Checkpoints::open(Box::new(MemoryDisk::new().open()), log).unwrap();
    let metrics = Metrics::new("test");
    let mut store = MachineStore::new(Arc::clone(&replica), checkpoints, None, metrics);
    applied(1..=50, &mut store).await.unwrap();
    let mut events = replica.attach();
    assert!(matches!(events.try_recv(), Ok(ReplicaEvent::Replaced(50))));
    assert!(events.try_recv().is_err(), "there were earlier events");
    applied(51..=51, &mut store).await.unwrap();
    assert!(matches!(events.try_recv(), Ok(ReplicaEvent::Applied(51, _))));
}

/// A stop writes a last checkpoint, even if another one is in progress or has just ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_checkpoint_covers_what_was_applied_during_another() {
    let disk = TestDisk::new();
    let addresses = free_addresses(1);
    let node = begin(settings(&addresses, 1, 1_000), &disk).await;
    submit(&node, add("before")).await.1.unwrap();
    let checkpoints = Arc::clone(&node.consensus.checkpoints);
    let (held, holds) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let _disk = checkpoints.lock();
        held.send(()).unwrap();
        let _dropped = released.recv();
    });
    holds.recv().unwrap();
    node.consensus.core.raft.trigger().snapshot().await.unwrap();
    let (last, _) = submit(&node, add("during")).await;
    assert!(node.consensus.replica().reach(last, LIMIT).await);
    let consensus = node.consensus.clone();
    let stopping = tokio::spawn(async move { consensus.stop().await });
    // The other checkpoint takes this long. Triggers during this time are ignored.
    tokio::time::sleep(2 * ASK_AGAIN).await;
    assert!(!stopping.is_finished());
    let released = Instant::now();
    drop(release);
    stopping.await.unwrap();
    let took = released.elapsed();
    assert!(took < LAST_CHECKPOINT / 2, "it stopped {took:?} after the other checkpoint");
    holder.join().unwrap();
    let log: Arc<dyn LogStore> = Arc::new(disk.log.open());
    let checkpoints = Checkpoints::open(Box::new(disk.stores.open()), log).unwrap();
    let loaded = machine::load(&checkpoints).unwrap().unwrap();
    assert!(loaded.applied.map(|id| id.index()) >= Some(last), "{:?}", loaded.applied);
    assert!(loaded.promised > last, "the checkpoint does not cover the entry: {}", loaded.promised);
}
