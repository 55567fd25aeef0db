//! The state of all tasks at a glance: what needs attention, and the ticks of the last and of the
//! next hour.
//!
//! It is computed in one pass over all tasks, and kept. A page may be asked for many times a second,
//! and the pass costs about a microsecond a task and more where ticks are computed, so a new one
//! begins only after twenty times the duration of the last one, and at most once a second. Until it
//! ends the former one is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::attention::{self, AttentionKind, TaskAttention};
use super::bars::{self, ExecutionBar};
use super::context::{Context, StateView};
use super::kept::FirstTicks;
use super::queue::QueuePositions;
use super::words::task_state;
use super::{OpError, plans};
use crate::domain::machine::Task;
use crate::domain::machine::record::{Status, Verdict};
use crate::domain::time::{Millis, Timestamp};
use crate::life;

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
/// Executions that were made so long before the hour are not looked at, unless they run.
const EARLIER: Millis = Millis::from_secs(24 * 3_600);
/// Who can do without an overview waits for it so long.
const SOON: Duration = Duration::from_millis(200);
/// Between two looks whether the first overview is there.
const LOOK: Duration = Duration::from_millis(20);
/// The shortest time between two passes.
const SHORTEST: Duration = Duration::from_secs(1);
/// A pass takes at most this part of the time.
const REST: u32 = 20;
/// An overview that is older is not shown if another one can be had; with many tasks: one that is older
/// than so many passes take.
const OLD: Millis = Millis::from_secs(10);
const OLD_PASSES: u32 = REST + REST / 2;

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
    /// How many tasks need attention for each reason.
    pub attention_counts: BTreeMap<AttentionKind, u64>,
    /// How many tasks need attention.
    pub needing: u64,
    /// The last hour by minute, oldest first. The last one is the present minute.
    pub past: Vec<MinuteCounts>,
    /// Earlier minutes are not known, because too much happened since.
    pub past_from: Option<Timestamp>,
    /// Executions of the last hour that took long, in lanes.
    pub bars: Vec<ExecutionBar>,
    /// How many of them found no lane.
    pub more_bars: u64,
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
    /// How long the last pass took.
    took: Duration,
}

/// The newest overview. If it is old because nobody asked for one, another is waited for; while many
/// ask, it is at most a second and twenty times the duration of a pass old.
///
/// # Errors
/// `too_busy`.
pub(crate) async fn of(context: &Arc<Context>, view: &StateView) -> Result<Arc<Overview>, OpError> {
    let (known, begin, took) = {
        let mut kept = context.overview.0.lock();
        let due = kept.next.is_none_or(|next| next <= Instant::now());
        let begin = due && !kept.running;
        kept.running |= begin;
        (kept.overview.clone(), begin, kept.took)
    };
    let passes = u64::try_from((took * OLD_PASSES).as_millis()).unwrap_or(u64::MAX);
    let old = OLD.max(Millis(passes));
    let young = |known: &Arc<Overview>| view.now.since(known.now) < old;
    match known {
        Some(known) if !begin => Ok(known),
        Some(known) if young(&known) => {
            let (context, view) = (Arc::clone(context), view.clone());
            drop(life::spawn(async move {
                let _refused = pass(&context, view).await;
            }));
            Ok(known)
        }
        None if !begin => match first(context).await {
            Some(made) => Ok(made),
            // The pass that ran was refused.
            None => pass(context, view.clone()).await,
        },
        _ => pass(context, view.clone()).await,
    }
}

/// Waits for the first overview, which another one computes.
async fn first(context: &Context) -> Option<Arc<Overview>> {
    loop {
        {
            let kept = context.overview.0.lock();
            if kept.overview.is_some() || !kept.running {
                return kept.overview.clone();
            }
        }
        sleep(LOOK).await;
    }
}

/// The newest overview, if it can be had at once; the first one of many tasks takes seconds.
pub(crate) async fn soon(context: &Arc<Context>, view: &StateView) -> Option<Arc<Overview>> {
    let (context, view) = (Arc::clone(context), view.clone());
    let made = life::spawn(async move { of(&context, &view).await });
    timeout(SOON, made).await.ok()?.ok()?.ok()
}

