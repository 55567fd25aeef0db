//! What became of the ticks of one minute of the past, or the tasks that tick in one to come.

use std::sync::Arc;

use super::context::StateView;
use super::queue::QueuePositions;
use super::{views, week, words};
use crate::domain::ids::ExecutionId;
use crate::domain::time::{Millis, Timestamp};
use crate::dto::ExecutionView;

/// Executions and spans that are listed.
const LISTED: usize = 50;
/// Executions that are looked at.
const LOOKED_AT: usize = 50_000;
/// An owner claims a tick at most so long before it is due.
const EARLY: Millis = Millis::from_secs(60);
const MINUTE: Millis = Millis::from_secs(60);

/// Ticks of a task that did not fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnfiredTicks {
    /// The task.
    pub task: Arc<str>,
    /// What became of them.
    pub verdict: &'static str,
    /// Why.
    pub reason: &'static str,
    /// How many, if it is known.
    pub count: Option<u64>,
    /// The last one.
    pub to: Timestamp,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct MinuteTicks {
    /// Its beginning.
    pub from: Timestamp,
    /// Executions that were due in it, newest first, at most some.
    pub executions: Vec<ExecutionView>,
    /// Ticks that did not fire and whose span ends in it, at most some.
    pub unfired: Vec<UnfiredTicks>,
    /// Tasks that tick in what is left of it, with the number of ticks, most first, at most some.
    pub ahead: Vec<(String, u64)>,
    /// How many tasks, executions and spans are not listed.
    pub more: u64,
    /// Whether there were too many executions since to look at all of them.
    pub partial: bool,
}

/// The ticks of the minute in which an instant lies.
pub(crate) fn of(view: &StateView, at: Timestamp) -> MinuteTicks {
    let from = Timestamp(at.0 - at.0.rem_euclid(MINUTE.0.cast_signed()));
    let to = from.plus(MINUTE);
    let mut found = MinuteTicks {
        from,
        executions: Vec::new(),
        unfired: Vec::new(),
        ahead: Vec::new(),
        more: 0,
        partial: false,
    };
    if to > view.now {
        let (listed, all) = week::of_hour(view, from, to);
        found.more += (all - listed.len()) as u64;
        found.ahead = listed;
    }
    if from <= view.now {
        executions(view, (from, to), &mut found);
        unfired(view, (from, to), &mut found);
    }
    found
}

fn executions(view: &StateView, (from, to): (Timestamp, Timestamp), found: &mut MinuteTicks) {
    let mut queues = QueuePositions::new(&view.state);
    let newest = view.state.executions_before(ExecutionId(u64::MAX));
    for (seen, (task, execution)) in newest.enumerate() {
        if execution.created_at < from.minus(EARLY) {
            return;
        }
        if seen == LOOKED_AT {
            found.partial = true;
            return;
        }
        let due = execution.due.min(view.now);
        if due < from || due >= to {
            continue;
        }
        if found.executions.len() < LISTED {
            found.executions.push(views::queued(&mut queues, task, execution));
        } else {
            found.more += 1;
        }
    }
}

fn unfired(view: &StateView, (from, to): (Timestamp, Timestamp), found: &mut MinuteTicks) {
    for task in view.state.tasks() {
        let spans = task.history.spans.iter().rev().take_while(|span| span.to >= from);
        for span in spans.filter(|span| span.to < to) {
            if found.unfired.len() == LISTED {
                found.more += 1;
                continue;
            }
            found.unfired.push(UnfiredTicks {
                task: Arc::clone(&task.live.name),
                verdict: words::verdict(span.verdict),
                reason: words::reason(span.reason),
                count: span.count,
                to: span.to,
            });
        }
    }
}
