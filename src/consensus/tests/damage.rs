//! Damaged checkpoints.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::EntryPayload;
use openraft::RaftSnapshotBuilder;
use openraft::storage::{EntryResponder, RaftStateMachine};
use tokio::sync::watch;

use super::super::checkpoint::Checkpoints;
use super::super::formats::Formats;
use super::super::load;
use super::super::machine::{self, CheckpointError, MachineStore};
use super::super::peers::Peers;
use super::super::replica::Replica;
use super::super::types::{LogEntry, Payload, TypeConfig, log_id};
use super::super::wire;
use super::{LIMIT, add};
use crate::domain::machine::State;
use crate::domain::machine::envelope::{self, EntryHead};
use crate::domain::time::Timestamp;
use crate::storage::descriptors::DescriptorReserve;
use crate::storage::sim::SimDisk;
use crate::storage::{LogPos, LogStore, StateFolders};
use crate::telemetry::metrics::Metrics;

/// Number of flipped bits, each in its own copy.
const FLIPS: u64 = 100;
/// Number of tasks in the first checkpoint and in the second.
const TASKS: [u64; 2] = [500, 700];

/// The contents of a checkpoint: applied entry, membership, digest.
type CheckpointContents = (Option<u64>, String, u128);

fn at(index: u64) -> LogPos {
    LogPos { term: 1, node: 0x1_0001, index }
}

/// An entry that adds a task.
pub(super) fn entry(index: u64) -> EntryResponder<TypeConfig> {
    let head = EntryHead { stamp: Timestamp(1_000_000), origin: 1, seq: index };
    let mut bytes = vec![wire::NORMAL];
    bytes.extend_from_slice(&envelope::entry(head, &add(&format!("task-{index}"))));
    let payload = EntryPayload::Normal(Payload(bytes.into()));
    (LogEntry { log_id: log_id(at(index)), payload }, None)
}

