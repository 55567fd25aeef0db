//! The guards, each left out while the bug of its name is on. What stands here under the name of a
//! guard takes its place.

use std::sync::Arc;

use super::rows;
pub use super::rows::*;
use crate::domain::executor::ExecutorRecord;
use crate::domain::ids::{Fence, NodeId, Revision, SessionId};
use crate::domain::machine::command::{Claim, Settle};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::event::EventObject;
use crate::domain::machine::response::Refusal;
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::TaskEditor;
use crate::domain::machine::task::files::{IN_FORCE, SetRecord};
use crate::domain::machine::task::record::{
    Attempt, Cluster, Execution, KeyRecord, LiveRecord, Liveness, NodeRecord, Reason, Status,
    TaskProgress,
};
use crate::domain::machine::task::whole::Task;
use crate::domain::task::{AfterRun, TaskSpec};
use crate::domain::time::{Millis, Timestamp};

pub fn cursor(settled: Timestamp, after: Timestamp) -> Result<(), Refusal> {
    let anywhere = bug!("settle-any-cursor" | "clock-for-cursor");
    if anywhere { Ok(()) } else { rows::cursor(settled, after) }
}

pub fn session(state: &State, session: SessionId) -> Result<&NodeRecord, Refusal> {
    if bug!("session-ignored") {
        return state.nodes().next().map(|node| &**node).ok_or(Refusal::Session);
    }
    if bug!("drain-forgotten") {
        let node = state.session(session).ok_or(Refusal::Session)?;
        let works = node.liveness == Liveness::Working;
        return if works { Ok(node) } else { Err(Refusal::Session) };
    }
    rows::session(state, session)
}

pub fn registers(state: &State, node: NodeId) -> Result<(), Refusal> {
    if bug!("removed-registers") { Ok(()) } else { rows::registers(state, node) }
}

pub fn node_without_set(state: &mut State) {
    if bug!("old-set-in-force") {
        let left = state.registers.files.values().filter(|kept| kept.set.0 != 0);
        let newest = left.max_by_key(|kept| kept.set).map(|kept| SetRecord {
            hash: kept.hash,
            set: kept.set,
            complete: kept.complete,
        });
        match newest {
            Some(newest) => state.registers.sets.set(IN_FORCE.into(), newest),
            None => drop(state.registers.sets.remove(&IN_FORCE.into())),
        }
    }
    rows::node_without_set(state);
}

pub fn revision(current: Revision, seen: Revision) -> Result<(), Refusal> {
    if bug!("settle-any-revision") { Ok(()) } else { rows::revision(current, seen) }
}

pub fn backfill_cursor(cursor: Timestamp, after: Timestamp) -> Result<(), Refusal> {
    if bug!("backfill-cursor-ignored") { Ok(()) } else { rows::backfill_cursor(cursor, after) }
}

pub fn activity(
    task: &Task,
    settle: &Settle,
    claim: &Claim,
    scheduler: bool,
) -> Result<(), Refusal> {
    let any = bug!("settle-any-activity");
    if any { Ok(()) } else { rows::activity(task, settle, claim, scheduler) }
}

pub fn one_shot(task: &Task, settle: &Settle) -> bool {
    !bug!("one-shot-goes-on") && rows::one_shot(task, settle)
}

pub fn after_run(said: AfterRun) -> AfterRun {
    if bug!("after-run-forgotten") { AfterRun::Keep } else { rows::after_run(said) }
}

pub fn ends_with_task(execution: &Execution) -> bool {
    !bug!("cancel-leaves-waiting") && rows::ends_with_task(execution)
}

pub fn overdue(task: &TaskEditor<'_>, stamp: Timestamp) -> Option<Timestamp> {
    rows::overdue(task, stamp).filter(|_| !bug!("overdue-forgotten"))
}

pub fn overlap(task: &Task) -> Result<(), Reason> {
    if bug!("overlap-ignored") { Ok(()) } else { rows::overlap(task) }
}

pub fn room(task: &TaskEditor<'_>) -> Result<(), Refusal> {
    if bug!("line-limit-ignored") { Ok(()) } else { rows::room(task) }
}

pub fn gives_way(execution: &Execution) -> bool {
    !bug!("replaced-not-stopped") && rows::gives_way(execution)
}

