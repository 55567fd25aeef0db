//! Commands that suspend a task, for a time or indefinitely, and the command that resumes it.

use super::executions::by_request;
use super::guards;
use super::overlap::{self, Carrier};
use crate::domain::ids::{ExecutionId, Revision};
use crate::domain::machine::command::{Named, PauseTask};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::event::EventKind;
use crate::domain::machine::hint::Hint;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::{EntryContext, TaskEditor};
use crate::domain::machine::task::record::{Pause, Reason, Status, Trigger};
use crate::domain::time::Timestamp;

impl State {
    pub(in crate::domain::machine) fn pause(
        &mut self,
        cx: &EntryContext<'_>,
        body: PauseTask,
        effects: &mut Effects,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let task = self.present(&body.name, body.if_match)?;
        if task.live.cancelled.is_some() {
            return Err(Refusal::TaskCancelled);
        }
        let key = task.key;
        self.edit(cx, key, effects, |task| {
            if !task.rules.catch_up_on_resume {
                guards::close(task, cx.stamp, Some(Reason::Paused));
            }
            let pause = Pause { reason: body.reason, until: body.until };
            task.relined(|task| task.live_mut().paused = Some(pause));
            task.revise(revision, EventKind::TaskPaused);
            Ok(Answer::Task { task: key, revision, created: false })
        })
    }

    /// Cancels a task: none of its ticks fires, and waiting executions end. Running ones continue.
    /// A pause of the task ends.
    pub(in crate::domain::machine) fn cancel(
        &mut self,
        cx: &EntryContext<'_>,
        body: &Named,
        effects: &mut Effects,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let task = self.present(&body.name, body.if_match)?;
        let key = task.key;
        if task.live.cancelled.is_some() {
            let revision = task.live.revision;
            return Ok(Answer::Task { task: key, revision, created: false });
        }
        self.edit(cx, key, effects, |task| {
            // Ticks that are due but not settled get this reason, unless the task was inactive
            // before.
            let held = task.inactive().is_some();
            let since = if held { cx.stamp } else { task.settled() };
            guards::close(task, cx.stamp, Some(Reason::Cancelled));
            task.relined(|task| {
                let live = task.live_mut();
                (live.cancelled, live.paused) = (Some(since), None);
            });
            task.revise(revision, EventKind::TaskCancelled);
            task.end_all(Status::Cancelled, "task_cancelled", guards::ends_with_task);
            task.spare();
            Ok(Answer::Task { task: key, revision, created: false })
        })
    }

    /// Ends a pause or a cancellation.
    pub(in crate::domain::machine) fn resume(
        &mut self,
        cx: &EntryContext<'_>,
        body: &Named,
        effects: &mut Effects,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let task = self.present(&body.name, body.if_match)?;
        let key = task.key;
        if task.live.paused.is_none() && task.live.cancelled.is_none() {
            let revision = task.live.revision;
            return Ok(Answer::Task { task: key, revision, created: false });
        }
        self.edit(cx, key, effects, |task| {
            let overdue = guards::overdue(task, cx.stamp);
            if task.live.cancelled.is_some() || !task.rules.catch_up_on_resume {
                guards::close(task, cx.stamp, None);
            }
            task.relined(|task| {
                let live = task.live_mut();
                (live.cancelled, live.paused) = (None, None);
            });
            task.revise(revision, EventKind::TaskResumed);
            let held = task.live_executions();
            let held = held.filter(|execution| execution.status == Status::Pending);
            let held: Vec<ExecutionId> = held.map(|execution| execution.id).collect();
            for id in held.into_iter().rev() {
                task.hint(Hint::Pending(key, id));
            }
            Ok(match make_up(task, cx, overdue) {
                None => Answer::Task { task: key, revision, created: false },
                Some(execution) => Answer::Resumed { task: key, revision, execution },
            })
        })
    }
}

/// Triggers a task whose only tick was due while it was cancelled, if its execution mode allows one
/// more execution.
fn make_up(
    task: &mut TaskEditor<'_>,
    cx: &EntryContext<'_>,
    overdue: Option<Timestamp>,
) -> Option<ExecutionId> {
    let revision = task.live.definition.filter(|_| overdue.is_some())?;
    overlap::admit(task, Carrier::Node).ok()?;
    let execution = task.execution(by_request(cx, revision, Trigger::Manual, None, None));
    task.hint(Hint::Pending(task.key, execution));
    Some(execution)
}
