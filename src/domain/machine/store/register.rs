//! Record kinds with their own keys: nodes, idempotency keys, calendars.
//!
//! A kind is one line of [`registers!`]: its name, key, record, and the letter of its rows. This
//! module implements everything else for a replicated record: it is part of the digest, its changes
//! go into the next checkpoint, it is written and read as rows, and a frozen view shares it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::Arc;

use imbl::OrdMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec;
use super::digest::{self, Digest};
use crate::domain::ids::NodeId;

/// The key of a record.
pub trait RegisterKey: Clone + Debug + Ord {
    /// Writes the key after the letter of a row.
    fn write(&self, row: &mut Vec<u8>);
    /// Reads the key. None: the bytes are not a key.
    fn read(row: &[u8]) -> Option<Self>;
}

impl RegisterKey for NodeId {
    fn write(&self, row: &mut Vec<u8>) {
        row.extend_from_slice(&self.0.to_be_bytes());
    }

    fn read(row: &[u8]) -> Option<Self> {
        row.try_into().ok().map(|number| Self(u64::from_be_bytes(number)))
    }
}

/// The length of a name fits into one byte.
impl RegisterKey for Arc<str> {
    fn write(&self, row: &mut Vec<u8>) {
        row.push(u8::try_from(self.len()).unwrap_or(u8::MAX));
        row.extend_from_slice(self.as_bytes());
    }

    fn read(row: &[u8]) -> Option<Self> {
        let (len, text) = row.split_first()?;
        let text = std::str::from_utf8(text).ok()?;
        (usize::from(*len) == text.len()).then(|| text.into())
    }
}

/// The records of one kind.
#[derive(Clone, Debug)]
pub struct Register<K: RegisterKey, V> {
    /// The letter of its rows.
    letter: u8,
    records: OrdMap<K, Arc<V>>,
    /// The digest of its records.
    digest: Digest,
    /// The keys of records that were added, changed or removed since the last checkpoint.
    dirty: BTreeSet<K>,
}

impl<K: RegisterKey, V: Serialize + DeserializeOwned> Register<K, V> {
    /// An empty register whose rows begin with this letter.
    pub fn new(letter: u8) -> Self {
        Self { letter, records: OrdMap::new(), digest: Digest::default(), dirty: BTreeSet::new() }
    }

    /// A frozen view. It has no record of the changes since the last checkpoint.
    pub fn frozen(&self) -> Self {
        let Self { letter, records, digest, .. } = self;
        let (records, dirty) = (records.clone(), BTreeSet::new());
        Self { letter: *letter, records, digest: *digest, dirty }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&Arc<V>>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.records.get(key)
    }

    /// All records. The copy shares them.
    pub fn records(&self) -> OrdMap<K, Arc<V>> {
        self.records.clone()
    }

    /// The records in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.records.iter()
    }

    /// The records in key order, without keys.
    pub fn values(&self) -> impl Iterator<Item = &Arc<V>> {
        self.records.values()
    }

    /// The records with keys in a range, in key order.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.records.range(range)
    }

    /// Stores a record under a key. Replaces an existing one.
    pub fn set(&mut self, key: K, record: V) {
        let row = self.row_key(&key);
        if let Some(former) = self.records.get(&key) {
            self.digest.sub(digest::hash(&row, &**former));
        }
        self.digest.add(digest::hash(&row, &record));
        self.records.insert(key.clone(), Arc::new(record));
        self.dirty.insert(key);
    }

    /// Removes a record.
    pub fn remove(&mut self, key: &K) -> Option<Arc<V>> {
        let former = self.records.remove(key)?;
        self.digest.sub(digest::hash(&self.row_key(key), &*former));
        self.dirty.insert(key.clone());
        Some(former)
    }

    /// The row key of a record.
    pub fn row_key(&self, key: &K) -> Vec<u8> {
        let mut row = vec![self.letter];
        key.write(&mut row);
        row
    }

    /// The record key of a row.
    fn key(&self, row: &[u8]) -> Option<K> {
        K::read(row.strip_prefix(&[self.letter])?)
    }
}

/// The common interface of all registers for checkpoints and the digest.
pub trait RegisterRows {
    /// The letter of its rows.
    fn letter(&self) -> u8;
    /// All rows, in key order.
    fn rows(&self) -> Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)> + '_>;
    /// The value of a row. None: there is no such record.
    fn value(&self, row: &[u8]) -> Option<Vec<u8>>;
    /// Loads a row that was written before.
    ///
    /// # Errors
    /// It is not a row of this register.
    fn load(&mut self, row: &[u8], value: &[u8]) -> Result<(), RowError>;
    /// Returns the keys of the rows that changed, and clears the list.
    fn take_dirty(&mut self) -> Vec<Vec<u8>>;
    /// The digest of its records.
    fn digest(&self) -> Digest;
    /// The same, computed from all records.
    fn recomputed(&self) -> Digest;
}

/// Why a row cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum RowError {
    /// The bytes are not a key.
    Key,
    /// The decoder's message about its value.
    Value(String),
}

impl<K: RegisterKey, V: Serialize + DeserializeOwned> RegisterRows for Register<K, V> {
    fn letter(&self) -> u8 {
        self.letter
    }

    fn rows(&self) -> Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)> + '_> {
        let row = |(key, record): (&K, &Arc<V>)| (self.row_key(key), codec::encode(&**record));
        Box::new(self.records.iter().map(row))
    }

    fn value(&self, row: &[u8]) -> Option<Vec<u8>> {
        self.records.get(&self.key(row)?).map(|record| codec::encode(&**record))
    }

    fn load(&mut self, row: &[u8], value: &[u8]) -> Result<(), RowError> {
        let key = self.key(row).ok_or(RowError::Key)?;
        let record: V = codec::decode(value).map_err(RowError::Value)?;
        self.digest.add(digest::hash(row, &record));
        if let Some(former) = self.records.insert(key, Arc::new(record)) {
            self.digest.sub(digest::hash(row, &*former));
        }
        Ok(())
    }

    fn take_dirty(&mut self) -> Vec<Vec<u8>> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.iter().map(|key| self.row_key(key)).collect()
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn recomputed(&self) -> Digest {
        let mut digest = Digest::default();
        for (key, record) in &self.records {
            digest.add(digest::hash(&self.row_key(key), &**record));
        }
        digest
    }
}

/// Declares registers, one per line: `name: key => record, letter;`. The struct has a field for
/// each. `each` and `each_mut` return all of them, to write, read and count rows.
macro_rules! registers {
    (
        $(#[$doc:meta])*
        $set:ident {
            $($(#[$about:meta])* $name:ident: $key:ty => $record:ty, $letter:literal;)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $set {
            $(
                $(#[$about])*
                pub $name: $crate::domain::machine::store::register::Register<$key, $record>,
            )+
        }

        impl Default for $set {
            fn default() -> Self {
                use $crate::domain::machine::store::register::Register;
                Self { $($name: Register::new($letter),)+ }
            }
        }

        impl $set {
            /// A frozen view.
            pub fn frozen(&self) -> Self {
                Self { $($name: self.$name.frozen(),)+ }
            }

            /// All registers.
            pub fn each(
                &self,
            ) -> [&dyn $crate::domain::machine::store::register::RegisterRows; [$($letter),+].len()]
            {
                [$(&self.$name),+]
            }

            /// All registers, mutably.
            pub fn each_mut(
                &mut self,
            ) -> [
                &mut dyn $crate::domain::machine::store::register::RegisterRows;
                [$($letter),+].len()
            ] {
                [$(&mut self.$name),+]
            }
        }
    };
}
pub(in crate::domain::machine) use registers;
