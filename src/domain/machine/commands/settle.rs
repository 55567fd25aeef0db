//! The command by which an owner decides ticks. It is accepted only on the state that its proposer
//! saw: of two nodes that both believe they own a task, one wins at the cursor.

use super::guards;
use super::overlap::{self, Carrier};
use crate::domain::ids::NodeId;
use crate::domain::machine::command::{Claim, Settle};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::hint::Hint;
use crate::domain::machine::limits::{AHEAD_MAX, SETTLE_SPANS_MAX};
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::{EntryContext, NewExecution, TaskEditor};
use crate::domain::machine::task::record::{Reason, Trigger, Verdict};
use crate::domain::time::Timestamp;

impl State {
    pub(in crate::domain::machine) fn settle(
        &mut self,
        cx: &EntryContext<'_>,
        settle: &Settle,
        effects: &mut Effects,
    ) -> Response {
        let node = guards::session(self, settle.session)?.id;
        let scheduler = self.cluster.scheduler;
        let calendars = self.tasks.get(settle.task).map(|task| self.calendars_of(task));
        if let Some(current) = calendars.filter(|current| *current != settle.calendars) {
            return Err(Refusal::RevisionMismatch { current });
        }
        self.edit(cx, settle.task, effects, |task| {
            check(task, settle, scheduler)?;
            task.close_floor();
            for span in &settle.spans {
                task.span(span.to, span.verdict, span.reason, span.count);
            }
            let answer = match settle.claim {
                None => Answer::Done,
                Some(claim) => fire(task, settle, claim, node),
            };
            if settle.exhausted || guards::one_shot(task, settle) {
                task.exhaust();
            }
            task.end_pause(settle.now);
            task.hint(Hint::Settled(settle.task));
            Ok(answer)
        })
    }
}

fn check(task: &TaskEditor<'_>, settle: &Settle, scheduler: bool) -> Result<(), Refusal> {
    if task.live.deleted.is_some() {
        return Err(Refusal::TaskDeleted);
    }
    guards::revision(task.live.revision, settle.revision)?;
    guards::cursor(task.settled(), settle.after)?;
    // What was decided for a former cursor may fit this one, and not know that the ticks are used up.
    let ends_pause = settle.spans.iter().all(|span| span.reason == Reason::Paused);
    if task.progress.exhausted && (settle.claim.is_some() || !ends_pause) {
        return Err(Refusal::Inactive);
    }
    if settle.spans.len() > SETTLE_SPANS_MAX {
        return Err(Refusal::Full);
    }
    let ahead = task.stamp.plus(AHEAD_MAX);
    if settle.now > ahead {
        return Err(Refusal::Ahead);
    }
    let mut at = settle.after;
    for span in &settle.spans {
        if span.to <= at || span.verdict == Verdict::Fired {
            return Err(Refusal::Order);
        }
        if span.to > ahead {
            return Err(Refusal::Ahead);
        }
        at = span.to;
    }
    match &settle.claim {
        None => Ok(()),
        Some(claim) => {
            check_times(claim, at, ahead)?;
            guards::activity(task, settle, claim, scheduler)
        }
    }
}

/// Whether a claim's times rise, and none lies too far ahead.
fn check_times(claim: &Claim, after: Timestamp, ahead: Timestamp) -> Result<(), Refusal> {
    if claim.tick <= after || claim.due < claim.tick {
        return Err(Refusal::Order);
    }
    if claim.due > ahead { Err(Refusal::Ahead) } else { Ok(()) }
}

/// Lets the claimed tick fire, or gives it the verdict that stands against it.
fn fire(task: &mut TaskEditor<'_>, settle: &Settle, claim: Claim, node: NodeId) -> Answer {
    let key = task.key;
    let Some(revision) = task.live.definition else {
        return Answer::NotFired(Refusal::TaskDeleted);
    };
    let by_caller = claim.trigger == Trigger::Claim;
    let carrier = if by_caller { Carrier::Caller } else { Carrier::Node };
    if let Err(reason) = overlap::admit(task, carrier) {
        task.span(claim.tick, Verdict::Skipped, reason, Some(1));
        return Answer::NotFired(overlap::refusal(reason, carrier));
    }
    // What stands in a line takes its place there with a command of its own, and what an executor
    // carries out is granted by one that names the executor.
    let by_itself = || !task.lined() && !task.needs_executor(revision);
    let start = claim.start && (by_caller || by_itself());
    let attempt = start.then(|| task.attempt(1, node, settle.session));
    let fence = attempt.as_ref().map(|attempt| attempt.fence);
    let execution = task.execution(NewExecution {
        revision,
        tick: Some(claim.tick),
        due: claim.due,
        trigger: claim.trigger,
        retry_of: None,
        attempt,
        parameters: None,
        parent: None,
    });
    task.fired(claim.tick, execution);
    match fence {
        // A caller has its grant by the answer; nobody here carries it out.
        Some(_) if claim.trigger == Trigger::Claim => {}
        Some(fence) => {
            let session = settle.session;
            task.hint(Hint::Granted { task: key, execution, fence, session });
        }
        None => task.hint(Hint::Pending(key, execution)),
    }
    Answer::Execution { task: key, execution, fence }
}
