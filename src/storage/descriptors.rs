//! File descriptors reserved for the disk.
//!
//! Connections and child processes may use up all descriptors of this process. Then a checkpoint or
//! a new log file fails, and the first failed write ends the node. Therefore a node reserves some
//! descriptors at its start, and releases them while it opens a file that cannot be opened
//! otherwise.

use std::fs::File;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::StorageError;

/// Number of reserved descriptors. Removing a folder's tree and opening a store need the most.
const RESERVED: usize = 16;

/// An error that may mean that no descriptors are left.
pub(super) trait Exhausted {
    /// Whether it means this.
    fn exhausted(&self) -> bool;
}

impl Exhausted for io::Error {
    fn exhausted(&self) -> bool {
        use rustix::io::Errno;
        let code = self.raw_os_error();
        code == Some(Errno::MFILE.raw_os_error()) || code == Some(Errno::NFILE.raw_os_error())
    }
}

impl Exhausted for StorageError {
    fn exhausted(&self) -> bool {
        self.source.exhausted()
    }
}

/// The descriptors that a node reserves for its disk. Clones share them. A new one is empty until
/// after its first use by `lend`.
#[derive(Clone, Debug, Default)]
pub struct DescriptorReserve(Arc<Mutex<Vec<File>>>);

impl DescriptorReserve {
    /// A full reserve, if the process has enough descriptors left.
    pub(super) fn full() -> Self {
        let reserve = Self::default();
        reserve.fill();
        reserve
    }

    fn fill(&self) {
        let mut files = self.0.lock();
        while files.len() < RESERVED {
            let Ok(file) = File::open("/dev/null") else { return };
            files.push(file);
        }
    }

    /// Runs `act` while the reserved descriptors are closed and available to it.
    pub(super) fn lend<T>(&self, act: impl FnOnce() -> T) -> T {
        self.0.lock().clear();
        let done = act();
        self.fill();
        done
    }

    /// Opens a file. If no descriptor is left, retries with the reserved ones.
    pub(super) fn open<T, E: Exhausted>(
        &self,
        mut open: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        match open() {
            Err(error) if error.exhausted() => self.lend(open),
            opened => opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use rustix::process::{Resource, Rlimit, setrlimit};

    use super::super::conformance::{all, append, entry, pos, put, records};
    use super::super::{DataFolder, LogStore, Stores, WalLog, write_atomic};
    use super::*;

    /// Set for the child process: the folder that it writes in.
    const FOLDER: &str = "PUNCTUAL_NO_DESCRIPTORS";
    /// Small, so that the log creates many files.
    const CHUNK_BYTES: usize = 2_000;
    const ENTRIES: u64 = 400;

    /// Not a test by itself: the body of the child process, which cannot open more files.
    #[test]
    fn child() {
        let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
        let few = Some(64);
        setrlimit(Resource::Nofile, Rlimit { current: few, maximum: few }).unwrap();
        let data = DataFolder::open(&folder, None).unwrap();
        let log = WalLog::open_with(&data.log(), data.reserve(), CHUNK_BYTES).unwrap();
        let mut stores = data.states();
        let mut store = stores.create_next().unwrap();
        store.write(vec![put("a", "1")]).unwrap();
        stores.switch().unwrap();
        let mut hoard = Vec::new();
        let mut exhaust = || {
            while let Ok(file) = File::open("/dev/null") {
                hoard.push(file);
            }
        };
        for index in 0..ENTRIES {
            exhaust();
            append(&log, vec![entry(1, index)]).unwrap();
            if index % 50 == 49 {
                log.save_committed(pos(1, index));
                log.purge_to(pos(1, index - 10));
                // The writer may use the reserve for this, and only during this.
                log.state();
            }
        }
        exhaust();
        // Enough for the write to need a redo file.
        store.write((0..200_u32).map(|at| put(at.to_be_bytes(), "2")).collect()).unwrap();
        drop(store);
        exhaust();
        let mut next = stores.create_next().unwrap();
        next.write(vec![put("b", "3")]).unwrap();
        stores.switch().unwrap();
        exhaust();
        write_atomic(data.reserve(), &folder.join("identity"), b"written").unwrap();
        log.close();
    }

    fn written(folder: &Path) {
        let reserve = DescriptorReserve::default();
        let log = WalLog::open_with(&folder.join("log"), &reserve, CHUNK_BYTES).unwrap();
        assert_eq!(all(&log).last(), Some(&entry(1, ENTRIES - 1)));
        let store =
            super::super::StateFolders::new(folder, &reserve).open_current().unwrap().unwrap();
        assert_eq!(records(&*store).unwrap()[&b"b"[..]], b"3");
    }

    #[test]
    fn the_disk_is_written_while_no_descriptor_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storage::descriptors::tests::child", "--nocapture"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{said}");
        written(folder.path());
    }
}
