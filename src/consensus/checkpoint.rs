//! The current checkpoint store and its replacement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::store::RecordVisitor;
use crate::storage::{LogStore, StorageError, Store, StoreChange, Stores};

/// A node's checkpoint stores, with the current one open.
pub struct Checkpoints {
    stores: Box<dyn Stores>,
    current: Option<Box<dyn Store>>,
    /// Why the current store cannot be opened.
    damage: Option<String>,
    /// The log whose entries the checkpoints cover.
    log: Arc<dyn LogStore>,
    generation: Generation,
    /// The state of this process is wrong and must not be written to disk.
    voided: bool,
}

/// Counts replacements of the current store. Changes collected for one store must not be written to
/// the next.
#[derive(Clone, Default)]
pub(super) struct Generation(Arc<AtomicU64>);

impl Generation {
    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn step(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Checkpoints {
    /// Opens the current store for the state of this log, if there is one. A damaged store counts
    /// as existing.
    ///
    /// # Errors
    /// The store cannot be opened for a reason other than damage.
    pub fn open(mut stores: Box<dyn Stores>, log: Arc<dyn LogStore>) -> Result<Self, StorageError> {
        let (current, damage) = match stores.open_current() {
            Ok(current) => (current, None),
            Err(error) if error.is_damage() => (None, Some(error.to_string())),
            Err(error) => return Err(error),
        };
        let generation = Generation::default();
        Ok(Self { stores, current, damage, log, generation, voided: false })
    }

    /// Whether there is a current store.
    pub(super) fn exist(&self) -> bool {
        self.current.is_some() || self.damage.is_some()
    }

    /// Why the current store could not be opened.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// The log whose state the checkpoints hold.
    pub(super) fn log(&self) -> &Arc<dyn LogStore> {
        &self.log
    }

    /// The number of the current store, for parts that do not hold the checkpoints.
    pub(super) fn generation(&self) -> Generation {
        self.generation.clone()
    }

    /// Visits all records of the current store.
    pub(super) fn scan(&self, visit: &mut RecordVisitor<'_>) -> Result<(), StorageError> {
        self.current.as_ref().map_or(Ok(()), |store| store.scan(visit))
    }

    /// Changes the current store, or creates the first one. False: the store of `generation` has
    /// been replaced, and nothing is written.
    pub(super) fn write(
        &mut self,
        generation: u64,
        changes: Vec<StoreChange>,
    ) -> Result<bool, StorageError> {
        if generation != self.generation.now() && !bug!("checkpoint-into-other-store") {
            return Ok(false);
        }
        if let Some(store) = self.current.as_mut().filter(|_| !self.voided) {
            store.write(changes)?;
            return Ok(true);
        }
        let mut fresh = self.fresh()?;
        fresh.write(changes)?;
        self.put(fresh)?;
        Ok(true)
    }

    /// Creates an empty store next to the current one.
    pub(super) fn fresh(&mut self) -> Result<Box<dyn Store>, StorageError> {
        if self.voided {
            let why = std::io::Error::other("this process does not hold the cluster's state");
            return Err(StorageError::new("write", "the checkpoint", why));
        }
        self.stores.create_next()
    }

    /// Replaces the current store with a new one that holds another state.
    pub(super) fn switch(&mut self, fresh: Box<dyn Store>) -> Result<(), StorageError> {
        self.generation.step();
        self.put(fresh)
    }

    fn put(&mut self, fresh: Box<dyn Store>) -> Result<(), StorageError> {
        (self.current, self.damage) = (None, None);
        self.stores.switch()?;
        self.current = Some(fresh);
        Ok(())
    }

    /// Keeps the damaged current store unchanged until another one replaces it.
    pub(super) fn set_aside(&mut self) {
        (self.current, self.damage) = (None, None);
    }

    /// Closes the current store, so that its folder is free. Nothing is written any more.
    pub(super) fn close(&mut self) {
        self.generation.step();
        self.voided = true;
        self.current = None;
    }

    /// Invalidates the current store, also for later starts, and allows no replacement while this
    /// process runs.
    pub(super) fn void(&mut self) -> Result<(), StorageError> {
        self.voided = true;
        self.current = None;
        self.stores.void_current()
    }
}