async fn pass(context: &Arc<Context>, view: StateView) -> Result<Arc<Overview>, OpError> {
    let _begun = RunningPass(context);
    let shared = Arc::clone(context);
    let timed = move || {
        // The first ticks take long once, and follow the state from then on.
        shared.kept.first_ticks(&view, |first| {
            let begun = Instant::now();
            (Arc::new(compute(&view, first)), begun.elapsed())
        })
    };
    let (made, took) = context.scans.run(timed).await?;
    let mut kept = context.overview.0.lock();
    kept.next = Some(Instant::now() + SHORTEST.max(took * REST));
    kept.took = took;
    kept.overview = Some(Arc::clone(&made));
    Ok(made)
}

/// A pass that runs. It is over when this is dropped, also if who asked for it has gone.
struct RunningPass<'a>(&'a Context);

impl Drop for RunningPass<'_> {
    fn drop(&mut self) {
        let mut kept = self.0.overview.0.lock();
        kept.running = false;
        kept.next = kept.next.max(Some(Instant::now() + SHORTEST));
    }
}

/// Computes an overview.
fn compute(view: &StateView, first: &FirstTicks) -> Overview {
    let mut made = Overview {
        now: view.now,
        past: vec![MinuteCounts::default(); MINUTES],
        ahead: vec![0; MINUTES],
        ..Overview::default()
    };
    let mut queues = QueuePositions::new(&view.state);
    for task in view.state.tasks() {
        *made.states.entry(task_state(task)).or_default() += 1;
        if task.live.deleted.is_some() {
            continue;
        }
        let first = ahead(view, task, first.of_task(task), &mut made);
        let found = attention::of(view, task, first, &mut queues);
        made.needing += u64::from(!found.is_empty());
        for item in found {
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

/// Counts the ticks of a task that will fire within the next hour. The answer is when its first tick
/// without a verdict is due, if it would fire, and that tick. `known` is the same, unless it lies before
/// the floor of the cluster.
fn ahead(
    view: &StateView,
    task: &Task,
    known: Option<(Timestamp, Timestamp)>,
    made: &mut Overview,
) -> Option<(Timestamp, Timestamp)> {
    let (_, tick) = known?;
    // Most tasks of many tick later: their plans are not needed.
    let hour =
        view.now.max(view.state.cluster().floor).plus(Millis(MINUTE.0 * (MINUTES as u64 + 1)));
    if tick > hour {
        offer(&mut made.next, UpcomingTick { at: tick, task: Arc::clone(&task.live.name) });
        return known;
    }
    let ticks = plans::firing(view, task)?;
    let first = ticks.from(Timestamp(i64::MIN)).next()?;
    let due = ticks.plan.due(first);
    let mut next = ticks.from(view.now);
    let Some(mut at) = next.next() else { return Some((due, first)) };
    offer(&mut made.next, UpcomingTick { at, task: Arc::clone(&task.live.name) });
    let begin = minute_of(view.now);
    let countable = ticks.countable(task);
    while let Ok(index) = usize::try_from(minute_of(at) - begin) {
        let Some(minute) = made.ahead.get_mut(index) else { break };
        let following = if countable {
            let end = Timestamp((minute_of(at) + 1) * MINUTE.0.cast_signed()).minus(Millis(1));
            let count = ticks.plan.count_between(at.minus(Millis(1)), end, COUNTED);
            *minute += count.unwrap_or(COUNTED);
            ticks.plan.next_open(end)
        } else {
            *minute += 1;
            next.next()
        };
        let Some(following) = following else { break };
        at = following;
    }
    Some((due, first))
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

/// Counts the executions of the last hour, and finds those that took long. One that was made earlier
/// may have run within it.
fn executions(view: &StateView, made: &mut Overview) {
    let newest = crate::domain::ids::ExecutionId(u64::MAX);
    let since = view.now.minus(Millis(MINUTE.0 * MINUTES as u64));
    let mut live = BTreeSet::new();
    for task in view.state.busy_tasks() {
        for execution in task.live_executions() {
            made.bars.extend(bars::of(view, since, task, execution));
            live.insert(execution.id);
        }
    }
    for (seen, (task, execution)) in view.state.executions_before(newest).enumerate() {
        if seen == EXECUTIONS || execution.created_at < since.minus(EARLIER) {
            made.past_from = (execution.created_at >= since).then_some(execution.created_at);
            break;
        }
        if !live.contains(&execution.id) {
            made.bars.extend(bars::of(view, since, task, execution));
        }
        if execution.created_at < since {
            continue;
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
    made.more_bars = bars::pack(&mut made.bars);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::assign::Members;
    use crate::domain::ids::NodeId;
    use crate::domain::machine::command::{Put, PutMode, SetScheduler};
    use crate::domain::machine::envelope::{EntryHead, entry, pack};
    use crate::domain::machine::{Applied, Command, State};
    use crate::domain::schedule::{Rule, Schedule};
    use crate::domain::task::TaskSpec;
    use crate::ops::kept::KeptTasks;

    const BEGIN: Timestamp = Timestamp(1_700_000_040_000);

    /// An overview so many seconds after a task was made that nobody owns.
    fn overview(schedule: Schedule, after: u64) -> Overview {
        let spec = TaskSpec::new("t", schedule, None);
        let mut bytes = Vec::new();
        pack(&mut bytes, &Command::Scheduler(SetScheduler { on: true }), "", None);
        pack(&mut bytes, &Command::Put(Box::new(Put { mode: PutMode::Add, spec })), "", None);
        let (mut state, mut out) = (State::default(), Applied::default());
        let head = EntryHead { stamp: BEGIN, origin: 1, seq: 1 };
        state.apply(1, &entry(head, &bytes), &mut out).unwrap();
        assert!(out.responses.iter().all(Result::is_ok), "{:?}", out.responses);
        let now = BEGIN.plus(Millis::from_secs(after));
        let view = StateView { members: Members::of(&state), now, own: NodeId(1), state };
        KeptTasks::default().first_ticks(&view, |first| compute(&view, first))
    }

    fn every(secs: u64) -> Schedule {
        Schedule::of(Rule::Interval { every: Millis::from_secs(secs), anchor: None })
    }

    fn late(overview: &Overview) -> Option<Timestamp> {
        let late = overview.attention.iter().find(|item| item.kind == AttentionKind::Late);
        late.and_then(|item| item.at)
    }

    #[tokio::test]
    async fn a_tick_is_late_some_time_after_it_is_due() {
        let first = BEGIN.plus(Millis::from_secs(60));
        assert_eq!(late(&overview(every(60), 69)), None);
        assert_eq!(late(&overview(every(60), 71)), Some(first));
        // One that comes only once is late although none follows it.
        let once = Schedule::of(Rule::At(first));
        assert_eq!(late(&overview(once.clone(), 71)), Some(first));
        assert_eq!(overview(once, 71).next, []);
        // Jitter is no delay.
        let jitter = Schedule { jitter: Some(Millis::from_secs(3_600)), ..every(60) };
        let due = crate::domain::schedule::Plan::excluding(&jitter, "t", "UTC", BEGIN, []).unwrap();
        let due = due.due(first).since(BEGIN).0 / 1_000;
        assert!(due > 100, "the example has a long delay: {due}");
        assert_eq!(late(&overview(jitter.clone(), due)), None);
        assert_eq!(late(&overview(jitter, due + 11)), Some(first));
    }

    #[tokio::test]
    async fn the_ticks_of_the_next_hour_are_counted_by_minute() {
        let seen = overview(every(20), 5);
        assert_eq!(seen.ahead, [&[2][..], &[3; 59]].concat(), "the minute began 5 s ago");
        assert_eq!(seen.next[0].at, BEGIN.plus(Millis::from_secs(20)));
        let few = overview(Schedule { max_ticks: Some(4), ..every(20) }, 5);
        assert_eq!(few.ahead.iter().sum::<u64>(), 4);
        // Nobody owns it: that is one task, whatever else is wrong with it.
        let seen = overview(every(60), 300);
        assert_eq!((seen.needing, seen.tasks()), (1, 1));
        assert_eq!(seen.attention_counts.values().sum::<u64>(), 2);
    }
}
