//! Each guard as it is promised.

use std::sync::Arc;

use crate::domain::executor::ExecutorRecord;
use crate::domain::ids::{Fence, NodeId, Revision, SessionId};
use crate::domain::machine::command::{Claim, Settle, SettleSpan};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::limits::{AHEAD_MAX, REDELIVERIES_MAX};
use crate::domain::machine::response::Refusal;
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::TaskEditor;
use crate::domain::machine::task::record::{
    Attempt, ChainRefusal, Cluster, Execution, Intent, KeyRecord, LiveRecord, Liveness, NodeRecord,
    Reason, Status, TaskProgress, Trigger, Verdict,
};
use crate::domain::machine::task::whole::Task;
use crate::domain::task::{AfterRun, Delivery, ExecutionMode, TaskSpec};
use crate::domain::time::{Millis, Timestamp};

/// Cursor. A settle begins where the task is settled up to: of two nodes that both believe they own
/// a task, one wins here.
pub fn cursor(settled: Timestamp, after: Timestamp) -> Result<(), Refusal> {
    if after == settled { Ok(()) } else { Err(Refusal::Cursor { at: settled }) }
}

/// Session. The node that settles or takes an attempt has a live session, is working, and has no
/// intent.
pub fn session(state: &State, session: SessionId) -> Result<&NodeRecord, Refusal> {
    let node = state.session(session).ok_or(Refusal::Session)?;
    if node.liveness == Liveness::Working && node.intent == Intent::None {
        Ok(node)
    } else {
        Err(Refusal::Session)
    }
}

/// Gone. A node that was removed, or that another one replaced, registers no more: its Raft id never
/// comes back.
pub fn registers(state: &State, node: NodeId) -> Result<(), Refusal> {
    if state.is_gone(node) { Err(Refusal::NodeGone) } else { Ok(()) }
}

/// Newest set. The set of files that was begun last stays in force when a node that has it has none
/// any more, or is no member.
pub const fn node_without_set(_state: &mut State) {}

/// Revision. A settle was decided for the task as it is.
pub fn revision(current: Revision, seen: Revision) -> Result<(), Refusal> {
    if seen == current { Ok(()) } else { Err(Refusal::RevisionMismatch { current }) }
}

/// Backfill. Ticks of a range follow its cursor: a command that was proposed twice creates nothing the
/// second time.
pub fn backfill_cursor(cursor: Timestamp, after: Timestamp) -> Result<(), Refusal> {
    if after == cursor { Ok(()) } else { Err(Refusal::Cursor { at: cursor }) }
}

