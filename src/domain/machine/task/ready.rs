//! The executions of a group that the lines of their tasks let start. The next one is found without a
//! walk over those whose time has not come, over all those of one task, or over all tasks of a class.

use std::ops::Bound::{Excluded, Included, Unbounded};

use imbl::OrdSet;

use super::needs::{ClassFamily, OwnerNeeds, TaskOwners};
use super::waiting::{Waiter, WaitingExecution};
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::Timestamp;

/// After each execution.
const LAST: WaitingExecution = WaitingExecution {
    rank: u8::MAX,
    at: Timestamp(i64::MAX),
    execution: ExecutionId(u64::MAX),
    task: TaskKey(u64::MAX),
};
/// Before each execution.
const FIRST: WaitingExecution = WaitingExecution {
    rank: 0,
    at: Timestamp(i64::MIN),
    execution: ExecutionId(0),
    task: TaskKey(0),
};

/// Those of the tasks that name the group with one limit. Each is kept by whether its time has come
/// at the time of the lines, which is the stamp of the last entry.
///
/// Those whose time has come are the leaves of a tree: families have classes, these have tasks, these
/// have executions. Each level keeps the first execution of each part of the level below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadyExecutions {
    /// Those whose time has come, by task.
    due: PartedSet<TaskKey>,
    /// The first of these of each task, by class.
    tasks: PartedSet<OwnerNeeds>,
    /// The first of these of each class, by family.
    classes: PartedSet<ClassFamily>,
    /// The others of each family, by their time.
    later: OrdSet<(ClassFamily, Timestamp, WaitingExecution)>,
}

/// An execution with the needs of its task.
pub(super) type NeedyExecution = (WaitingExecution, OwnerNeeds);

impl ReadyExecutions {
    pub fn is_empty(&self) -> bool {
        self.due.0.is_empty() && self.later.is_empty()
    }

    /// Adds an execution of a task with these needs.
    pub fn insert(&mut self, needs: &OwnerNeeds, (one, due): Waiter, at: Timestamp) {
        match due.filter(|due| *due > at) {
            // The needs that are kept are those of a task that waits.
            Some(due) => _ = self.later.insert((ClassFamily(needs.clone()), due, one)),
            None => self.change_due(needs, one.task, |due| due.insert(one.task, one)),
        }
    }

    /// Removes one that is as it was when it was added.
    pub fn remove(&mut self, needs: &OwnerNeeds, (one, due): Waiter, at: Timestamp) {
        match due.filter(|due| *due > at) {
            Some(due) => _ = self.later.remove(&(ClassFamily(needs.clone()), due, one)),
            None => self.change_due(needs, one.task, |due| due.remove(one.task, one)),
        }
    }

    /// The first one of each family whose selector a node matches, of those whose time has come.
    pub fn first_held(&self, owners: &impl TaskOwners) -> Vec<NeedyExecution> {
        let classes = &self.classes.0;
        let held = ClassFamily::held(owners, |from| {
            let from = match from {
                Excluded(family) => Excluded((family.clone(), LAST)),
                Included(family) => Included((family.clone(), FIRST)),
                Unbounded => Unbounded,
            };
            classes.range((from, Unbounded)).next().map(|(family, _)| family)
        });
        let first = held.iter().filter_map(|family| self.classes.first(family));
        first.map(|(family, one)| (*one, family.0.clone())).collect()
    }

    /// The families whose selector a node matches, of those that wait for a further attempt.
    pub fn held_later(&self, owners: &impl TaskOwners) -> Vec<ClassFamily> {
        ClassFamily::held(owners, |from| {
            let from = match from {
                Excluded(family) => Excluded((family.clone(), Timestamp(i64::MAX), LAST)),
                Included(family) => Included((family.clone(), Timestamp(i64::MIN), FIRST)),
                Unbounded => Unbounded,
            };
            self.later.range((from, Unbounded)).next().map(|(family, ..)| family)
        })
    }

    /// The first one of the class that follows in the family, if this is the first one of its class.
    pub fn next_class(&self, one: WaitingExecution, needs: &OwnerNeeds) -> Option<NeedyExecution> {
        let next = self.classes.after(&ClassFamily(needs.clone()), one);
        next.map(|(family, one)| (*one, family.0.clone()))
    }

