//! Statistics of each task and of the cluster: counts per day, streaks, and histograms of duration
//! and lateness.
//!
//! The cost of a count is constant. The newest day, the streaks and the histograms of a task are
//! one record, stored in the row of the task's progress. Past days are separate records, in blocks.
//! A task without counts has no statistics. The statistics of the cluster are one record. It is
//! hashed only when the digest is requested, not at each count.
//!
//! A tick counts on the UTC day of the log entry that decides its verdict, an execution on that of
//! the log entry that ends it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::execution::{Execution, Status};
use super::histogram::LogHistogram;
use super::totals::{DayCounts, PastDay, Streaks, Totals};
use crate::domain::ids::TaskKey;
use crate::domain::machine::limits::DAYS_MAX;
use crate::domain::machine::store::blocks::Blocks;
use crate::domain::machine::store::digest;
use crate::domain::time::Timestamp;

/// The part of the statistics that counts change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// The newest day with counts.
    pub today: DayCounts,
    /// Consecutive successes and failures.
    pub streaks: Streaks,
    /// Durations of executions, from their first start to their end.
    pub durations: LogHistogram,
    /// Lateness of executions with a tick. An early start counts as 0.
    pub latenesses: LogHistogram,
}

/// The statistics of one task.
#[derive(Clone, Debug, Default)]
pub struct TaskStatistics {
    /// The part that counts change.
    pub recent: Statistics,
    /// Past days, oldest first.
    pub days: Arc<Blocks<PastDay>>,
    /// The hash of `recent` that the digest contains.
    pub(in crate::domain::machine) hash: u128,
}

/// The statistics of all tasks, including removed tasks and former incarnations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatistics {
    /// Counts since the creation of the cluster.
    pub totals: Totals,
    /// The latest end of a successful execution.
    pub last_success: Option<Timestamp>,
    /// The part that counts change.
    pub recent: Statistics,
    /// Past days, oldest first.
    pub past: Arc<VecDeque<DayCounts>>,
}

/// The times of an ended execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTimes {
    /// From the first start to the end, in milliseconds. `None`: it did not start.
    duration: Option<u64>,
    /// From the due time to the first start, in milliseconds. `None`: it is not of a tick
    /// of the schedule, or did not start.
    lateness: Option<u64>,
}

impl RunTimes {
    pub fn of(execution: &Execution) -> Self {
        let lateness = execution.lateness_ms().filter(|_| execution.settled_tick());
        Self {
            duration: execution.duration().map(|lasted| lasted.0),
            lateness: lateness.map(|late| u64::try_from(late).unwrap_or(0)),
        }
    }
}

impl Statistics {
    /// Starts a new day if `day` is later than the current one. Returns the past day if it has
    /// counts.
    pub(in crate::domain::machine) fn turn(&mut self, day: i64) -> Option<DayCounts> {
        if day <= self.today.day {
            return None;
        }
        let over = std::mem::replace(&mut self.today, DayCounts { day, counts: Totals::default() });
        (over.counts != Totals::default()).then_some(over)
    }

    /// Counts the end of an execution in streaks and histograms.
    pub(in crate::domain::machine) fn end(&mut self, status: Status, times: &RunTimes) {
        self.streaks.end(status);
        if let Some(duration) = times.duration {
            self.durations.add(duration);
        }
        if let Some(lateness) = times.lateness {
            self.latenesses.add(lateness);
        }
    }

    pub(in crate::domain::machine) fn hash(&self, task: TaskKey) -> u128 {
        let [a, b, c, d, e, f, g, h, i, j] = self.today.counts.numbers();
        let Streaks { current, failing, longest_success, longest_failure } = self.streaks;
        let [durations, longest] = self.durations.numbers();
        let [latenesses, latest] = self.latenesses.numbers();
        let numbers = [
            task.0,
            self.today.day.cast_unsigned(),
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            i,
            j,
            current,
            u64::from(failing),
            longest_success,
            longest_failure,
            durations,
            longest,
            latenesses,
            latest,
        ];
        digest::numbers(b'h', numbers)
    }
}

impl TaskStatistics {
    /// Creates the statistics from their records.
    pub(in crate::domain::machine) fn of(
        task: TaskKey,
        recent: Statistics,
        days: Blocks<PastDay>,
    ) -> Self {
        let hash = recent.hash(task);
        Self { recent, days: Arc::new(days), hash }
    }

    /// All kept days with counts, oldest first.
    pub fn days(&self) -> impl Iterator<Item = DayCounts> {
        self.days.iter().map(|past| DayCounts::from(*past)).chain([self.recent.today])
    }

    /// A number computed from the data that a count reads first: see `State::warm`.
    pub(in crate::domain::machine) const fn warmth(&self) -> u64 {
        self.recent.today.day.cast_unsigned() ^ self.recent.streaks.current
    }
}

impl ClusterStatistics {
    /// All kept days with counts, oldest first.
    pub fn days(&self) -> impl Iterator<Item = DayCounts> {
        let today = Some(self.recent.today).filter(|today| today.counts != Totals::default());
        self.past.iter().copied().chain(today)
    }

    /// Starts a new day if `day` is later than the current one.
    pub(in crate::domain::machine) fn turn(&mut self, day: i64) {
        let Some(over) = self.recent.turn(day) else { return };
        let past = Arc::make_mut(&mut self.past);
        past.push_back(over);
        while past.front().is_some_and(|first| first.day <= day - i64::from(DAYS_MAX)) {
            past.pop_front();
        }
    }
}
