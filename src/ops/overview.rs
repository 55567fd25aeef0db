//! The state of all tasks at a glance: what needs attention, and the ticks of the last and of the
//! next hour.
//!
//! It is computed in one pass over all tasks, and kept. A page may be asked for many times a second,
//! and the pass costs about a microsecond a task and more where ticks are computed, so a new one
//! begins only after twenty times the duration of the last one, and at most once a second. Until it
//! ends the former one is shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::context::{Context, StateView};
use super::words::task_state;
use super::{OpError, plans, views, words};
use crate::domain::machine::Task;
use crate::domain::machine::record::{Execution, Status, Verdict};
use crate::domain::time::{Millis, Timestamp};
use crate::life;

/// What should have happened so long ago and has not needs attention.
const LATE: Millis = Millis::from_secs(10);
/// Tasks of one kind that are listed. The others are counted.
const LISTED: usize = 20;
/// Minutes of the past, and as many of the future.
pub(crate) const MINUTES: usize = 60;
const MINUTE: Millis = Millis::from_secs(60);
/// The next ticks that are listed.
const NEXT: usize = 20;
/// Ticks of a task that are counted one by one in a minute.
const COUNTED: u64 = 600;
/// Executions of the past hour that are looked at.
const EXECUTIONS: usize = 20_000;
/// The shortest time between two passes.
const SHORTEST: Duration = Duration::from_secs(1);
/// A pass takes at most this part of the time.
const REST: u32 = 20;

/// Why a task or a node needs attention, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AttentionKind {
    /// Its last execution that ended failed.
    Failing,
    /// One of its ticks has been due for some time and has no verdict.
    Late,
    /// No node can own it.
    NoOwner,
    /// No executor takes one of its executions.
    WaitsForExecutor,
    /// An execution waits although its time has come, or runs longer than its timeout.
    Stuck,
    /// Somebody changed what came from files.
    Drifted,
}

/// A task that needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskAttention {
    /// Why.
    pub kind: AttentionKind,
    /// The task.
    pub task: Arc<str>,
    /// The execution, if it is about one.
    pub execution: Option<String>,
    /// The tick, or since when.
    pub at: Option<Timestamp>,
    /// More about it, in English.
    pub detail: String,
}

/// What became of the ticks and triggers of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MinuteCounts {
    /// Executions that ended well.
    pub success: u64,
    /// Executions that failed, took too long or were lost.
    pub failed: u64,
    /// Executions that were stopped.
    pub cancelled: u64,
    /// Executions that wait or run.
    pub live: u64,
    /// Ticks that were skipped.
    pub skipped: u64,
    /// Ticks that were missed.
    pub missed: u64,
    /// Ticks for which a later one fired.
    pub coalesced: u64,
}

/// A tick to come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UpcomingTick {
    /// When.
    pub at: Timestamp,
    /// The task.
    pub task: Arc<str>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overview {
    /// When it was computed.
    pub now: Timestamp,
    /// How many tasks there are in each state.
    pub states: BTreeMap<&'static str, u64>,
    /// What needs attention, at most some of each kind.
    pub attention: Vec<TaskAttention>,
    /// How many tasks need attention, of each kind.
    pub attention_counts: BTreeMap<AttentionKind, u64>,
    /// The last hour by minute, oldest first. The last one is the present minute.
    pub past: Vec<MinuteCounts>,
    /// Earlier minutes are not known, because too much happened since.
    pub past_from: Option<Timestamp>,
    /// Ticks of the next hour by minute, from the present one on.
    pub ahead: Vec<u64>,
    /// The next ticks.
    pub next: Vec<UpcomingTick>,
    /// For each task that the ends of others start: those others.
    pub starters: BTreeMap<String, Vec<Arc<str>>>,
}

impl Overview {
    /// Tasks that are not marked deleted.
    pub fn tasks(&self) -> u64 {
        self.states.iter().filter(|(state, _)| **state != "deleted").map(|(_, count)| count).sum()
    }

    /// How many tasks need attention.
    pub fn needing(&self) -> u64 {
        self.attention_counts.values().sum()
    }
}

/// The newest overview of a node.
#[derive(Default)]
pub struct KeptOverview(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    overview: Option<Arc<Overview>>,
    /// When another pass may begin.
    next: Option<Instant>,
    running: bool,
}

