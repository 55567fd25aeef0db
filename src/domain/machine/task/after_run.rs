//! When the end of an execution affects its task, by `after_run` of the current definition: when an
//! execution of a tick has ended, or, for a completed task, when no such execution is live any
//! more. Executions of triggers and backfills are ignored, both as ended and as live.

use super::editor::TaskEditor;
use super::record::Execution;
use crate::domain::task::AfterRun;
use crate::domain::time::Timestamp;

impl TaskEditor<'_> {
    /// Records that an execution ended. Without a tick it was triggered, or part of a backfill.
    pub(super) fn note_run(&mut self, tick: Option<Timestamp>) {
        if tick.is_some() {
            self.ran = Some(self.task.live.incarnation);
        }
    }

    /// Executions that ended so far in this edit were replaced or cancelled: they do not affect the
    /// task.
    pub(in crate::domain::machine) const fn spare(&mut self) {
        self.ran = None;
    }

    /// The effect on the task of the executions that ended in this edit.
    pub(in crate::domain::machine) fn after_run(&self) -> AfterRun {
        let task = &*self.task;
        let said = task.rules.after_run;
        let ran = self.ran == Some(task.live.incarnation) && task.live.deleted.is_none();
        if !ran || said == AfterRun::Keep {
            return AfterRun::Keep;
        }
        let completed = task.progress.exhausted;
        let others = completed && task.live_executions().any(Execution::settled_tick);
        if others { AfterRun::Keep } else { said }
    }
}
