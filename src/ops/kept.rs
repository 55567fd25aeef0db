//! What would need a look at all tasks for each request: how many each node owns, their orders by next
//! tick and by last execution, and the first tick of each that has no verdict.
//!
//! It is computed once and then follows the state: two frozen states share the pages of tasks that did
//! not change between them, so that what changed is found without a look at the rest. What nobody has
//! asked for during some minutes is forgotten, with the state that it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::context::{Context, StateView};
use super::week::{self, WeekTicks};
use super::{OpError, plans};
use crate::domain::ids::NodeId;
use crate::domain::machine::{State, Task};
use crate::domain::schedule::calendar::CalendarRecord;
use crate::domain::time::{Millis, Timestamp};
use crate::life;

/// What is asked for less often is computed anew.
const IDLE: Duration = Duration::from_secs(60);
/// Of requests at the same time one may come later with an earlier time.
const SLACK: Millis = Millis::from_secs(5);
/// Weeks that are kept: they begin with the day of their viewer's zone.
const WEEKS: usize = 8;
/// A count of a week is good for so many times the time that it took.
const WEEK_REST: u32 = 20;

/// See the module.
#[derive(Default)]
pub struct KeptTasks {
    counts: KeptPlace<OwnedCounts>,
    next: KeptPlace<TasksInOrder>,
    last: KeptPlace<TasksInOrder>,
    first: KeptPlace<FirstTicks>,
    week: KeptPlace<Vec<KeptWeek>>,
}

/// An order of all tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptOrder {
    /// By next tick, soonest first. Those without one come last.
    Next,
    /// By last execution, newest first. Those without one come last.
    Last,
}

impl KeptTasks {
    /// The tasks in an order, as of a state. The look at them is short: others wait for it.
    pub(crate) fn ordered<T>(
        &self,
        view: &StateView,
        order: KeptOrder,
        look: impl FnOnce(&TasksInOrder) -> T,
    ) -> T {
        let place = match order {
            KeptOrder::Next => &self.next,
            KeptOrder::Last => &self.last,
        };
        let follow = |known: Option<TasksInOrder>| match known {
            Some(known) if known.rules.hold_in(view) => known.follow(view),
            _ => TasksInOrder::of(view, order),
        };
        place.with(follow, look)
    }

    /// The ticks of a week. They are counted again after twenty times as long as that took.
    pub(crate) fn week(&self, view: &StateView, bounds: &[Timestamp]) -> WeekTicks {
        let mut asked = None;
        let follow = |known: Option<Vec<KeptWeek>>| {
            let mut known = known.unwrap_or_default();
            known.retain(|week| week.until > Instant::now());
            asked = known.iter().find(|week| week.bounds == bounds).map(|week| week.ticks.clone());
            if asked.is_none() {
                let begun = Instant::now();
                let ticks = week::count(view, bounds);
                let until = Instant::now() + begun.elapsed() * WEEK_REST;
                asked = Some(ticks.clone());
                known.truncate(WEEKS - 1);
                known.push(KeptWeek { bounds: bounds.to_vec(), ticks, until });
            }
            known
        };
        self.week.with(follow, |_known| ());
        asked.unwrap_or_default()
    }

    /// The first ticks of all tasks, as of a state. One at a time looks at them.
    pub(crate) fn first_ticks<T>(
        &self,
        view: &StateView,
        look: impl FnOnce(&FirstTicks) -> T,
    ) -> T {
        let follow = |known: Option<FirstTicks>| match known {
            Some(known) if known.rules.hold_in(view) => known.follow(view),
            _ => FirstTicks::of(view),
        };
        self.first.with(follow, look)
    }
}

/// How many tasks each node owns, and how many there are that are not marked deleted.
///
/// # Errors
/// `too_busy`.
pub(crate) async fn owned(
    context: &Context,
    view: &StateView,
) -> Result<(BTreeMap<NodeId, u64>, u64), OpError> {
    let (place, view) = (context.kept.counts.clone(), view.clone());
    let look = |counts: &OwnedCounts| (counts.owned.clone(), counts.tasks);
    let follow = move |known: Option<OwnedCounts>| match known {
        Some(known) if view.members.give_as(&known.view.members) => known.follow(view),
        _ => OwnedCounts::of(view),
    };
    context.scans.run(move || place.with(follow, look)).await
}

