//! Counts verdicts and execution ends, for the task and for the cluster.

use std::sync::Arc;

use super::editor::TaskEditor;
use super::execution::Status;
use super::statistics::{ClusterStatistics, RunTimes, Statistics};
use super::totals::{DayCounts, PastDay, Totals};
use crate::domain::machine::limits::{DAYS_MAX, TASK_DAYS_MAX};
use crate::domain::time::Timestamp;

impl TaskEditor<'_> {
    /// Applies a count to all totals: of the task and of the cluster, overall and for the day.
    pub(in crate::domain::machine) fn count(&mut self, change: impl Fn(&mut Totals)) {
        change(&mut self.progress_mut().totals);
        let recent = self.recent_mut();
        change(&mut recent.today.counts);
        let cluster = self.cluster_mut();
        change(&mut cluster.totals);
        change(&mut cluster.recent.today.counts);
    }

    /// Counts the end of an execution.
    pub(super) fn count_end(&mut self, status: Status, ended_at: Timestamp, times: &RunTimes) {
        self.count(|totals| totals.end(status));
        self.recent_mut().end(status, times);
        let cluster = self.cluster_mut();
        cluster.recent.end(status, times);
        if status == Status::Success {
            cluster.last_success = cluster.last_success.max(Some(ended_at));
            let progress = self.progress_mut();
            progress.last_success = progress.last_success.max(Some(ended_at));
        }
    }

    fn day(&self) -> i64 {
        DayCounts::number(self.stamp)
    }

    fn cluster_mut(&mut self) -> &mut ClusterStatistics {
        self.dirty.statistics = true;
        let day = self.day();
        let cluster = Arc::make_mut(self.statistics);
        cluster.turn(day);
        cluster
    }

    /// The statistics of the task for the current day.
    fn recent_mut(&mut self) -> &mut Statistics {
        self.counted = true;
        let day = self.day();
        let over = self.task.statistics.get_or_insert_default().recent.turn(day);
        if let Some(over) = over {
            self.close_day(over, day);
        }
        &mut self.task.statistics.get_or_insert_default().recent
    }

    /// Adds a past day and drops days that are too old.
    fn close_day(&mut self, over: DayCounts, today: i64) {
        let most = self.keep(DAYS_MAX - 1, TASK_DAYS_MAX);
        let key = self.task.key;
        let Some(statistics) = &mut self.task.statistics else { return };
        let days = Arc::make_mut(&mut statistics.days);
        let over = PastDay::from(over);
        self.digest.add(over.hash(key));
        days.push(over, key, self.dirty);
        let old = |first: &PastDay| DayCounts::from(*first).day <= today - i64::from(DAYS_MAX);
        while days.len() > most || days.front().is_some_and(old) {
            let Some(gone) = days.pop_front(key, self.dirty) else { return };
            self.digest.sub(gone.hash(key));
        }
    }

    /// Drops the statistics of the task. The totals remain.
    pub(super) fn drop_statistics(&mut self) {
        self.task.note_days(self.dirty);
        let key = self.task.key;
        let Some(gone) = self.task.statistics.take() else { return };
        self.counted = true;
        self.digest.sub(gone.hash);
        gone.days.iter().for_each(|day| self.digest.sub(day.hash(key)));
    }
}
