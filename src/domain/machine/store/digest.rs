//! The digest: a wrapping sum of one 128-bit hash per (key, value) record. A changed record costs
//! one or two hashes, whatever the size of the state, and the order of changes does not matter.

use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::codec;

/// The sum of hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(pub u128);

impl Digest {
    /// Adds the hash of a new record.
    pub const fn add(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }

    /// Subtracts the hash of a record that is removed or about to change.
    pub const fn sub(&mut self, hash: u128) {
        self.0 = self.0.wrapping_sub(hash);
    }

    /// Adds another sum.
    pub const fn join(&mut self, other: Self) {
        self.add(other.0);
    }
}

/// Hash of a record as plain numbers: a letter for its kind, its key, its value. It is used for
/// records that claims change, because it is several times faster than hashing the encoded form.
/// The number of numbers is fixed for each kind.
pub fn numbers<const N: usize>(letter: u8, numbers: [u64; N]) -> u128 {
    let mut bytes = [[0; 8]; N];
    for (bytes, number) in bytes.iter_mut().zip(numbers) {
        *bytes = number.to_le_bytes();
    }
    xxh3_128_with_seed(bytes.as_flattened(), u64::from(letter))
}

/// The hash of a value's encoding, as two numbers.
pub fn of(value: &impl Serialize) -> [u64; 2] {
    bytes(&codec::encode(value))
}

/// The hash of bytes, as two numbers.
pub fn bytes(bytes: &[u8]) -> [u64; 2] {
    halves(xxh3_128(bytes))
}

/// A hash as two numbers.
pub const fn halves(hash: u128) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let halves = [(hash >> 64) as u64, hash as u64];
    halves
}

/// Hash of a record in its encoded form: its key, then its value. No key is a prefix of another
/// key, so no separator is needed.
pub fn hash(key: &[u8], value: &impl Serialize) -> u128 {
    let mut record = key.to_vec();
    codec::append(value, &mut record);
    xxh3_128(&record)
}

/// The same of a value that is encoded already.
pub fn encoded(key: &[u8], value: &[u8]) -> u128 {
    xxh3_128(&[key, value].concat())
}
