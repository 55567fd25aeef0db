//! Backfills: each tick of a past range has one execution, and only a task whose ticks may fire gets
//! some.

use punctual::domain::machine::Answer;
use punctual::domain::machine::command::{Backfill, CancelBackfill};

use super::ReferenceModel;

const ONCE: &str = "each tick of a backfill is executed once";

impl ReferenceModel {
    pub(super) fn backfilled(&mut self, body: &Backfill, answer: &Answer) {
        let Answer::Backfilled { executions, .. } = answer else { return };
        let (key, range) = (body.task.0, (body.from.0, body.to.0));
        self.alive("tombstones stay", key, "a backfill");
        self.judge_held(key);
        let incarnation = self.tasks.get(&key).map_or(0, |task| task.incarnation);
        if !executions.is_empty() && self.cancelled_ranges.contains(&(key, incarnation, range)) {
            let (from, to) = (body.from, body.to);
            self.complain(ONCE, format!("executions of {from} to {to}, which was cancelled"));
        }
        for (tick, execution) in body.ticks.iter().zip(executions) {
            self.judge(ONCE);
            let within = body.from <= *tick && *tick < body.to;
            let first = self.ranges.insert((key, incarnation, range, tick.0));
            if !within || !first {
                let (from, to) = (body.from, body.to);
                let what = format!(
                    "execution {execution} for {tick} of {from} to {to}, within: {within}, first: {first}"
                );
                self.complain(ONCE, what);
            }
            self.admit(key, false, None, "a backfill");
            let made = Answer::Execution { task: body.task, execution: *execution, fence: None };
            self.execution(key, &made, Some(tick.0), self.stamp, None, false);
            if let Some(one) = self.executions.get_mut(&execution.0) {
                one.backfilled = true;
            }
        }
    }

    /// A range was cancelled.
    pub(super) fn backfill_cancelled(&mut self, body: CancelBackfill) {
        let key = body.task.0;
        let incarnation = self.tasks.get(&key).map_or(0, |task| task.incarnation);
        self.cancelled_ranges.insert((key, incarnation, (body.from.0, body.to.0)));
    }

    /// A task that is held gets no executions of ticks.
    fn judge_held(&mut self, key: u64) {
        let Some(task) = self.tasks.get(&key) else { return };
        let enabled = task.spec.as_ref().is_none_or(|spec| spec.enabled);
        if task.paused.is_some() || task.cancelled.is_some() || !enabled || !self.scheduler {
            let what = format!("a backfill of {} was accepted, which is held", task.name);
            self.complain(ONCE, what);
        }
    }
}
