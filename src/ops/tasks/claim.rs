//! A caller's own claim of a tick: the first caller is granted it, all others hear who was.

use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{NodeId, Revision, SessionId};
use crate::domain::machine::command::{Claim, Settle};
use crate::domain::machine::record::{FiredTick, Intent, Liveness, NodeRecord, Trigger};
use crate::domain::machine::{Answer, Command, Refusal, Task};
use crate::domain::time::Timestamp;
use crate::dto::{ClaimView, ExecutionNow};
use crate::ops::context::StateView;
use crate::ops::{Caller, OpAnswer, OpError};
use crate::ops::{plans, views};

/// A claim that meets other changes of its task is tried so many times.
const TRIES: u32 = 8;

/// Takes a tick of a task with a manual schedule.
///
/// # Errors
/// `task_not_found`, `task_deleted`, `not_manual`, `already_claimed`, `settled`, `session_ended`.
pub(crate) async fn claim(
    caller: &Caller,
    name: &str,
    tick: Timestamp,
) -> Result<OpAnswer<ClaimView>, OpError> {
    for _ in 0..TRIES {
        let view = caller.view().await?;
        if let Some(first) = caller.first(&view)? {
            return granted(caller, &first);
        }
        let task = view.task(name)?;
        let settle = match settle(&view, task, tick)? {
            ClaimDecision::Grant(settle) => settle,
            ClaimDecision::Known(fired) => return Err(claimed(&view, task, fired)),
        };
        match caller.try_submit(&Command::Settle(settle)).await? {
            Ok(answer) => return granted(caller, &answer),
            // The task or the node that would hold the claim changed meanwhile: look again.
            Err(Refusal::Cursor { .. } | Refusal::RevisionMismatch { .. } | Refusal::Session) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(OpError::new(ErrorCode::NotAccepted, "the task changes too fast; nothing was changed"))
}

/// What there is to do about a tick.
enum ClaimDecision<'a> {
    /// To propose this.
    Grant(Settle),
    /// Nothing: it fired.
    Known(&'a FiredTick),
}

fn settle<'a>(
    view: &StateView,
    task: &'a Task,
    tick: Timestamp,
) -> Result<ClaimDecision<'a>, OpError> {
    if task.live.deleted.is_some() {
        return Err(Refusal::TaskDeleted.into());
    }
    let plan = plans::current(&view.state, task);
    let plan = plan.filter(|plan| plan.manual()).ok_or_else(|| {
        OpError::new(
            ErrorCode::NotManual,
            "only ticks of a task with a manual schedule can be claimed",
        )
    })?;
    if let Some(fired) = task.history.fired(tick) {
        return Ok(ClaimDecision::Known(fired));
    }
    let after = view.state.settled(task);
    if tick <= after {
        return Err(Refusal::Cursor { at: after }.into());
    }
    let session = holder(view.state.nodes().map(|node| &**node), view.own);
    let session = session.ok_or_else(|| {
        let why = "no node can hold the claim: all are down, draining or leaving";
        OpError::new(ErrorCode::SessionEnded, why)
            .advise("Let a node work again (POST /nodes/{id}/undrain), and repeat the request.")
    })?;
    Ok(ClaimDecision::Grant(command(task, session, after, tick, plan.due(tick))))
}

/// The session that holds a caller's claim: this node's, or, if this node does not work or gives
/// its work away, that of another that works. No node carries the claim out, so any will do, and
/// the request need not go elsewhere.
fn holder<'a>(nodes: impl Iterator<Item = &'a NodeRecord>, own: NodeId) -> Option<SessionId> {
    let works =
        |node: &&NodeRecord| node.liveness == Liveness::Working && node.intent == Intent::None;
    let first = nodes.filter(works).min_by_key(|node| (node.id != own, node.id));
    first.map(|node| node.session)
}

fn command(
    task: &Task,
    session: SessionId,
    after: Timestamp,
    tick: Timestamp,
    due: Timestamp,
) -> Settle {
    Settle {
        task: task.key,
        revision: task.live.revision,
        calendars: Revision(0),
        session,
        now: due,
        after,
        spans: Vec::new(),
        claim: Some(Claim { tick, due, trigger: Trigger::Claim, start: true }),
        exhausted: false,
    }
}

/// A tick that another caller was granted.
fn claimed(view: &StateView, task: &Task, fired: &FiredTick) -> OpError {
    let execution = task.history.execution(fired.execution);
    let winner = match execution {
        Some(execution) => {
            ExecutionNow::Kept(Box::new(views::execution(&view.state, task, execution)))
        }
        None => ExecutionNow::Gone { id: fired.execution.to_string() },
    };
    let winner = serde_json::to_value(winner).unwrap_or_default();
    let problem = OpError::new(ErrorCode::AlreadyClaimed, "another caller was granted this tick");
    problem.with("execution_id", fired.execution.to_string()).with("winner", winner)
}

fn granted(caller: &Caller, answer: &Answer) -> Result<OpAnswer<ClaimView>, OpError> {
    let (execution, fence) = match answer {
        Answer::Execution { execution, fence, .. } => (execution, fence),
        Answer::NotFired(refusal) => return Err(refusal.clone().into()),
        _ => return Err(Refusal::MaxLive.into()),
    };
    let view = caller.context.here()?;
    let found = view.state.execution(*execution);
    let body = ClaimView {
        execution_id: execution.to_string(),
        fence: fence.map(|fence| fence.0),
        execution: found.map(|(task, found)| views::execution(&view.state, task, found)),
    };
    Ok(OpAnswer::of(view, body))
}
