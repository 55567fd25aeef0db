//! Counts of verdicts and execution ends: totals, and counts per day.

use serde::{Deserialize, Serialize};

use super::execution::Status;
use crate::domain::ids::TaskKey;
use crate::domain::machine::store::blocks::BlockRecord;
use crate::domain::machine::store::digest;
use crate::domain::time::Timestamp;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// An execution was created.
    Fired,
    /// It was not to fire.
    Skipped,
    /// It should have fired and did not.
    Missed,
    /// A later tick fired for it.
    Coalesced,
}

impl Verdict {
    /// How every interface names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Coalesced => "coalesced",
        }
    }
}

/// Counts that outlive the history they were counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Ticks that fired.
    pub fired: u64,
    /// Ticks skipped, where counted.
    pub skipped: u64,
    /// Ticks missed, where counted.
    pub missed: u64,
    /// Ticks coalesced, where counted.
    pub coalesced: u64,
    /// Spans whose ticks nobody counted.
    pub uncounted_spans: u64,
    /// Executions that ended in success.
    pub success: u64,
    /// In a known failure.
    pub failed: u64,
    /// At their timeout.
    pub timeout: u64,
    /// By request.
    pub cancelled: u64,
    /// With unknown outcome.
    pub lost: u64,
}

impl Totals {
    /// Counts ticks with one verdict. The count comes from the proposer, so the sum saturates.
    pub(in crate::domain::machine) const fn ticks(&mut self, verdict: Verdict, count: u64) {
        let counter = match verdict {
            Verdict::Fired => &mut self.fired,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Missed => &mut self.missed,
            Verdict::Coalesced => &mut self.coalesced,
        };
        *counter = counter.saturating_add(count);
    }

    /// Counts the end of an execution.
    pub(in crate::domain::machine) const fn end(&mut self, status: Status) {
        match status {
            Status::Success => self.success += 1,
            Status::Failed => self.failed += 1,
            Status::Timeout => self.timeout += 1,
            Status::Cancelled => self.cancelled += 1,
            Status::Lost => self.lost += 1,
            Status::Pending | Status::Running => {}
        }
    }

    /// Ended executions.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.judged().saturating_add(self.cancelled)
    }

    /// Ended executions without the cancelled ones.
    #[must_use]
    pub const fn judged(&self) -> u64 {
        self.success
            .saturating_add(self.failed)
            .saturating_add(self.timeout)
            .saturating_add(self.lost)
    }

    /// All counts, in the order of the fields.
    #[must_use]
    pub const fn numbers(&self) -> [u64; 10] {
        let Self {
            fired,
            skipped,
            missed,
            coalesced,
            uncounted_spans,
            success,
            failed,
            timeout,
            cancelled,
            lost,
        } = *self;
        [
            fired,
            skipped,
            missed,
            coalesced,
            uncounted_spans,
            success,
            failed,
            timeout,
            cancelled,
            lost,
        ]
    }

    /// The reverse of [`Totals::numbers`].
    #[must_use]
    pub const fn of_numbers(numbers: [u64; 10]) -> Self {
        let [
            fired,
            skipped,
            missed,
            coalesced,
            uncounted_spans,
            success,
            failed,
            timeout,
            cancelled,
            lost,
        ] = numbers;
        Self {
            fired,
            skipped,
            missed,
            coalesced,
            uncounted_spans,
            success,
            failed,
            timeout,
            cancelled,
            lost,
        }
    }

    /// The sum of two totals, per count.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut numbers = self.numbers();
        for (number, more) in numbers.iter_mut().zip(other.numbers()) {
            *number = number.saturating_add(more);
        }
        Self::of_numbers(numbers)
    }

    /// Whether each count is at most that of `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.numbers().iter().zip(other.numbers()).all(|(own, most)| *own <= most)
    }
}

/// The counts of one UTC day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCounts {
    /// Days since 1970-01-01.
    pub day: i64,
    /// Verdicts decided and executions ended on this day.
    pub counts: Totals,
}

impl DayCounts {
    /// The day of an instant.
    #[must_use]
    pub const fn number(at: Timestamp) -> i64 {
        at.0.div_euclid(DAY_MS)
    }

