//! The rules for every [`LogStore`].

use std::io;
use std::sync::mpsc;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::WalLog;
use super::super::descriptors::DescriptorReserve;
use super::super::log::{Done, LogPos, LogState, LogStore};
use super::super::sim::SimDisk;
use super::{LogFolder, WAIT, all, append, durably, entry, pos};

/// Small, so that a test fills several files.
const CHUNK_BYTES: usize = 2_000;

type OpenLog<'a> = &'a dyn Fn() -> Box<dyn LogStore>;

fn on_each_log(case: impl Fn(OpenLog<'_>)) {
    let folder = LogFolder::new();
    case(&|| {
        Box::new(
            WalLog::open_with(folder.path(), &DescriptorReserve::default(), CHUNK_BYTES).unwrap(),
        )
    });
    let disk = SimDisk::new();
    case(&|| Box::new(disk.open()));
}

fn positions(log: &dyn LogStore) -> Vec<LogPos> {
    all(log).into_iter().map(|(pos, _)| pos).collect()
}

#[test]
fn a_new_log_is_empty() {
    on_each_log(|open| {
        let log = open();
        assert_eq!(log.state(), LogState::default());
        assert!(all(&*log).is_empty());
        assert_eq!(log.oldest_unflushed(), None);
    });
}

#[test]
fn what_is_durable_is_there_after_a_restart() {
    on_each_log(|open| {
        let log = open();
        durably(|done| log.save_vote(Bytes::from_static(b"vote 1"), done)).unwrap();
        append(&*log, (0..100).map(|index| entry(1, index)).collect()).unwrap();
        durably(|done| log.save_vote(Bytes::from_static(b"vote 2"), done)).unwrap();
        log.save_committed(pos(1, 60));
        log.purge_to(pos(1, 9));
        append(&*log, vec![entry(2, 100)]).unwrap();
        let expected = LogState {
            vote: Some(Bytes::from_static(b"vote 2")),
            last: Some(pos(2, 100)),
            purged: Some(pos(1, 9)),
            committed: Some(pos(1, 60)),
        };
        let entries: Vec<_> =
            (10..100).map(|index| entry(1, index)).chain([entry(2, 100)]).collect();
        assert_eq!(log.state(), expected);
        assert_eq!(all(&*log), entries);
        assert!(log.fsyncs() >= 4);
        assert_eq!(log.synced(), Some(pos(2, 100)));
        drop(log);
        let log = open();
        assert_eq!(log.state(), expected);
        assert_eq!(all(&*log), entries);
        append(&*log, vec![entry(2, 101)]).unwrap();
    });
}

#[test]
fn entries_are_readable_before_they_are_durable() {
    on_each_log(|open| {
        let log = open();
        let (answer, answers) = mpsc::channel();
        for index in 0..50 {
            let answer = answer.clone();
            let done: Done = Box::new(move |result| answer.send((index, result.is_ok())).unwrap());
            log.append(vec![entry(1, index)], done);
            assert_eq!(log.read(index, index + 1, 1).unwrap(), [entry(1, index)]);
            assert_eq!(log.state().last, Some(pos(1, index)));
        }
        for index in 0..50 {
            let answered = answers.recv_timeout(WAIT).unwrap();
            assert_eq!(answered, (index, true), "in order");
        }
        assert_eq!(log.oldest_unflushed(), None);
    });
}

#[test]
fn an_empty_append_is_answered() {
    on_each_log(|open| append(&*open(), vec![]).unwrap());
}

#[test]
fn a_cut_and_another_history() {
    on_each_log(|open| {
        let log = open();
        append(&*log, (0..10).map(|index| entry(1, index)).collect()).unwrap();
        log.truncate_from(10);
        log.truncate_from(99);
        assert_eq!(log.state().last, Some(pos(1, 9)), "there was nothing to truncate");
        log.truncate_from(4);
        assert_eq!(log.state().last, Some(pos(1, 3)));
        append(&*log, vec![entry(2, 4), entry(2, 5)]).unwrap();
        log.truncate_from(5);
        append(&*log, vec![entry(3, 5)]).unwrap();
        drop(log);
        let log = open();
        let expected = [pos(1, 0), pos(1, 1), pos(1, 2), pos(1, 3), pos(2, 4), pos(3, 5)];
        assert_eq!(positions(&*log), expected);
        log.truncate_from(0);
        assert_eq!((log.state().last, positions(&*log)), (None, vec![]));
        append(&*log, vec![entry(4, 0)]).unwrap();
        drop(log);
        assert_eq!(positions(&*open()), [pos(4, 0)]);
    });
}

/// The log reports the synced end, which unsynced writes do not change.
#[test]
fn the_last_synced_entry_is_known() {
    on_each_log(|open| {
        let log = open();
        assert_eq!(log.synced(), None);
        append(&*log, (0..10).map(|index| entry(1, index)).collect()).unwrap();
        assert_eq!(log.synced(), Some(pos(1, 9)));
        log.truncate_from(5);
        durably(|done| log.save_vote(Bytes::from_static(b"v"), done)).unwrap();
        assert_eq!(log.synced(), Some(pos(1, 4)));
        log.purge_to(pos(2, 20));
        durably(|done| log.save_vote(Bytes::from_static(b"w"), done)).unwrap();
        assert_eq!(log.synced(), Some(pos(2, 20)));
        drop(log);
        assert_eq!(open().synced(), Some(pos(2, 20)));
    });
}

/// If a synced end is missing, this is not a torn write.
#[test]
fn a_log_that_lost_what_was_synced_is_refused() {
    let folder = LogFolder::new();
    let log = WalLog::open(folder.path(), &DescriptorReserve::default()).unwrap();
    append(&log, vec![entry(1, 0), entry(1, 1)]).unwrap();
    drop(log);
    let name = super::super::files::names_in(&DescriptorReserve::default(), folder.path())
        .unwrap()
        .pop()
        .unwrap();
    let file = std::fs::File::options().write(true).open(folder.path().join(name)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let disk = SimDisk::new();
    append(&disk.open(), vec![entry(1, 0), entry(1, 1)]).unwrap();
    drop(disk.try_open().unwrap());
    disk.lose_last();
    for refused in [
        WalLog::open(folder.path(), &DescriptorReserve::default()).map(drop),
        disk.try_open().map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(error.is_damage(), "{error}");
    }
}

/// The new leader's entries may have a lower term than the ones they replace: (2,2) replaces (3,2).
#[test]
fn entries_of_an_older_term_can_follow_a_cut() {
    on_each_log(|open| {
        let log = open();
        append(&*log, vec![entry(1, 0), entry(1, 1)]).unwrap();
        append(&*log, (2..90).map(|index| entry(3, index)).collect()).unwrap();
        log.truncate_from(2);
        for index in 2..20 {
            append(&*log, vec![entry(2, index)]).unwrap();
            assert_eq!(log.read(index, index + 1, 0).unwrap(), [entry(2, index)]);
        }
        append(&*log, (20..200).map(|index| entry(4, index)).collect()).unwrap();
        let read: Vec<_> = all(&*log);
        drop(log);
        assert_eq!(all(&*open()), read);
        assert_eq!(read.len(), 200);
    });
}

#[test]
fn purging_within_up_to_and_beyond_the_end() {
    on_each_log(|open| {
        let log = open();
        append(&*log, (0..100).map(|index| entry(1, index)).collect()).unwrap();
        log.purge_to(pos(1, 79));
        log.purge_to(pos(1, 50));
        assert_eq!(log.state().purged, Some(pos(1, 79)), "the purged position does not decrease");
        assert_eq!(positions(&*log).first(), Some(&pos(1, 80)));
        log.truncate_from(3);
        assert_eq!(log.state().last, Some(pos(1, 79)), "all entries are truncated");
        append(&*log, vec![entry(2, 80)]).unwrap();
        log.purge_to(pos(2, 80));
        assert_eq!(log.state().last, Some(pos(2, 80)));
        log.purge_to(pos(3, 500));
        append(&*log, vec![entry(3, 501)]).unwrap();
        drop(log);
        let log = open();
        assert_eq!(log.state().purged, Some(pos(3, 500)));
        assert_eq!(positions(&*log), [pos(3, 501)]);
        log.truncate_from(501);
        assert_eq!(log.state().last, Some(pos(3, 500)));
    });
}

#[test]
fn a_commit_mark_that_makes_no_sense_is_ignored() {
    on_each_log(|open| {
        let log = open();
        log.save_committed(pos(1, 0));
        assert_eq!(log.state().committed, None);
        append(&*log, (0..10).map(|index| entry(1, index)).collect()).unwrap();
        log.save_committed(pos(1, 6));
        log.save_committed(pos(1, 4));
        log.save_committed(pos(2, 11));
        assert_eq!(log.state().committed, Some(pos(1, 6)));
        append(&*log, vec![entry(1, 10)]).unwrap();
    });
}

#[test]
fn reads_give_a_prefix_within_their_bytes() {
    on_each_log(|open| {
        let log = open();
        let large = |index| (pos(1, index), Bytes::from(vec![index as u8; 100_000]));
        append(&*log, (0..20).map(large).collect()).unwrap();
        log.purge_to(pos(1, 4));
        assert_eq!(log.read(0, 20, usize::MAX).unwrap().len(), 15);
        assert_eq!(log.read(6, 9, usize::MAX).unwrap(), (6..9).map(large).collect::<Vec<_>>());
        assert_eq!(log.read(6, 20, 350_000).unwrap().len(), 3);
        assert_eq!(log.read(6, 20, 300_000).unwrap().len(), 3);
        assert_eq!(log.read(6, 20, 0).unwrap().len(), 1, "at least one entry");
        assert!(log.read(0, 5, 9).unwrap().is_empty());
        assert!(log.read(20, 30, 9).unwrap().is_empty());
        assert!(log.read(9, 9, 9).unwrap().is_empty());
        assert!(log.read(9, 3, 9).unwrap().is_empty());
    });
}

#[test]
fn a_gap_fails_the_log_for_good() {
    on_each_log(|open| {
        let log = open();
        append(&*log, vec![entry(1, 0)]).unwrap();
        append(&*log, vec![entry(1, 2)]).unwrap_err();
        let error = append(&*log, vec![entry(1, 1)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        durably(|done| log.save_vote(Bytes::new(), done)).unwrap_err();
        drop(log);
        let log = open();
        append(&*log, vec![entry(1, 1)]).unwrap();
        assert_eq!(positions(&*log), [pos(1, 0), pos(1, 1)]);
    });
}

#[test]
fn cutting_off_a_committed_entry_fails_the_log() {
    on_each_log(|open| {
        let log = open();
        append(&*log, (0..10).map(|index| entry(1, index)).collect()).unwrap();
        log.save_committed(pos(1, 5));
        log.truncate_from(5);
        append(&*log, vec![entry(1, 10)]).unwrap_err();
    });
}

#[test]
fn a_closed_log_refuses() {
    on_each_log(|open| {
        let log = open();
        append(&*log, vec![entry(1, 0)]).unwrap();
        log.close();
        log.close();
        append(&*log, vec![entry(1, 1)]).unwrap_err();
        durably(|done| log.save_vote(Bytes::new(), done)).unwrap_err();
        log.read(0, 1, 1).unwrap_err();
        log.truncate_from(0);
        log.purge_to(pos(1, 0));
        assert_eq!(log.oldest_unflushed(), None);
        drop(log);
        assert_eq!(positions(&*open()), [pos(1, 0)]);
    });
}

#[derive(Clone, Debug)]
enum LogStep {
    Append { term_up: u64, count: u64, bytes: usize },
    Vote(u8),
    Cut { back: u64 },
    Purge { back: u64 },
    Skip { ahead: u64 },
    Commit { back: u64 },
    Reopen,
}

fn step() -> impl Strategy<Value = LogStep> {
    prop_oneof![
        6 => (0_u64..3, 1_u64..9, 0_usize..400).prop_map(|(term_up, count, bytes)| LogStep::Append {
            term_up,
            count,
            bytes
        }),
        1 => any::<u8>().prop_map(LogStep::Vote),
        2 => (0_u64..12).prop_map(|back| LogStep::Cut { back }),
        1 => (0_u64..12).prop_map(|back| LogStep::Purge { back }),
        1 => (1_u64..4).prop_map(|ahead| LogStep::Skip { ahead }),
        2 => (0_u64..12).prop_map(|back| LogStep::Commit { back }),
        1 => Just(LogStep::Reopen),
    ]
}

/// Makes those calls of a step that a correct caller could make in this state.
fn make(step: &LogStep, log: &dyn LogStore) {
    let state = log.state();
    let last = state.last.unwrap_or_default();
    let end = state.last.map_or(0, |last| last.index + 1);
    let held = |back: u64| log.read(end.saturating_sub(back + 1), end, 0).unwrap().pop();
    match *step {
        LogStep::Append { term_up, count, bytes } => {
            let term = last.term + term_up;
            let data = Bytes::from(vec![term as u8; bytes]);
            let entries =
                (end..end + count).map(|index| (pos(term, index), data.clone())).collect();
            append(log, entries).unwrap();
        }
        LogStep::Vote(vote) => durably(|done| log.save_vote(vec![vote].into(), done)).unwrap(),
        LogStep::Cut { back } => {
            let index = end.saturating_sub(back);
            if state.committed.is_none_or(|committed| committed.index < index) {
                log.truncate_from(index);
            }
        }
        LogStep::Purge { back } => {
            if let Some((pos, _)) = held(back) {
                log.save_committed(pos);
                log.purge_to(pos);
            }
        }
        LogStep::Skip { ahead } => log.purge_to(pos(last.term + 1, end + ahead)),
        LogStep::Commit { back } => {
            if let Some((pos, _)) = held(back) {
                log.save_committed(pos);
            }
        }
        LogStep::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    /// The log on disk and the one in memory agree on everything after each step.
    #[test]
    fn the_twin_is_faithful(steps in proptest::collection::vec(step(), 1..60)) {
        let folder = LogFolder::new();
        let disk = SimDisk::new();
        let open = || WalLog::open_with(folder.path(), &DescriptorReserve::default(), CHUNK_BYTES).unwrap();
        let (mut wal, mut sim) = (open(), disk.open());
        for step in &steps {
            make(step, &wal);
            make(step, &sim);
            if let LogStep::Reopen = step {
                drop(wal);
                drop(sim);
                (wal, sim) = (open(), disk.open());
            }
            prop_assert_eq!(wal.state(), sim.state());
            prop_assert_eq!(all(&wal), all(&sim));
        }
    }
}