/// Where something is kept.
struct KeptPlace<T>(Arc<Mutex<PlaceContent<T>>>);

struct PlaceContent<T> {
    known: Option<T>,
    /// Whether it was asked for since the last look.
    used: bool,
    /// Whether somebody looks.
    watched: bool,
}

impl<T> Default for KeptPlace<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(PlaceContent { known: None, used: false, watched: false })))
    }
}

impl<T> Clone for KeptPlace<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static> KeptPlace<T> {
    fn with<V>(&self, follow: impl FnOnce(Option<T>) -> T, look: impl FnOnce(&T) -> V) -> V {
        let mut content = self.0.lock();
        let known = follow(content.known.take());
        let seen = look(&known);
        content.known = Some(known);
        content.used = true;
        if !std::mem::replace(&mut content.watched, true) {
            drop(life::spawn(self.clone().forget()));
        }
        seen
    }

    /// Forgets it when nobody asks for it any more.
    async fn forget(self) {
        loop {
            sleep(IDLE).await;
            let place = self.clone();
            // Somebody may look at it for some time, and to give back much takes time too.
            let forgotten = life::blocking(move || {
                let mut content = place.0.lock();
                if std::mem::replace(&mut content.used, false) {
                    return false;
                }
                content.watched = false;
                let former = content.known.take();
                drop(content);
                drop(former);
                true
            });
            if forgotten.await.unwrap_or(true) {
                return;
            }
        }
    }
}

/// The ticks of the hours of a week.
struct KeptWeek {
    bounds: Vec<Timestamp>,
    ticks: WeekTicks,
    until: Instant,
}

/// How many tasks each node owns.
struct OwnedCounts {
    view: StateView,
    owned: BTreeMap<NodeId, u64>,
    tasks: u64,
}

impl OwnedCounts {
    fn of(view: StateView) -> Self {
        let mut counts = Self { view, owned: BTreeMap::new(), tasks: 0 };
        let view = counts.view.clone();
        view.state.tasks().for_each(|task| counts.count(task, true));
        counts
    }

    /// The members of both states give each task to the same node.
    fn follow(mut self, view: StateView) -> Self {
        for (_, former, task) in view.state.changed_tasks(&self.view.clone().state) {
            former.into_iter().for_each(|task| self.count(task, false));
            task.into_iter().for_each(|task| self.count(task, true));
        }
        self.view = view;
        self
    }

    fn count(&mut self, task: &Task, more: bool) {
        if task.live.deleted.is_some() {
            return;
        }
        let add = |count: &mut u64| {
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
        };
        add(&mut self.tasks);
        if let Some(owner) = self.view.members.owner(task) {
            let count = self.owned.entry(owner).or_default();
            add(count);
            if *count == 0 {
                self.owned.remove(&owner);
            }
        }
    }
}

/// What the ticks of a task depend on beside itself.
struct TickRules {
    scheduler: bool,
    timezone: String,
    calendars: Vec<Arc<CalendarRecord>>,
    /// As of then. The clock may have been set back since.
    now: Timestamp,
}

impl TickRules {
    fn of(view: &StateView) -> Self {
        let cluster = view.state.cluster();
        let (scheduler, timezone) = (cluster.scheduler, cluster.timezone.clone());
        let calendars = view.state.calendars().cloned().collect();
        Self { scheduler, timezone, calendars, now: view.now }
    }

    /// Whether the ticks of a task that has not changed are the same in a later state.
    fn hold_in(&self, view: &StateView) -> bool {
        let cluster = view.state.cluster();
        self.scheduler == cluster.scheduler
            && self.timezone == cluster.timezone
            && self.calendars.iter().eq(view.state.calendars())
            && self.now.minus(SLACK) <= view.now
    }
}

/// The first tick of each task that has no verdict, and when it is due, if it would fire.
pub(crate) struct FirstTicks {
    state: State,
    rules: TickRules,
    /// By slot: due, and the tick.
    first: Vec<Option<(Timestamp, Timestamp)>>,
}

impl FirstTicks {
    fn of(view: &StateView) -> Self {
        let (state, rules) = (view.state.clone(), TickRules::of(view));
        let mut ticks = Self { state, rules, first: Vec::new() };
        view.state.tasks().for_each(|task| ticks.put(view, task));
        ticks
    }

