//! How tasks end (completed, cancelled, marked deleted, removed), and which tick a resume makes up
//! for.
//!
//! A one-shot task is completed by its first claim or by missed ticks. If the definition requires
//! it, a task is marked deleted or removed when an execution of a tick has ended; a completed one,
//! when no execution is live. Executions that are replaced do not end a task.

use punctual::domain::machine::command::Settle;
use punctual::domain::machine::record::Verdict;
use punctual::domain::machine::{Answer, EventKind};
use punctual::domain::schedule::Rule;
use punctual::domain::task::AfterRun;

use super::{ReferenceModel, ReplayedTask};
use crate::check::oracle;

const RESUMES: &str = "resumes make up for what came meanwhile";

/// A task that was completed, marked deleted or removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskEnd {
    /// Log index.
    pub index: u64,
    /// The kind of end, as in its event.
    pub kind: EventKind,
    /// The task's name.
    pub name: String,
}

impl ReferenceModel {
    /// Records the end of a task.
    pub(super) fn note_end(&mut self, kind: EventKind, name: &str) {
        self.endings.push(TaskEnd { index: self.index, kind, name: name.to_owned() });
    }

    /// Completes a one-shot task if this settle does so, or a task without further ticks.
    pub(super) fn complete(&mut self, settle: &Settle) {
        let Some(task) = self.tasks.get_mut(&settle.task.0) else { return };
        let missed = settle
            .spans
            .iter()
            .any(|span| span.verdict == Verdict::Missed && span.count != Some(0));
        let once = task.spec.as_ref().is_some_and(|spec| spec.one_shot);
        let completed = settle.exhausted || (once && (missed || task.fired > 0));
        if completed && !task.exhausted {
            task.exhausted = true;
            let name = task.name.clone();
            self.note_end(EventKind::TaskCompleted, &name);
        }
    }

    /// Ends tasks after the end of an execution of a tick, if their definition requires it.
    pub(super) fn end_tasks(&mut self) {
        for (key, incarnation) in std::mem::take(&mut self.ran) {
            let Some(task) = self.tasks.get(&key) else { continue };
            let said = task.spec.as_ref().map_or(AfterRun::Keep, |spec| spec.after_run);
            let of_tick = |id: &u64| {
                let found = self.executions.get(id);
                found.is_some_and(|one| one.tick.is_some() && !one.backfilled)
            };
            let goes_on = task.exhausted && task.live.iter().any(of_tick);
            if task.incarnation != incarnation || task.deleted || goes_on {
                continue;
            }
            let name = task.name.clone();
            match said {
                AfterRun::Keep => {}
                AfterRun::MarkDeleted => self.mark(key),
                AfterRun::Cleanup => self.remove(&name),
            }
        }
        // Executions that end together with their task do not end other tasks.
        self.ran.clear();
    }

    pub(super) fn cancel(&mut self, name: &str, answer: &Answer) {
        let Some(key) = self.names.get(name).copied() else { return };
        self.alive("tombstones stay", key, "a cancel");
        let Some(task) = self.tasks.get(&key).filter(|task| task.cancelled.is_none()) else {
            return;
        };
        let enabled = task.spec.as_ref().is_none_or(|spec| spec.enabled);
        let held = task.deleted || task.paused.is_some() || !enabled;
        let since = if held { self.stamp } else { self.settled(task) };
        self.close(key);
        self.end_where(|one| one.task == key && one.granted.is_none());
        self.ran.clear();
        let Answer::Task { revision, .. } = answer else { return };
        if let Some(task) = self.tasks.get_mut(&key) {
            (task.cancelled, task.paused, task.revision) = (Some(since), None, revision.0);
        }
        self.changed(name, revision.0, false);
    }

    /// Whether the only tick of a task occurred while the task was cancelled.
    pub(super) fn overdue(&self, task: &ReplayedTask) -> bool {
        let (Some(since), Some(spec)) = (task.cancelled, &task.spec) else { return false };
        let single = matches!(spec.schedule.rule, Rule::At(_) | Rule::Delay(_) | Rule::Immediate);
        let max = spec.schedule.max_ticks.is_some_and(|max| task.fired >= max);
        let used_up = task.exhausted || max || (spec.one_shot && task.fired > 0);
        let ticks = oracle::ticks(&spec.schedule, task.set_at, since.max(self.floor), self.stamp);
        single && spec.enabled && !used_up && ticks.is_some_and(|ticks| !ticks.is_empty())
    }

    /// Judges the resume of a cancelled task: whether it made up for a tick that occurred
    /// meanwhile.
    pub(super) fn made_up(&mut self, key: u64, overdue: bool, answer: &Answer) {
        self.judge(RESUMES);
        let made = matches!(answer, Answer::Resumed { .. });
        let wanted = overdue && self.verdict(key, false).is_none();
        if made != wanted {
            let name = self.tasks.get(&key).map(|task| task.name.clone()).unwrap_or_default();
            let what = format!("{name} is overdue: {overdue}; made up for: {made}");
            self.complain(RESUMES, what);
        }
        let Answer::Resumed { task, execution, .. } = *answer else { return };
        self.admit(key, false, None, "a resume");
        let made = Answer::Execution { task, execution, fence: None };
        self.execution(key, &made, None, self.stamp, None, false);
    }
}
