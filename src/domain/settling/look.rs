//! Ticks, counted and found in ranges however many lie there, with an eye to calendars.

use crate::domain::schedule::Plan;
use crate::domain::time::{Millis, Timestamp};

/// Ticks are counted one by one up to here.
pub(super) const COUNT_MAX: u64 = 1_000;
/// Stretches that calendars leave out or do not, in one look.
pub(super) const STRETCHES_MAX: usize = 4_000;

/// The newest tick in `(from, to]` that no calendar leaves out: looked for near the end first.
pub(super) fn newest_open(plan: &Plan, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
    let mut width = Millis::from_secs(86_400);
    loop {
        let begin = from.max(to.minus(width));
        let open = open_stretches(plan, begin, to);
        if let Some((begin, end)) = open.last() {
            return newest(plan, begin, end);
        }
        if begin == from {
            return None;
        }
        width = Millis(width.0.saturating_mul(8));
    }
}

/// The stretches `(begin, end]` between `from` and `to` that have ticks and that no calendar leaves
/// out; so many of them at most.
fn open_stretches(
    plan: &Plan,
    from: Timestamp,
    to: Timestamp,
) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let mut at = from;
    let stretches = (0..STRETCHES_MAX).map_while(move |_| {
        let tick = next(plan, at).filter(|tick| *tick <= to)?;
        let stretch = plan.stretch(tick);
        at = stretch.last.min(to);
        Some((stretch.calendar.is_none(), (tick.minus(Millis(1)), at)))
    });
    stretches.filter_map(|(open, bounds)| open.then_some(bounds))
}

/// The newest tick in `(from, to]`. The next tick after t never goes back as t goes on, so the
/// newest one is found by halving, however many ticks lie between.
pub(super) fn newest(plan: &Plan, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
    let within = |after: Timestamp| next(plan, after).filter(|tick| *tick <= to);
    let mut found = within(from)?;
    let (mut low, mut high) = (found, to);
    while low < high {
        let middle = Timestamp(low.0 + (high.0 - low.0) / 2);
        match within(middle) {
            Some(tick) => {
                found = tick;
                low = tick;
            }
            None => high = middle,
        }
    }
    Some(found)
}

/// The instant in `[from, to]` after which the newest `wanted` ticks lie, or all if there are not
/// more: found in growing strides back from `to`, then by halving the last of them.
pub(super) fn before_newest(plan: &Plan, from: Timestamp, to: Timestamp, wanted: u64) -> Timestamp {
    // `left` of them lie before `high`.
    let (mut high, mut left) = (to, wanted);
    let mut stride = Millis::from_secs(1);
    let mut low = loop {
        let middle = high.minus(stride).max(from);
        match counted(plan, middle, high, left) {
            None => break middle,
            Some(found) => (high, left) = (middle, left.saturating_sub(found)),
        }
        if high == from {
            return from;
        }
        stride = Millis(stride.0.saturating_mul(2));
    };
    while high.0 - low.0 > 1 {
        let middle = Timestamp(low.0 + (high.0 - low.0) / 2);
        match counted(plan, middle, high, left) {
            None => low = middle,
            Some(found) => (high, left) = (middle, left.saturating_sub(found)),
        }
    }
    high
}

pub(super) fn next(plan: &Plan, after: Timestamp) -> Option<Timestamp> {
    #[cfg(test)]
    super::tests::note(1);
    plan.next_after(after)
}

/// How many ticks lie in `(from, to]`, as far as it can be told cheaply.
pub(super) fn count(plan: &Plan, from: Timestamp, to: Timestamp) -> Option<u64> {
    let found = plan.count_between(from, to, COUNT_MAX);
    #[cfg(test)]
    super::tests::note(found.unwrap_or(COUNT_MAX).min(COUNT_MAX));
    found
}

/// How many ticks that no calendar leaves out lie in `(from, to]`; none: more than `max`.
pub(super) fn counted(plan: &Plan, from: Timestamp, to: Timestamp, max: u64) -> Option<u64> {
    open_stretches(plan, from, to).try_fold(0_u64, |sum, (from, to)| {
        let found = plan.count_between(from, to, max).filter(|found| sum + *found <= max);
        #[cfg(test)]
        super::tests::note(found.unwrap_or(max) + 1);
        found.map(|found| sum + found)
    })
}
