//! Cluster time: a node's boot-time clock plus an offset. The offset follows the wall clocks of a
//! majority, not a single one.
//!
//! For each peer a node keeps the interval that contains the offset between the peer's wall clock
//! and its own boot-time clock. The round trip of an answer bounds the interval, and age widens it.
//! If the intervals of a majority lie within `max_skew`, cluster time is their median; with an even
//! number, the earlier one. A single wrong clock therefore never moves cluster time ahead of all
//! correct ones, and no tick fires early. For the same reason a clock with a wide interval counts
//! near its lower bound. Without a majority the offset is kept, and after [`HOLDOVER`] cluster time
//! is invalid.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{BootInstant, Clock, MachineClocks};

/// How long an offset stays valid without agreement, in nanoseconds.
pub const HOLDOVER: i64 = 600 * SECOND;
/// How long a peer's measurement is used, in nanoseconds.
const FRESH: i64 = 10 * SECOND;
/// Maximum relative drift of two clocks, in parts per million: each is slewed by up to 500.
const DRIFT_PPM: i64 = 1_000;
/// Maximum distance of a clock's estimate from its lower bound, in nanoseconds.
const CARE: i64 = 10_000_000;
/// The offset is not changed if the median differs by at most this plus its uncertainty, in
/// nanoseconds.
const STILL: i64 = 2_000_000;
const SECOND: i64 = 1_000_000_000;
/// Marks that there was no agreement yet.
const NEVER: i64 = i64::MIN;

/// Bounds of the offset of a wall clock, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OffsetBounds {
    low: i64,
    high: i64,
    /// Boot time of the measurement on this machine.
    at: i64,
}

impl OffsetBounds {
    /// The bounds at a later time, widened by drift.
    fn aged(self, now: i64) -> Self {
        let drift = now.saturating_sub(self.at) / 1_000_000 * DRIFT_PPM;
        Self { low: self.low.saturating_sub(drift), high: self.high.saturating_add(drift), at: now }
    }

    /// The intersection of both bounds. If they do not overlap, the clock was set, and the newer
    /// bounds are used.
    fn and(self, newer: Self) -> Self {
        let old = self.aged(newer.at);
        let (low, high) = (old.low.max(newer.low), old.high.min(newer.high));
        if low <= high { Self { low, high, at: newer.at } } else { newer }
    }

    /// Maximum distance of [`Self::estimate`] from the lower bound.
    fn uncertainty(self) -> i64 {
        (self.high.saturating_sub(self.low) / 2).min(CARE)
    }

    /// The estimated offset.
    fn estimate(self) -> i64 {
        self.low.saturating_add(self.uncertainty())
    }
}

/// Cluster time of one node.
pub struct ClusterClock {
    machine: Box<dyn MachineClocks>,
    members: AtomicUsize,
    max_skew: i64,
    peers: Mutex<BTreeMap<u16, OffsetBounds>>,
    offset: AtomicI64,
    agreed_at: AtomicI64,
    moves: AtomicU64,
}

impl ClusterClock {
    /// Creates the clock of a cluster with this number of members, whose clocks must agree within
    /// `max_skew`. Until they agree it follows the machine's own clock and is not valid.
    #[must_use]
    pub fn new(machine: impl MachineClocks, members: usize, max_skew: std::time::Duration) -> Self {
        let offset = machine.wall().saturating_sub(machine.boot());
        let clock = Self {
            machine: Box::new(machine),
            members: AtomicUsize::new(members),
            max_skew: i64::try_from(max_skew.as_nanos()).unwrap_or(i64::MAX),
            peers: Mutex::default(),
            offset: AtomicI64::new(offset),
            agreed_at: AtomicI64::new(NEVER),
            moves: AtomicU64::new(0),
        };
        clock.agree();
        clock
    }

    /// Replaces the cluster members. Agreement requires a majority of them. Measurements of other
    /// nodes are removed.
    pub fn set_members(&self, members: &BTreeSet<u16>) {
        self.peers.lock().retain(|peer, _| members.contains(peer));
        self.members.store(members.len(), Ordering::Relaxed);
        self.agree();
    }

    /// The machine's wall clock in nanoseconds since 1970, for peers that request it.
    #[must_use]
    pub fn wall(&self) -> i64 {
        self.machine.wall()
    }

