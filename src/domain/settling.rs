//! What an owner decides: which ticks of a task get which verdict, now, and when to look again.
//!
//! A tick younger than `failover_timeout` is on time and fires. Older ones are late and go by the
//! task's catch-up policy. Whatever lies between two settled instants is covered by spans.
//!
//! A tick's age counts from when it is due. Ticks are settled in their order, so one whose jitter is
//! large holds up those after it: they are as old as it is, not older.

use crate::domain::machine::Task;
use crate::domain::machine::command::SettleSpan;
use crate::domain::machine::record::{Reason, Trigger, Verdict};
use crate::domain::schedule::Plan;
use crate::domain::task::{CatchUpPolicy, TaskSpec};
use crate::domain::time::{Millis, Timestamp};

/// Ticks of one task that are claimed in one go.
pub const STEPS_MAX: usize = 16;
/// Ticks are counted one by one up to here.
const COUNT_MAX: u64 = 1_000;

/// What an owner sees.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
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
pub struct Step {
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
    Settle(Vec<Step>),
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
pub fn outlook(view: &View<'_>) -> Outlook {
    match stage(view) {
        Stage::Idle => Outlook::Idle,
        Stage::Wake(at) => Outlook::Wake(at),
        Stage::PauseEnds { .. } | Stage::Ticks { .. } => Outlook::Due,
    }
}

/// Decides.
#[must_use]
pub fn decide(view: &View<'_>) -> Decision {
    match stage(view) {
        Stage::Idle => Decision::Idle,
        Stage::Wake(at) => Decision::Wake(at),
        Stage::PauseEnds { to } => {
            let (verdict, reason) = (Verdict::Skipped, Reason::Paused);
            let count = count(view.plan, view.settled, to);
            let spans = vec![SettleSpan { to, verdict, reason, count }];
            let after = view.settled;
            Decision::Settle(vec![Step { after, spans, claim: None, exhausted: false }])
        }
        Stage::Ticks { spec, first } => Decision::Settle(settle(view, spec, first)),
    }
}

/// Where a task stands.
enum Stage<'a> {
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

fn stage<'a>(view: &View<'a>) -> Stage<'a> {
    let task = view.task;
    let Some(spec) = task.spec() else { return Stage::Idle };
    if !view.scheduler {
        return Stage::Idle;
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
        Some(_) => return Stage::Idle,
    }
    if over {
        return Stage::Idle;
    }
    let first = next(view.plan, view.settled);
    match first.map(|first| view.plan.due(first)) {
        Some(due) if due > view.now.plus(view.lead) => Stage::Wake(due.minus(view.lead)),
        _ => Stage::Ticks { spec, first },
    }
}

/// What a pause asks for; none: it is over, and its task is one like any other.
fn paused<'a>(view: &View<'a>, catch_up: bool) -> Option<Stage<'a>> {
    let Some(until) = view.task.live.paused.as_ref().and_then(|pause| pause.until) else {
        return Some(Stage::Idle);
    };
    if view.now < until {
        return Some(Stage::Wake(until));
    }
    // A tick at the very end lies outside.
    let last = until.minus(Millis(1));
    let to = if next(view.plan, last) == Some(until) { last } else { until };
    (!catch_up && view.settled < to).then_some(Stage::PauseEnds { to })
}

