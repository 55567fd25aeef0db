//! Rules for every implementation of the two traits. Each test runs on all of them. This file has
//! the helpers.

mod logs;
mod stores;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;

use super::StorageError;
use super::log::{Done, LogPos, LogStore};
pub(super) use super::memory::StoredRecords;
use super::store::{Store, StoreChange};

/// A log folder inside a temporary folder, because a log also writes next to its folder.
pub(super) struct LogFolder {
    _outer: tempfile::TempDir,
    path: PathBuf,
}

impl LogFolder {
    pub(super) fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("log");
        Self { _outer: outer, path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A time limit that no disk exceeds.
pub(super) const WAIT: Duration = Duration::from_secs(30);

/// Makes a call and waits for its result.
pub(super) fn durably(call: impl FnOnce(Done)) -> io::Result<()> {
    let (answer, answers) = mpsc::channel();
    call(Box::new(move |result| {
        let _ = answer.send(result);
    }));
    answers.recv_timeout(WAIT).expect("`done` is always called")
}

pub(super) fn pos(term: u64, index: u64) -> LogPos {
    LogPos { term, node: 1, index }
}

pub(super) fn entry(term: u64, index: u64) -> (LogPos, Bytes) {
    (pos(term, index), Bytes::from(format!("entry {index} of term {term}")))
}

pub(super) fn append(log: &dyn LogStore, entries: Vec<(LogPos, Bytes)>) -> io::Result<()> {
    durably(|done| log.append(entries, done))
}

pub(super) fn all(log: &dyn LogStore) -> Vec<(LogPos, Bytes)> {
    log.read(0, u64::MAX, usize::MAX).unwrap()
}

/// All records. Checks that they arrive in the order of their keys.
pub(super) fn records(store: &dyn Store) -> Result<StoredRecords, StorageError> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    store.scan(&mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    assert!(found.is_sorted_by(|(a, _), (b, _)| a < b));
    Ok(found.into_iter().collect())
}

pub(super) fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> StoreChange {
    StoreChange::Put(key.into(), value.into())
}
