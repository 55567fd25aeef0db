//! Kinds of records that are kept by a key of their own: nodes, idempotency keys, calendars.
//!
//! A kind is one line of [`registers!`]: its name, key and record, and the letter of its rows. All
//! else that a replicated record needs is here: it counts in the digest, its changes go into the
//! next checkpoint, it is written as rows and read back, and a frozen view shares it.

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

/// What names a record in its register.
pub trait RegisterKey: Clone + Debug + Ord {
    /// Writes it behind the letter of a row.
    fn write(&self, row: &mut Vec<u8>);
    /// Reads it again; none: no key was written so.
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

/// Names are no longer than a byte can say.
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
    /// The sum over its records.
    digest: Digest,
    /// What came, changed or went since the last checkpoint.
    dirty: BTreeSet<K>,
}

impl<K: RegisterKey, V: Serialize + DeserializeOwned> Register<K, V> {
    /// An empty register whose rows begin with this letter.
    pub fn new(letter: u8) -> Self {
        Self { letter, records: OrdMap::new(), digest: Digest::default(), dirty: BTreeSet::new() }
    }

    /// A view that does not change any more. What changed since the last checkpoint is nothing to it.
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

    /// In the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.records.iter()
    }

    /// In the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Arc<V>> {
        self.records.values()
    }

    /// Those whose keys lie in a range, in order.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.records.range(range)
    }

    /// Puts a record under a key, in the place of one that is there.
    pub fn set(&mut self, key: K, record: V) {
        let row = self.row_key(&key);
        if let Some(former) = self.records.get(&key) {
            self.digest.sub(digest::hash(&row, &**former));
        }
        self.digest.add(digest::hash(&row, &record));
        self.records.insert(key.clone(), Arc::new(record));
        self.dirty.insert(key);
    }

    /// Takes a record out.
    pub fn remove(&mut self, key: &K) -> Option<Arc<V>> {
        let former = self.records.remove(key)?;
        self.digest.sub(digest::hash(&self.row_key(key), &*former));
        self.dirty.insert(key.clone());
        Some(former)
    }

    /// The key of the row of the record under a key.
    pub fn row_key(&self, key: &K) -> Vec<u8> {
        let mut row = vec![self.letter];
        key.write(&mut row);
        row
    }

    /// The key that a row of this register has.
    fn key(&self, row: &[u8]) -> Option<K> {
        K::read(row.strip_prefix(&[self.letter])?)
    }
}

/// A register whatever its kind, as checkpoints and the digest see it.
pub trait RegisterRows {
    /// The letter of its rows.
    fn letter(&self) -> u8;
    /// Every row, in the order of their keys.
    fn rows(&self) -> Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)> + '_>;
    /// What a row holds; none: there is no such record.
    fn value(&self, row: &[u8]) -> Option<Vec<u8>>;
    /// Takes a row in that was written before.
    ///
    /// # Errors
    /// It is none of this register.
    fn load(&mut self, row: &[u8], value: &[u8]) -> Result<(), RowError>;
    /// Takes the keys of the rows that changed, and begins a new list.
    fn take_dirty(&mut self) -> Vec<Vec<u8>>;
    /// The sum over its records.
    fn digest(&self) -> Digest;
    /// The same from scratch.
    fn recomputed(&self) -> Digest;
}

/// Why a row cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum RowError {
    /// No key was written so.
    Key,
    /// What the decoder says of its value.
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

/// Declares registers, one a line: `name: key => record, letter;`. The struct has a field for each;
/// `each` and `each_mut` give all of them to those who write, read and count rows.
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
            /// A view that does not change any more.
            pub fn frozen(&self) -> Self {
                Self { $($name: self.$name.frozen(),)+ }
            }

            /// All of them.
            pub fn each(
                &self,
            ) -> [&dyn $crate::domain::machine::store::register::RegisterRows; [$($letter),+].len()]
            {
                [$(&self.$name),+]
            }

            /// All of them, to be changed.
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