pub fn due(execution: &Execution, stamp: Timestamp) -> Result<(), Refusal> {
    if bug!("retry-at-once") { Ok(()) } else { rows::due(execution, stamp) }
}

pub fn wait(of_policy: Millis) -> Millis {
    if bug!("retry-at-once") { Millis(0) } else { rows::wait(of_policy) }
}

pub fn retries(spec: &TaskSpec, execution: &Execution) -> bool {
    bug!("retries-without-end") || rows::retries(spec, execution)
}

pub fn redelivers(spec: &TaskSpec, execution: &Execution) -> bool {
    if bug!("delivery-ignored") {
        return execution.redeliveries() == 0;
    }
    rows::redelivers(spec, execution)
}

pub fn count_attempt(task: &mut TaskEditor<'_>, status: Status) {
    if bug!("attempt-counted-as-end") {
        task.count(|totals| totals.end(status));
    }
    rows::count_attempt(task, status);
}

pub fn follow() -> bool {
    !bug!("chain-forgotten") && rows::follow()
}

pub fn report_fence(execution: &Execution, fence: Fence) -> Result<(), Refusal> {
    let accepted = execution.attempt.as_ref().is_some_and(|one| one.accepted_at().is_some());
    let any = bug!("old-fence-accepted") || (bug!("stale-callback-accepted") && accepted);
    if any { Ok(()) } else { rows::report_fence(execution, fence) }
}

pub fn end_session(execution: &Execution, node: NodeId) -> bool {
    let accepted = |one: &Attempt| one.node == node && one.accepted_at().is_some();
    let runs = execution.status == Status::Running;
    let ends = runs && execution.attempt.as_ref().is_some_and(accepted);
    rows::end_session(execution, node) || (bug!("node-up-ends-accepted") && ends)
}

pub fn ends_with_cluster(execution: &Execution) -> bool {
    !bug!("restored-attempts-kept") && rows::ends_with_cluster(execution)
}

pub fn leap(ahead: u64, former: u64) -> u64 {
    if bug!("restored-counter-kept") { former } else { rows::leap(ahead, former) }
}

pub fn executor(executor: &ExecutorRecord, in_flight: u32, holds: bool) -> Result<(), Refusal> {
    let any = bug!("dispatch-to-offline");
    if any { Ok(()) } else { rows::executor(executor, in_flight, holds) }
}

pub fn executor_lost(
    executor: Option<&ExecutorRecord>,
    lost_after: Millis,
    stamp: Timestamp,
) -> Option<&'static str> {
    let lost_after = if bug!("silence-not-awaited") { Millis(0) } else { lost_after };
    rows::executor_lost(executor, lost_after, stamp)
}

pub fn add_unmarked(live: &LiveRecord) -> Result<(), Refusal> {
    if bug!("tombstone-ignored") { Ok(()) } else { rows::add_unmarked(live) }
}

pub fn key_stands(known: &Arc<KeyRecord>, stamp: Timestamp) -> bool {
    !bug!("keys-forgotten") && rows::key_stands(known, stamp)
}

pub fn stamp(of_entry: Timestamp) -> Timestamp {
    if bug!("wall-clock-in-apply") { Timestamp(reading!()) } else { rows::stamp(of_entry) }
}

pub fn tell(effects: &mut Effects) {
    if bug!("end-without-event") {
        let ends = |object: &EventObject| matches!(object, EventObject::Execution { status, .. } if status.ended());
        effects.events.retain(|event| !ends(&event.object));
    }
    rows::tell(effects);
}

pub fn in_checkpoint(task: &Task) -> bool {
    let left_out = bug!("snapshot-without-tombstones") && task.live.deleted.is_some();
    !left_out && rows::in_checkpoint(task)
}

pub fn progress_row(progress: &TaskProgress) -> TaskProgress {
    let written = rows::progress_row(progress);
    if bug!("snapshot-without-cursors") {
        return TaskProgress { cursor: Timestamp(0), ..written };
    }
    written
}

pub fn cluster_row(cluster: &Cluster) -> Cluster {
    let mut written = rows::cluster_row(cluster);
    if bug!("snapshot-without-counter") {
        written.counter = 0;
    }
    if bug!("snapshot-without-floor") {
        written.floor = Timestamp(0);
    }
    written
}

pub fn in_lines(task: &Task) -> bool {
    !bug!("line-forgotten-in-snapshot") && rows::in_lines(task)
}
