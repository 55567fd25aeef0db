//! Computes ticks of tasks for read operations.

use std::sync::Arc;

use crate::domain::ids::Revision;
use crate::domain::machine::record::{Definition, Reason};
use crate::domain::machine::{State, Task};
use crate::domain::schedule::{Plan, Rule};
use crate::domain::time::Timestamp;

use super::context::StateView;

/// The plan of a task's current definition. `None` if only a tombstone is left.
pub(crate) fn current(state: &State, task: &Task) -> Option<Plan> {
    state.plan(task.spec()?, task.live.scheduled_at).ok()
}

/// The plan of a stored revision. `None` if the revision is gone, or if the start of its intervals
/// is unknown.
pub(crate) fn of_revision(state: &State, task: &Task, revision: Revision) -> Option<Plan> {
    let definition = task.revision(revision)?;
    let depends = matches!(
        definition.spec.schedule.rule,
        Rule::Interval { anchor: None, .. } | Rule::Delay(_) | Rule::Immediate
    );
    let set_at = if depends { set_at(task, revision)? } else { definition.at };
    state.plan(&definition.spec, set_at).ok()
}

/// The timestamp of the command that set the schedule of a revision.
fn set_at(task: &Task, revision: Revision) -> Option<Timestamp> {
    let live = &task.live;
    if live.definition == Some(revision) {
        return Some(live.scheduled_at);
    }
    let kept: Vec<&Arc<Definition>> =
        task.definitions.iter().filter(|kept| kept.revision >= live.incarnation).collect();
    let at = kept.iter().position(|kept| kept.revision == revision)?;
    let (before, from) = kept.split_at_checked(at)?;
    let schedule = &from.first()?.spec.schedule;
    if from.iter().all(|later| later.spec.schedule == *schedule) {
        return Some(live.scheduled_at);
    }
    let same = before.iter().rev().take_while(|one| one.spec.schedule == *schedule).count();
    let first = kept.get(at - same)?;
    // The definition before the oldest stored revision is unknown.
    let known = same < at || first.revision == live.incarnation;
    known.then_some(first.at)
}

/// The next tick that will fire in the current state, if any.
pub(crate) fn next_tick(view: &StateView, task: &Task) -> Option<Timestamp> {
    next_tick_after(view, task, view.state.settled(task).max(view.now))
}

/// The first tick after an instant that fires in the current state. It may already have fired, so
/// the result stays the same until the task is changed.
pub(crate) fn next_tick_after(
    view: &StateView,
    task: &Task,
    mut after: Timestamp,
) -> Option<Timestamp> {
    let over = task.progress.exhausted && task.progress.cursor <= after;
    if !view.state.cluster().scheduler || over {
        return None;
    }
    match task.inactive() {
        None => {}
        Some(Reason::Paused) => {
            after = after.max(task.live.paused.as_ref()?.until?);
        }
        Some(_) => return None,
    }
    current(&view.state, task)?.next_open(after)
}
