//! Commands about executions: created by trigger, granted, given back, ended.

use std::sync::Arc;

use super::attempts;
use super::guards;
use super::overlap::{self, Carrier};
use crate::domain::ids::{ExecutionId, Revision, TaskKey};
use crate::domain::machine::command::{Finish, OfExecution, OfFence, Start, TriggerTask};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::hint::Hint;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::store::blocks::RecordPlace;
use crate::domain::machine::task::editor::{EntryContext, NewExecution};
use crate::domain::machine::task::record::{Execution, Liveness, Report, Status, Trigger};
use crate::domain::machine::task::whole::Task;
use crate::domain::time::Millis;

/// A caller's claim without a timeout of its own ends after this.
const CLAIM_TIMEOUT: Millis = Millis::from_secs(300);

impl State {
    pub(in crate::domain::machine) fn trigger(
        &mut self,
        cx: &EntryContext<'_>,
        body: TriggerTask,
        effects: &mut Effects,
    ) -> Response {
        let task = self.named(&body.name).ok_or(Refusal::TaskNotFound)?;
        let revision = task.live.definition.ok_or(Refusal::TaskDeleted)?;
        check_trigger(task)?;
        let key = task.key;
        let parameters = body.parameters.map(Into::into);
        let new = by_request(cx, revision, Trigger::Manual, None, parameters);
        self.wait(cx, key, new, effects)
    }

    pub(in crate::domain::machine) fn retry(
        &mut self,
        cx: &EntryContext<'_>,
        body: OfExecution,
        effects: &mut Effects,
    ) -> Response {
        let task = self.task(body.task).ok_or(Refusal::TaskNotFound)?;
        let old = task.history.execution(body.execution).ok_or(Refusal::ExecutionNotFound)?;
        if !old.status.ended() {
            return Err(Refusal::NotPending);
        }
        check_trigger(task)?;
        let revision = if task.revision(old.revision).is_some() {
            old.revision
        } else {
            task.live.definition.ok_or(Refusal::TaskDeleted)?
        };
        let parameters = old.parameters().cloned();
        let parent = old.more.as_ref().and_then(|more| more.parent.clone());
        let new = by_request(cx, revision, Trigger::Retry, Some(body.execution), parameters);
        self.wait(cx, body.task, NewExecution { parent, ..new }, effects)
    }

    /// Creates an execution that waits to be granted.
    fn wait(
        &mut self,
        cx: &EntryContext<'_>,
        key: TaskKey,
        new: NewExecution,
        effects: &mut Effects,
    ) -> Response {
        self.edit(cx, key, effects, |task| {
            let admitted = overlap::admit(task, Carrier::Node);
            admitted.map_err(|reason| overlap::refusal(reason, Carrier::Node))?;
            let execution = task.execution(new);
            task.hint(Hint::Pending(key, execution));
            Ok(Answer::Execution { task: key, execution, fence: None })
        })
    }

    pub(in crate::domain::machine) fn stop(
        &mut self,
        cx: &EntryContext<'_>,
        body: OfExecution,
        effects: &mut Effects,
    ) -> Response {
        self.edit(cx, body.task, effects, |task| {
            find(task, body.execution)?;
            overlap::stop(task, body.execution);
            Ok(Answer::Done)
        })
    }

    pub(in crate::domain::machine) fn dismiss(
        &mut self,
        cx: &EntryContext<'_>,
        body: OfExecution,
        effects: &mut Effects,
    ) -> Response {
        self.edit(cx, body.task, effects, |task| {
            let at = task.history.position(body.execution).ok_or(Refusal::ExecutionNotFound)?;
            let execution = task.history.executions.get(at).ok_or(Refusal::ExecutionNotFound)?;
            if !execution.status.ended() {
                return Err(Refusal::NotPending);
            }
            if !execution.dismissed() {
                task.change(at, |execution| execution.more().dismissed = true);
            }
            Ok(Answer::Done)
        })
    }