    /// The first instant of the day.
    #[must_use]
    pub const fn begin(&self) -> Timestamp {
        Timestamp(self.day.saturating_mul(DAY_MS))
    }
}

/// The counts of a past day in the compact form that tasks keep: half the size of [`DayCounts`],
/// with counts of at most 4,294,967,295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastDay {
    day: i32,
    counts: [u32; 10],
}

impl PastDay {
    pub(in crate::domain::machine) fn hash(&self, task: TaskKey) -> u128 {
        let [a, b, c, d, e, f, g, h, i, j] = self.counts.map(u64::from);
        let day = i64::from(self.day).cast_unsigned();
        digest::numbers(b'y', [task.0, day, a, b, c, d, e, f, g, h, i, j])
    }
}

impl From<DayCounts> for PastDay {
    fn from(day: DayCounts) -> Self {
        let counts = day.counts.numbers().map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        // An i32 is sufficient for millions of years.
        Self { day: i32::try_from(day.day).unwrap_or(i32::MAX), counts }
    }
}

impl From<PastDay> for DayCounts {
    fn from(past: PastDay) -> Self {
        let counts = Totals::of_numbers(past.counts.map(u64::from));
        Self { day: past.day.into(), counts }
    }
}

impl BlockRecord for PastDay {
    type RecordKey = i32;
    const LETTER: u8 = b'y';

    fn key(&self) -> i32 {
        self.day
    }
}

/// Numbers of consecutive successes and failures. Cancelled executions do not count and do not end
/// a streak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streaks {
    /// Length of the current streak.
    pub current: u64,
    /// Whether the current streak consists of failures.
    pub failing: bool,
    /// The longest streak of successes.
    pub longest_success: u64,
    /// The longest streak of failures.
    pub longest_failure: u64,
}

impl Streaks {
    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        if self.failing { self.current } else { 0 }
    }

    /// Counts the end of an execution.
    pub(in crate::domain::machine) fn end(&mut self, status: Status) {
        let failing = status.failure();
        if !failing && status != Status::Success {
            return;
        }
        self.current = if self.failing == failing { self.current + 1 } else { 1 };
        self.failing = failing;
        let longest = if failing { &mut self.longest_failure } else { &mut self.longest_success };
        *longest = self.current.max(*longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streaks_are_ended_by_the_opposite_and_not_by_a_stop() {
        use Status::{Cancelled, Failed, Lost, Success, Timeout};
        let mut streaks = Streaks::default();
        for status in [Success, Success, Cancelled, Success, Failed, Timeout, Cancelled, Lost] {
            streaks.end(status);
        }
        let wanted = Streaks { current: 3, failing: true, longest_success: 3, longest_failure: 3 };
        assert_eq!(streaks, wanted);
        streaks.end(Success);
        assert_eq!((streaks.current, streaks.failing, streaks.longest_failure), (1, false, 3));
    }

    #[test]
    fn days_are_those_of_utc_also_before_1970() {
        let number = |text| DayCounts::number(Timestamp::parse(text).unwrap());
        assert_eq!(number("1970-01-01T00:00:00Z"), 0);
        assert_eq!(number("1969-12-31T23:59:59.999Z"), -1);
        assert_eq!(number("2026-03-02T23:59:59.999Z") + 1, number("2026-03-03T00:00:00Z"));
    }

    #[test]
    fn a_past_day_keeps_what_fits_into_it() {
        let counts = Totals { fired: 7, skipped: u64::MAX, lost: 2, ..Totals::default() };
        let kept = DayCounts::from(PastDay::from(DayCounts { day: 20_000, counts }));
        let skipped = u32::MAX.into();
        assert_eq!(kept, DayCounts { day: 20_000, counts: Totals { skipped, ..counts } });
    }

    #[test]
    fn numbers_name_every_count_once() {
        let numbers = std::array::from_fn(|at| at as u64 + 1);
        assert_eq!(Totals::of_numbers(numbers).numbers(), numbers);
        let one = Totals::of_numbers(numbers);
        assert!(one.within(&one) && !one.plus(&one).within(&one));
        assert_eq!(one.ended(), 6 + 7 + 8 + 9 + 10);
    }
}
