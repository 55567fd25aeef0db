//! What the end of an execution does to its task: nothing, or what a deletion or a cleanup would do.

use super::guards;
use crate::domain::ids::{Revision, TaskKey};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::task::AfterRun;

/// Who marks a task deleted whose definition says so.
const BY: &str = "after_run";

impl State {
    /// Ends a task, as its definition wants it after a run. That there may be no more deleted marks
    /// refuses requests only: a task that stayed would fire again.
    pub(in crate::domain::machine) fn end_task(
        &mut self,
        cx: &EntryContext<'_>,
        key: TaskKey,
        after_run: AfterRun,
        effects: &mut Effects,
    ) {
        match guards::after_run(after_run) {
            AfterRun::Keep => {}
            AfterRun::MarkDeleted => {
                let revision = Revision(self.step());
                let cx = EntryContext { by: BY, ..*cx };
                let _known = self.edit(&cx, key, effects, |task| {
                    super::tasks::mark(task, &cx, revision);
                    Ok(())
                });
            }
            AfterRun::Cleanup => self.remove(cx, key, effects),
        }
    }
}
