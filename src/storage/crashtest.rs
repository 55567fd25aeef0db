//! Processes that are killed while they write, and what must be there afterwards.
//!
//! The test binary starts itself again with [`MODE`] set; that child writes for ever and prints one
//! line `acked PROMISE` for each write that was acknowledged. The parent kills it after a number of
//! lines and compares what the files hold with the last promise. The same child serves a power-cut
//! test:
//!
//! ```text
//! PUNCTUAL_CRASH=log PUNCTUAL_CRASH_DIR=/mnt/x BINARY --exact storage::crashtest::child --nocapture
//! PUNCTUAL_CRASH=check-log:PROMISE PUNCTUAL_CRASH_DIR=/mnt/x BINARY --exact storage::crashtest::child
//! ```
//!
//! (`store` and `check-store:PROMISE` likewise.) What is written follows from its number alone, so
//! the check needs nothing but the files and the last number acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::conformance::{Records, WAIT, durably, pos, records};
use super::store::{Change, Store, Stores};
use super::{LogStore, StateFolders, WalLog};

const MODE: &str = "PUNCTUAL_CRASH";
const FOLDER: &str = "PUNCTUAL_CRASH_DIR";
const KILLS: u64 = 20;
/// Small, so that kills fall into changes of files, too.
const CHUNK_BYTES: usize = 1 << 20;
/// Appends on their way at once.
const IN_FLIGHT: u64 = 8;
/// An entry that is cut off right after it was appended.
const TO_BE_CUT: &[u8] = b"to be cut";
/// Keys of the store test.
const KEYS: u64 = 300;

/// A number that follows from two others.
fn mixed(a: u64, b: u64) -> u64 {
    xxh3_64_with_seed(&a.to_be_bytes(), b)
}

/// Up to 64 KiB, mostly little.
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

