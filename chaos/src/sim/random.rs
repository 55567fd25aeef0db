//! Seeded randomness. Each part draws from its own stream, so that draws of one part do not affect
//! another.

use std::time::Duration;

/// A random stream (SplitMix64: Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct SeededRandom(u64);

impl SeededRandom {
    /// The stream of a part of the world.
    pub fn of(seed: u64, part: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64_with_seed(part.as_bytes(), seed))
    }

    /// A random number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// A number from `low` to `high` (inclusive).
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True with a probability of `per_mille` / 1000.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// A duration with a logarithmically uniform distribution.
    pub fn log_time(&mut self, low: Duration, high: Duration) -> Duration {
        let low = u64::try_from(low.as_micros()).unwrap_or(u64::MAX).max(1);
        let high = u64::try_from(high.as_micros()).unwrap_or(u64::MAX).max(low);
        // In powers of two: exact, and the same on every machine.
        let doublings = u64::from((high / low).max(1).ilog2());
        let base = low << self.range(0, doublings);
        Duration::from_micros((base + self.below(base)).min(high))
    }

    /// A random element.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(usize::try_from(self.below(of.len() as u64)).unwrap_or(0))
    }

    /// A random index below a length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }
}
