//! Crashes and faults of the simulated disk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::super::conformance::{all, append, durably, entry, pos};
use super::*;

/// Appends without waiting. The result arrives on the receiver.
fn start(log: &SimLog, entries: Vec<(LogPos, Bytes)>) -> mpsc::Receiver<io::Result<()>> {
    let (answer, answers) = mpsc::channel();
    log.append(entries, Box::new(move |result| answer.send(result).unwrap()));
    answers
}

fn manual() -> SimDisk {
    let disk = SimDisk::new();
    disk.set_manual(true);
    disk
}

#[test]
fn a_manual_disk_answers_when_it_is_told_to() {
    let disk = manual();
    let log = disk.open();
    let hooked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&hooked);
    disk.on_unsynced(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let answers = start(&log, vec![entry(1, 0), entry(1, 1)]);
    answers.try_recv().unwrap_err();
    disk.set_age(Some(Duration::from_secs(9)));
    assert_eq!((disk.unsynced(), hooked.load(Ordering::Relaxed)), (2, 1));
    assert_eq!(log.oldest_unflushed(), Some(Duration::from_secs(9)));
    assert!(log.oldest_unflushed().is_some());
    assert_eq!(all(&log).len(), 2, "readable immediately");
    disk.sync();
    answers.try_recv().unwrap().unwrap();
    assert_eq!((disk.unsynced(), log.fsyncs(), log.oldest_unflushed()), (0, 1, None));
}

#[test]
fn a_crash_keeps_any_prefix_of_the_unsynced() {
    for survivors in 0..=5 {
        let disk = manual();
        let log = disk.open();
        let first = start(&log, vec![entry(1, 0)]);
        disk.sync();
        first.try_recv().unwrap().unwrap();
        let pending = start(&log, vec![entry(1, 1), entry(1, 2)]);
        log.truncate_from(2);
        let vote = mpsc::channel();
        log.save_vote(
            Bytes::from_static(b"v"),
            Box::new(move |result| vote.0.send(result).unwrap()),
        );
        log.purge_to(pos(1, 0));
        disk.crash(|unsynced| {
            assert_eq!(unsynced, 5);
            survivors
        });
        pending.try_recv().unwrap().unwrap_err();
        vote.1.try_recv().unwrap().unwrap_err();

        let log = disk.open();
        let state = log.state();
        let last = [0, 1, 2, 1, 1, 1][survivors];
        assert_eq!(state.last, Some(pos(1, last)));
        assert_eq!(state.vote.is_some(), survivors >= 4);
        assert_eq!(state.purged.is_some(), survivors == 5);
    }
}

#[test]
fn a_process_that_crashed_can_do_nothing_any_more() {
    let disk = SimDisk::new();
    let old = disk.open();
    append(&old, vec![entry(1, 0)]).unwrap();
    let new = disk.open();
    append(&old, vec![entry(1, 1)]).unwrap_err();
    old.truncate_from(0);
    old.read(0, 1, 1).unwrap_err();
    drop(old);
    append(&new, vec![entry(1, 1)]).unwrap();
    assert_eq!(all(&new).len(), 2);
}

#[test]
fn a_failure_lasts_until_the_log_is_opened_again() {
    let disk = SimDisk::new();
    let log = disk.open();
    disk.fail_next(io::Error::other("a bad sector"));
    log.truncate_from(0);
    let error = append(&log, vec![entry(1, 0)]).unwrap_err();
    assert_eq!(error.to_string(), "a bad sector");
    let error = durably(|done| log.save_vote(Bytes::new(), done)).unwrap_err();
    assert_eq!(error.to_string(), "a bad sector", "all later writes get it");
    disk.crash(|_| 0);
    let log = disk.open();
    append(&log, vec![entry(1, 0)]).unwrap();
}

#[test]
fn a_failed_write_may_have_reached_the_disk() {
    let disk = SimDisk::new();
    let log = disk.open();
    disk.fail_next(io::Error::other("a bad sector"));
    append(&log, vec![entry(1, 0), entry(1, 1)]).unwrap_err();
    disk.crash(|unsynced| unsynced - 1);
    assert_eq!(all(&disk.open()), [entry(1, 0)]);
}

#[test]
fn a_full_disk_refuses_until_there_is_room() {
    let disk = SimDisk::new();
    let log = disk.open();
    disk.full(true);
    let error = append(&log, vec![entry(1, 0)]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    disk.crash(|_| 0);
    let log = disk.open();
    append(&log, vec![entry(1, 0)]).unwrap_err();
    disk.full(false);
    disk.crash(|_| 0);
    append(&disk.open(), vec![entry(1, 0)]).unwrap();
}