/// sled releases its lock some time after a store is dropped.
pub(super) fn opened(folder: &Path) -> Result<Checkpoints, crate::storage::StorageError> {
    let started = Instant::now();
    loop {
        let log = Arc::new(SimDisk::new().open());
        match Checkpoints::open(
            Box::new(StateFolders::new(folder, &DescriptorReserve::default())),
            log,
        ) {
            Err(error) if error.to_string().contains("lock") && started.elapsed() < LIMIT => {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

/// The same with a log that was purged up to an index.
fn opened_with(folder: &Path, purged: u64) -> Checkpoints {
    drop(opened(folder).unwrap());
    loop {
        let log = Arc::new(SimDisk::new().open());
        log.purge_to(at(purged));
        match Checkpoints::open(
            Box::new(StateFolders::new(folder, &DescriptorReserve::default())),
            log,
        ) {
            Err(error) if error.to_string().contains("lock") => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn held(folder: &Path) -> Result<Option<CheckpointContents>, CheckpointError> {
    let loaded = machine::load(&opened(folder)?)?;
    Ok(loaded.map(|loaded| {
        let applied = loaded.applied.map(|id| id.index());
        (applied, format!("{:?}", loaded.membership), loaded.state.digest())
    }))
}

/// Writes two checkpoints in sequence, as a node does, and returns the contents of each.
async fn write(folder: &Path) -> Vec<CheckpointContents> {
    let replica =
        Arc::new(Replica::new(7, State::default(), Formats::SOFTWARE, Metrics::new("test")));
    let checkpoints = opened(folder).unwrap();
    let mut store =
        MachineStore::new(Arc::clone(&replica), checkpoints, None, Metrics::new("test"));
    let mut next = 1;
    let mut written = Vec::new();
    for end in TASKS {
        let entries: Vec<_> = (next..=end).map(|index| Ok(entry(index))).collect();
        store.apply(futures_util::stream::iter(entries)).await.unwrap();
        next = end + 1;
        store.get_snapshot_builder().await.build_snapshot().await.unwrap();
        let (applied, membership) = store.applied_state().await.unwrap();
        let digest = replica.frozen().digest();
        written.push((applied.map(|id| id.index()), format!("{membership:?}"), digest));
    }
    written
}

/// The files below a folder with their contents.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_a_checkpoint_is_noticed_or_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let written = write(&data).await;
    assert_eq!(held(&data).unwrap().as_ref(), written.last());
    drop(opened(&data).unwrap());
    // Without the long runs of zeros, which were never written.
    let sound = files(&data);
    let content: Vec<(usize, usize)> = sound
        .iter()
        .enumerate()
        .flat_map(|(file, (_, bytes))| {
            let used = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
            used.map(move |(at, _)| (file, at)).collect::<Vec<_>>()
        })
        .collect();
    let (mut refused, mut none, mut older, mut same) = (0, 0, 0, 0);
    for flip in 0..=FLIPS {
        let word = xxhash_rust::xxh3::xxh3_64(&flip.to_be_bytes());
        let (file, at) = content[usize::try_from(word % content.len() as u64).unwrap()];
        let copy = folder.path().join(format!("copy-{flip}"));
        fs::create_dir_all(copy.join("state.1/blobs")).unwrap();
        for (number, (path, bytes)) in sound.iter().enumerate() {
            let mut bytes = bytes.clone();
            // The last copy is not changed.
            if number == file && flip < FLIPS {
                bytes[at] ^= 1 << (word >> 61);
            }
            fs::write(copy.join(path.strip_prefix(&data).unwrap()), bytes).unwrap();
        }
        if flip == FLIPS {
            assert_eq!(held(&copy).unwrap().as_ref(), written.last());
            break;
        }
        let place = format!("bit {} of byte {at} of {}", word >> 61, sound[file].0.display());
        match held(&copy) {
            Err(CheckpointError::Damaged(_)) => refused += 1,
            Err(other) => panic!("{place}: {other} is not treated as damage"),
            Ok(None) => none += 1,
            Ok(Some(found)) if found == written[1] => same += 1,
            Ok(Some(found)) if found == written[0] => older += 1,
            Ok(Some(found)) => panic!("{place}: {found:?} was never written"),
        }
        fs::remove_dir_all(copy).unwrap();
    }
    println!("{refused} refused, {none} without one, {older} the one before, {same} the same");
    assert!(refused + none + older > FLIPS / 10, "too few flipped bits had an effect");
}

/// A store that lost its newest data may be consistent in itself. The log then shows the loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_older_than_what_was_cut_off_the_log_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path()).await;
    for (purged, used) in [(TASKS[1], true), (TASKS[1] + 1, false)] {
        let peers = Peers::new(|_, _, _| unreachable!("there are no peers"));
        let (progress, mut says) = watch::channel(String::new());
        let mut checkpoints = opened_with(folder.path(), purged);
        let advice = load::Advice { member: 1, alone: false };
        let load = load::load(&mut checkpoints, &peers, advice, &progress);
        let waits = says.wait_for(|text| text.contains("waiting for a member with a state"));
        let found = tokio::time::timeout(Duration::from_secs(10), async {
            tokio::select! {
                loaded = load => loaded.unwrap().is_some(),
                _ = waits => false,
            }
        });
        assert_eq!(found.await.unwrap(), used, "purged up to {purged}");
    }
    assert!(held(folder.path()).unwrap().is_some(), "the checkpoint was changed");
}

/// Files that a disk lost or truncated to zero. The result in sled is never used as a state, and
/// never prevents the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_or_emptied_file_of_a_checkpoint_is_damage_or_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let written = write(&data).await;
    drop(opened(&data).unwrap());
    let mut damaged = 0;
    for (number, (path, _)) in files(&data).iter().enumerate() {
        for emptied in [true, false] {
            let copy = folder.path().join(format!("copy-{number}-{emptied}"));
            fs::create_dir_all(copy.join("state.1/blobs")).unwrap();
            for (other, bytes) in files(&data) {
                let there = copy.join(other.strip_prefix(&data).unwrap());
                match (other == *path, emptied) {
                    (false, _) => fs::write(there, bytes).unwrap(),
                    (true, true) => fs::write(there, b"").unwrap(),
                    (true, false) => {}
                }
            }
            match held(&copy) {
                Err(CheckpointError::Damaged(_)) => damaged += 1,
                Ok(Some(found)) => assert!(written.contains(&found), "{path:?}: {found:?}"),
                Ok(None) => assert!(!emptied && path.ends_with("CURRENT"), "{path:?}"),
                Err(error) => panic!("{path:?}: {error} is not treated as damage"),
            }
        }
    }
    assert!(damaged >= 3, "expected damage of both data files and of the pointer: {damaged}");
}
