//! The command by which an owner decides ticks. It is accepted only on the state that its proposer
//! saw: of two nodes that both believe they own a task, one wins at the cursor.

use crate::domain::time::Timestamp;

use crate::domain::ids::{NodeId, SessionId};
use crate::domain::machine::apply::Context;
use crate::domain::machine::command::{Claim, Settle};
use crate::domain::machine::effect::Effect;
use crate::domain::machine::limits::{AHEAD_MAX, LIVE_MAX, SETTLE_SPANS_MAX};
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::{Hand, NewExecution};
use crate::domain::machine::task::record::{Intent, Liveness, Node, Reason, Trigger, Verdict};

impl State {
    /// The node of a live session that may decide ticks and take attempts.
    pub(in crate::domain::machine) fn proposer(
        &self,
        session: SessionId,
    ) -> Result<&Node, Refusal> {
        if bug!("session-ignored") {
            return self.nodes().next().map(|node| &**node).ok_or(Refusal::Session);
        }
        let node = self.session(session).ok_or(Refusal::Session)?;
        if node.liveness != Liveness::Working || node.intent != Intent::None {
            return Err(Refusal::Session);
        }
        Ok(node)
    }

    pub(in crate::domain::machine) fn settle(
        &mut self,
        cx: &Context<'_>,
        settle: &Settle,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let node = self.proposer(settle.session)?.id;
        let scheduler = self.cluster.scheduler;
        let calendars = self.tasks.get(settle.task).map(|task| self.calendars_of(task));
        if let Some(current) = calendars.filter(|current| *current != settle.calendars) {
            return Err(Refusal::RevisionMismatch { current });
        }
        let mut hand = self.hand(cx, settle.task, effects).ok_or(Refusal::TaskNotFound)?;
        check(&hand, settle, scheduler)?;
        hand.close_floor();
        for span in &settle.spans {
            hand.span(span.to, span.verdict, span.reason, span.count);
        }
        let answer = match settle.claim {
            None => Answer::Done,
            Some(claim) => fire(&mut hand, settle, claim, node),
        };
        if settle.exhausted {
            hand.progress().exhausted = true;
        }
        hand.end_pause(settle.now);
        hand.effect(Effect::Settled(settle.task));
        Ok(answer)
    }
}

fn check(hand: &Hand<'_>, settle: &Settle, scheduler: bool) -> Result<(), Refusal> {
    let task = &*hand.task;
    if task.live.deleted.is_some() {
        return Err(Refusal::TaskDeleted);
    }
    if task.live.revision != settle.revision && !bug!("settle-any-revision") {
        return Err(Refusal::RevisionMismatch { current: task.live.revision });
    }
    let anywhere = bug!("settle-any-cursor" | "clock-for-cursor");
    if settle.after != hand.settled() && !anywhere {
        return Err(Refusal::Cursor { at: hand.settled() });
    }
    // What was decided for a former cursor may fit this one, and not know that the ticks are used up.
    let ends_pause = settle.spans.iter().all(|span| span.reason == Reason::Paused);
    if task.progress.exhausted && (settle.claim.is_some() || !ends_pause) {
        return Err(Refusal::Inactive);
    }
    if settle.spans.len() > SETTLE_SPANS_MAX {
        return Err(Refusal::Full);
    }
    let ahead = hand.stamp.plus(AHEAD_MAX);
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
        Some(claim) => check_claim(hand, settle, claim, at, ahead, scheduler),
    }
}

fn check_claim(
    hand: &Hand<'_>,
    settle: &Settle,
    claim: &Claim,
    after: Timestamp,
    ahead: Timestamp,
    scheduler: bool,
) -> Result<(), Refusal> {
    if claim.tick <= after || claim.due < claim.tick {
        return Err(Refusal::Order);
    }
    if claim.due > ahead {
        return Err(Refusal::Ahead);
    }
    if bug!("settle-any-activity") {
        return Ok(());
    }
    if !scheduler {
        return Err(Refusal::Inactive);
    }
    let task = &*hand.task;
    if task.rules.max_ticks.is_some_and(|max| task.progress.totals.fired >= max) {
        return Err(Refusal::Inactive);
    }
    match task.inactive() {
        None => Ok(()),
        Some(Reason::Paused) => {
            let until = task.live.paused.as_ref().and_then(|pause| pause.until);
            let late = task.rules.catch_up_on_resume;
            match until {
                Some(until) if until <= claim.tick || (late && until <= settle.now) => Ok(()),
                _ => Err(Refusal::Inactive),
            }
        }
        Some(_) => Err(Refusal::Inactive),
    }
}

/// Lets the claimed tick fire, or gives it the verdict that stands against it.
fn fire(hand: &mut Hand<'_>, settle: &Settle, claim: Claim, node: NodeId) -> Answer {
    let task = hand.task.key;
    let Some(revision) = hand.task.live.definition else { return Answer::NotFired };
    if hand.task.progress.live >= LIVE_MAX {
        hand.span(claim.tick, Verdict::Skipped, Reason::MaxLive, Some(1));
        return Answer::NotFired;
    }
    let attempt = claim.start.then(|| hand.attempt(1, node, settle.session));
    let fence = attempt.as_ref().map(|attempt| attempt.fence);
    let execution = hand.execution(NewExecution {
        revision,
        tick: Some(claim.tick),
        due: claim.due,
        trigger: claim.trigger,
        retry_of: None,
        attempt,
        parameters: None,
    });
    hand.fired(claim.tick, execution);
    match fence {
        // A caller has its grant by the answer; nobody here carries it out.
        Some(_) if claim.trigger == Trigger::Claim => {}
        Some(fence) => {
            let session = settle.session;
            hand.effect(Effect::Granted { task, execution, fence, session });
        }
        None => hand.effect(Effect::Pending(task, execution)),
    }
    Answer::Execution { task, execution, fence }
}