#[expect(clippy::exit, reason = "the body of a child process that has nothing to clean up")]
fn print(line: &str) {
    let mut out = std::io::stdout();
    // The reader is gone: so is the reason to go on.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Not a test by itself: the body of the child processes.
#[test]
fn child() {
    let (Ok(mode), Ok(folder)) = (std::env::var(MODE), std::env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    match mode.split_once(':') {
        None if mode == "log" => write_log(&folder),
        None if mode == "store" => write_store(&folder),
        Some(("check-log", promise)) => check_log(&folder, promise),
        Some(("check-store", promise)) => check_store(&folder, promise, &mut Model::default()),
        _ => panic!("unknown mode {mode}"),
    }
}

fn entry(index: u64) -> Bytes {
    content(index, 1).into()
}

/// Appends for ever, several batches at a time, with votes, purges and cuts between them.
/// Acknowledged: where the entries end, and the last vote.
fn write_log(folder: &Path) {
    let log = WalLog::open_with(&folder.join("log"), CHUNK_BYTES).unwrap();
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
        if mixed(next, 4).is_multiple_of(64) && next > 2_000 {
            log.save_committed(pos(1, next - 1_000));
            log.purge_to(pos(1, next - 2_000));
        }
        if mixed(next, 5).is_multiple_of(32) {
            log.append(vec![(pos(1, end), Bytes::from_static(TO_BE_CUT))], Box::new(drop));
            log.truncate_from(end);
        }
        next = end;
        while in_flight >= IN_FLIGHT {
            in_flight -= 1;
            print(&format!("acked {} {voted}", answers.recv().unwrap()));
        }
    }
}

fn voted(log: &WalLog) -> u64 {
    let vote = log.state().vote;
    vote.map_or(0, |vote| u64::from_be_bytes(vote[..].try_into().unwrap()))
}

/// All acknowledged entries are there, and no other content than was written; so is the vote.
fn check_log(folder: &Path, promise: &str) {
    let (acked, vote) = promise.split_once(' ').unwrap_or(("0", "0"));
    let (acked, vote): (u64, u64) = (acked.parse().unwrap(), vote.parse().unwrap());
    let log = WalLog::open_with(&folder.join("log"), CHUNK_BYTES).unwrap();
    let state = log.state();
    let end = state.last.map_or(0, |last| last.index + 1);
    assert!(end >= acked, "{acked} were acknowledged, {end} are there");
    assert!(voted(&log) >= vote, "vote {vote} was acknowledged, {} is there", voted(&log));
    let mut expected = state.purged.map_or(0, |purged| purged.index + 1);
    assert!(expected == 0 || expected < acked, "purged more than was acknowledged");
    while expected < end {
        let read = log.read(expected, end, 1 << 20).unwrap();
        assert!(!read.is_empty(), "entry {expected} is missing");
        for (found, data) in read {
            assert_eq!(found, pos(1, expected));
            let to_be_cut = expected + 1 == end && expected >= acked && data == TO_BE_CUT;
            assert!(to_be_cut || data == entry(expected), "entry {expected} has changed");
            expected += 1;
        }
    }
}

/// The changes of one step; a pure function of its number.
fn changes(step: u64) -> Vec<Change> {
    let mut changes = vec![Change::Put(b"step".to_vec(), step.to_be_bytes().to_vec())];
    for at in 0..mixed(step, 6) % 60 {
        let word = mixed(step, 7 + at);
        let key = format!("key {}", word % KEYS).into_bytes();
        changes.push(match (word >> 32) % 5 {
            0 => Change::Delete(key),
            _ => Change::Put(key, content(step, 100 + at)),
        });
    }
    changes
}

fn open_store(folder: &Path) -> Box<dyn Store> {
    let mut stores = StateFolders::new(folder);
    let started = Instant::now();
    loop {
        match stores.open_current() {
            Ok(Some(store)) => return store,
            Ok(None) => break,
            // sled of the process before frees its lock with a delay.
            Err(error) => assert!(started.elapsed() < WAIT, "{error}"),
        }
        std::thread::yield_now();
    }
    let mut store = stores.create_next().unwrap();
    store.write(changes(0)).unwrap();
    stores.switch().unwrap();
    store
}

fn step_of(records: &Records) -> u64 {
    let step = records.get(&b"step"[..]).expect("the mark is there");
    u64::from_be_bytes(step[..].try_into().unwrap())
}

fn write_store(folder: &Path) {
    let mut store = open_store(folder);
    let mut step = step_of(&records(&*store).unwrap());
    loop {
        step += 1;
        store.write(changes(step)).unwrap();
        print(&format!("acked {step}"));
    }
}

/// What a store holds after so many steps.
#[derive(Default)]
struct Model {
    steps: u64,
    records: Records,
}

impl Model {
    fn advance(&mut self, steps: u64) {
        for change in (self.steps..steps).flat_map(changes) {
            match change {
                Change::Put(key, value) => drop(self.records.insert(key, value)),
                Change::Delete(key) => drop(self.records.remove(&key)),
            }
        }
        self.steps = steps;
    }
}

/// The store holds exactly the first so many steps, and all that were acknowledged.
fn check_store(folder: &Path, promise: &str, model: &mut Model) {
    let acked: u64 = promise.parse().unwrap_or(0);
    if acked == 0 && !folder.join("CURRENT").exists() {
        return;
    }
    let found = records(&*open_store(folder)).unwrap();
    let step = step_of(&found);
    assert!(step >= acked, "{acked} were acknowledged, {step} are there");
    model.advance(step + 1);
    assert!(found == model.records, "not the records of step {step}");
}

/// Starts the child, kills it after `lines` acknowledgements, and gives the last one.
fn kill_after(mode: &str, folder: &Path, lines: u64) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "storage::crashtest::child", "--nocapture"])
        .env(MODE, mode)
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
    last
}

fn kill_again_and_again(mode: &str, lines_max: u64, mut check: impl FnMut(&Path, &str)) {
    let folder = tempfile::tempdir().unwrap();
    for kill in 0..KILLS {
        // A few lines, so that starts are hit too, or many.
        let lines = mixed(kill, 8) % lines_max + 1;
        let promise = kill_after(mode, folder.path(), lines);
        check(folder.path(), &promise);
    }
}

#[test]
fn a_killed_process_loses_no_acknowledged_log_entry() {
    kill_again_and_again("log", 200, check_log);
}

#[test]
fn a_killed_process_leaves_whole_checkpoints() {
    let mut model = Model::default();
    kill_again_and_again("store", 40, |folder, promise| check_store(folder, promise, &mut model));
}
