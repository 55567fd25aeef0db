//! Kills writing processes, and checks the files on the disk.
//!
//! The test binary starts itself again with [`MODE`] set. The child writes forever and prints one
//! line `acked PROMISE` for each acknowledged write. The parent kills it after a number of lines
//! and compares the files with the last promise. `cluster-tests/power-cuts.sh` uses the same child:
//!
//! ```text
//! PUNCTUAL_CRASH=log PUNCTUAL_CRASH_DIR=/mnt/x BINARY --exact storage::crashtest::child --nocapture
//! PUNCTUAL_CRASH=check-log:PROMISE PUNCTUAL_CRASH_DIR=/mnt/x BINARY --exact storage::crashtest::child
//! ```
//!
//! `log` writes the Raft log, `store` writes checkpoints, and both files only grow: growing files
//! are the harder case for a disk, and separate runs cannot hide a missing sync behind the syncs of
//! the other. `folder` writes both as a node does, and purges the log behind the checkpoint.
//!
//! The content of a write follows from its number, so the check needs only the files and the last
//! acknowledged numbers.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::conformance::{StoredRecords, WAIT, durably, pos, records};
use super::descriptors::DescriptorReserve;
use super::store::{Store, StoreChange, Stores};
use super::{DataFolder, LogStore, StateFolders, WalLog, files};

const MODE: &str = "PUNCTUAL_CRASH";
const FOLDER: &str = "PUNCTUAL_CRASH_DIR";
/// Sets the number of kills. The default is [`KILLS`].
const KILLS_SET: &str = "PUNCTUAL_CRASH_KILLS";
const KILLS: u64 = 20;
/// If set for a child, it does not sync.
pub(super) const NO_SYNC: &str = "PUNCTUAL_CRASH_NO_SYNC";
/// The largest number of acknowledgements before a kill.
const LINES_MAX: u64 = 100;
/// Small, so that kills also hit file changes. raft-log syncs at each file change.
const CHUNK_BYTES: usize = 1 << 20;
/// The same for a log that only grows. It needs fewer file changes for more acknowledgements.
const GROWING_CHUNK_BYTES: usize = 8 << 20;
/// Maximum number of pending appends.
const IN_FLIGHT: u64 = 8;
/// Number of entries that are kept before the end of the checkpoint.
const KEPT: u64 = 200;
/// An entry that is truncated right after it was appended.
const TO_BE_CUT: &[u8] = b"to be cut";
/// Keys of a store that does not grow.
const KEYS: u64 = 300;

/// The files that a child writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CrashTarget {
    Log,
    Store,
    Both,
}

impl FromStr for CrashTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "log" => Ok(Self::Log),
            "store" => Ok(Self::Store),
            "folder" => Ok(Self::Both),
            _ => Err(format!("unknown mode {text}")),
        }
    }
}

/// The acknowledged writes: everything below these numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct AcknowledgedWrites {
    /// Entries of the log below this index.
    end: u64,
    vote: u64,
    /// Writes of the store below this number.
    step: u64,
}

impl AcknowledgedWrites {
    fn read(text: &str) -> Self {
        let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
        let [end, vote, step] = numbers[..] else { panic!("not an acknowledgement: {text}") };
        Self { end, vote, step }
    }
}

/// Prints the acknowledged writes.
#[derive(Default)]
struct AcknowledgedLine {
    promise: Mutex<AcknowledgedWrites>,
    /// Entries that the checkpoint covers.
    covered: AtomicU64,
}

impl AcknowledgedLine {
    fn say(&self, change: impl FnOnce(&mut AcknowledgedWrites)) {
        // Locked until the line is written, so that no line promises less than the one before it.
        let mut promise = self.promise.lock();
        change(&mut promise);
        let AcknowledgedWrites { end, vote, step } = *promise;
        let mut out = std::io::stdout();
        // If the reader is gone, the parent has ended.
        if writeln!(out, "acked {end} {vote} {step}").and_then(|()| out.flush()).is_err() {
            std::process::exit(1);
        }
    }
}

/// A pseudo-random number derived from two others.
fn mixed(a: u64, b: u64) -> u64 {
    xxh3_64_with_seed(&a.to_be_bytes(), b)
}

/// Up to 64 KiB, mostly short.
fn content(of: u64, seed: u64) -> Vec<u8> {
    let word = mixed(of, seed);
    let len = if word.is_multiple_of(16) { 65_536 } else { (word >> 8) % 1_500 };
    let len = usize::try_from(len).unwrap();
    let mut content = Vec::with_capacity(len + 8);
    let mut word = word;
    while content.len() < len {
        content.extend_from_slice(&word.to_be_bytes());
        word = word.wrapping_add(1);
    }
    content.truncate(len);
    content
}

