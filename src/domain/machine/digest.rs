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
    /// A record came.
    pub fn add(&mut self, key: &[u8], value: &impl Serialize) {
        self.0 = self.0.wrapping_add(hash(key, value));
    }

    /// A record went, or is about to change.
    pub fn sub(&mut self, key: &[u8], value: &impl Serialize) {
        self.0 = self.0.wrapping_sub(hash(key, value));
    }

    /// A record whose hash is at hand changed: into one of another hash, or into none, 0.
    pub const fn replace(&mut self, former: u128, hash: u128) {
        self.0 = self.0.wrapping_sub(former).wrapping_add(hash);
    }
}

/// Hash of one record: XXH3-128 of key and value. No key of a record is the beginning of another's,
/// so no separator is needed.
pub fn hash(key: &[u8], value: &impl Serialize) -> u128 {
    let mut buffer = [0_u8; STACK_BYTES];
    if let Some((head, tail)) = buffer.split_at_mut_checked(key.len()) {
        head.copy_from_slice(key);
        if let Ok(used) = bincode::serde::encode_into_slice(value, tail, super::persist::CONFIG) {
            return xxh3_128(buffer.get(..key.len() + used).unwrap_or_default());
        }
    }
    let mut bytes = key.to_vec();
    super::persist::append(value, &mut bytes);
    xxh3_128(&bytes)
}
