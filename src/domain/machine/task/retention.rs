//! What is kept of a task's past: so many records of each kind, and none beyond an age. What goes
//! has been counted in the totals when it came, and how an execution ended stays with its tick.

use super::editor::TaskEditor;
use super::history::{ENDED, ENDED_OTHERWISE, History};
use super::keys;
use crate::domain::machine::limits::{EXECUTIONS_MAX, KEEP_MIN, TICKS_MAX, TRIM_MAX};
use crate::domain::machine::store::blocks::RecordPlace;
use crate::domain::machine::store::digest;
use crate::domain::time::Timestamp;

impl TaskEditor<'_> {
    /// How many records of one kind this task may keep.
    pub(super) fn keep(&self, wanted: u32, cluster: u64) -> usize {
        let share = (cluster / self.tasks.max(1)).max(KEEP_MIN);
        usize::try_from(u64::from(wanted).min(share)).unwrap_or(usize::MAX)
    }

    /// Executions, ticks, and the oldest instant.
    fn limits(&self) -> (u32, u32, Timestamp) {
        let keep = self.task.rules.keep;
        (keep.executions, keep.ticks, self.stamp.minus(keep.age))
    }

    /// Live executions do not count, so this is for when one has ended. Failures outlive the rest:
    /// as long as they are at most half of what is kept, the oldest other one goes before them.
    pub(in crate::domain::machine) fn trim_executions(&mut self) {
        let (wanted, _, oldest) = self.limits();
        let keep = self.keep(wanted, EXECUTIONS_MAX);
        for _ in 0..TRIM_MAX {
            let live = usize::try_from(self.task.progress.live).unwrap_or(usize::MAX);
            let History { executions, failures, .. } = &self.task.history;
            let ended = executions.len().saturating_sub(live);
            if ended == 0 {
                return;
            }
            // Live ones stay, however old.
            let first = executions.first_marked(ENDED);
            let old = first.and_then(|first| executions.get(first)?.ended_at);
            let gone = if old.is_some_and(|ended_at| ended_at < oldest) {
                first
            } else if ended <= keep {
                return;
            } else if *failures > keep / 2 {
                first
            } else {
                executions.first_marked(ENDED_OTHERWISE).or(first)
            };
            let Some(gone) = gone else { return };
            self.drop_execution(gone);
        }
    }

    fn drop_execution(&mut self, at: RecordPlace) {
        let key = self.task.key;
        let history = &mut self.task.history;
        let Some(gone) = history.executions.remove(at, key, self.dirty) else { return };
        history.failures = history.failures.saturating_sub(usize::from(gone.status.failure()));
        self.digest.sub(gone.hash(key));
        self.executions.remove(gone.id);
    }

    pub(in crate::domain::machine) fn trim_ticks(&mut self) {
        let (_, wanted, oldest) = self.limits();
        let keep = self.keep(wanted, TICKS_MAX);
        for _ in 0..TRIM_MAX {
            let ticks = &self.task.history.ticks;
            if ticks.len() <= keep && ticks.front().is_none_or(|first| first.tick >= oldest) {
                return;
            }
            self.drop_tick();
        }
    }

    fn drop_tick(&mut self) {
        let key = self.task.key;
        let Some(first) = self.task.history.ticks.pop_front(key, self.dirty) else { return };
        self.digest.sub(first.hash(key));
        self.truncated(first.tick);
    }

    pub(in crate::domain::machine) fn trim_spans(&mut self) {
        let (_, wanted, oldest) = self.limits();
        let keep = self.keep(wanted, TICKS_MAX);
        for _ in 0..TRIM_MAX {
            let spans = &self.task.history.spans;
            let young = spans.front().is_none_or(|first| first.to >= oldest);
            if spans.len() == 1 || (spans.len() <= keep && young) {
                return;
            }
            self.drop_span();
        }
    }

    fn drop_span(&mut self) {
        let key = self.task.key;
        let Some(first) = self.task.history.spans.pop_front(key, self.dirty) else { return };
        self.digest.sub(digest::hash(&keys::span(key, first.to), &first));
        self.truncated(first.to);
    }

    /// Takes out all of the past that has ended.
    pub(in crate::domain::machine) fn drop_past(&mut self) {
        while !self.task.history.ticks.is_empty() {
            self.drop_tick();
        }
        while !self.task.history.spans.is_empty() {
            self.drop_span();
        }
        while let Some(at) = self.task.history.executions.first_marked(ENDED) {
            self.drop_execution(at);
        }
    }

    fn truncated(&mut self, before: Timestamp) {
        let progress = self.progress_mut();
        progress.truncated_before = progress.truncated_before.max(before);
    }
}