    /// The boot-time clock in nanoseconds, read before a peer is asked.
    #[must_use]
    pub fn asking(&self) -> i64 {
        self.machine.boot()
    }

    /// Records the wall clock in a peer's answer. `asked` is the boot time of the request.
    pub fn answered(&self, peer: u16, asked: i64, wall: i64) {
        let at = self.machine.boot();
        let seen =
            OffsetBounds { low: wall.saturating_sub(at), high: wall.saturating_sub(asked), at };
        {
            let mut peers = self.peers.lock();
            let known = peers.get(&peer).map_or(seen, |known| known.and(seen));
            peers.insert(peer, known);
        }
        self.agree();
    }

    /// Checks for agreement and moves the offset if necessary.
    pub fn agree(&self) {
        // Both readings bound the offset. Otherwise a process suspended between the two clock
        // readings would get a wrong offset.
        let before = self.machine.boot();
        let wall = self.machine.wall();
        let now = self.machine.boot();
        let (low, high) = (wall.saturating_sub(now), wall.saturating_sub(before));
        let mut all = vec![OffsetBounds { low, high, at: now }];
        {
            let peers = self.peers.lock();
            let fresh = peers.values().filter(|known| now.saturating_sub(known.at) <= FRESH);
            all.extend(fresh.map(|known| known.aged(now)));
        }
        if bug!("own-wall-clock" | "clock-for-cursor") {
            self.offset.store(low, Ordering::Relaxed);
            self.agreed_at.store(now, Ordering::Relaxed);
            return;
        }
        let Some(median) = median(all, self.members.load(Ordering::Relaxed), self.max_skew) else {
            return;
        };
        self.agreed_at.store(now, Ordering::Relaxed);
        let held = self.offset.load(Ordering::Relaxed);
        let target = median.estimate();
        if held.abs_diff(target) > (median.uncertainty() + STILL).unsigned_abs() {
            self.offset.store(target, Ordering::Relaxed);
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How far this machine's wall clock is ahead of cluster time, in nanoseconds.
    #[must_use]
    pub fn skew(&self) -> i64 {
        self.machine.wall().saturating_sub(self.nanos())
    }

    /// How far a peer's wall clock is ahead of cluster time, in nanoseconds. `None` without a
    /// recent answer.
    #[must_use]
    pub fn skew_of(&self, peer: u16) -> Option<i64> {
        let now = self.machine.boot();
        let known = *self.peers.lock().get(&peer)?;
        let fresh = now.saturating_sub(known.at) <= FRESH;
        fresh.then(|| {
            known.low.midpoint(known.high).saturating_sub(self.offset.load(Ordering::Relaxed))
        })
    }

    /// Whether the clocks of a majority agree now. Cluster time stays valid for a while after
    /// agreement is lost.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let agreed = self.agreed_at.load(Ordering::Relaxed);
        agreed != NEVER && self.machine.boot().saturating_sub(agreed) <= FRESH
    }

    /// How often the offset was changed.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }
}

impl Clock for ClusterClock {
    fn nanos(&self) -> i64 {
        self.machine.boot().saturating_add(self.offset.load(Ordering::Relaxed))
    }

    fn boot(&self) -> BootInstant {
        BootInstant(self.machine.boot().unsigned_abs() / 1_000_000)
    }

