//! Settling: the decisions of a task's owner. It assigns verdicts to ticks and determines when to
//! check again.
//!
//! A tick younger than `failover_timeout` is on time and fires. Older ticks are late and follow the
//! task's catch-up policy. Spans cover everything between two settled instants.
//!
//! The age of a tick counts from its due time. Ticks are settled in order, so a tick with a large
//! jitter delays the ticks after it: they count as having the same age as it, not as older.

mod cover;
mod guards;
mod look;
mod one_shot;
#[cfg(test)]
mod tests;

use self::cover::{Cover, Full};
use self::look::{COUNT_MAX, STRETCHES_MAX, before_newest, count, newest_open, next};
use crate::domain::machine::Task;
use crate::domain::machine::command::SettleSpan;
use crate::domain::machine::record::{Reason, Trigger, Verdict};
use crate::domain::schedule::Plan;
use crate::domain::task::{CatchUpPolicy, TaskSpec};
use crate::domain::time::{Millis, Timestamp};

/// Maximum number of settles, and so of claimed ticks, in one decision.
pub const STEPS_MAX: usize = 16;
/// Maximum number of steps to find them. A tick that a calendar excludes is not a claim.
const LOOKS_MAX: usize = 200;

/// The input of a decision.
#[derive(Clone, Copy, Debug)]
pub struct SettleView<'a> {
    /// The task.
    pub task: &'a Task,
    /// Its compiled schedule.
    pub plan: &'a Plan,
    /// The later of the task's cursor and the floor.
    pub settled: Timestamp,
    /// Whether the scheduler is running.
    pub scheduler: bool,
    /// The current cluster time.
    pub now: Timestamp,
    /// How long before its due time a tick may be claimed.
    pub lead: Millis,
    /// The failover timeout. Younger ticks are on time.
    pub failover: Millis,
}

/// One settle command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleStep {
    /// The instant up to which ticks were settled before this step.
    pub after: Timestamp,
    /// Spans of ticks that do not fire.
    pub spans: Vec<SettleSpan>,
    /// The tick that fires, if any.
    pub claim: Option<Firing>,
    /// Whether the schedule has no further ticks.
    pub exhausted: bool,
}

/// A tick that fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firing {
    /// The tick.
    pub tick: Timestamp,
    /// The earliest start of its execution.
    pub due: Timestamp,
    /// Whether the tick is on time or late.
    pub trigger: Trigger,
}

/// The result of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Apply these settles, in this order.
    Settle(Vec<SettleStep>),
    /// Nothing to do before this instant.
    Wake(Timestamp),
    /// Nothing to do until the state changes.
    Idle,
}

/// When the next decision is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextDecision {
    /// Not before the state changes.
    Idle,
    /// Not before this instant.
    Wake(Timestamp),
    /// Now.
    Due,
}

/// The first part of [`decide`]. It computes at most two ticks.
#[must_use]
pub fn outlook(view: &SettleView<'_>) -> NextDecision {
    match stage(view) {
        TaskStage::Idle => NextDecision::Idle,
        TaskStage::Wake(at) => NextDecision::Wake(at),
        TaskStage::PauseEnds { .. } | TaskStage::Ticks { .. } => NextDecision::Due,
    }
}

/// Decides which ticks to settle now, or when to check again.
#[must_use]
pub fn decide(view: &SettleView<'_>) -> Decision {
    match stage(view) {
        TaskStage::Idle => Decision::Idle,
        TaskStage::Wake(at) => Decision::Wake(at),
        TaskStage::PauseEnds { to } => {
            let (verdict, reason) = (Verdict::Skipped, Reason::Paused);
            // An exhausted schedule has no further ticks, whatever its rule.
            let count =
                if used_up(view.task) { Some(0) } else { count(view.plan, view.settled, to) };
            let spans = vec![SettleSpan { to, verdict, reason, count }];
            let after = view.settled;
            Decision::Settle(vec![SettleStep { after, spans, claim: None, exhausted: false }])
        }
        TaskStage::Ticks { spec, first } => Decision::Settle(settle(view, spec, first)),
    }
}

/// What the task needs now.
enum TaskStage<'a> {
    Idle,
    Wake(Timestamp),
    /// Its pause is over. The ticks of the pause are to be settled up to this instant.
    PauseEnds {
        to: Timestamp,
    },
    /// Settle ticks from this one on. `None`: there are no further ticks.
    Ticks {
        spec: &'a TaskSpec,
        first: Option<Timestamp>,
    },
}

