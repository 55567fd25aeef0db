//! The interface of a checkpoint store: records under keys, replaced in batches.

use super::StorageError;

/// One step of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChange {
    /// Stores the value under the key. This replaces an existing value.
    Put(Vec<u8>, Vec<u8>),
    /// Removes the key, if it exists.
    Delete(Vec<u8>),
}

impl StoreChange {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Longest key, in bytes. About 300 of them must fit into one index page of the disk store.
pub const KEY_MAX_BYTES: usize = 320;

/// What [`Store::scan`] calls for each key and value.
pub type RecordVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StorageError> + 'a;

/// A checkpoint with raw records. The caller checks their meaning and completeness.
pub trait Store: Send + 'static {
    /// Calls `visit` for all records in the order of their keys, until the first error.
    ///
    /// # Errors
    /// The error of `visit`, or the file that cannot be read. Damage may stay undetected, so
    /// compare a digest.
    fn scan(&self, visit: &mut RecordVisitor<'_>) -> Result<(), StorageError>;

    /// Makes all changes, in order, or none. They are durable on return. It blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be written. It is then unknown whether the changes were made, and the store
    /// refuses all later ones. A key longer than [`KEY_MAX_BYTES`] is refused before anything is
    /// written.
    fn write(&mut self, changes: Vec<StoreChange>) -> Result<(), StorageError>;
}

/// A node's stores: one is current, and a new one may be in preparation.
pub trait Stores: Send + 'static {
    /// Opens the current store. `None` if there is none or it is void.
    ///
    /// # Errors
    /// The file cannot be read. If it is damaged ([`StorageError::is_damage`]), another store may
    /// replace it. Damage may also stay undetected.
    fn open_current(&mut self) -> Result<Option<Box<dyn Store>>, StorageError>;

    /// Creates an empty store, which becomes current by [`Stores::switch`]. The left-overs of an
    /// earlier one are removed.
    ///
    /// # Errors
    /// The file cannot be created.
    fn create_next(&mut self) -> Result<Box<dyn Store>, StorageError>;

    /// Makes the store of the last [`Stores::create_next`] the current one, durably and atomically,
    /// and removes all others. The caller has dropped the previous one.
    ///
    /// # Errors
    /// The file cannot be written, or no store was created.
    fn switch(&mut self) -> Result<(), StorageError>;

    /// Makes the next start ignore the current store, because its contents are wrong.
    ///
    /// # Errors
    /// The file cannot be written.
    fn void_current(&mut self) -> Result<(), StorageError>;
}