    fn sure(&self) -> bool {
        let agreed = self.agreed_at.load(Ordering::Relaxed);
        agreed != NEVER && self.machine.boot().saturating_sub(agreed) <= HOLDOVER
    }
}

/// The median of the largest set of clocks within `max_skew`, if it is a majority. With an even
/// number, it is the earlier of the two middle clocks. Among sets of equal size, the one with the
/// smallest spread is used.
fn median(mut clocks: Vec<OffsetBounds>, members: usize, max_skew: i64) -> Option<OffsetBounds> {
    clocks.sort_unstable_by_key(|clock| clock.low);
    let within = |first: &OffsetBounds| {
        let (from, to) = (first.low, first.low.saturating_add(max_skew));
        let mut set: Vec<OffsetBounds> =
            clocks.iter().filter(|one| one.low >= from && one.high <= to).copied().collect();
        set.sort_unstable_by_key(|one| one.estimate());
        set
    };
    let spread = |set: &[OffsetBounds]| {
        let high = set.iter().map(|one| one.high).max().unwrap_or(0);
        high.saturating_sub(set.iter().map(|one| one.low).min().unwrap_or(0))
    };
    let largest = clocks.iter().map(within).min_by_key(|set| (Reverse(set.len()), spread(set)))?;
    let majority = largest.len() > members / 2;
    largest.get(largest.len().checked_sub(1)? / 2).filter(|_| majority).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicI64;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const MILLI: i64 = 1_000_000;
    const SKEW: i64 = 500 * MILLI;

    /// Clocks set by a test. Boot time is true time.
    #[derive(Clone, Default)]
    struct TestClocks {
        now: Arc<AtomicI64>,
        ahead: Arc<AtomicI64>,
    }

    impl MachineClocks for TestClocks {
        fn wall(&self) -> i64 {
            self.boot() + self.ahead.load(Ordering::Relaxed)
        }

        fn boot(&self) -> i64 {
            self.now.load(Ordering::Relaxed)
        }
    }

    impl TestClocks {
        fn pass(&self, nanos: i64) {
            self.now.fetch_add(nanos, Ordering::Relaxed);
        }

        /// A peer whose clock is ahead by this much answers within 2 ms.
        fn hear(&self, clock: &ClusterClock, peer: u16, ahead: i64) {
            let asked = clock.asking();
            self.pass(MILLI);
            let wall = self.boot() + ahead;
            self.pass(MILLI);
            clock.answered(peer, asked, wall);
        }
    }

    fn three(ahead: i64) -> (TestClocks, ClusterClock) {
        let hands = TestClocks::default();
        hands.ahead.store(ahead, Ordering::Relaxed);
        let clock = ClusterClock::new(hands.clone(), 3, Duration::from_millis(500));
        (hands, clock)
    }

    /// Cluster time minus true time, in milliseconds.
    fn error(hands: &TestClocks, clock: &ClusterClock) -> i64 {
        (clock.nanos() - hands.boot()) / MILLI
    }

    #[test]
    fn nobody_relies_on_one_clock_of_three() {
        let (hands, clock) = three(0);
        assert!(!clock.sure());
        hands.hear(&clock, 2, 3_600 * SECOND);
        assert!(!clock.sure());
        hands.hear(&clock, 3, 0);
        assert!(clock.sure());
        assert_eq!(error(&hands, &clock), 0);
    }

    #[test]
    fn a_majority_is_one_of_the_members_that_there_are_now() {
        let (hands, clock) = three(0);
        hands.hear(&clock, 2, 0);
        assert!(clock.agrees());
        hands.pass(2 * FRESH);
        hands.hear(&clock, 2, 0);
        clock.set_members(&BTreeSet::from([1, 2, 3, 4, 5]));
        hands.pass(FRESH - SECOND);
        let agreed = clock.agreed_at.load(Ordering::Relaxed);
        clock.agree();
        assert_eq!(clock.agreed_at.load(Ordering::Relaxed), agreed, "two of five");
        hands.hear(&clock, 4, 0);
        assert!(clock.agreed_at.load(Ordering::Relaxed) > agreed, "three of five");
        clock.set_members(&BTreeSet::from([1]));
        assert_eq!(clock.skew_of(4), None, "it is no member any more");
        hands.pass(2 * FRESH);
        clock.agree();
        assert!(clock.agrees(), "one of one");
    }

    #[test]
    fn a_single_node_uses_its_own() {
        let hands = TestClocks::default();
        let clock = ClusterClock::new(hands.clone(), 1, Duration::from_millis(500));
        assert!(clock.sure());
        hands.ahead.store(SECOND, Ordering::Relaxed);
        clock.agree();
        assert_eq!(error(&hands, &clock), 1_000);
    }

    #[test]
    fn a_wrong_clock_works_on() {
        let (hands, clock) = three(-3_600 * SECOND);
        hands.hear(&clock, 2, 0);
        hands.hear(&clock, 3, 0);
        assert!(clock.sure());
        assert_eq!(error(&hands, &clock), 0);
        assert_eq!(clock.skew() / SECOND, -3_600);
        assert_eq!(clock.skew_of(3).map(|skew| skew / MILLI), Some(0));
        assert_eq!(clock.moves(), 1);
    }

    #[test]
    fn a_step_of_one_clock_moves_nothing() {
        let (hands, clock) = three(0);
        for ahead in [0, 400 * MILLI, -400 * MILLI, 3_600 * SECOND] {
            hands.hear(&clock, 2, ahead);
            hands.hear(&clock, 3, 0);
            hands.pass(SECOND);
        }
        for ahead in [400 * MILLI, -3_600 * SECOND] {
            hands.ahead.store(ahead, Ordering::Relaxed);
            hands.hear(&clock, 2, 0);
            hands.hear(&clock, 3, 0);
        }
        assert_eq!(error(&hands, &clock), 0);
        assert_eq!(clock.moves(), 0);
    }

    #[test]
    fn the_offset_is_held_for_ten_minutes() {
        let (hands, clock) = three(0);
        hands.hear(&clock, 2, 0);
        hands.hear(&clock, 3, 0);
        assert!(clock.agrees());
        hands.pass(HOLDOVER);
        clock.agree();
        assert!(clock.sure() && !clock.agrees());
        hands.pass(2 * SECOND);
        clock.agree();
        assert!(!clock.sure());
        assert_eq!(clock.skew_of(2), None);
        hands.hear(&clock, 3, 2 * SECOND);
        assert!(!clock.sure());
        hands.hear(&clock, 3, 10 * MILLI);
        assert!(clock.sure());
    }

    #[test]
    fn round_trips_sharpen_each_other() {
        let (hands, clock) = three(0);
        // An answer whose delay is entirely on the way back.
        let asked = clock.asking();
        let wall = hands.boot();
        hands.pass(300 * MILLI);
        clock.answered(2, asked, wall);
        assert_eq!(clock.skew_of(2).map(|skew| skew / MILLI), Some(-150 + 290));
        assert_eq!(error(&hands, &clock), -290);
        hands.hear(&clock, 2, 0);
        assert_eq!(clock.skew_of(2).map(|skew| skew / MILLI), Some(0));
        assert_eq!(error(&hands, &clock), 0);
    }

    /// A machine on which the process is suspended around every reading of the wall clock.
    struct SlowClocks(TestClocks);

    impl MachineClocks for SlowClocks {
        fn wall(&self) -> i64 {
            self.0.pass(300 * MILLI);
            let wall = self.0.wall();
            self.0.pass(300 * MILLI);
            wall
        }

        fn boot(&self) -> i64 {
            self.0.boot()
        }
    }

    #[test]
    fn a_process_that_is_held_does_not_run_ahead() {
        let hands = TestClocks::default();
        let clock = ClusterClock::new(SlowClocks(hands.clone()), 1, Duration::from_secs(2));
        for _ in 0..3 {
            clock.agree();
            assert!(error(&hands, &clock) <= 10, "{}", error(&hands, &clock));
        }
    }

    proptest! {
        /// One clock has an arbitrary error, the others are within 20 ms, and any subset answers.
        #[test]
        fn one_wrong_clock_never_puts_time_ahead(
            five in any::<bool>(),
            right in prop::collection::vec(-20_i64..20, 5),
            wrong in -2_000_i64..2_000,
            which in 0_usize..5,
            answers in prop::collection::vec(any::<bool>(), 5),
        ) {
            let members = if five { 5 } else { 3 };
            let which = which % members;
            let mut clocks: Vec<(usize, i64)> = right.iter().copied().enumerate().collect();
            clocks.truncate(members);
            clocks[which].1 = wrong;
            clocks.retain(|(at, _)| answers[*at]);
            let bounds = clocks.iter().map(|(_, ahead)| {
                OffsetBounds { low: (ahead - 1) * MILLI, high: (ahead + 1) * MILLI, at: 0 }
            });
            if let Some(found) = median(bounds.collect(), members, SKEW) {
                prop_assert!(found.estimate() <= 20 * MILLI, "{clocks:?}");
                let whole = clocks.len() == members;
                prop_assert!(!whole || found.estimate() >= -20 * MILLI, "{clocks:?}");
            } else {
                let right = clocks.iter().filter(|(at, _)| *at != which).count();
                prop_assert!(right <= members / 2, "{clocks:?}");
            }
        }
    }
}
