//! A histogram of milliseconds with logarithmic buckets: eight per power of two, so the relative
//! error is at most one eighth. The range is 0 to 24 days. Empty buckets use no memory.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Binary logarithm of the number of buckets per power of two.
const SUB_BITS: u32 = 3;
/// Values from 2 to the power of this share the last bucket.
const TOP_BIT: u32 = 31;
/// Buckets per hash step.
const HASHED: usize = 8;

/// Counts of values in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHistogram {
    /// Numbers and counts of the non-empty buckets, ascending by number.
    buckets: Vec<(u8, u64)>,
    /// The maximum value.
    max: u64,
}

impl LogHistogram {
    /// Counts a value.
    pub(in crate::domain::machine) fn add(&mut self, value: u64) {
        self.max = self.max.max(value);
        let number = bucket(value);
        match self.buckets.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => {
                if let Some((_, count)) = self.buckets.get_mut(at) {
                    *count += 1;
                }
            }
            Err(at) => self.buckets.insert(at, (number, 1)),
        }
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |all: u64, (_, count)| all.saturating_add(*count))
    }

    /// The maximum value. `None`: the histogram is empty.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        (!self.buckets.is_empty()).then_some(self.max)
    }

    /// A percentile by nearest rank: the upper bound of its bucket, but at most the maximum value.
    /// `None`: the histogram is empty.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = u128::from(self.count()) * u128::from(percent);
        let rank = rank.div_ceil(100).max(1);
        let mut seen = 0_u128;
        for (number, count) in &self.buckets {
            seen += u128::from(*count);
            if seen >= rank {
                return Some(last_value(*number).min(self.max));
            }
        }
        self.max()
    }

    /// Two numbers for the digest: a hash of the buckets, and the maximum.
    pub(in crate::domain::machine) fn numbers(&self) -> [u64; 2] {
        let mut hash = 0;
        for buckets in self.buckets.chunks(HASHED) {
            let mut bytes = [[0; 16]; HASHED];
            for (bytes, (number, count)) in bytes.iter_mut().zip(buckets) {
                bytes[..8].copy_from_slice(&u64::from(*number).to_le_bytes());
                bytes[8..].copy_from_slice(&count.to_le_bytes());
            }
            hash = xxh3_64_with_seed(bytes.as_flattened(), hash);
        }
        [hash, self.max]
    }

    /// Whether the content is consistent: buckets ascend, none is empty, the last contains the
    /// maximum.
    pub(in crate::domain::machine) fn plausible(&self) -> bool {
        self.buckets.is_sorted_by(|(one, _), (next, _)| one < next)
            && self.buckets.iter().all(|(_, count)| *count > 0)
            && self.buckets.last().is_none_or(|(last, _)| *last == bucket(self.max))
    }

    /// Number of non-empty buckets.
    #[cfg(test)]
    pub(in crate::domain::machine) const fn len(&self) -> usize {
        self.buckets.len()
    }
}

/// The number of the bucket of a value.
fn bucket(value: u64) -> u8 {
    let value = value.min((1 << TOP_BIT) - 1);
    // Each value below 8 has its own bucket.
    let top = value.max(1).ilog2().max(SUB_BITS);
    let shift = top - SUB_BITS;
    let number = u64::from(shift) * (1 << SUB_BITS) + (value >> shift);
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// The upper bound of a bucket, inclusive.
const fn last_value(number: u8) -> u64 {
    let number = number as u64;
    let shift = (number >> SUB_BITS).saturating_sub(1);
    let first = number - (shift << SUB_BITS);
    ((first + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gap() {
        let most = bucket(u64::MAX);
        assert_eq!(most, bucket((1 << TOP_BIT) - 1));
        assert_eq!(last_value(most), (1 << TOP_BIT) - 1);
        let mut next = 0;
        for number in 0..=most {
            let last = last_value(number);
            assert!(last >= next, "{number}");
            assert_eq!((bucket(next), bucket(last)), (number, number));
            // The width is at most an eighth of the lower bound.
            assert!((last - next) * 8 <= next, "{number}: {next} to {last}");
            next = last + 1;
        }
    }

    #[test]
    fn an_empty_one_has_no_percentiles() {
        let empty = LogHistogram::default();
        assert_eq!((empty.percentile(50), empty.max(), empty.count()), (None, None, 0));
    }

    #[test]
    fn values_beyond_the_last_bucket_are_counted_in_it() {
        let mut histogram = LogHistogram::default();
        histogram.add(u64::MAX);
        assert_eq!((histogram.count(), histogram.max()), (1, Some(u64::MAX)));
        assert_eq!(histogram.percentile(95), Some((1 << TOP_BIT) - 1));
        assert!(histogram.plausible());
    }

    proptest! {
        /// A percentile is at least the exact one, at most an eighth greater, and at most the
        /// maximum.
        #[test]
        fn percentiles_are_near_the_exact_ones(
            mut values in prop::collection::vec(0_u64..100_000_000, 1..200),
            percent in 1_u64..=100,
        ) {
            let mut histogram = LogHistogram::default();
            values.iter().for_each(|value| histogram.add(*value));
            values.sort_unstable();
            let rank = (values.len() as u64 * percent).div_ceil(100).max(1);
            let exact = values[usize::try_from(rank).unwrap() - 1];
            let found = histogram.percentile(percent).unwrap();
            prop_assert!(exact <= found && found <= exact + exact / 8, "{exact} {found}");
            prop_assert!(found <= *values.last().unwrap());
            prop_assert_eq!(histogram.count(), values.len() as u64);
            prop_assert!(histogram.plausible() && histogram.len() <= usize::from(u8::MAX));
        }

        /// A further value changes the hash.
        #[test]
        fn the_numbers_tell_histograms_apart(
            values in prop::collection::vec(0_u64..10_000, 0..100),
            more in 0_u64..10_000,
        ) {
            let mut histogram = LogHistogram::default();
            values.iter().for_each(|value| histogram.add(*value));
            let before = histogram.numbers();
            histogram.add(more);
            prop_assert_ne!(histogram.numbers(), before);
        }
    }
}
