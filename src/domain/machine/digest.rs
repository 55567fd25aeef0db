//! The digest: a wrapping sum of a 128-bit hash per (key, value) record. A changed record costs one
//! or two hashes, whatever the size of the state, and the order of changes does not matter.

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

/// Records shorter than this are hashed without touching the heap.
const STACK_BYTES: usize = 512;

/// The sum so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(pub u128);

impl Digest {
    /// A record came, with this hash.
    pub const fn add(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }

    /// A record went, or is about to change.
    pub const fn sub(&mut self, hash: u128) {
        self.0 = self.0.wrapping_sub(hash);
    }
}

/// A record as it is hashed: its key, then its value. No key of a record is the beginning of
/// another's, so no separator is needed.
///
/// What claims touch is written as plain numbers of eight bytes, which is several times quicker
/// than the form that is stored.
pub struct Sheet {
    stack: [u8; STACK_BYTES],
    used: usize,
    /// All of it, if the stack was too small.
    heap: Vec<u8>,
}

impl Sheet {
    /// Begins with the key.
    pub fn new(key: &[u8]) -> Self {
        let mut sheet = Self { stack: [0; STACK_BYTES], used: 0, heap: Vec::new() };
        sheet.bytes(key);
        sheet
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match self.stack.get_mut(self.used..self.used + bytes.len()) {
            Some(free) if self.heap.is_empty() => {
                free.copy_from_slice(bytes);
                self.used += bytes.len();
            }
            _ => {
                self.spill();
                self.heap.extend_from_slice(bytes);
            }
        }
    }

    fn spill(&mut self) {
        if self.heap.is_empty() {
            self.heap.extend_from_slice(self.stack.get(..self.used).unwrap_or_default());
        }
    }

    /// Plain numbers.
    pub fn numbers<const N: usize>(mut self, numbers: [u64; N]) -> Self {
        for number in numbers {
            self.bytes(&number.to_le_bytes());
        }
        self
    }

    /// A value in its stored form.
    pub fn value(mut self, value: &impl Serialize) -> Self {
        if self.heap.is_empty()
            && let Some(free) = self.stack.get_mut(self.used..)
            && let Ok(written) =
                bincode::serde::encode_into_slice(value, free, super::persist::CONFIG)
        {
            self.used += written;
        } else {
            self.spill();
            super::persist::append(value, &mut self.heap);
        }
        self
    }

    /// XXH3-128 of it.
    pub fn hash(&self) -> u128 {
        if self.heap.is_empty() {
            xxh3_128(self.stack.get(..self.used).unwrap_or_default())
        } else {
            xxh3_128(&self.heap)
        }
    }
}

/// Hash of a record in its stored form.
pub fn hash(key: &[u8], value: &impl Serialize) -> u128 {
    Sheet::new(key).value(value).hash()
}