/// Activity. A claim needs a scheduler that runs and a task whose ticks fire at that time.
pub fn activity(
    task: &Task,
    settle: &Settle,
    claim: &Claim,
    scheduler: bool,
) -> Result<(), Refusal> {
    if !scheduler || task.used_up() {
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

/// One shot. A claim completes a task that fires once only, and so do ticks that were missed.
pub fn one_shot(task: &Task, settle: &Settle) -> bool {
    let missed = |span: &SettleSpan| {
        span.verdict == Verdict::Missed && span.count.is_none_or(|count| count > 0)
    };
    task.rules.one_shot && (task.used_up() || settle.spans.iter().any(missed))
}

/// After run. What the definition says becomes of the task whose execution has ended.
pub const fn after_run(said: AfterRun) -> AfterRun {
    said
}

/// Replaceable. What is added takes the place of a task that is completed or cancelled, and of no
/// other.
pub fn replaceable(task: &Task) -> bool {
    task.over() || task.live.cancelled.is_some()
}

/// Ends with task. What waits ends with the cancellation of its task.
pub fn ends_with_task(execution: &Execution) -> bool {
    execution.status == Status::Pending
}

/// Overdue. The one tick of a task that came while the task was cancelled.
pub fn overdue(task: &TaskEditor<'_>, stamp: Timestamp) -> Option<Timestamp> {
    let since = task.live.cancelled?.max(task.floor);
    if !task.rules.enabled || task.progress.exhausted || task.used_up() {
        return None;
    }
    let tick = task.spec()?.schedule.only_tick(task.live.scheduled_at)?;
    (since < tick && tick <= stamp).then_some(tick)
}

/// Close. What an edit, a pause, a resume or a deletion finds unsettled gets a verdict with it.
pub fn close(task: &mut TaskEditor<'_>, to: Timestamp, becomes: Option<Reason>) {
    task.close(to, becomes);
}

/// Carry. The ticks of a new incarnation begin after the cursor of the former one: no tick of a name
/// is claimed twice.
pub fn carry(begin: Timestamp, settled: Timestamp) -> Timestamp {
    begin.max(settled)
}

/// End session. A process that registers ends what its former process had been granted: what runs
/// on the node, but for a claim, which its caller runs, and for what an executor has accepted.
pub fn end_session(execution: &Execution, node: NodeId) -> bool {
    let of_node = |attempt: &Attempt| attempt.node == node && attempt.accepted_at().is_none();
    execution.status == Status::Running
        && execution.trigger != Trigger::Claim
        && execution.attempt.as_ref().is_some_and(of_node)
}

/// New cluster. What nodes of the former cluster carried out ends with it, as with their sessions.
pub fn ends_with_cluster(execution: &Execution) -> bool {
    let attempt = execution.attempt.as_ref();
    attempt.is_some_and(|attempt| end_session(execution, attempt.node))
}

/// Leap. The counter of a new cluster begins ahead of all that the former one may have issued.
pub const fn leap(ahead: u64, _former: u64) -> u64 {
    ahead
}

/// Executor. An attempt goes to an executor that is online and takes one more; a grant asked for
/// again takes no further place of the one that has it.
pub fn executor(executor: &ExecutorRecord, in_flight: u32, holds: bool) -> Result<(), Refusal> {
    let others = in_flight.saturating_sub(u32::from(holds));
    if executor.takes(others) { Ok(()) } else { Err(Refusal::ExecutorUnavailable) }
}

/// Silence. An attempt is lost with its executor: when that was removed, or did not answer
/// for as long as the definition says.
pub fn executor_lost(
    executor: Option<&ExecutorRecord>,
    lost_after: Millis,
    stamp: Timestamp,
) -> Option<&'static str> {
    let Some(executor) = executor else { return Some("executor_removed") };
    let since = executor.offline_since?;
    (since.plus(lost_after) <= stamp).then_some("executor_offline")
}

/// Accepted. From then on no session has a say in the attempt.
pub fn unaccepted(execution: &Execution) -> Result<(), Refusal> {
    let accepted = execution.attempt.as_ref().is_some_and(|one| one.accepted_at().is_some());
    if accepted { Err(Refusal::StaleFence) } else { Ok(()) }
}

/// Overlap. A new execution of a task comes in beside those that have not ended as the execution mode
/// says, and up to its bound.
pub fn overlap(task: &Task) -> Result<(), Reason> {
    let live = task.progress.live;
    if live >= task.rules.max_live {
        return Err(Reason::MaxLive);
    }
    match task.rules.mode {
        ExecutionMode::Skip if live > 0 => Err(Reason::Overlap),
        ExecutionMode::Sequential if live > 0 && task.waiting() >= task.rules.queue_max => {
            Err(Reason::QueueFull)
        }
        _ => Ok(()),
    }
}

/// Room. An execution starts only while all lines of its task have room.
pub fn room(task: &TaskEditor<'_>) -> Result<(), Refusal> {
    let room = !task.lined() || task.lines.have_room(&task.task.lines());
    if room { Ok(()) } else { Err(Refusal::NoRoom) }
}

/// Gives way. Where a newer execution takes the place of others, what runs is stopped.
pub fn gives_way(execution: &Execution) -> bool {
    !execution.stopping
}

/// Due. An attempt is granted when its time has come.
pub fn due(execution: &Execution, stamp: Timestamp) -> Result<(), Refusal> {
    if execution.attempt_due() <= stamp.plus(AHEAD_MAX) { Ok(()) } else { Err(Refusal::NotDue) }
}

/// Retry. An execution is attempted again after a known failure, as often as its definition says.
pub fn retries(spec: &TaskSpec, execution: &Execution) -> bool {
    execution.retries() < spec.retry.max_retry
}

/// Delivery. An execution is attempted again after an unknown outcome only if its definition says
/// that it may happen more than once.
pub fn redelivers(spec: &TaskSpec, execution: &Execution) -> bool {
    spec.delivery == Delivery::AtLeastOnce && execution.redeliveries() < REDELIVERIES_MAX
}

/// Wait. The next attempt waits as long as the retry policy says.
pub const fn wait(of_policy: Millis) -> Millis {
    of_policy
}

/// Count. The end of an attempt that is followed by another attempt is not counted as the end of an
/// execution.
pub const fn count_attempt(_task: &mut TaskEditor<'_>, _status: Status) {}

/// Follow. The end of an execution starts what its definition names for it.
pub const fn follow() -> bool {
    true
}

/// Depth. A chain of executions ends somewhere.
pub fn depth(depth: u32, most: u32) -> Result<(), ChainRefusal> {
    if depth <= most { Ok(()) } else { Err(ChainRefusal::Depth) }
}

/// Ask fence. Who asks again for an attempt names its newest grant.
pub fn ask_fence(attempt: &Attempt, fence: Fence) -> Result<(), Refusal> {
    if attempt.fence == fence { Ok(()) } else { Err(Refusal::StaleFence) }
}

/// Ask session. An attempt is asked for again by the session that holds it.
pub fn ask_session(attempt: &Attempt, session: SessionId) -> Result<(), Refusal> {
    if attempt.session == session { Ok(()) } else { Err(Refusal::StaleFence) }
}

/// Ask activity. Nothing is granted of a task that is marked deleted.
pub fn ask_present(live: &LiveRecord) -> Result<(), Refusal> {
    if live.deleted.is_none() { Ok(()) } else { Err(Refusal::TaskDeleted) }
}

/// Ask activity. What is to stop never begins. Triggers go on through pauses and a stopped
/// scheduler; ticks wait.
pub fn ask_activity(task: &Task, execution: &Execution, scheduler: bool) -> Result<(), Refusal> {
    let waits = execution.tick.is_some() && (task.inactive().is_some() || !scheduler);
    if execution.stopping || waits { Err(Refusal::Held) } else { Ok(()) }
}

/// A report, a loss or a return names the newest grant of what runs.
pub fn report_fence(execution: &Execution, fence: Fence) -> Result<(), Refusal> {
    let current = execution.attempt.as_ref().is_some_and(|attempt| attempt.fence == fence);
    if current { Ok(()) } else { Err(Refusal::StaleFence) }
}

/// A name that is marked deleted is not added to.
pub fn add_unmarked(live: &LiveRecord) -> Result<(), Refusal> {
    if live.deleted.is_none() { Ok(()) } else { Err(Refusal::TaskDeleted) }
}

/// An answer stands for all repeats of its request while it is not too old.
pub fn key_stands(known: &Arc<KeyRecord>, stamp: Timestamp) -> bool {
    !known.older(stamp)
}

/// The time of an entry is its stamp.
pub fn stamp(of_entry: Timestamp) -> Timestamp {
    of_entry
}

/// What an entry changed is told to those who watch, all of it.
pub const fn tell(_effects: &mut Effects) {}

/// A checkpoint holds every task, with or without a deleted mark.
pub const fn in_checkpoint(_task: &Task) -> bool {
    true
}

/// A checkpoint holds how far a task is settled.
pub const fn progress_row(progress: &TaskProgress) -> TaskProgress {
    *progress
}

/// A checkpoint holds the counter and the floor.
pub fn cluster_row(cluster: &Cluster) -> Cluster {
    cluster.clone()
}

/// What a checkpoint brings back is in its lines again.
pub const fn in_lines(_task: &Task) -> bool {
    true
}
