//! Counts and finds ticks in ranges of any size, with regard to calendars.

use crate::domain::schedule::Plan;
use crate::domain::time::{Millis, Timestamp};

/// Ticks are counted one by one up to this number.
pub(super) const COUNT_MAX: u64 = 1_000;
/// Maximum number of periods (excluded or not) in one search.
pub(super) const STRETCHES_MAX: usize = 2_000;
/// Ranges searched for the newest tick: width of the first, growth factor, maximum number.
const FIRST_WIDTH: Millis = Millis::from_secs(1);
const GROWTH: u64 = 8;
const WIDTHS_MAX: usize = 40;

/// The newest tick in `(from, to]` that no calendar excludes. The search goes back from the end in
/// growing ranges. It gives up after too many excluded periods.
pub(super) fn newest_open(plan: &Plan, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
    let (mut end, mut width) = (to, FIRST_WIDTH);
    for _ in 0..WIDTHS_MAX {
        let begin = from.max(end.minus(width));
        let mut newest_stretch = None;
        let whole = open_stretches(plan, begin, end, |from, to| {
            newest_stretch = Some((from, to));
            true
        });
        match newest_stretch {
            Some((from, to)) if whole => return newest(plan, from, to),
            _ if !whole && width > FIRST_WIDTH => {
                // The later part was already searched with a smaller width.
                end = begin.max(end.minus(Millis(width.0 / GROWTH)));
                width = FIRST_WIDTH;
            }
            _ if !whole || begin == from => return None,
            _ => width = Millis(width.0.saturating_mul(GROWTH)),
        }
    }
    None
}

/// Reports the periods `(begin, end]` between `from` and `to` that have ticks and that no calendar
/// excludes, until the callback returns false. Returns false if the callback did, or if there are
/// too many periods.
fn open_stretches(
    plan: &Plan,
    from: Timestamp,
    to: Timestamp,
    mut tell: impl FnMut(Timestamp, Timestamp) -> bool,
) -> bool {
    let mut at = from;
    for _ in 0..STRETCHES_MAX {
        let Some(tick) = next(plan, at).filter(|tick| *tick <= to) else { return true };
        let stretch = plan.stretch(tick, to);
        at = stretch.last.min(to);
        if stretch.calendar.is_none() && !tell(tick.minus(Millis(1)), at) {
            return false;
        }
    }
    false
}

/// The newest tick in `(from, to]`. The next tick after t never decreases as t increases, so
/// bisection finds the newest tick regardless of the number of ticks in between.
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

/// The instant in `[from, to]` after which the newest `wanted` ticks lie, or all ticks if there are
/// fewer. The search goes back from `to` in growing steps, then bisects the last one.
pub(super) fn before_newest(plan: &Plan, from: Timestamp, to: Timestamp, wanted: u64) -> Timestamp {
    // `left` of the wanted ticks lie before `high`.
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

/// The number of ticks in `(from, to]`, if it is cheap to compute.
pub(super) fn count(plan: &Plan, from: Timestamp, to: Timestamp) -> Option<u64> {
    let found = plan.count_between(from, to, COUNT_MAX);
    #[cfg(test)]
    super::tests::note(found.unwrap_or(COUNT_MAX).min(COUNT_MAX));
    found
}

/// The number of ticks in `(from, to]` that no calendar excludes. `None` if there are more than
/// `max`, or too many excluded periods.
pub(super) fn counted(plan: &Plan, from: Timestamp, to: Timestamp, max: u64) -> Option<u64> {
    let mut sum = 0;
    let whole = open_stretches(plan, from, to, |from, to| {
        let found = plan.count_between(from, to, max).filter(|found| sum + *found <= max);
        #[cfg(test)]
        super::tests::note(found.unwrap_or(max) + 1);
        sum += found.unwrap_or(0);
        found.is_some()
    });
    whole.then_some(sum)
}
