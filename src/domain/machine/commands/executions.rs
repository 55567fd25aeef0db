//! Commands about executions: created by trigger, granted, given back, ended.

use crate::domain::ids::ExecutionId;
use crate::domain::time::Millis;

use crate::domain::machine::apply::Context;
use crate::domain::machine::command::{Finish, OfExecution, OfFence, Start, TriggerTask};
use crate::domain::machine::effect::Effect;
use crate::domain::machine::limits::LIVE_MAX;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::{State, Task};
use crate::domain::machine::store::blocks::Place;
use crate::domain::machine::task::editor::{Hand, NewExecution};
use crate::domain::machine::task::record::{Execution, Liveness, Report, Status, Trigger};

/// A caller's claim without a timeout of its own ends after this.
const CLAIM_TIMEOUT: Millis = Millis::from_secs(300);

impl State {
    pub(in crate::domain::machine) fn trigger(
        &mut self,
        cx: &Context<'_>,
        body: TriggerTask,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let task = self.named(&body.name).ok_or(Refusal::TaskNotFound)?;
        let revision = task.live.definition.ok_or(Refusal::TaskDeleted)?;
        check_trigger(task)?;
        let key = task.key;
        let mut hand = self.hand(cx, key, effects).ok_or(Refusal::TaskNotFound)?;
        let execution = hand.execution(NewExecution {
            revision,
            tick: None,
            due: cx.stamp,
            trigger: Trigger::Manual,
            retry_of: None,
            attempt: None,
            parameters: body.parameters.map(Into::into),
        });
        hand.effect(Effect::Pending(key, execution));
        Ok(Answer::Execution { task: key, execution, fence: None })
    }

    pub(in crate::domain::machine) fn retry(
        &mut self,
        cx: &Context<'_>,
        body: OfExecution,
        effects: &mut Vec<Effect>,
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
        let mut hand = self.hand(cx, body.task, effects).ok_or(Refusal::TaskNotFound)?;
        let execution = hand.execution(NewExecution {
            revision,
            tick: None,
            due: cx.stamp,
            trigger: Trigger::Retry,
            retry_of: Some(body.execution),
            attempt: None,
            parameters,
        });
        hand.effect(Effect::Pending(body.task, execution));
        Ok(Answer::Execution { task: body.task, execution, fence: None })
    }

    pub(in crate::domain::machine) fn stop(
        &mut self,
        cx: &Context<'_>,
        body: OfExecution,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let mut hand = self.hand(cx, body.task, effects).ok_or(Refusal::TaskNotFound)?;
        let (at, execution) = find(&hand, body.execution)?;
        if execution.status == Status::Pending {
            hand.end(at, Report::unreported(Status::Cancelled, cx.stamp, "stopped"));
        } else {
            hand.change(at, |execution| execution.stopping = true);
            hand.effect(Effect::Stop(body.task, body.execution));
        }
        Ok(Answer::Done)
    }

    pub(in crate::domain::machine) fn dismiss(
        &mut self,
        cx: &Context<'_>,
        body: OfExecution,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let mut hand = self.hand(cx, body.task, effects).ok_or(Refusal::TaskNotFound)?;
        let history = &hand.task.history;
        let at = history.position(body.execution).ok_or(Refusal::ExecutionNotFound)?;
        let execution = history.executions.get(at).ok_or(Refusal::ExecutionNotFound)?;
        if !execution.status.ended() {
            return Err(Refusal::NotPending);
        }
        if !execution.dismissed() {
            hand.change(at, |execution| execution.more().dismissed = true);
        }
        Ok(Answer::Done)
    }

    pub(in crate::domain::machine) fn start(
        &mut self,
        cx: &Context<'_>,
        body: Start,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let node = self.proposer(body.session)?.id;
        let scheduler = self.cluster.scheduler;
        let mut hand = self.hand(cx, body.task, effects).ok_or(Refusal::TaskNotFound)?;
        let (at, execution) = find(&hand, body.execution)?;
        check_start(&hand, execution, &body, scheduler)?;
        let number = match (&execution.attempt, body.again) {
            (Some(attempt), Some(_)) => attempt.number,
            (Some(attempt), None) => attempt.number + 1,
            (None, _) => 1,
        };
        let attempt = hand.attempt(number, node, body.session);
        let fence = attempt.fence;
        hand.change(at, |execution| {
            let former = execution.attempt.replace(attempt);
            // A grant asked for again replaces the one that was not used.
            if let Some(former) = former.filter(|_| body.again.is_none()) {
                execution.more().earlier.push(former);
            }
            execution.status = Status::Running;
        });
        let (task, execution) = (body.task, body.execution);
        hand.effect(Effect::Granted { task, execution, fence, session: body.session });
        Ok(Answer::Execution { task, execution, fence: Some(fence) })
    }

