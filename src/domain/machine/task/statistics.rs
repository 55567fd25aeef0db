//! What is counted beside the totals: by day, in a row, and how long executions took and how late
//! they began; of each task, and of all tasks together.
//!
//! Each count costs the same however much was counted before. Of a task, the newest day and the
//! histograms are one record, written with its progress; days that are over are kept apart, in
//! blocks. A task of which nothing was counted keeps nothing. Of the cluster all of it is one record,
//! which is hashed when the digest is asked for and not with each count.
//!
//! A tick belongs to the day, in UTC, in which its verdict was decided, and an execution to that in
//! which it ended: the time is that of the log entry.

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

/// What each count of verdicts and ends may change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// The newest day on which anything was counted.
    pub today: DayCounts,
    /// Ends in a row.
    pub streaks: Streaks,
    /// How long executions took from their first start to their end.
    pub durations: LogHistogram,
    /// How late executions of ticks started; what started early is 0 late.
    pub latenesses: LogHistogram,
}

/// What is counted of a task.
#[derive(Clone, Debug, Default)]
pub struct TaskStatistics {
    /// What counts change.
    pub recent: Statistics,
    /// Days that are over, the oldest first.
    pub days: Arc<Blocks<PastDay>>,
    /// The hash of `recent` as the digest has it.
    pub(in crate::domain::machine) hash: u128,
}

/// What is counted of all tasks, those that are gone and their former incarnations included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatistics {
    /// Since the cluster began.
    pub totals: Totals,
    /// When an execution last ended in success.
    pub last_success: Option<Timestamp>,
    /// What counts change.
    pub recent: Statistics,
    /// Days that are over, the oldest first.
    pub past: Arc<VecDeque<DayCounts>>,
}

/// The times of an execution that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTimes {
    /// From its first start to its end, in milliseconds; none: it never started.
    duration: Option<u64>,
    /// From the due time of its tick to its first start; none: it had no tick, or never started.
    lateness: Option<u64>,
}

impl RunTimes {
    pub fn of(execution: &Execution) -> Self {
        let lateness = execution.tick.and_then(|_| execution.lateness_ms());
        Self {
            duration: execution.duration().map(|lasted| lasted.0),
            lateness: lateness.map(|late| u64::try_from(late).unwrap_or(0)),
        }
    }
}

impl Statistics {
    /// Begins a new day, if this is one; the one that is over with it, unless nothing was counted.
    pub(in crate::domain::machine) fn turn(&mut self, day: i64) -> Option<DayCounts> {
        if day <= self.today.day {
            return None;
        }
        let over = std::mem::replace(&mut self.today, DayCounts { day, counts: Totals::default() });
        (over.counts != Totals::default()).then_some(over)
    }

    /// Counts an end beside the totals.
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
    /// From its records.
    pub(in crate::domain::machine) fn of(
        task: TaskKey,
        recent: Statistics,
        days: Blocks<PastDay>,
    ) -> Self {
        let hash = recent.hash(task);
        Self { recent, days: Arc::new(days), hash }
    }

    /// All days that are kept, the oldest first.
    pub fn days(&self) -> impl Iterator<Item = DayCounts> {
        self.days.iter().map(|past| DayCounts::from(*past)).chain([self.recent.today])
    }

    /// A number made of what a count reads of it: see `State::warm`.
    pub(in crate::domain::machine) const fn warmth(&self) -> u64 {
        self.recent.today.day.cast_unsigned() ^ self.recent.streaks.current
    }
}

impl ClusterStatistics {
    /// All days that are kept, the oldest first.
    pub fn days(&self) -> impl Iterator<Item = DayCounts> {
        let today = Some(self.recent.today).filter(|today| today.counts != Totals::default());
        self.past.iter().copied().chain(today)
    }

    /// Begins a new day, if this is one.
    pub(in crate::domain::machine) fn turn(&mut self, day: i64) {
        let Some(over) = self.recent.turn(day) else { return };
        let past = Arc::make_mut(&mut self.past);
        past.push_back(over);
        while past.front().is_some_and(|first| first.day <= day - i64::from(DAYS_MAX)) {
            past.pop_front();
        }
    }
}
