//! The checkpoint in use, and how another takes its place.

use crate::storage::store::Visit;
use crate::storage::{Change, StorageError, Store, Stores};

/// The stores of a node with the current one open.
pub struct Checkpoints {
    stores: Box<dyn Stores>,
    current: Option<Box<dyn Store>>,
    /// What this process would write is wrong.
    condemned: bool,
}

impl Checkpoints {
    /// Opens the current store, if there is one.
    ///
    /// # Errors
    /// A store that cannot be opened.
    pub fn open(mut stores: Box<dyn Stores>) -> Result<Self, StorageError> {
        let current = stores.open_current()?;
        Ok(Self { stores, current, condemned: false })
    }

    /// Whether there is a current store.
    pub(super) fn exist(&self) -> bool {
        self.current.is_some()
    }

    /// Shows all records of the current store.
    pub(super) fn scan(&self, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        self.current.as_ref().map_or(Ok(()), |store| store.scan(visit))
    }

    /// Changes the current store, or makes the first one.
    pub(super) fn write(&mut self, changes: Vec<Change>) -> Result<(), StorageError> {
        if let Some(store) = self.current.as_mut().filter(|_| !self.condemned) {
            return store.write(changes);
        }
        let mut fresh = self.fresh()?;
        fresh.write(changes)?;
        self.switch(fresh)
    }

    /// An empty store beside the current one.
    pub(super) fn fresh(&mut self) -> Result<Box<dyn Store>, StorageError> {
        if self.condemned {
            let why = std::io::Error::other("this process does not hold the cluster's state");
            return Err(StorageError::new("write", "the checkpoint", why));
        }
        self.stores.create_next()
    }

    /// Puts a fresh store in the place of the current one.
    pub(super) fn switch(&mut self, fresh: Box<dyn Store>) -> Result<(), StorageError> {
        self.current = None;
        self.stores.switch()?;
        self.current = Some(fresh);
        Ok(())
    }

    /// Gives the current store up: what it holds is wrong.
    pub(super) fn discard(&mut self) -> Result<(), StorageError> {
        self.current = None;
        self.stores.void_current()
    }

    /// Gives the current store up and lets no other take its place, as long as this process runs.
    pub(super) fn condemn(&mut self) -> Result<(), StorageError> {
        self.condemned = true;
        self.discard()
    }
}