/// Not a test by itself: the body of the child processes.
#[test]
fn child() {
    let (Ok(mode), Ok(folder)) = (std::env::var(MODE), std::env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    match mode.strip_prefix("check-").and_then(|rest| rest.split_once(':')) {
        None => write(mode.parse().unwrap(), &folder),
        Some((parts, promise)) => {
            let mut model = StoreModel::default();
            check(parts.parse().unwrap(), &folder, AcknowledgedWrites::read(promise), &mut model);
        }
    }
}

/// Writes forever.
fn write(parts: CrashTarget, folder: &Path) {
    let _folder = (parts == CrashTarget::Both).then(|| DataFolder::open(folder, None).unwrap());
    files::create_folder(&DescriptorReserve::default(), folder).unwrap();
    let said = AcknowledgedLine::default();
    std::thread::scope(|scope| {
        if parts != CrashTarget::Store {
            scope.spawn(|| write_log(folder, parts, &said));
        }
        if parts != CrashTarget::Log {
            scope.spawn(|| write_store(folder, parts, &said));
        }
    });
}

/// Compares the files with the acknowledged writes.
fn check(parts: CrashTarget, folder: &Path, promise: AcknowledgedWrites, model: &mut StoreModel) {
    let covered = match parts {
        CrashTarget::Log => 0,
        CrashTarget::Store | CrashTarget::Both => check_store(folder, parts, promise, model),
    };
    if parts != CrashTarget::Store {
        check_log(folder, promise, covered);
    }
}

fn entry(index: u64) -> Bytes {
    content(index, 1).into()
}

/// Appends several batches concurrently, with votes, purges and truncations between them. Reports
/// the end of the entries and the last vote as acknowledged.
fn write_log(folder: &Path, parts: CrashTarget, said: &AcknowledgedLine) {
    let chunk_bytes = if parts == CrashTarget::Both { CHUNK_BYTES } else { GROWING_CHUNK_BYTES };
    let log =
        WalLog::open_with(&folder.join("log"), &DescriptorReserve::default(), chunk_bytes).unwrap();
    let mut next = log.state().last.map_or(0, |last| last.index + 1);
    if log.read(next.saturating_sub(1), next, 0).unwrap().iter().any(|(_, data)| data == TO_BE_CUT)
    {
        next -= 1;
        log.truncate_from(next);
    }
    let mut voted = voted(&log);
    let (answer, answers) = mpsc::channel::<u64>();
    let mut in_flight = 0;
    loop {
        let end = next + mixed(next, 2) % 16 + 1;
        let entries = (next..end).map(|index| (pos(1, index), entry(index))).collect();
        let answer = answer.clone();
        log.append(
            entries,
            Box::new(move |result| result.map(|()| answer.send(end)).unwrap().unwrap()),
        );
        in_flight += 1;
        if mixed(next, 3).is_multiple_of(8) {
            voted += 1;
            let vote = Bytes::copy_from_slice(&voted.to_be_bytes());
            durably(|done| log.save_vote(vote, done)).unwrap();
        }
        let covered = said.covered.load(Ordering::Relaxed);
        if parts == CrashTarget::Both && mixed(next, 4).is_multiple_of(8) && covered > KEPT {
            log.save_committed(pos(1, covered - 1));
            log.purge_to(pos(1, covered - KEPT));
        }
        if mixed(next, 5).is_multiple_of(32) {
            log.append(vec![(pos(1, end), Bytes::from_static(TO_BE_CUT))], Box::new(drop));
            log.truncate_from(end);
        }
        next = end;
        while in_flight >= IN_FLIGHT {
            in_flight -= 1;
            let end = answers.recv().unwrap();
            said.say(|promise| (promise.end, promise.vote) = (end, voted));
        }
    }
}

fn voted(log: &WalLog) -> u64 {
    let vote = log.state().vote;
    vote.map_or(0, |vote| u64::from_be_bytes(vote[..].try_into().unwrap()))
}

/// Checks that all acknowledged entries exist or are covered by the checkpoint, that their content
/// is correct, and that the vote is not older than the acknowledged one.
fn check_log(folder: &Path, promise: AcknowledgedWrites, covered: u64) {
    let log =
        WalLog::open_with(&folder.join("log"), &DescriptorReserve::default(), CHUNK_BYTES).unwrap();
    let state = log.state();
    let end = state.last.map_or(0, |last| last.index + 1);
    assert!(end >= promise.end, "{} entries were acknowledged, {end} exist", promise.end);
    let vote = voted(&log);
    assert!(vote >= promise.vote, "vote {} was acknowledged, found {vote}", promise.vote);
    let mut expected = state.purged.map_or(0, |purged| purged.index + 1);
    assert!(expected <= covered, "purged up to {expected}, but the checkpoint covers {covered}");
    while expected < end {
        let read = log.read(expected, end, 1 << 20).unwrap();
        assert!(!read.is_empty(), "entry {expected} is missing");
        for (found, data) in read {
            assert_eq!(found, pos(1, expected));
            let to_be_cut = expected + 1 == end && expected >= promise.end && data == TO_BE_CUT;
            assert!(to_be_cut || data == entry(expected), "entry {expected} has changed");
            expected += 1;
        }
    }
}

/// The changes of one step, a pure function of its number.
fn changes(step: u64, parts: CrashTarget) -> Vec<StoreChange> {
    let mut changes = vec![StoreChange::Put(b"step".to_vec(), step.to_be_bytes().to_vec())];
    for at in 0..mixed(step, 6) % 60 {
        let word = mixed(step, 7 + at);
        let (number, removed) = match parts {
            CrashTarget::Both => (word % KEYS, (word >> 32).is_multiple_of(5)),
            CrashTarget::Log | CrashTarget::Store => (step * 60 + at, false),
        };
        let key = format!("key {number}").into_bytes();
        changes.push(match removed {
            true => StoreChange::Delete(key),
            false => StoreChange::Put(key, content(step, 100 + at)),
        });
    }
    changes
}

fn open_store(folder: &Path, parts: CrashTarget) -> Box<dyn Store> {
    let mut stores = StateFolders::new(folder, &DescriptorReserve::default());
    let started = Instant::now();
    loop {
        match stores.open_current() {
            Ok(Some(store)) => return store,
            Ok(None) => break,
            // sled releases the lock of the killed process with a delay.
            Err(error) => assert!(started.elapsed() < WAIT && !lost(&error), "{error}"),
        }
        std::thread::yield_now();
    }
    let mut store = stores.create_next().unwrap();
    store.write(changes(0, parts)).unwrap();
    stores.switch().unwrap();
    store
}

/// Whether a retry cannot help.
fn lost(error: &super::StorageError) -> bool {
    !error.to_string().contains("lock")
}

fn number_under(records: &StoredRecords, key: &str) -> Option<u64> {
    records.get(key.as_bytes()).map(|bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()))
}