    pub(in crate::domain::machine) fn start(
        &mut self,
        cx: &EntryContext<'_>,
        body: Start,
        effects: &mut Effects,
    ) -> Response {
        self.grant(cx, body, None, effects)
    }

    /// Grants an attempt to a session, which carries it out or has this executor do it.
    pub(super) fn grant(
        &mut self,
        cx: &EntryContext<'_>,
        body: Start,
        executor: Option<Arc<str>>,
        effects: &mut Effects,
    ) -> Response {
        let node = guards::session(self, body.session)?.id;
        let scheduler = self.cluster.scheduler;
        self.edit(cx, body.task, effects, |task| {
            let (at, execution) = find(task, body.execution)?;
            check_start(task, execution, &body, scheduler)?;
            if task.needs_executor(execution.revision) != executor.is_some() {
                return Err(Refusal::WrongAction);
            }
            guards::due(execution, cx.stamp)?;
            if body.again.is_none() {
                guards::room(task)?;
            }
            let number = match (&execution.attempt, body.again) {
                (Some(attempt), Some(_)) => attempt.number,
                (Some(attempt), None) => attempt.number + 1,
                (None, _) => 1,
            };
            let mut attempt = task.attempt(number, node, body.session);
            attempt.executor = executor.map(|id| task.dispatch(id));
            let fence = attempt.fence;
            task.change(at, |execution| {
                // A grant asked for again replaces the one that was not used.
                if body.again.is_some() {
                    execution.attempt = Some(attempt);
                } else {
                    execution.next_attempt(attempt);
                }
                execution.status = Status::Running;
            });
            let (key, execution, session) = (body.task, body.execution, body.session);
            task.hint(Hint::Granted { task: key, execution, fence, session });
            Ok(Answer::Execution { task: key, execution, fence: Some(fence) })
        })
    }

    /// A grant that its holder did not use and can no longer use: the execution waits again.
    pub(in crate::domain::machine) fn give_back(
        &mut self,
        cx: &EntryContext<'_>,
        body: OfFence,
        effects: &mut Effects,
    ) -> Response {
        self.edit(cx, body.task, effects, |task| {
            let (at, execution) = fenced(task, body)?;
            guards::unaccepted(execution)?;
            if task.live.deleted.is_some() {
                task.end(at, Report::unreported(Status::Cancelled, cx.stamp, "deleted"));
            } else if task.live.cancelled.is_some() && execution.tick.is_some() {
                task.end(at, Report::unreported(Status::Cancelled, cx.stamp, "task_cancelled"));
                task.spare();
            } else if execution.stopping {
                task.end(at, Report::unreported(Status::Cancelled, cx.stamp, "stopped"));
            } else {
                task.change(at, |execution| {
                    execution.status = Status::Pending;
                    execution.attempt = execution.more.as_mut().and_then(|more| more.earlier.pop());
                });
                task.hint(Hint::Pending(body.task, body.execution));
            }
            Ok(Answer::Done)
        })
    }

    pub(in crate::domain::machine) fn finish(
        &mut self,
        cx: &EntryContext<'_>,
        body: Finish,
        effects: &mut Effects,
    ) -> Response {
        let Finish { task, execution, fence, report } = body;
        let of = OfFence { task, execution, fence };
        self.edit(cx, task, effects, |task| {
            let (at, _) = fenced(task, of)?;
            if !report.status.ended() {
                return Err(Refusal::Order);
            }
            attempts::end(task, at, report);
            Ok(Answer::Done)
        })
    }

    /// Ends an attempt that nobody will report: its node or its executor is silent for `lost_after`, or
    /// a caller let its claim's timeout pass.
    pub(in crate::domain::machine) fn lose(
        &mut self,
        cx: &EntryContext<'_>,
        body: OfFence,
        effects: &mut Effects,
    ) -> Response {
        let task = self.task(body.task).ok_or(Refusal::TaskNotFound)?;
        let execution = task.history.execution(body.execution).ok_or(Refusal::ExecutionNotFound)?;
        let lost = self.lost_by(cx, task, execution).ok_or(Refusal::NotDue)?;
        self.edit(cx, body.task, effects, |task| {
            let (at, _) = fenced(task, body)?;
            attempts::end(task, at, Report::unreported(Status::Lost, cx.stamp, lost));
            Ok(Answer::Done)
        })
    }

