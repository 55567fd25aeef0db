//! Checkpoint stores in memory, for the simulator and for tests.
//!
//! A write is durable when it returns, so a crash happens before or after it and there is no
//! unsynced tail. A write may fail and still have taken effect ([`MemoryDisk::fail_next`]).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::StorageError;
use super::store::{KEY_MAX_BYTES, RecordVisitor, Store, StoreChange, Stores};

/// Records by key.
pub type StoredRecords = BTreeMap<Vec<u8>, Vec<u8>>;

/// A disk with a node's stores. It outlives the node's processes; clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<MemoryDiskInner>>);

/// The stores of one simulated process. [`MemoryDisk::crash`] disconnects them.
pub struct MemoryStores {
    disk: MemoryDisk,
    process: u64,
    begun: Option<u64>,
}

struct MemoryStore {
    disk: MemoryDisk,
    process: u64,
    number: u64,
    failed: bool,
}

#[derive(Default)]
struct MemoryDiskInner {
    stores: BTreeMap<u64, StoredRecords>,
    current: Option<u64>,
    void: bool,
    /// The current store cannot be opened.
    unreadable: bool,
    process: u64,
    fail_next: Option<(io::Error, bool)>,
    full: bool,
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the disk for a new process and disconnects the previous one.
    #[must_use]
    pub fn open(&self) -> MemoryStores {
        self.crash();
        let process = self.0.lock().process;
        MemoryStores { disk: self.clone(), process, begun: None }
    }

    /// Disconnects the process that has the disk open. Its earlier writes are kept, later ones
    /// fail.
    pub fn crash(&self) {
        self.0.lock().process += 1;
    }

    /// Makes the next write fail. `landed`: its changes take effect nevertheless.
    pub fn fail_next(&self, error: io::Error, landed: bool) {
        self.0.lock().fail_next = Some((error, landed));
    }

    /// Cancels a pending failure.
    #[cfg(feature = "simulation")]
    pub fn forgive(&self) {
        self.0.lock().fail_next = None;
    }

    /// While true, writes fail with a full disk.
    #[cfg(feature = "simulation")]
    pub fn full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Damages the current store so that it cannot be opened.
    pub fn make_unreadable(&self) {
        self.0.lock().unreadable = true;
    }

    /// The records of the current store, if there is one that is not void.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn records(&self) -> Option<StoredRecords> {
        let disk = self.0.lock();
        disk.stores.get(&disk.current.filter(|_| !disk.void)?).cloned()
    }

    /// Damages the records of the current store, if there is one.
    pub fn damage(&self, act: impl FnOnce(&mut StoredRecords)) {
        let mut disk = self.0.lock();
        let current = disk.current;
        if let Some(records) = current.and_then(|number| disk.stores.get_mut(&number)) {
            act(records);
        }
    }
}

impl MemoryStores {
    fn store(&self, number: u64) -> Box<dyn Store> {
        let disk = self.disk.clone();
        Box::new(MemoryStore { disk, process: self.process, number, failed: false })
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&mut MemoryDiskInner) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        let mut disk = self.disk.0.lock();
        let alive = disk.process == self.process;
        let result = if alive { act(&mut disk) } else { Err(cut_off()) };
        result.map_err(|error| StorageError::new("use", "memory", error))
    }
}

impl Stores for MemoryStores {
    fn open_current(&mut self) -> Result<Option<Box<dyn Store>>, StorageError> {
        let current = self.with(|disk| {
            let unreadable = io::Error::new(io::ErrorKind::InvalidData, "it is damaged");
            if disk.unreadable { Err(unreadable) } else { Ok(disk.current.filter(|_| !disk.void)) }
        })?;
        Ok(current.map(|number| self.store(number)))
    }

    fn create_next(&mut self) -> Result<Box<dyn Store>, StorageError> {
        let number = self.with(|disk| {
            let next = disk.stores.last_key_value().map_or(1, |(number, _)| number + 1);
            let current = disk.current;
            disk.stores.retain(|number, _| Some(*number) == current);
            disk.stores.insert(next, StoredRecords::new());
            Ok(next)
        })?;
        self.begun = Some(number);
        Ok(self.store(number))
    }

    fn switch(&mut self) -> Result<(), StorageError> {
        let begun = self.begun.take();
        self.with(|disk| {
            let number = begun.ok_or_else(|| io::Error::other("no store was begun"))?;
            disk.current = Some(number);
            (disk.void, disk.unreadable) = (false, false);
            disk.stores.retain(|other, _| *other == number);
            Ok(())
        })
    }

    fn void_current(&mut self) -> Result<(), StorageError> {
        self.with(|disk| {
            disk.void = true;
            Ok(())
        })
    }
}

impl MemoryStore {
    fn error(&self, action: &'static str, source: io::Error) -> StorageError {
        StorageError::new(action, PathBuf::from(format!("memory/state.{}", self.number)), source)
    }
}

impl Store for MemoryStore {
    fn scan(&self, visit: &mut RecordVisitor<'_>) -> Result<(), StorageError> {
        let disk = self.disk.0.lock();
        let records = disk.stores.get(&self.number).filter(|_| disk.process == self.process);
        // A copy, because `visit` may use the disk.
        let records = records.cloned().ok_or_else(|| self.error("read", cut_off()))?;
        drop(disk);
        records.iter().try_for_each(|(key, value)| visit(key, value))
    }

    fn write(&mut self, changes: Vec<StoreChange>) -> Result<(), StorageError> {
        let mut disk = self.disk.0.lock();
        let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
        let (fault, landed) = if disk.process != self.process {
            (Some(cut_off()), false)
        } else if self.failed {
            (Some(invalid("an earlier write failed")), false)
        } else if changes.iter().any(|change| change.key().len() > KEY_MAX_BYTES) {
            return Err(self.error("write", invalid("a key is too long")));
        } else if disk.full {
            (Some(io::Error::new(io::ErrorKind::StorageFull, "no space left on device")), false)
        } else {
            disk.fail_next.take().map_or((None, true), |(error, landed)| (Some(error), landed))
        };
        if landed && let Some(records) = disk.stores.get_mut(&self.number) {
            for change in changes {
                match change {
                    StoreChange::Put(key, value) => drop(records.insert(key, value)),
                    StoreChange::Delete(key) => drop(records.remove(&key)),
                }
            }
        }
        self.failed |= fault.is_some();
        fault.map_or(Ok(()), |error| Err(self.error("write", error)))
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "this process lost its disk")
}