    /// A grant that its holder did not use and can no longer use: the execution waits again.
    pub(in crate::domain::machine) fn give_back(
        &mut self,
        cx: &Context<'_>,
        body: OfFence,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let mut hand = self.hand(cx, body.task, effects).ok_or(Refusal::TaskNotFound)?;
        let at = fenced(&hand, body)?;
        let stopping = hand.task.history.executions.get(at).is_some_and(|found| found.stopping);
        if hand.task.live.deleted.is_some() {
            hand.end(at, Report::unreported(Status::Cancelled, cx.stamp, "deleted"));
        } else if stopping {
            hand.end(at, Report::unreported(Status::Cancelled, cx.stamp, "stopped"));
        } else {
            hand.change(at, |execution| {
                execution.status = Status::Pending;
                execution.attempt = execution.more.as_mut().and_then(|more| more.earlier.pop());
            });
            hand.effect(Effect::Pending(body.task, body.execution));
        }
        Ok(Answer::Done)
    }

    pub(in crate::domain::machine) fn finish(
        &mut self,
        cx: &Context<'_>,
        body: Finish,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let Finish { task, execution, fence, report } = body;
        let mut hand = self.hand(cx, task, effects).ok_or(Refusal::TaskNotFound)?;
        let at = fenced(&hand, OfFence { task, execution, fence })?;
        if !report.status.ended() {
            return Err(Refusal::Order);
        }
        hand.end(at, report);
        Ok(Answer::Done)
    }

    /// Ends an attempt that nobody will report: its node is down for `lost_after`, or a caller let
    /// its claim's timeout pass.
    pub(in crate::domain::machine) fn lose(
        &mut self,
        cx: &Context<'_>,
        body: OfFence,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let task = self.task(body.task).ok_or(Refusal::TaskNotFound)?;
        let execution = task.history.execution(body.execution).ok_or(Refusal::ExecutionNotFound)?;
        let lost = self.lost_by(cx, task, execution).ok_or(Refusal::NotDue)?;
        let mut hand = self.hand(cx, body.task, effects).ok_or(Refusal::TaskNotFound)?;
        let at = fenced(&hand, body)?;
        hand.end(at, Report::unreported(Status::Lost, cx.stamp, lost));
        Ok(Answer::Done)
    }

    /// Why nobody will report an attempt; none: somebody may.
    fn lost_by(
        &self,
        cx: &Context<'_>,
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
        let Some(node) = self.node(attempt.node) else { return Some("node_removed") };
        if node.session != attempt.session {
            return Some("node_restarted");
        }
        let lost_after = spec.map_or(Millis::from_secs(10), |spec| spec.lost_after);
        let since = node.down_since.filter(|_| node.liveness == Liveness::Down)?;
        (since.plus(lost_after) <= cx.stamp).then_some("node_down")
    }
}

fn check_trigger(task: &Task) -> Result<(), Refusal> {
    if task.live.deleted.is_some() {
        return Err(Refusal::TaskDeleted);
    }
    if task.progress.live >= LIVE_MAX {
        return Err(Refusal::MaxLive);
    }
    Ok(())
}

fn check_start(
    hand: &Hand<'_>,
    execution: &Execution,
    start: &Start,
    scheduler: bool,
) -> Result<(), Refusal> {
    if hand.task.live.deleted.is_some() {
        return Err(Refusal::TaskDeleted);
    }
    match start.again {
        None if execution.status != Status::Pending => return Err(Refusal::NotPending),
        Some(fence) => {
            let attempt = execution.attempt.as_ref().ok_or(Refusal::StaleFence)?;
            let held = attempt.fence == fence && attempt.session == start.session;
            if execution.status != Status::Running || !held {
                return Err(Refusal::StaleFence);
            }
        }
        None => {}
    }
    // What is to stop never begins.
    if execution.stopping {
        return Err(Refusal::Held);
    }
    // Triggers go on through pauses and a stopped scheduler; ticks wait.
    if execution.tick.is_some() && (hand.task.inactive().is_some() || !scheduler) {
        return Err(Refusal::Held);
    }
    Ok(())
}

/// A live execution and where it stands.
fn find<'a>(hand: &'a Hand<'_>, id: ExecutionId) -> Result<(Place, &'a Execution), Refusal> {
    let at = hand.task.history.position(id).ok_or(Refusal::ExecutionNotFound)?;
    let execution = hand.task.history.executions.get(at).ok_or(Refusal::ExecutionNotFound)?;
    if execution.status.ended() {
        return Err(Refusal::ExecutionEnded);
    }
    Ok((at, execution))
}

/// Where a running execution stands whose newest grant is this one.
fn fenced(hand: &Hand<'_>, body: OfFence) -> Result<Place, Refusal> {
    let (at, execution) = find(hand, body.execution)?;
    let current = execution.attempt.as_ref().is_some_and(|attempt| attempt.fence == body.fence);
    let current = current || bug!("old-fence-accepted");
    if execution.status != Status::Running || !current {
        return Err(Refusal::StaleFence);
    }
    Ok(at)
}