fn stage<'a>(view: &SettleView<'a>) -> TaskStage<'a> {
    let task = view.task;
    let Some(spec) = task.spec() else { return TaskStage::Idle };
    if !view.scheduler {
        return TaskStage::Idle;
    }
    // A task without further ticks has nothing to catch up, but its pause still ends.
    let over = task.progress.exhausted || view.plan.manual();
    match task.inactive() {
        None => {}
        Some(Reason::Paused) => {
            if let Some(stage) = paused(view, spec.catch_up_on_resume && !over) {
                return stage;
            }
        }
        Some(_) => return TaskStage::Idle,
    }
    if over {
        return TaskStage::Idle;
    }
    if left(task, spec) == 0 {
        return TaskStage::Ticks { spec, first: None };
    }
    let first = next(view.plan, view.settled);
    match first.map(|first| view.plan.due(first)) {
        Some(due) if due > view.now.plus(view.lead) => TaskStage::Wake(due.minus(view.lead)),
        _ => TaskStage::Ticks { spec, first },
    }
}

/// The stage of a paused task. `None`: the pause is over, and the task is treated like any other.
fn paused<'a>(view: &SettleView<'a>, catch_up: bool) -> Option<TaskStage<'a>> {
    let Some(until) = view.task.live.paused.as_ref().and_then(|pause| pause.until) else {
        return Some(TaskStage::Idle);
    };
    if view.now < until {
        return Some(TaskStage::Wake(until));
    }
    // A tick at exactly the end of the pause is outside it. An exhausted schedule has no such tick.
    let last = until.minus(Millis(1));
    let outside = !used_up(view.task) && next(view.plan, last) == Some(until);
    let to = if outside { last } else { until };
    (!catch_up && view.settled < to).then_some(TaskStage::PauseEnds { to })
}

fn settle(view: &SettleView<'_>, spec: &TaskSpec, first: Option<Timestamp>) -> Vec<SettleStep> {
    let Some(first) = first else {
        let after = view.settled;
        return vec![SettleStep { after, spans: Vec::new(), claim: None, exhausted: true }];
    };
    let jitter = spec.schedule.jitter.unwrap_or_default();
    // Ticks up to this instant are late.
    let late = passed(view.plan, jitter, view.now.minus(view.failover));
    let cover = Cover::of(view);
    if first > late {
        let steps = on_time(view, cover);
        return if spec.one_shot { one_shot::first_only(steps) } else { steps };
    }
    let left = left(view.task, spec);
    let catch_up = &spec.catch_up;
    // Ticks up to this instant are outside the catch-up window.
    let begin = passed(view.plan, jitter, view.now.minus(catch_up.window)).min(late);
    let begin = begin.max(view.settled);
    let decided = match catch_up.policy {
        CatchUpPolicy::None => none(view, cover, late),
        CatchUpPolicy::All => {
            let max = u64::from(catch_up.max).min(left);
            all(view, cover, max, begin, late)
        }
        CatchUpPolicy::Last => newest_only(view, cover, begin, late),
    };
    let steps = decided.unwrap_or_else(|first| first);
    if spec.one_shot { one_shot::first_only(steps) } else { steps }
}

/// Whether there are no further ticks, whatever the rule.
fn used_up(task: &Task) -> bool {
    task.progress.exhausted || task.spec().is_some_and(|spec| left(task, spec) == 0)
}

/// How many more ticks may fire under `max_ticks`. For a one-shot task there is no limit until its
/// first tick has decided.
fn left(task: &Task, spec: &TaskSpec) -> u64 {
    if task.used_up() {
        return 0;
    }
    spec.schedule.max_ticks.map_or(u64::MAX, |max| max.saturating_sub(task.progress.totals.fired))
}

/// The last instant up to which all ticks were due at `at`.
fn passed(plan: &Plan, jitter: Millis, at: Timestamp) -> Timestamp {
    if jitter == Millis(0) {
        return at;
    }
    // Every tick up to here was due, whatever its jitter.
    let mut passed = at.minus(jitter);
    for _ in 0..COUNT_MAX {
        match next(plan, passed) {
            Some(tick) if plan.due(tick) <= at => passed = tick,
            Some(tick) => return at.min(tick.minus(Millis(1))),
            None => return at,
        }
    }
    passed
}