/// An overview that is at most some seconds old.
///
/// # Errors
/// `too_busy`.
pub(crate) async fn of(context: &Arc<Context>, view: &StateView) -> Result<Arc<Overview>, OpError> {
    let (known, begin) = {
        let mut kept = context.overview.0.lock();
        let due = kept.next.is_none_or(|next| next <= Instant::now());
        let begin = due && !kept.running;
        kept.running |= begin;
        (kept.overview.clone(), begin)
    };
    match (known, begin) {
        (Some(known), false) => Ok(known),
        (Some(known), true) => {
            let (context, view) = (Arc::clone(context), view.clone());
            drop(life::spawn(async move {
                let _refused = pass(&context, view).await;
            }));
            Ok(known)
        }
        // The first one is waited for; who asks at the same moment computes it too.
        (None, _) => pass(context, view.clone()).await,
    }
}

async fn pass(context: &Arc<Context>, view: StateView) -> Result<Arc<Overview>, OpError> {
    let begun = Instant::now();
    let made = context.scans.run(move || Arc::new(compute(&view))).await;
    let mut kept = context.overview.0.lock();
    kept.running = false;
    kept.next = Some(Instant::now() + SHORTEST.max(begun.elapsed() * REST));
    let made = made?;
    kept.overview = Some(Arc::clone(&made));
    Ok(made)
}

/// Computes an overview.
fn compute(view: &StateView) -> Overview {
    let mut made = Overview {
        now: view.now,
        past: vec![MinuteCounts::default(); MINUTES],
        ahead: vec![0; MINUTES],
        ..Overview::default()
    };
    for task in view.state.tasks() {
        *made.states.entry(task_state(task)).or_default() += 1;
        if task.live.deleted.is_some() {
            continue;
        }
        let first = ahead(view, task, &mut made);
        for item in attention(view, task, first) {
            let count = made.attention_counts.entry(item.kind).or_default();
            *count += 1;
            if *count <= LISTED as u64 {
                made.attention.push(item);
            }
        }
        spans(view, task, &mut made);
        for (_, started) in task.spec().into_iter().flat_map(|spec| spec.then.names()) {
            let starters = made.starters.entry(started.to_owned()).or_default();
            starters.push(Arc::clone(&task.live.name));
            starters.dedup();
        }
    }
    made.attention.sort_by(|a, b| (a.kind, &a.task).cmp(&(b.kind, &b.task)));
    made.next.sort();
    made.next.truncate(NEXT);
    executions(view, &mut made);
    made
}

/// The minute of the past in which an instant lies.
fn minute(now: Timestamp, at: Timestamp) -> Option<usize> {
    let back = usize::try_from(minute_of(now) - minute_of(at)).ok()?;
    (back < MINUTES).then(|| MINUTES - 1 - back)
}

/// The number of the minute of an instant.
const fn minute_of(at: Timestamp) -> i64 {
    at.0.div_euclid(MINUTE.0.cast_signed())
}

/// Counts the ticks of a task that will fire within the next hour. The answer is its first tick
/// without a verdict, if it would fire.
fn ahead(view: &StateView, task: &Task, made: &mut Overview) -> Option<Timestamp> {
    let held = task.inactive().is_some() || task.progress.exhausted || task.used_up();
    if held || !view.state.cluster().scheduler {
        return None;
    }
    let plan = plans::current(&view.state, task)?;
    let first = plan.next_open(view.state.settled(task))?;
    let next = if first > view.now { first } else { plan.next_open(view.now)? };
    offer(&mut made.next, UpcomingTick { at: next, task: Arc::clone(&task.live.name) });
    let one = task.spec().is_some_and(|spec| spec.one_shot);
    let begin = minute_of(view.now);
    let mut at = next;
    while let Ok(index) = usize::try_from(minute_of(at) - begin) {
        let Some(minute) = made.ahead.get_mut(index) else { break };
        let end = Timestamp((minute_of(at) + 1) * MINUTE.0.cast_signed()).minus(Millis(1));
        let count = plan.count_between(at.minus(Millis(1)), end, COUNTED).unwrap_or(COUNTED);
        *minute += if one { 1 } else { count };
        match plan.next_open(end).filter(|_| !one) {
            Some(next) => at = next,
            None => break,
        }
    }
    Some(first)
}

/// Keeps the next ticks only, without sorting all of them.
fn offer(next: &mut Vec<UpcomingTick>, tick: UpcomingTick) {
    next.push(tick);
    if next.len() >= NEXT * 50 {
        next.sort();
        next.truncate(NEXT);
    }
}

