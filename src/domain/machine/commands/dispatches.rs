//! Commands about attempts that executors carry out: granted, accepted, given up.

use std::sync::Arc;

use super::attempts;
use super::executions::{fenced, find};
use super::guards;
use crate::domain::machine::command::{FailPending, OfFence, Start, StartOn};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::hint::Hint;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::machine::task::record::{AttemptExecutor, Report, Status};

impl State {
    pub(in crate::domain::machine) fn start_on(
        &mut self,
        cx: &EntryContext<'_>,
        body: StartOn,
        effects: &mut Effects,
    ) -> Response {
        let StartOn { task, execution, session, executor, again } = body;
        let found = self.executor(&executor).ok_or(Refusal::ExecutorNotFound)?;
        let holds = again.is_some() && self.in_flight.has(&executor, task, execution);
        guards::executor(found, self.in_flight(&executor), holds)?;
        let start = Start { task, execution, session, again };
        self.grant(cx, start, Some(executor.into()), effects)
    }

    /// Notes that the executor of an attempt has accepted it: it belongs to no session any more.
    pub(in crate::domain::machine) fn accept(
        &mut self,
        cx: &EntryContext<'_>,
        body: OfFence,
        effects: &mut Effects,
    ) -> Response {
        self.edit(cx, body.task, effects, |task| {
            let (at, execution) = fenced(task, body)?;
            let attempt = execution.attempt.as_ref().ok_or(Refusal::StaleFence)?;
            let executor = attempt.executor.as_ref().ok_or(Refusal::WrongAction)?;
            if executor.accepted_at.is_some() {
                return Ok(Answer::Done);
            }
            let (id, accepted_at) = (Arc::clone(&executor.id), Some(cx.stamp));
            task.change(at, |execution| {
                if let Some(attempt) = &mut execution.attempt {
                    attempt.executor = Some(Arc::new(AttemptExecutor { id, accepted_at }));
                }
            });
            task.hint(Hint::Accepted(body.task, body.execution));
            Ok(Answer::Done)
        })
    }

    /// Ends an attempt that could not be granted, in the place of the attempt that there would have
    /// been.
    pub(in crate::domain::machine) fn fail(
        &mut self,
        cx: &EntryContext<'_>,
        body: FailPending,
        effects: &mut Effects,
    ) -> Response {
        let node = guards::session(self, body.session)?.id;
        let scheduler = self.cluster.scheduler;
        self.edit(cx, body.task, effects, |task| {
            let (at, execution) = find(task, body.execution)?;
            guards::ask_present(&task.live)?;
            if execution.status != Status::Pending {
                return Err(Refusal::NotPending);
            }
            guards::ask_activity(task, execution, scheduler)?;
            guards::due(execution, cx.stamp)?;
            if !task.needs_executor(execution.revision) {
                return Err(Refusal::WrongAction);
            }
            let number = execution.attempt.as_ref().map_or(1, |attempt| attempt.number + 1);
            let report = Report::unreported(Status::Failed, cx.stamp, &body.reason);
            let mut attempt = task.attempt(number, node, body.session);
            attempt.report = Some(Box::new(report.clone()));
            task.change(at, |execution| execution.next_attempt(attempt));
            attempts::end(task, at, report);
            Ok(Answer::Done)
        })
    }
}
