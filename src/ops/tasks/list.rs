//! Lists tasks.

use std::sync::Arc;

use crate::domain::ids::NodeId;
use crate::domain::machine::Task;
use crate::domain::time::Timestamp;
use crate::dto::{ListView, TaskView};
use crate::ops::context::{Context, StateView};
use crate::ops::kept::KeptOrder;
use crate::ops::lists::{PageRequest, SearchedPage, glob, prefix, search};
use crate::ops::words::task_state;
use crate::ops::{OpError, plans, views};

/// The order of a list of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskOrder {
    /// By name.
    Name,
    /// By next tick, soonest first.
    Next,
    /// By last execution, newest first.
    Last,
}

/// A page of the tasks that match a filter.
///
/// # Errors
/// `invalid_parameter`: the cursor does not belong to this list.
pub(crate) fn list(
    view: &StateView,
    filter: &TaskFilter,
    page: &PageRequest,
    order: TaskOrder,
) -> Result<ListView<TaskView>, OpError> {
    let key = match order {
        TaskOrder::Name => return Ok(by_name(view, filter, page)),
        TaskOrder::Next => next_key,
        TaskOrder::Last => last_key,
    };
    let after = page.after().map(SortedPlace::read).transpose()?;
    Ok(by_key(view, filter, page, after, key))
}

/// Which tasks are meant, by names and labels.
#[derive(Default)]
pub(crate) struct NamedTasks {
    /// Names and patterns, of which one must match. Empty: any name.
    pub names: Vec<String>,
    /// Required labels, with any value or with this one.
    pub labels: Vec<(String, Option<String>)>,
}

impl NamedTasks {
    /// What the names of all these tasks begin with.
    fn prefix(&self) -> &str {
        match self.names.as_slice() {
            [one] => prefix(one),
            _ => "",
        }
    }