/// Counts the ticks of the last hour that did not fire.
fn spans(view: &StateView, task: &Task, made: &mut Overview) {
    let since = view.now.minus(Millis(MINUTE.0 * MINUTES as u64));
    for span in task.history.spans.iter().rev().take_while(|span| span.to > since) {
        let Some(index) = minute(view.now, span.to) else { continue };
        let Some(counts) = made.past.get_mut(index) else { continue };
        // A span whose ticks nobody counted has at least one.
        let count = span.count.unwrap_or(1);
        match span.verdict {
            Verdict::Missed => counts.missed += count,
            Verdict::Coalesced => counts.coalesced += count,
            Verdict::Skipped | Verdict::Fired => counts.skipped += count,
        }
    }
}

/// Counts the executions of the last hour.
fn executions(view: &StateView, made: &mut Overview) {
    let newest = crate::domain::ids::ExecutionId(u64::MAX);
    let since = view.now.minus(Millis(MINUTE.0 * MINUTES as u64));
    for (seen, (_, execution)) in view.state.executions_before(newest).enumerate() {
        if execution.created_at < since {
            return;
        }
        if seen == EXECUTIONS {
            made.past_from = Some(execution.created_at);
            return;
        }
        let at = execution.due.min(view.now);
        let Some(counts) = minute(view.now, at).and_then(|index| made.past.get_mut(index)) else {
            continue;
        };
        match execution.status {
            Status::Success => counts.success += 1,
            Status::Failed | Status::Timeout | Status::Lost => counts.failed += 1,
            Status::Cancelled => counts.cancelled += 1,
            Status::Pending | Status::Running => counts.live += 1,
        }
    }
}

/// Why a task needs attention. `first`: its first tick without a verdict, if it would fire.
fn attention(view: &StateView, task: &Task, first: Option<Timestamp>) -> Vec<TaskAttention> {
    let mut found = Vec::new();
    let mut add = |kind, execution: Option<&Execution>, at, detail| {
        let execution = execution.map(|execution| execution.id.to_string());
        found.push(TaskAttention {
            kind,
            task: Arc::clone(&task.live.name),
            execution,
            at,
            detail,
        });
    };
    if let Some(failed) = failing(task) {
        let status = words::status(failed.status).to_owned();
        add(AttentionKind::Failing, Some(failed), Some(failed.tick.unwrap_or(failed.due)), status);
    }
    if let Some(first) = first.filter(|first| first.plus(LATE) < view.now) {
        add(AttentionKind::Late, None, Some(first), String::new());
    }
    let active = task_state(task) == "active" && task.spec().is_some_and(|spec| spec.enabled);
    if active && view.members.owner(task).is_none() {
        let detail = task.spec().map(|spec| super::eligibility::nobody(&view.state, spec));
        add(AttentionKind::NoOwner, None, None, detail.unwrap_or_default());
    }
    if let Some(wait) = views::executor_wait(view, task)
        && wait.since.0.plus(LATE) < view.now
    {
        let found =
            task.history.executions.iter().find(|one| one.id.to_string() == wait.execution_id);
        add(AttentionKind::WaitsForExecutor, found, Some(wait.since.0), wait.detail);
    } else if let Some(live) = task.live_executions().next()
        && let Some(detail) = stuck(task, live, view.now)
    {
        add(AttentionKind::Stuck, Some(live), Some(live.attempt_due()), detail);
    }
    if views::drifted(&view.state, task) {
        add(AttentionKind::Drifted, None, None, String::new());
    }
    found
}

/// The execution that ended last, if it failed and nobody has seen to it.
fn failing(task: &Task) -> Option<&Execution> {
    let last = task.history.executions.iter().rev().find(|one| one.status.ended())?;
    (last.status.failure() && !last.dismissed()).then_some(last)
}

/// Why the oldest live execution should have come further by now.
fn stuck(task: &Task, live: &Execution, now: Timestamp) -> Option<String> {
    let due = live.attempt_due();
    let held = live.tick.is_some() && task_state(task) != "active";
    if live.status == Status::Pending {
        return (due.plus(LATE) < now && !held).then(|| "pending".to_owned());
    }
    let spec = task.spec()?;
    let timeout = spec.timeout;
    let over = timeout.0 > 0 && due.plus(timeout).plus(spec.kill_grace).plus(LATE) < now;
    over.then(|| format!("timeout {timeout}"))
}
