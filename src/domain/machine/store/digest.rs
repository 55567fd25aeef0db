//! The digest: a wrapping sum of a 128-bit hash per (key, value) record. A changed record costs one
//! or two hashes, whatever the size of the state, and the order of changes does not matter.

use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::codec;

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

    /// Adds what another sum has.
    pub const fn join(&mut self, other: Self) {
        self.add(other.0);
    }
}

/// Hash of a record as plain numbers: a letter for its kind, its key, its value. What claims touch
/// is hashed so, which is several times quicker than hashing the form that is stored. A kind always
/// has as many numbers.
pub fn numbers<const N: usize>(letter: u8, numbers: [u64; N]) -> u128 {
    let mut bytes = [[0; 8]; N];
    for (bytes, number) in bytes.iter_mut().zip(numbers) {
        *bytes = number.to_le_bytes();
    }
    xxh3_128_with_seed(bytes.as_flattened(), u64::from(letter))
}

/// Two numbers that stand for a value in its stored form.
pub fn of(value: &impl Serialize) -> [u64; 2] {
    bytes(&codec::encode(value))
}

/// Two numbers that stand for bytes.
pub fn bytes(bytes: &[u8]) -> [u64; 2] {
    halves(xxh3_128(bytes))
}

/// A hash as two numbers.
pub const fn halves(hash: u128) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let halves = [(hash >> 64) as u64, hash as u64];
    halves
}

/// Hash of a record in its stored form: its key, then its value. No key of a record is the
/// beginning of another's, so no separator is needed.
pub fn hash(key: &[u8], value: &impl Serialize) -> u128 {
    let mut record = key.to_vec();
    codec::append(value, &mut record);
    xxh3_128(&record)
}
