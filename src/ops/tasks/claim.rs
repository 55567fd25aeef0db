//! Claims of ticks by callers. The first caller gets the tick, all others get the result of the
//! first.

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

/// Maximum number of attempts when a claim conflicts with other changes of its task.
const TRIES: u32 = 8;

/// Claims a tick of a task with a manual schedule.
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
            // The task or the node that would hold the claim has changed: try again.
            Err(Refusal::Cursor { .. } | Refusal::RevisionMismatch { .. } | Refusal::Session) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(OpError::new(ErrorCode::NotAccepted, "the task changes too fast; nothing was changed"))
}

/// What to do about a tick.
enum ClaimDecision<'a> {
    /// Propose this command.
    Grant(Settle),
    /// Nothing: the tick has fired.
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

/// The session that holds a caller's claim: the session of this node, or, if this node is not
/// working or is draining, of another working node. No node executes the claim, so any node is
/// suitable, and the request does not have to be forwarded.
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

/// The error for a tick that another caller has claimed.
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