/// Claims the due ticks after the covered range.
fn on_time(view: &SettleView<'_>, mut cover: Cover<'_>) -> Vec<SettleStep> {
    let left = view.task.spec().map_or(u64::MAX, |spec| left(view.task, spec));
    for _ in 0..LOOKS_MAX {
        if !cover.has_room(left) {
            break;
        }
        let claim = next(view.plan, cover.at)
            .map(|tick| Firing { tick, due: view.plan.due(tick), trigger: Trigger::Schedule })
            .filter(|firing| firing.due <= view.now.plus(view.lead));
        let Some(claim) = claim else { break };
        if view.plan.excluded(claim.tick).is_none() {
            cover = cover.step(Some(claim), false);
            continue;
        }
        cover = match cover.up_to(claim.tick, Verdict::Skipped, Reason::Excluded) {
            Ok(more) => more,
            Err(steps) => return steps,
        };
    }
    let at = cover.at;
    let mut steps = cover.all();
    // The last step of a schedule is marked as such.
    if let Some(step) = steps.last_mut() {
        step.exhausted = next(view.plan, at).is_none();
    }
    steps
}

/// Policy `none`: late ticks do not fire.
fn none(view: &SettleView<'_>, cover: Cover<'_>, late: Timestamp) -> Full<Vec<SettleStep>> {
    let cover = cover.up_to(late, Verdict::Missed, Reason::NoNode)?;
    Ok(on_time(view, cover))
}

/// Policy `last`: the first on-time tick replaces all late ones after `begin`. If there is none,
/// the newest late tick fires.
fn newest_only(
    view: &SettleView<'_>,
    cover: Cover<'_>,
    begin: Timestamp,
    late: Timestamp,
) -> Full<Vec<SettleStep>> {
    let cover = cover.up_to(begin, Verdict::Missed, Reason::Window)?;
    let Some(newest) = newest_open(view.plan, begin.max(cover.at), late) else {
        return Ok(on_time(view, cover.up_to(late, Verdict::Missed, Reason::Window)?));
    };
    if stands(view, newest) {
        let cover = cover.up_to(newest, Verdict::Coalesced, Reason::Later)?;
        // After the newest one, all late ticks are excluded by calendars.
        let cover = cover.up_to(late, Verdict::Coalesced, Reason::Later)?;
        return Ok(on_time(view, cover));
    }
    let before = newest.minus(Millis(1));
    let cover = cover.up_to(before, Verdict::Coalesced, Reason::Later)?;
    Ok(caught_up(view, cover, newest).steps)
}

/// Whether a tick after the newest late one is about to fire on time.
fn stands(view: &SettleView<'_>, newest: Timestamp) -> bool {
    let moved = view.task.spec().is_some_and(|spec| spec.schedule.jitter.is_some());
    let soon = view.now.plus(view.lead);
    let mut at = newest;
    for _ in 0..STRETCHES_MAX {
        let due = next(view.plan, at).filter(|tick| view.plan.due(*tick) <= soon);
        let Some(tick) = due else { return false };
        if view.plan.excluded(tick).is_none() {
            return true;
        }
        // With jitter, each excluded tick can delay the ticks after it, so every tick is checked.
        at = if moved { tick } else { view.plan.stretch(tick, soon).last };
    }
    false
}

/// Policy `all`: the newest `max` late ticks after `begin` fire in order, then the on-time ones.
fn all(
    view: &SettleView<'_>,
    cover: Cover<'_>,
    max: u64,
    begin: Timestamp,
    late: Timestamp,
) -> Full<Vec<SettleStep>> {
    let cover = cover.up_to(begin, Verdict::Missed, Reason::Window)?;
    let first = before_newest(view.plan, cover.at, late, max);
    let mut cover = cover.up_to(first, Verdict::Missed, Reason::Max)?;
    let before = cover.steps.len();
    cover.at = cover.at.max(first);
    while cover.has_room(max) {
        let Some(tick) = next(view.plan, cover.at).filter(|tick| *tick <= late) else { break };
        cover = match view.plan.excluded(tick) {
            Some(_) => {
                let last = view.plan.stretch(tick, late).last.min(late);
                cover.up_to(last, Verdict::Skipped, Reason::Excluded)?
            }
            None => caught_up(view, cover, tick),
        };
    }
    Ok(if cover.steps.len() == before { on_time(view, cover) } else { cover.steps })
}

fn caught_up<'a>(view: &SettleView<'_>, cover: Cover<'a>, tick: Timestamp) -> Cover<'a> {
    let due = view.plan.due(tick);
    let firing = Firing { tick, due, trigger: Trigger::CatchUp };
    cover.step(Some(firing), next(view.plan, tick).is_none())
}
