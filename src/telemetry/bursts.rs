//! Rate limit for repeated reports. The first report of a kind is admitted at once. Further reports
//! within a minute are counted and reported together.

use std::collections::BTreeMap;

/// Length of the interval in which repetitions are only counted, in milliseconds.
const EVERY_MS: u64 = 60_000;
/// Maximum number of kinds that are counted separately. Other kinds are counted together.
const KINDS_MAX: usize = 20;

/// Recent reports, by kind.
#[derive(Clone, Debug)]
pub struct Bursts<K> {
    open: BTreeMap<K, Burst>,
    others: Burst,
}

#[derive(Clone, Copy, Debug, Default)]
struct Burst {
    /// Start of the interval, in milliseconds of the caller's clock.
    since: u64,
    more: u64,
}

/// Counted reports whose interval has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedBurst<K> {
    /// The number of further reports of each kind.
    pub kinds: Vec<(K, u64)>,
    /// The number of reports of kinds that were not counted separately.
    pub others: u64,
}

impl<K> Default for Bursts<K> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), others: Burst::default() }
    }
}

impl<K: Ord + Clone> Bursts<K> {
    /// Records one report. Returns true if it should be reported now, false if it was only counted.
    /// `now` is in milliseconds.
    pub fn admit(&mut self, kind: K, now: u64) -> bool {
        let room = self.open.len() < KINDS_MAX;
        match self.open.get_mut(&kind) {
            Some(burst) => burst.more += 1,
            None if room => {
                self.open.insert(kind, Burst { since: now, more: 0 });
                return true;
            }
            None => {
                if self.others.more == 0 {
                    self.others.since = now;
                }
                self.others.more += 1;
            }
        }
        false
    }

    /// The counts whose interval has ended. A kind without further reports is removed.
    pub fn due(&mut self, now: u64) -> CountedBurst<K> {
        let over = |burst: &Burst| now.saturating_sub(burst.since) >= EVERY_MS;
        let mut kinds = Vec::new();
        self.open.retain(|kind, burst| {
            if !over(burst) {
                return true;
            }
            let more = std::mem::take(&mut burst.more);
            burst.since = now;
            if more > 0 {
                kinds.push((kind.clone(), more));
            }
            more > 0
        });
        let others = if over(&self.others) { std::mem::take(&mut self.others.more) } else { 0 };
        CountedBurst { kinds, others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_the_rest_are_counted() {
        let mut bursts = Bursts::default();
        let told: Vec<u64> = (0..180).filter(|second| bursts.admit("a", second * 1_000)).collect();
        assert_eq!(told, [0]);
        assert_eq!(bursts.due(59_999), CountedBurst { kinds: vec![], others: 0 });
        assert_eq!(bursts.due(180_000), CountedBurst { kinds: vec![("a", 179)], others: 0 });
        // While reports continue, they are counted. After an interval without any, the next report
        // is admitted at once.
        assert!(!bursts.admit("a", 181_000));
        assert_eq!(bursts.due(240_000), CountedBurst { kinds: vec![("a", 1)], others: 0 });
        assert_eq!(bursts.due(300_000), CountedBurst { kinds: vec![], others: 0 });
        assert!(bursts.admit("a", 301_000));
    }

    #[test]
    fn many_kinds_at_once_are_counted_together() {
        let mut bursts = Bursts::default();
        let told = (0..1_000).filter(|kind| bursts.admit(*kind, 5)).count();
        assert_eq!(told, KINDS_MAX);
        assert_eq!(bursts.due(60_005), CountedBurst { kinds: vec![], others: 980 });
        assert_eq!(bursts.due(120_005), CountedBurst { kinds: vec![], others: 0 });
    }
}