fn write_store(folder: &Path, parts: CrashTarget, said: &AcknowledgedLine) {
    let mut store = open_store(folder, parts);
    let mut step = number_under(&records(&*store).unwrap(), "step").expect("the mark is there");
    loop {
        step += 1;
        let mut changes = changes(step, parts);
        let end = said.promise.lock().end;
        if end > 0 {
            changes.push(StoreChange::Put(b"covered".to_vec(), end.to_be_bytes().to_vec()));
        }
        store.write(changes).unwrap();
        said.covered.store(end, Ordering::Relaxed);
        said.say(|promise| promise.step = step);
    }
}

/// The expected contents of a store after a number of steps.
#[derive(Default)]
struct StoreModel {
    steps: u64,
    records: StoredRecords,
}

impl StoreModel {
    fn advance(&mut self, steps: u64, parts: CrashTarget) {
        for change in (self.steps..steps).flat_map(|step| changes(step, parts)) {
            match change {
                StoreChange::Put(key, value) => drop(self.records.insert(key, value)),
                StoreChange::Delete(key) => drop(self.records.remove(&key)),
            }
        }
        self.steps = steps;
    }
}

/// Checks that the store holds exactly the result of a number of steps, including all acknowledged
/// ones. Returns the number of log entries that it covers.
fn check_store(
    folder: &Path,
    parts: CrashTarget,
    promise: AcknowledgedWrites,
    model: &mut StoreModel,
) -> u64 {
    if promise.step == 0 && !folder.join("CURRENT").exists() {
        return 0;
    }
    let mut found = records(&*open_store(folder, parts)).unwrap();
    let step = number_under(&found, "step").expect("the mark is there");
    assert!(step >= promise.step, "{} steps were acknowledged, {step} exist", promise.step);
    let covered = number_under(&found, "covered").unwrap_or(0);
    found.remove(&b"covered"[..]);
    model.advance(step + 1, parts);
    assert!(found == model.records, "not the records of step {step}");
    covered
}

/// Starts the child, kills it after `lines` acknowledgements, and returns the last one.
fn kill_after(folder: &Path, lines: u64) -> AcknowledgedWrites {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "storage::crashtest::child", "--nocapture"])
        .env(MODE, "folder")
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = String::new();
    let mut seen = 0;
    let out = BufReader::new(child.stdout.take().unwrap());
    for line in out.lines() {
        if let Some(promise) = line.unwrap().strip_prefix("acked ") {
            last = promise.to_owned();
            seen += 1;
            if seen == lines {
                child.kill().unwrap();
            }
        }
    }
    let status = child.wait().unwrap();
    assert!(seen >= lines, "the child ended by itself: {status}");
    AcknowledgedWrites::read(&last)
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let kills = std::env::var(KILLS_SET).map_or(KILLS, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut model = StoreModel::default();
    let started = Instant::now();
    let mut last = AcknowledgedWrites::default();
    for kill in 0..kills {
        // Few lines, so that the start is hit too, or many.
        let promise = kill_after(folder.path(), mixed(kill, 8) % LINES_MAX + 1);
        // A child that was killed early may not have acknowledged everything.
        last = AcknowledgedWrites {
            end: last.end.max(promise.end),
            vote: last.vote.max(promise.vote),
            step: last.step.max(promise.step),
        };
        check(CrashTarget::Both, folder.path(), last, &mut model);
    }
    println!("{kills} kills in {:.1?}: {last:?}", started.elapsed());
}
