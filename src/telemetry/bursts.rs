//! Bounds what is said again and again: the first of a kind is told at once, those that follow
//! within a minute are counted and told together.

use std::collections::BTreeMap;

/// How long after something was told the same is only counted, in milliseconds.
const EVERY_MS: u64 = 60_000;
/// Kinds that are told apart at a time; what goes beyond is counted together.
const KINDS_MAX: usize = 20;

/// What was told lately, by kind.
#[derive(Clone, Debug)]
pub struct Bursts<K> {
    open: BTreeMap<K, Burst>,
    others: Burst,
}

#[derive(Clone, Copy, Debug, Default)]
struct Burst {
    /// When it began, in milliseconds of any one clock.
    since: u64,
    more: u64,
}

/// What was counted and is to be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedBurst<K> {
    /// How many more there were of each kind.
    pub kinds: Vec<(K, u64)>,
    /// How many there were of kinds that were not told apart.
    pub others: u64,
}

impl<K> Default for Bursts<K> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), others: Burst::default() }
    }
}

impl<K: Ord + Clone> Bursts<K> {
    /// Notes one of a kind; true: it is to be told now, false: it was counted. `now` is in
    /// milliseconds.
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

    /// What has been counted for long enough. A kind of which nothing more came is forgotten.
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
        // It goes on, and is counted on; then it ends, and the next one is news again.
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
