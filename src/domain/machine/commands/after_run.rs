//! The effect of the end of an execution on its task: none, a deletion or a cleanup.

use super::guards;
use crate::domain::ids::{Revision, TaskKey};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::task::AfterRun;

/// The recorded author of a deletion by `after_run`.
const BY: &str = "after_run";

impl State {
    /// Ends a task after a run, as its definition requires. The limit of deleted marks applies only
    /// to requests, because the task would otherwise fire again.
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