    fn follow(mut self, view: &StateView) -> Self {
        let former = std::mem::replace(&mut self.state, view.state.clone());
        for (slot, _, task) in view.state.changed_tasks(&former) {
            match task {
                Some(task) => self.put(view, task),
                None => self.first.get_mut(slot).into_iter().for_each(|first| *first = None),
            }
        }
        self.rules.now = self.rules.now.max(view.now);
        self
    }

    fn put(&mut self, view: &StateView, task: &Task) {
        let slot = task.key.slot();
        if self.first.len() <= slot {
            self.first.resize(slot + 1, None);
        }
        let ticks = plans::firing(view, task);
        let first = ticks.and_then(|ticks| {
            let first = ticks.from(Timestamp(i64::MIN)).next()?;
            Some((ticks.plan.due(first), first))
        });
        if let Some(place) = self.first.get_mut(slot) {
            *place = first;
        }
    }

    /// The first tick of a task and when it is due, as it was when the task was changed: those before the
    /// floor of the cluster may have got a verdict since.
    pub(crate) fn of_task(&self, task: &Task) -> Option<(Timestamp, Timestamp)> {
        self.first.get(task.key.slot()).copied().flatten()
    }
}

/// All tasks in an order.
pub(crate) struct TasksInOrder {
    order: KeptOrder,
    view: StateView,
    rules: TickRules,
    /// By slot.
    keys: Vec<Option<i64>>,
    sorted: BTreeSet<(i64, Arc<str>)>,
}

impl TasksInOrder {
    fn of(view: &StateView, order: KeptOrder) -> Self {
        let (keys, sorted) = (Vec::new(), BTreeSet::new());
        let mut new = Self { order, view: view.clone(), rules: TickRules::of(view), keys, sorted };
        for task in view.state.tasks() {
            new.put(task);
        }
        new
    }

    fn follow(mut self, view: &StateView) -> Self {
        let former = std::mem::replace(&mut self.view, view.clone());
        self.rules.now = self.rules.now.max(view.now);
        for (slot, former, task) in view.state.changed_tasks(&former.state) {
            if let Some(former) = former {
                self.take(slot, &former.live.name);
            }
            if let Some(task) = task {
                self.put(task);
            }
        }
        if self.order == KeptOrder::Next {
            self.pass(view);
        }
        self
    }

    /// Looks for the next tick of those whose next one has passed.
    fn pass(&mut self, view: &StateView) {
        let now = view.now.max(view.state.cluster().floor).0;
        let passed = self.sorted.iter().take_while(|(key, _)| *key <= now);
        let passed: Vec<Arc<str>> = passed.map(|(_, name)| Arc::clone(name)).collect();
        for name in passed {
            if let Some(task) = view.state.named(&name) {
                self.take(task.key.slot(), &name);
                self.put(task);
            }
        }
    }

    fn take(&mut self, slot: usize, name: &Arc<str>) {
        if let Some(key) = self.keys.get_mut(slot).and_then(Option::take) {
            self.sorted.remove(&(key, Arc::clone(name)));
        }
    }

    fn put(&mut self, task: &Task) {
        let key = match self.order {
            KeptOrder::Next => plans::next_tick(&self.view, task).map(|at| at.0),
            KeptOrder::Last => task.history.executions.back().map(|last| -last.created_at.0),
        };
        let (key, slot) = (key.unwrap_or(i64::MAX), task.key.slot());
        if self.keys.len() <= slot {
            self.keys.resize(slot + 1, None);
        }
        if let Some(place) = self.keys.get_mut(slot) {
            *place = Some(key);
            self.sorted.insert((key, Arc::clone(&task.live.name)));
        }
    }

    /// The tasks behind a place, each with its key.
    pub(crate) fn after(
        &self,
        place: Option<(i64, Arc<str>)>,
    ) -> impl Iterator<Item = (i64, &Arc<Task>)> {
        let begin = place.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.sorted.range((begin, Bound::Unbounded));
        names.filter_map(|(key, name)| Some((*key, self.view.state.named(name)?)))
    }
}

#[cfg(test)]
mod tests;
