//! Data of another version is refused with a message that names both versions, and left unchanged,
//! so that the other version can start again.

use std::time::Instant;

use xxhash_rust::xxh3::xxh3_128;

use super::super::wire;
use super::*;
use crate::domain::machine::as_version;
use crate::domain::machine::envelope::EntryHead;
use crate::domain::time::Timestamp;
use crate::storage::{LogPos, LogStore};

/// The contents of a disk: records, entries, marks, identity.
type OnDisk =
    (Vec<(Vec<u8>, Vec<u8>)>, Vec<(LogPos, Bytes)>, String, Option<crate::storage::FolderIdentity>);

fn on_disk(disk: &TestDisk) -> OnDisk {
    let mut records = Vec::new();
    disk.stores.damage(|found| records = found.clone().into_iter().collect());
    let log = disk.log.open();
    let entries = log.read(0, u64::MAX, usize::MAX).unwrap();
    (records, entries, format!("{:?}", log.state()), disk.identity.lock().clone())
}

/// A stopped single node with checkpoints and a log after them. Returns its settings.
async fn stopped(disk: &TestDisk) -> ConsensusSettings {
    let addresses = free_addresses(1);
    let settings = ConsensusSettings { snapshot_every: 20, ..settings(&addresses, 1, 10) };
    let node = begin(settings.clone(), disk).await;
    for number in 0..60 {
        submit(&node, add(&format!("task-{number}"))).await.1.unwrap();
    }
    node.consensus.stop().await;
    settings
}

/// Starts a node, and retries until the listener of an earlier, refused start has ended.
async fn started(settings: &ConsensusSettings, disk: &TestDisk) -> Result<TestNode, StartError> {
    let begun = Instant::now();
    loop {
        match try_begin(settings.clone(), disk).await {
            Err(StartError::Listen(_)) if begun.elapsed() < LIMIT => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            started => return started,
        }
    }
}

/// Checks that the start is refused because of another version, and that nothing is written.
async fn refused(settings: &ConsensusSettings, disk: &TestDisk) -> String {
    let before = on_disk(disk);
    let refused = tokio::time::timeout(LIMIT, started(settings, disk)).await;
    let error = refused.expect("the start waits").err().expect("the node starts");
    assert!(matches!(error, StartError::Version(_)), "{error:?}");
    assert_eq!(on_disk(disk), before, "something was written");
    let said = error.to_string();
    assert!(said.ends_with("start the version that wrote it: nothing was changed"), "{said}");
    said
}

async fn starts(settings: &ConsensusSettings, disk: &TestDisk) {
    let node = started(settings, disk).await.unwrap();
    assert_eq!(node.consensus.replica().read().task_count(), 60);
    node.consensus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_another_version_are_refused_and_left_as_they_are() {
    let disk = TestDisk::new();
    let settings = stopped(&disk).await;
    let mut ours = Vec::new();
    disk.stores.damage(|records| {
        let cluster = records.get_mut(&b"c"[..]).unwrap();
        ours.clone_from(cluster);
        *cluster = as_version(cluster, ours[0] + 1);
        // A record with another layout, which is read first.
        records.insert(b"a\x01x".to_vec(), b"\xff".to_vec());
    });
    let said = refused(&settings, &disk).await;
    let software = "punctual 0.0.0";
    let named = format!(
        "the checkpoint has records of version {}, written by {software}; this software, \
         {software}, reads versions {} to {}; ",
        ours[0] + 1,
        ours[0] - 1,
        ours[0]
    );
    assert!(said.starts_with(&named), "{said}");
    disk.stores.damage(|records| {
        records.insert(b"c".to_vec(), ours);
        records.remove(&b"a\x01x"[..]);
    });
    starts(&settings, &disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raft_record_of_another_version_is_refused_and_left_as_it_is() {
    let disk = TestDisk::new();
    let settings = stopped(&disk).await;
    let as_version = |version: u8| {
        disk.stores.damage(|records| {
            let record = records.get_mut(&b"r"[..]).unwrap();
            record[0] = version;
            let content = record.len() - 16;
            let seal = xxh3_128(&record[..content]).to_le_bytes();
            record[content..].copy_from_slice(&seal);
        });
    };
    as_version(2);
    let said = refused(&settings, &disk).await;
    let named = "the checkpoint has a Raft record of version 2; this software reads 1; ";
    assert!(said.starts_with(named), "{said}");
    as_version(1);
    starts(&settings, &disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_of_another_version_is_refused_and_left_as_it_is() {
    let disk = TestDisk::new();
    let settings = stopped(&disk).await;
    let ours = disk.log.open().state().vote.unwrap();
    let theirs = [&[2], &ours[1..]].concat();
    disk.log.open().save_vote(theirs.into(), Box::new(|saved| saved.unwrap()));
    let said = refused(&settings, &disk).await;
    let named = "the Raft log has a vote of version 2; this software reads 1; ";
    assert!(said.starts_with(named), "{said}");
    disk.log.open().save_vote(ours, Box::new(|saved| saved.unwrap()));
    starts(&settings, &disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_entry_of_another_version_is_refused_and_left_as_it_is() {
    let command = |kind: u16| [&kind.to_le_bytes()[..], &[0, 1, 0, 0, 0, 7]].concat();
    let entry = |commands: &[u8]| {
        let head = EntryHead { stamp: Timestamp(1), origin: 1, seq: 1 };
        [&[wire::NORMAL], &envelope::entry(head, commands)[..]].concat()
    };
    let mut of_version_2 = entry(&command(1));
    of_version_2[1] = 2;
    let cases = [
        (entry(&command(999)), "command kind 999; this software, of level 1, knows kinds up to "),
        (of_version_2, "an entry of version 2; this software reads version 1"),
        (vec![9, 9], "an entry of kind 9; this software reads 2"),
    ];
    for (theirs, named) in cases {
        let disk = TestDisk::new();
        let settings = stopped(&disk).await;
        let log = disk.log.open();
        let last = log.state().last.unwrap();
        let at = LogPos { index: last.index + 1, ..last };
        log.append(vec![(at, theirs.into())], Box::new(|appended| appended.unwrap()));
        log.save_committed(at);
        let said = refused(&settings, &disk).await;
        let named = format!("log entry {}: {named}", at.index);
        assert!(said.starts_with(&named), "{said}");
    }
}
