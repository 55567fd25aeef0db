//! One look at the line of a group: the executions that may start, in order.
//!
//! A look takes O(log n) steps for each execution that may start and for each part that it passes
//! over, n being those that wait. Of a limit it passes over:
//!
//! - the labels that a node holds together and that some selector begins with. Selectors that no node
//!   matches are not looked at beyond those;
//! - families (of one selector and one kind of need) that no node meets, though one matches the
//!   selector: at most as many as there are kinds of each selector;
//! - classes without an owner in a family of which nodes may own some: at most as many as the needs
//!   that nodes meet, which are looked up by name from then on;
//! - executions of families with an owner whose time came after the last entry: each of them. The start
//!   of the first one is an entry, which puts each of them in its place, once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use imbl::OrdMap;

use super::needs::{ClassFamily, OwnerNeeds, TaskOwners};
use super::ready::{NeedyExecution, ReadyExecutions};
use super::waiting::WaitingExecution;
use crate::domain::time::Timestamp;

/// What an execution is the first one of. The first one of a class is also that of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FirstOf {
    Class,
    /// A class that was looked up by name.
    NamedClass,
    Task,
    /// Only itself.
    Due,
    /// Only itself, and its time came after the last entry.
    Came,
}

/// An execution that is to be looked at.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    one: WaitingExecution,
    limit: u32,
    first_of: FirstOf,
    needs: OwnerNeeds,
}

/// One look.
pub(super) struct GroupLook<'a, O> {
    ready: &'a OrdMap<u32, ReadyExecutions>,
    now: Timestamp,
    owners: &'a O,
    /// What was not looked at yet: of each limit, and of each family, class and task that was looked
    /// at, no more than the first one.
    ahead: BTreeSet<Candidate>,
    /// The number of needs that nodes meet, by family.
    met: BTreeMap<ClassFamily, usize>,
    /// The classes without an owner that were passed over, by limit and family.
    passed: BTreeMap<(u32, ClassFamily), usize>,
}

impl<'a, O: TaskOwners> GroupLook<'a, O> {
    /// A look at those that wait, by limit.
    pub fn new(ready: &'a OrdMap<u32, ReadyExecutions>, now: Timestamp, owners: &'a O) -> Self {
        let (ahead, met, passed) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { ready, now, owners, ahead, met, passed }
    }

    /// Those that may start while this many run. `due` tells whether the time of one has come.
    pub fn next(
        mut self,
        running: u32,
        mut due: impl FnMut(WaitingExecution) -> bool,
    ) -> Vec<WaitingExecution> {
        let (mut next, mut taken, all) = (Vec::new(), running, self.ready);
        for (limit, ready) in all.range((Excluded(taken), Unbounded)) {
            for first in ready.first_held(self.owners) {
                self.add(*limit, FirstOf::Class, Some(first));
            }
            for family in ready.held_later(self.owners) {
                if self.met(&family.0) > 0 {
                    let came = ready.came_of(&family, self.now);
                    came.for_each(|one| self.add(*limit, FirstOf::Came, Some(one)));
                }
            }
        }
        while let Some(candidate) = self.ahead.pop_first() {
            let room = taken < candidate.limit;
            let Some(ready) = all.get(&candidate.limit).filter(|_| room) else { continue };
            if self.owned(&candidate, ready) {
                self.add_rest(&candidate, ready);
                if due(candidate.one) {
                    taken += 1;
                    next.push(candidate.one);
                }
            }
        }
        next
    }

    fn add(&mut self, limit: u32, first_of: FirstOf, one: Option<NeedyExecution>) {
        self.ahead.extend(one.map(|(one, needs)| Candidate { one, limit, first_of, needs }));
    }

    fn met(&mut self, needs: &OwnerNeeds) -> usize {
        let count = || self.owners.met_count(needs);
        *self.met.entry(ClassFamily(needs.clone())).or_insert_with(count)
    }

    /// Whether a node may own the task. Adds the first one of the next class.
    fn owned(&mut self, candidate: &Candidate, ready: &ReadyExecutions) -> bool {
        let Candidate { one, limit, first_of, needs } = candidate;
        if !matches!(first_of, FirstOf::Class | FirstOf::Came) {
            return true;
        }
        let met = self.met(needs);
        let owned = met == usize::MAX || (met > 0 && self.owners.has_owner(needs));
        if met > 0 && *first_of != FirstOf::Came {
            if owned || !self.pass(candidate, met) {
                self.add(*limit, FirstOf::Class, ready.next_class(*one, needs));
            } else {
                self.add_named(candidate, ready);
            }
        }
        owned
    }

    /// Passes over a class without an owner. True: over more of its family than nodes meet needs.
    fn pass(&mut self, candidate: &Candidate, met: usize) -> bool {
        let family = (candidate.limit, ClassFamily(candidate.needs.clone()));
        let passed = self.passed.entry(family).or_insert(0);
        *passed += 1;
        *passed > met
    }

    /// Adds the first ones of the classes with an owner that follow in the family.
    fn add_named(&mut self, candidate: &Candidate, ready: &ReadyExecutions) {
        let Candidate { one, limit, needs, .. } = candidate;
        let owners = self.owners;
        owners.each_met(needs, &mut |need| {
            let first = ready.first_after(*one, &needs.with(need));
            self.add(*limit, FirstOf::NamedClass, first);
        });
    }

    /// Adds the first one of the next task of the class, and the next one of the task.
    fn add_rest(&mut self, candidate: &Candidate, ready: &ReadyExecutions) {
        let Candidate { one, limit, first_of, needs } = candidate;
        let with = |one: WaitingExecution| (one, needs.clone());
        if *first_of <= FirstOf::Task {
            self.add(*limit, FirstOf::Task, ready.next_task(*one, needs).map(with));
        }
        if *first_of <= FirstOf::Due {
            self.add(*limit, FirstOf::Due, ready.next_of_task(*one).map(with));
        }
    }
}