    /// Whether this task is meant.
    pub fn fits(&self, task: &Task) -> bool {
        let label = |(key, value): &(String, Option<String>)| {
            let found = task.spec().and_then(|spec| spec.labels.get(key));
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        let name = &*task.live.name;
        (self.names.is_empty() || self.names.iter().any(|pattern| glob(pattern, name)))
            && self.labels.iter().all(label)
    }
}

/// A filter on tasks.
pub(crate) struct TaskFilter {
    /// The state of the task.
    pub status: Option<&'static str>,
    /// Their names and labels.
    pub named: NamedTasks,
    /// The owner of the task.
    pub owner: Option<NodeId>,
    /// Tasks marked deleted instead of others.
    pub deleted: bool,
}

impl TaskFilter {
    fn fits(&self, view: &StateView, task: &Task) -> bool {
        let owned = |node: NodeId| view.members.owner(task) == Some(node);
        task.live.deleted.is_some() == self.deleted
            && self.status.is_none_or(|status| task_state(task) == status)
            && self.named.fits(task)
            && self.owner.is_none_or(owned)
    }
}

fn by_name(view: &StateView, filter: &TaskFilter, page: &PageRequest) -> ListView<TaskView> {
    let after = page.after().unwrap_or_default();
    let tasks = view.state.by_prefix(filter.named.prefix(), after);
    let tasks = tasks.filter(|task| filter.fits(view, task));
    page.list(tasks, |task| task.live.name.to_string(), |task| views::task(view, task))
}

/// A page of a list for people, which takes a bounded time however many tasks there are: the search may
/// end before the page is full, and the order is that of the present, so a task that ticks between two
/// pages may be on both.
///
/// # Errors
/// `invalid_parameter`: the cursor does not belong to this list.
pub(crate) fn searched(
    context: &Context,
    view: &StateView,
    filter: &TaskFilter,
    (limit, after): (usize, Option<&str>),
    order: TaskOrder,
) -> Result<SearchedPage<TaskView>, OpError> {
    let show = |page: SearchedPage<&Arc<Task>>| SearchedPage {
        items: page.items.into_iter().map(|task| views::task(view, task)).collect(),
        next: page.next,
        unfinished: page.unfinished,
    };
    let order = match order {
        TaskOrder::Name => {
            let tasks = view.state.by_prefix(filter.named.prefix(), after.unwrap_or_default());
            let key = |task: &Arc<Task>| task.live.name.to_string();
            return Ok(show(search(tasks, limit, |task| filter.fits(view, task), key)));
        }
        TaskOrder::Next => KeptOrder::Next,
        TaskOrder::Last => KeptOrder::Last,
    };
    let place = |after: &str| {
        let (key, name) = after.split_once(' ')?;
        Some((key.parse().ok()?, Arc::from(name)))
    };
    let after = after.map(|after| place(after).ok_or_else(OpError::cursor)).transpose()?;
    Ok(context.kept.ordered(view, order, |tasks| {
        let key = |(key, task): (i64, &Arc<Task>)| format!("{key} {}", task.live.name);
        let page = search(tasks.after(after), limit, |(_, task)| filter.fits(view, task), key);
        let SearchedPage { items, next, unfinished } = page;
        let items = items.into_iter().map(|(_, task)| task).collect();
        show(SearchedPage { items, next, unfinished })
    }))
}

/// The position in a sorted list.
///
/// The sort keys of tasks change while a client reads the pages. Therefore all pages are sorted as
/// of one instant, which is part of the cursor: the timestamp of the log when the first page was
/// built. A task is on exactly one page unless it is created, changed, paused or removed in the
/// meantime. For the order `last`, its executions of that instant must still be stored.
struct SortedPlace {
    as_of: Timestamp,
    key: i64,
    name: String,
}

impl SortedPlace {
    fn read(cursor: &str) -> Result<Self, OpError> {
        let read = || {
            let mut parts = cursor.splitn(3, ' ');
            let as_of = Timestamp(parts.next()?.parse().ok()?);
            Some(Self { as_of, key: parts.next()?.parse().ok()?, name: parts.next()?.to_owned() })
        };
        read().ok_or_else(OpError::cursor)
    }
}

/// Sorts tasks by a key, and tasks with equal keys by name.
fn by_key(
    view: &StateView,
    filter: &TaskFilter,
    page: &PageRequest,
    after: Option<SortedPlace>,
    key: fn(&StateView, &Task, Timestamp) -> i64,
) -> ListView<TaskView> {
    let as_of = after.as_ref().map_or(view.state.cluster().stamp, |after| after.as_of);
    let tasks = view.state.by_name("").filter(|task| filter.fits(view, task));
    let mut keyed: Vec<(i64, &Arc<Task>)> =
        tasks.map(|task| (key(view, task, as_of), task)).collect();
    // The sort is stable, and the tasks are already sorted by name.
    keyed.sort_by_key(|(key, _)| *key);
    let behind = |(key, task): &(i64, &Arc<Task>)| {
        let place =
            |after: &SortedPlace| (*key, &*task.live.name) > (after.key, after.name.as_str());
        after.as_ref().is_none_or(place)
    };
    page.list(
        keyed.into_iter().filter(behind),
        |(key, task)| format!("{as_of} {key} {}", task.live.name, as_of = as_of.0),
        |(_, task)| views::task(view, task),
    )
}

/// Soonest first; tasks without a next tick come last.
fn next_key(view: &StateView, task: &Task, as_of: Timestamp) -> i64 {
    plans::next_tick_after(view, task, as_of).map_or(i64::MAX, |next| next.0)
}

/// Newest execution first; tasks without an execution come last.
fn last_key(_view: &StateView, task: &Task, as_of: Timestamp) -> i64 {
    let mut newest = task.history.executions.iter().rev();
    let newest = newest.find(|execution| execution.created_at <= as_of);
    newest.map_or(i64::MAX, |last| -last.created_at.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::machine::command::{Put, PutMode};
    use crate::domain::machine::envelope::{EntryHead, entry, pack};
    use crate::domain::machine::{Applied, Command, State};
    use crate::domain::schedule::{Rule, Schedule};
    use crate::domain::task::TaskSpec;

    fn state(names: &[String]) -> State {
        let mut bytes = Vec::new();
        for name in names {
            let spec = TaskSpec::new(name.clone(), Schedule::of(Rule::Manual), None);
            let put = Command::Put(Box::new(Put { mode: PutMode::Force, spec }));
            pack(&mut bytes, &put, "", None);
        }
        let mut state = State::default();
        let head = EntryHead { stamp: Timestamp(1), origin: 1, seq: 1 };
        state.apply(1, &entry(head, &bytes), &mut Applied::default()).unwrap();
        state
    }

    proptest! {
        #[test]
        fn a_search_by_prefix_finds_what_a_scan_finds(
            names in prop::collection::vec("[ab报-]{1,4}", 1..30),
            pattern in "[ab报*?-]{0,4}",
            after in "[ab报-]{0,3}",
        ) {
            let state = state(&names);
            let named = NamedTasks { names: vec![pattern.clone()], labels: Vec::new() };
            let found: Vec<&str> = state
                .by_prefix(named.prefix(), &after)
                .filter(|task| named.fits(task))
                .map(|task| &*task.live.name)
                .collect();
            let scanned: Vec<&str> = state
                .by_name("")
                .map(|task| &*task.live.name)
                .filter(|name| **name > *after && glob(&pattern, name))
                .collect();
            prop_assert_eq!(found, scanned);
        }
    }
}