fn settle(view: &View<'_>, spec: &TaskSpec, first: Option<Timestamp>) -> Vec<Step> {
    let after = view.settled;
    let Some(first) = first else {
        return vec![Step { after, spans: Vec::new(), claim: None, exhausted: true }];
    };
    let jitter = spec.schedule.jitter.unwrap_or_default();
    // Ticks up to here are late.
    let late = passed(view.plan, jitter, view.now.minus(view.failover));
    if first > late {
        return on_time(view, after, Vec::new());
    }
    let catch_up = &spec.catch_up;
    if catch_up.policy == CatchUpPolicy::None {
        let spans = dropped(view, after, late, Reason::NoNode);
        return on_time(view, after, spans);
    }
    // And up to here too late.
    let begin = passed(view.plan, jitter, view.now.minus(catch_up.window)).min(late).max(after);
    match catch_up.policy {
        CatchUpPolicy::All => all(view, catch_up.max, begin, late),
        CatchUpPolicy::Last | CatchUpPolicy::None => newest_only(view, begin, late),
    }
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

/// Claims the ticks that are due after what is settled or covered by `spans`.
fn on_time(view: &View<'_>, settled: Timestamp, mut spans: Vec<SettleSpan>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut after = settled;
    let mut at = spans.last().map_or(settled, |span| span.to);
    while steps.len() < STEPS_MAX {
        let claim = next(view.plan, at)
            .map(|tick| Firing { tick, due: view.plan.due(tick), trigger: Trigger::Schedule })
            .filter(|firing| firing.due <= view.now.plus(view.lead));
        let Some(claim) = claim else { break };
        let spans = std::mem::take(&mut spans);
        steps.push(Step { after, spans, claim: Some(claim), exhausted: false });
        (after, at) = (claim.tick, claim.tick);
    }
    if !spans.is_empty() {
        steps.push(Step { after, spans, claim: None, exhausted: false });
    }
    // The last of a schedule says so itself.
    if let Some(step) = steps.last_mut() {
        step.exhausted = next(view.plan, at).is_none();
    }
    steps
}

/// One span `(from, to]` of missed ticks, if there is anything to cover.
fn dropped(view: &View<'_>, from: Timestamp, to: Timestamp, reason: Reason) -> Vec<SettleSpan> {
    let any = next(view.plan, from).is_some_and(|tick| tick <= to);
    if !any {
        return Vec::new();
    }
    let count = count(view.plan, from, to);
    let reason = if bug!("label-excluded") { Reason::Excluded } else { reason };
    vec![SettleSpan { to, verdict: Verdict::Missed, reason, count }]
}

/// Policy `last`: the first on-time tick stands for all late ones after `begin`; without it the
/// newest late one does.
fn newest_only(view: &View<'_>, begin: Timestamp, late: Timestamp) -> Vec<Step> {
    let mut spans = dropped(view, view.settled, begin, Reason::Window);
    let Some(newest) = newest(view.plan, begin, late) else {
        return on_time(view, view.settled, spans);
    };
    let from = spans.last().map_or(view.settled, |span| span.to);
    let coalesced = |to: Timestamp| {
        let (verdict, reason) = (Verdict::Coalesced, Reason::Later);
        SettleSpan { to, verdict, reason, count: count(view.plan, from, to) }
    };
    let stands =
        next(view.plan, newest).is_some_and(|tick| view.plan.due(tick) <= view.now.plus(view.lead));
    if stands {
        spans.push(coalesced(newest));
        return on_time(view, view.settled, spans);
    }
    let before = newest.minus(Millis(1));
    if next(view.plan, from).is_some_and(|tick| tick <= before) {
        spans.push(coalesced(before));
    }
    vec![caught_up(view, view.settled, spans, newest)]
}

/// Policy `all`: the newest `max` late ticks after `begin` fire in order, then the on-time ones.
fn all(view: &View<'_>, max: u32, begin: Timestamp, late: Timestamp) -> Vec<Step> {
    let mut spans = dropped(view, view.settled, begin, Reason::Window);
    let from = spans.last().map_or(view.settled, |span| span.to);
    let first = before_newest(view.plan, from, late, u64::from(max));
    spans.extend(dropped(view, from, first, Reason::Max));
    let mut steps = Vec::new();
    let (mut after, mut at) = (view.settled, first);
    while steps.len() < STEPS_MAX {
        let Some(tick) = next(view.plan, at).filter(|tick| *tick <= late) else { break };
        steps.push(caught_up(view, after, std::mem::take(&mut spans), tick));
        (after, at) = (tick, tick);
    }
    if steps.is_empty() {
        return on_time(view, view.settled, spans);
    }
    steps
}

fn caught_up(view: &View<'_>, after: Timestamp, spans: Vec<SettleSpan>, tick: Timestamp) -> Step {
    let due = view.plan.due(tick);
    Step {
        after,
        spans,
        claim: Some(Firing { tick, due, trigger: Trigger::CatchUp }),
        exhausted: next(view.plan, tick).is_none(),
    }
}

/// The newest tick in `(from, to]`. The next tick after t never goes back as t goes on, so the
/// newest one is found by halving, however many ticks lie between.
fn newest(plan: &Plan, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
    let within = |after: Timestamp| next(plan, after).filter(|tick| *tick <= to);
    let mut found = within(from)?;
    let (mut low, mut high) = (found, to);
    while low < high {
        let middle = Timestamp(low.0 + (high.0 - low.0) / 2);
        match within(middle) {
            Some(tick) => {
                found = tick;
                low = tick;
            }
            None => high = middle,
        }
    }
    Some(found)
}

/// The instant in `[from, to]` after which the newest `wanted` ticks lie, or all if there are not
/// more: found in growing strides back from `to`, then by halving the last of them.
fn before_newest(plan: &Plan, from: Timestamp, to: Timestamp, wanted: u64) -> Timestamp {
    // `left` of them lie before `high`.
    let (mut high, mut left) = (to, wanted);
    let mut stride = Millis::from_secs(1);
    let mut low = loop {
        let middle = high.minus(stride).max(from);
        match counted(plan, middle, high, left) {
            None => break middle,
            Some(found) => (high, left) = (middle, left.saturating_sub(found)),
        }
        if high == from {
            return from;
        }
        stride = Millis(stride.0.saturating_mul(2));
    };
    while high.0 - low.0 > 1 {
        let middle = Timestamp(low.0 + (high.0 - low.0) / 2);
        match counted(plan, middle, high, left) {
            None => low = middle,
            Some(found) => (high, left) = (middle, left.saturating_sub(found)),
        }
    }
    high
}

fn next(plan: &Plan, after: Timestamp) -> Option<Timestamp> {
    #[cfg(test)]
    tests::note(1);
    plan.next_after(after)
}

/// How many ticks lie in `(from, to]`, as far as it can be told cheaply.
fn count(plan: &Plan, from: Timestamp, to: Timestamp) -> Option<u64> {
    let found = plan.count_between(from, to, COUNT_MAX);
    #[cfg(test)]
    tests::note(found.unwrap_or(COUNT_MAX).min(COUNT_MAX));
    found
}

/// How many ticks lie in `(from, to]`; none: more than `max`.
fn counted(plan: &Plan, from: Timestamp, to: Timestamp, max: u64) -> Option<u64> {
    let found = plan.count_between(from, to, max).filter(|found| *found <= max);
    #[cfg(test)]
    tests::note(found.unwrap_or(max) + 1);
    found
}

#[cfg(test)]
mod tests;