    /// The first one of a class, if this one is ahead of it.
    pub fn first_after(&self, one: WaitingExecution, needs: &OwnerNeeds) -> Option<NeedyExecution> {
        let first = self.tasks.first(needs).filter(|(_, first)| *first > one);
        first.map(|(needs, one)| (*one, needs.clone()))
    }

    /// The first one of the task that follows in the class, if this is the first one of its task.
    pub fn next_task(&self, one: WaitingExecution, needs: &OwnerNeeds) -> Option<WaitingExecution> {
        self.tasks.after(needs, one).map(|(_, next)| *next)
    }

    /// The one that follows this one of its task.
    pub fn next_of_task(&self, one: WaitingExecution) -> Option<WaitingExecution> {
        self.due.after(&one.task, one).map(|(_, next)| *next)
    }

    /// Those of a family whose time came after the last entry.
    pub fn came_of(
        &self,
        family: &ClassFamily,
        now: Timestamp,
    ) -> impl Iterator<Item = NeedyExecution> {
        let from = (family.clone(), Timestamp(i64::MIN), FIRST);
        let later = self.later.range((Included(from), Unbounded));
        let came = later.take_while(move |(of, due, _)| *due <= now && of == family);
        came.map(|(of, _, one)| (*one, of.0.clone()))
    }

    /// Changes those of a task whose time has come.
    fn change_due(
        &mut self,
        needs: &OwnerNeeds,
        task: TaskKey,
        change: impl FnOnce(&mut PartedSet<TaskKey>),
    ) {
        let first = |due: &PartedSet<TaskKey>| due.first(&task).map(|(_, one)| *one);
        let former = first(&self.due);
        change(&mut self.due);
        let now = first(&self.due);
        if former == now {
            return;
        }
        let first = |tasks: &PartedSet<OwnerNeeds>| {
            tasks.first(needs).map(|(needs, one)| (*one, needs.clone()))
        };
        let former_of_class = first(&self.tasks);
        former.into_iter().for_each(|one| self.tasks.remove(needs.clone(), one));
        now.into_iter().for_each(|one| self.tasks.insert(needs.clone(), one));
        let now_of_class = first(&self.tasks);
        if former_of_class != now_of_class {
            if let Some((one, needs)) = former_of_class {
                self.classes.remove(ClassFamily(needs), one);
            }
            if let Some((one, needs)) = now_of_class {
                self.classes.insert(ClassFamily(needs), one);
            }
        }
    }

    /// Those whose time has come, and the others, in order.
    #[cfg(test)]
    pub fn all(&self) -> [Vec<WaitingExecution>; 2] {
        let due = self.due.0.iter().map(|(_, one)| *one);
        let later = self.later.iter().map(|(_, _, one)| *one);
        let mut all = [due.collect::<Vec<_>>(), later.collect()];
        all.iter_mut().for_each(|part| part.sort_unstable());
        all
    }
}

/// Executions by part, in order in each.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PartedSet<P: Ord>(OrdSet<(P, WaitingExecution)>);

impl<P: Ord> Default for PartedSet<P> {
    fn default() -> Self {
        Self(OrdSet::default())
    }
}

impl<P: Ord + Clone> PartedSet<P> {
    fn insert(&mut self, part: P, one: WaitingExecution) {
        self.0.insert((part, one));
    }

    fn remove(&mut self, part: P, one: WaitingExecution) {
        self.0.remove(&(part, one));
    }

    /// The first one of a part.
    fn first(&self, part: &P) -> Option<&(P, WaitingExecution)> {
        let mut all = self.0.range((Included((part.clone(), FIRST)), Unbounded));
        all.next().filter(|(of, _)| of == part)
    }

    /// The one that follows this one in its part.
    fn after(&self, part: &P, one: WaitingExecution) -> Option<&(P, WaitingExecution)> {
        let mut rest = self.0.range((Excluded((part.clone(), one)), Unbounded));
        rest.next().filter(|(of, _)| of == part)
    }
}
