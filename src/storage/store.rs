//! The store of a checkpoint: records under keys, replaced in batches.

use super::StorageError;

/// One step of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChange {
    /// Stores the value under the key, replacing what was there.
    Put(Vec<u8>, Vec<u8>),
    /// Removes the key, if it is there.
    Delete(Vec<u8>),
}

impl StoreChange {
    /// The key concerned.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Longest key, in bytes: some 300 of them must fit into one page of the index of the disk store.
pub const KEY_MAX_BYTES: usize = 320;

/// What [`Store::scan`] calls for each key and value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StorageError> + 'a;

/// A checkpoint: raw records; what they mean and whether they are whole is the caller's affair.
pub trait Store: Send + 'static {
    /// Calls `visit` for all records in the order of their keys; it ends at the first error.
    ///
    /// # Errors
    /// The error of `visit`, or the file that cannot be read. Damage may also go unseen: compare a
    /// digest.
    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), StorageError>;

    /// Makes all changes, in order, or none; they are durable when it returns. It blocks on the
    /// disk.
    ///
    /// # Errors
    /// The file that cannot be written. Whether the changes were made is then open, and the store
    /// refuses all later ones. A key longer than [`KEY_MAX_BYTES`] is refused before anything is
    /// written.
    fn write(&mut self, changes: Vec<StoreChange>) -> Result<(), StorageError>;
}

/// The place of a node's stores: one is current, another may be in the making.
pub trait Stores: Send + 'static {
    /// Opens the current store; `None` if there is none or it was voided.
    ///
    /// # Errors
    /// The file that cannot be read. If that is damage ([`StorageError::is_damage`]), another store
    /// may take its place; damage may also go unseen.
    fn open_current(&mut self) -> Result<Option<Box<dyn Store>>, StorageError>;

    /// Begins an empty store, which becomes current by [`Stores::switch`]; what an earlier one
    /// left behind is removed.
    ///
    /// # Errors
    /// The file that cannot be created.
    fn create_next(&mut self) -> Result<Box<dyn Store>, StorageError>;

    /// Makes the store of the last [`Stores::create_next`] the current one, durably and at one
    /// blow, and removes all others. The caller has dropped the former one.
    ///
    /// # Errors
    /// The file that cannot be written, or that no store was begun.
    fn switch(&mut self) -> Result<(), StorageError>;

    /// Makes the next start ignore the current store, because its contents are wrong.
    ///
    /// # Errors
    /// The file that cannot be written.
    fn void_current(&mut self) -> Result<(), StorageError>;
}
