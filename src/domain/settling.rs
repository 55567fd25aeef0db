//! What an owner decides: which ticks of a task get which verdict, now, and when to look again.
//!
//! A tick younger than `failover_timeout` is on time and fires. Older ones are late and go by the
//! task's catch-up policy. Whatever lies between two settled instants is covered by spans.
//!
//! A tick's age counts from when it is due. Ticks are settled in their order, so one whose jitter is
//! large holds up those after it: they are as old as it is, not older.

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

/// Ticks of one task that are claimed in one go.
pub const STEPS_MAX: usize = 16;
/// Ticks that are looked at for them: those that a calendar leaves out are no claims.
const LOOKS_MAX: usize = 200;

/// What an owner sees.
#[derive(Clone, Copy, Debug)]
pub struct SettleView<'a> {
    /// The task.
    pub task: &'a Task,
    /// Its ticks.
    pub plan: &'a Plan,
    /// The later of its cursor and the floor.
    pub settled: Timestamp,
    /// Whether the scheduler is started.
    pub scheduler: bool,
    /// Cluster time.
    pub now: Timestamp,
    /// How long before its due time a tick is claimed.
    pub lead: Millis,
    /// Younger ticks are on time.
    pub failover: Millis,
}

/// One settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleStep {
    /// What is settled before it.
    pub after: Timestamp,
    /// What does not fire.
    pub spans: Vec<SettleSpan>,
    /// What fires.
    pub claim: Option<Firing>,
    /// No tick is left.
    pub exhausted: bool,
}

/// A tick that is to fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firing {
    /// The tick.
    pub tick: Timestamp,
    /// When its execution may start.
    pub due: Timestamp,
    /// On time or late.
    pub trigger: Trigger,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Settle, in this order.
    Settle(Vec<SettleStep>),
    /// Nothing before this instant.
    Wake(Timestamp),
    /// Nothing until something changes.
    Idle,
}

/// When there is something to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Not before something changes.
    Idle,
    /// Not before this instant.
    Wake(Timestamp),
    /// Now.
    Due,
}

/// What [`decide`] begins with, and no more: it computes two ticks at most.
#[must_use]
pub fn outlook(view: &SettleView<'_>) -> Outlook {
    match stage(view) {
        TaskStage::Idle => Outlook::Idle,
        TaskStage::Wake(at) => Outlook::Wake(at),
        TaskStage::PauseEnds { .. } | TaskStage::Ticks { .. } => Outlook::Due,
    }
}

/// Decides.
#[must_use]
pub fn decide(view: &SettleView<'_>) -> Decision {
    match stage(view) {
        TaskStage::Idle => Decision::Idle,
        TaskStage::Wake(at) => Decision::Wake(at),
        TaskStage::PauseEnds { to } => {
            let (verdict, reason) = (Verdict::Skipped, Reason::Paused);
            // Of a schedule that is used up no tick is left, whatever its rule says.
            let count =
                if used_up(view.task) { Some(0) } else { count(view.plan, view.settled, to) };
            let spans = vec![SettleSpan { to, verdict, reason, count }];
            let after = view.settled;
            Decision::Settle(vec![SettleStep { after, spans, claim: None, exhausted: false }])
        }
        TaskStage::Ticks { spec, first } => Decision::Settle(settle(view, spec, first)),
    }
}

/// Where a task stands.
enum TaskStage<'a> {
    Idle,
    Wake(Timestamp),
    /// Its pause is over, and what lay in it is settled up to here.
    PauseEnds {
        to: Timestamp,
    },
    /// From this tick on; none: no tick is left.
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
    // What has no tick left has none to catch up with, but its pause ends like any other.
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

/// What a pause asks for; none: it is over, and its task is one like any other.
fn paused<'a>(view: &SettleView<'a>, catch_up: bool) -> Option<TaskStage<'a>> {
    let Some(until) = view.task.live.paused.as_ref().and_then(|pause| pause.until) else {
        return Some(TaskStage::Idle);
    };
    if view.now < until {
        return Some(TaskStage::Wake(until));
    }
    // A tick at the very end lies outside; where no tick is left, there is none.
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
    // Ticks up to here are late.
    let late = passed(view.plan, jitter, view.now.minus(view.failover));
    let cover = Cover::of(view);
    if first > late {
        let steps = on_time(view, cover);
        return if spec.one_shot { one_shot::first_only(steps) } else { steps };
    }
    let left = left(view.task, spec);
    let catch_up = &spec.catch_up;
    // And up to here too late.
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

/// Whether no tick is left, whatever the rule says.
fn used_up(task: &Task) -> bool {
    task.progress.exhausted || task.spec().is_some_and(|spec| left(task, spec) == 0)
}

/// How many ticks may still fire under `max_ticks`. Of a task that fires once only all may, as long
/// as none did: the first decides.
fn left(task: &Task, spec: &TaskSpec) -> u64 {
    if task.used_up() {
        return 0;
    }
    spec.schedule.max_ticks.map_or(u64::MAX, |max| max.saturating_sub(task.progress.totals.fired))
}

/// The last instant up to which all ticks had been due at `at`.
fn passed(plan: &Plan, jitter: Millis, at: Timestamp) -> Timestamp {
    if jitter == Millis(0) {
        return at;
    }
    // However far its jitter moved a tick, up to here it is so.
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

/// Claims the ticks that are due after what is covered.
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
    // The last of a schedule says so itself.
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

/// Policy `last`: the first on-time tick stands for all late ones after `begin`; without it the
/// newest late one does.
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
        // Behind the newest, calendars leave out all that is late.
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
        // Where jitter moves them, each tick that is left out may hold up those after it.
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
