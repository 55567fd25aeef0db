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

/// The ticks of a task that will fire as things stand.
pub(crate) struct FiringTicks {
    /// When it ticks.
    pub plan: Plan,
    /// Those up to here have a verdict, or are held by a pause.
    pub after: Timestamp,
    /// So many may fire.
    pub left: u64,
}

/// The ticks of a task that will fire as things stand; none: none will.
pub(crate) fn firing(view: &StateView, task: &Task) -> Option<FiringTicks> {
    if !view.state.cluster().scheduler || task.progress.exhausted || task.used_up() {
        return None;
    }
    let settled = view.state.settled(task);
    let after = match task.inactive() {
        None => settled,
        Some(Reason::Paused) => settled.max(task.live.paused.as_ref()?.until?),
        Some(_) => return None,
    };
    let spec = task.spec()?;
    let fired = task.progress.totals.fired;
    let left = spec.schedule.max_ticks.map_or(u64::MAX, |max| max.saturating_sub(fired));
    let left = if spec.one_shot { left.min(1) } else { left };
    Some(FiringTicks { plan: current(&view.state, task)?, after, left })
}

impl FiringTicks {
    /// Whether their number between two instants can be computed without a look at each: no calendar
    /// leaves some out, and no limit ends them.
    pub fn countable(&self, task: &Task) -> bool {
        let spec = task.spec();
        self.left == u64::MAX && spec.is_some_and(|spec| spec.schedule.exclude.is_empty())
    }

    /// Those after an instant, in order.
    pub fn from(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        let first = self.plan.next_open(self.after.max(after));
        let ticks = std::iter::successors(first, |tick| self.plan.next_open(*tick));
        ticks.take(usize::try_from(self.left).unwrap_or(usize::MAX))
    }
}
