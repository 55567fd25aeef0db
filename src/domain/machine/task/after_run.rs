//! When the end of an execution does something to its task, as `after_run` of the definition in force
//! says: when an execution of a tick has ended; of a completed task, when none is live any more.
//! Executions of triggers do not count, neither as ended nor as live.

use super::editor::TaskEditor;
use crate::domain::task::AfterRun;
use crate::domain::time::Timestamp;

impl TaskEditor<'_> {
    /// Notes that an execution ended; without a tick it is that of a trigger.
    pub(super) fn note_run(&mut self, tick: Option<Timestamp>) {
        if tick.is_some() {
            self.ran = Some(self.task.live.incarnation);
        }
    }

    /// What ended so far in this edit gave way to something else: it does nothing to the task.
    pub(in crate::domain::machine) const fn spare(&mut self) {
        self.ran = None;
    }

    /// What is to be done to the task for what ended in this edit.
    pub(in crate::domain::machine) fn after_run(&self) -> AfterRun {
        let task = &*self.task;
        let said = task.rules.after_run;
        let ran = self.ran == Some(task.live.incarnation) && task.live.deleted.is_none();
        if !ran || said == AfterRun::Keep {
            return AfterRun::Keep;
        }
        let completed = task.progress.exhausted;
        let others = completed && task.live_executions().any(|one| one.tick.is_some());
        if others { AfterRun::Keep } else { said }
    }
}