    /// Why nobody will report an attempt; none: somebody may.
    fn lost_by(
        &self,
        cx: &EntryContext<'_>,
        task: &Task,
        execution: &Execution,
    ) -> Option<&'static str> {
        let attempt = execution.attempt.as_ref()?;
        let spec = task.revision(execution.revision).map(|definition| &definition.spec);
        if execution.trigger == Trigger::Claim {
            let timeout = spec.map_or(Millis(0), |spec| spec.timeout);
            let timeout = if timeout.0 == 0 { CLAIM_TIMEOUT } else { timeout };
            return (attempt.granted_at.plus(timeout) <= cx.stamp).then_some("claim_timeout");
        }
        let lost_after = task.lost_after(execution.revision);
        if let Some(executor) = &attempt.executor {
            let found = self.executor(&executor.id).map(|kept| &**kept);
            let lost = guards::executor_lost(found, lost_after, cx.stamp);
            // What is accepted is no node's.
            if lost.is_some() || executor.accepted_at.is_some() {
                return lost;
            }
        }
        let Some(node) = self.node(attempt.node) else { return Some("node_removed") };
        if node.session != attempt.session {
            return Some("node_restarted");
        }
        let since = node.down_since.filter(|_| node.liveness == Liveness::Down)?;
        (since.plus(lost_after) <= cx.stamp).then_some("node_down")
    }
}

fn check_trigger(task: &Task) -> Result<(), Refusal> {
    if task.live.deleted.is_some() { Err(Refusal::TaskDeleted) } else { Ok(()) }
}

/// What a request asks for: it is due at once, and no tick is behind it.
pub fn by_request(
    cx: &EntryContext<'_>,
    revision: Revision,
    trigger: Trigger,
    retry_of: Option<ExecutionId>,
    parameters: Option<Arc<str>>,
) -> NewExecution {
    let due = cx.stamp;
    let (tick, attempt, parent) = (None, None, None);
    NewExecution { revision, tick, due, trigger, retry_of, attempt, parameters, parent }
}

fn check_start(
    task: &Task,
    execution: &Execution,
    start: &Start,
    scheduler: bool,
) -> Result<(), Refusal> {
    guards::ask_present(&task.live)?;
    match start.again {
        None if execution.status != Status::Pending => return Err(Refusal::NotPending),
        None => {}
        Some(fence) => {
            let attempt = execution.attempt.as_ref().ok_or(Refusal::StaleFence)?;
            guards::ask_fence(attempt, fence)?;
            guards::ask_session(attempt, start.session)?;
            if execution.status != Status::Running {
                return Err(Refusal::StaleFence);
            }
            guards::unaccepted(execution)?;
        }
    }
    guards::ask_activity(task, execution, scheduler)
}

/// A live execution and where it stands.
pub(super) fn find(task: &Task, id: ExecutionId) -> Result<(RecordPlace, &Execution), Refusal> {
    let at = task.history.position(id).ok_or(Refusal::ExecutionNotFound)?;
    let execution = task.history.executions.get(at).ok_or(Refusal::ExecutionNotFound)?;
    if execution.status.ended() { Err(Refusal::ExecutionEnded) } else { Ok((at, execution)) }
}

/// A running execution whose newest grant is this one, and where it stands.
pub(super) fn fenced(task: &Task, body: OfFence) -> Result<(RecordPlace, &Execution), Refusal> {
    let (at, execution) = find(task, body.execution)?;
    if execution.status != Status::Running {
        return Err(Refusal::StaleFence);
    }
    guards::report_fence(execution, body.fence)?;
    Ok((at, execution))
}
