//! What is kept of a task's past: so many records of each kind, and none beyond an age. What goes
//! has been counted in the totals when it came.

use crate::domain::time::Timestamp;

use super::digest;
use super::hand::Hand;
use super::limits::{EXECUTIONS_MAX, KEEP_MIN, TICKS_MAX};
use super::persist::key_span;

impl Hand<'_> {
    /// How many records of one kind this task may keep.
    fn keep(&self, wanted: u32, cluster: u64) -> usize {
        let share = (cluster / self.tasks.max(1)).max(KEEP_MIN);
        usize::try_from(u64::from(wanted).min(share)).unwrap_or(usize::MAX)
    }

    /// Executions, ticks, and the oldest instant.
    fn limits(&self) -> (u32, u32, Timestamp) {
        let keep = self.task.rules.keep;
        (keep.executions, keep.ticks, self.stamp.minus(keep.age))
    }

    /// Live executions do not count, so this is for when one has ended.
    pub(super) fn trim_executions(&mut self) {
        let (wanted, _, oldest) = self.limits();
        let keep = self.keep(wanted, EXECUTIONS_MAX);
        let live = usize::try_from(self.task.progress.live).unwrap_or(usize::MAX);
        loop {
            let key = self.task.key;
            let executions = &mut self.task.history.executions;
            let ended = executions.len().saturating_sub(live);
            if ended == 0 {
                return;
            }
            // Live ones stay, however old; nearly always the first has ended.
            let first = executions.place_of(|execution| execution.status.ended());
            let Some(first) = first else { return };
            let ended_at = executions.get(first).and_then(|execution| execution.ended_at);
            if ended <= keep && ended_at.is_none_or(|ended_at| ended_at >= oldest) {
                return;
            }
            let Some(gone) = executions.remove(first, key, self.dirty) else { return };
            self.digest.sub(gone.hash(key));
            self.executions.remove(gone.id);
        }
    }

    pub(super) fn trim_ticks(&mut self) {
        let (_, wanted, oldest) = self.limits();
        let keep = self.keep(wanted, TICKS_MAX);
        let key = self.task.key;
        while let Some(first) = self.task.history.ticks.front().copied() {
            if self.task.history.ticks.len() <= keep && first.tick >= oldest {
                return;
            }
            self.task.history.ticks.pop_front(key, self.dirty);
            self.digest.sub(first.hash(key));
            self.truncated(first.tick);
        }
    }

    pub(super) fn trim_spans(&mut self) {
        let (_, wanted, oldest) = self.limits();
        let keep = self.keep(wanted, TICKS_MAX);
        let key = self.task.key;
        while let Some(first) = self.task.history.spans.front().copied() {
            let only = self.task.history.spans.len() == 1;
            if only || (self.task.history.spans.len() <= keep && first.to >= oldest) {
                return;
            }
            self.task.history.spans.pop_front(key, self.dirty);
            self.digest.sub(digest::hash(&key_span(key, first.to), &first));
            self.truncated(first.to);
        }
    }

    fn truncated(&mut self, before: Timestamp) {
        let progress = self.progress();
        progress.truncated_before = progress.truncated_before.max(before);
    }
}
