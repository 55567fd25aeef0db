//! What an owner decides: which ticks of a task get which verdict, now, and when to look again.
//!
//! A tick younger than `failover_timeout` is on time and fires. Older ones are late and go by the
//! task's catch-up policy. Whatever lies between two settled instants is covered by spans.

use crate::domain::machine::Task;
use crate::domain::machine::command::SettleSpan;
use crate::domain::machine::record::{Reason, Trigger, Verdict};
use crate::domain::schedule::Plan;
use crate::domain::task::{CatchUp, CatchUpPolicy};
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

/// Decides.
#[must_use]
pub fn decide(view: &View<'_>) -> Decision {
    let task = view.task;
    let Some(spec) = task.spec() else { return Decision::Idle };
    if !view.scheduler || task.live.exhausted || view.plan.manual() {
        return Decision::Idle;
    }
    match task.inactive() {
        None => {}
        Some(Reason::Paused) => {
            let until = task.live.paused.as_ref().and_then(|pause| pause.until);
            return match until {
                None => Decision::Idle,
                Some(until) if view.now < until => Decision::Wake(until),
                Some(_) if spec.catch_up_on_resume => settle(view, &spec.catch_up),
                Some(until) if view.settled < until => {
                    let count = view.plan.count_between(view.settled, until, COUNT_MAX);
                    let span = SettleSpan {
                        to: until,
                        verdict: Verdict::Skipped,
                        reason: Reason::Paused,
                        count,
                    };
                    Decision::Settle(vec![Step {
                        after: view.settled,
                        spans: vec![span],
                        claim: None,
                        exhausted: false,
                    }])
                }
                Some(_) => settle(view, &spec.catch_up),
            };
        }
        Some(_) => return Decision::Idle,
    }
    settle(view, &spec.catch_up)
}

fn settle(view: &View<'_>, catch_up: &CatchUp) -> Decision {
    let Some(next) = view.plan.next_after(view.settled) else {
        return Decision::Settle(vec![Step {
            after: view.settled,
            spans: Vec::new(),
            claim: None,
            exhausted: true,
        }]);
    };
    let due = view.plan.due(next);
    let claimable = view.now.plus(view.lead);
    if due > claimable {
        return Decision::Wake(due.minus(view.lead));
    }
    // Ticks up to here are late.
    let late = view.now.minus(view.failover);
    if due > late {
        return Decision::Settle(on_time(view, view.settled, Vec::new()));
    }
    Decision::Settle(match catch_up.policy {
        CatchUpPolicy::Last => last(view, catch_up, late),
        CatchUpPolicy::All => all(view, catch_up, late),
        CatchUpPolicy::None => {
            let spans = dropped(view, view.settled, late, Reason::NoNode);
            on_time(view, view.settled, spans)
        }
    })
}

/// Claims the ticks that are due after what is settled or covered by `spans`.
fn on_time(view: &View<'_>, settled: Timestamp, mut spans: Vec<SettleSpan>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut after = settled;
    let mut at = spans.last().map_or(settled, |span| span.to);
    while steps.len() < STEPS_MAX {
        let next = view.plan.next_after(at);
        let claim = next
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
        step.exhausted = view.plan.next_after(at).is_none();
    }
    steps
}

/// One span `(from, to]` of missed ticks, if there is anything to cover.
fn dropped(view: &View<'_>, from: Timestamp, to: Timestamp, reason: Reason) -> Vec<SettleSpan> {
    let any = view.plan.next_after(from).is_some_and(|tick| tick <= to);
    if !any {
        return Vec::new();
    }
    let count = view.plan.count_between(from, to, COUNT_MAX);
    vec![SettleSpan { to, verdict: Verdict::Missed, reason, count }]
}

/// The first on-time tick stands for all late ones; without it the newest late one does.
fn last(view: &View<'_>, catch_up: &CatchUp, late: Timestamp) -> Vec<Step> {
    let begin = view.settled.max(view.now.minus(catch_up.window)).min(late);
    let mut spans = dropped(view, view.settled, begin, Reason::Window);
    let Some(newest) = newest(view.plan, begin, late) else {
        return on_time(view, view.settled, spans);
    };
    let from = spans.last().map_or(view.settled, |span| span.to);
    let coalesced = |to: Timestamp| SettleSpan {
        to,
        verdict: Verdict::Coalesced,
        reason: Reason::Later,
        count: view.plan.count_between(from, to, COUNT_MAX),
    };
    let stands = view
        .plan
        .next_after(newest)
        .is_some_and(|tick| view.plan.due(tick) <= view.now.plus(view.lead));
    if stands {
        spans.push(coalesced(newest));
        return on_time(view, view.settled, spans);
    }
    let before = newest.minus(Millis(1));
    if view.plan.next_after(from).is_some_and(|tick| tick <= before) {
        spans.push(coalesced(before));
    }
    vec![caught_up(view, view.settled, spans, newest)]
}

/// The newest `max` late ticks fire in order, then the on-time ones.
fn all(view: &View<'_>, catch_up: &CatchUp, late: Timestamp) -> Vec<Step> {
    let begin = view.settled.max(view.now.minus(catch_up.window)).min(late);
    let mut spans = dropped(view, view.settled, begin, Reason::Window);
    let from = spans.last().map_or(view.settled, |span| span.to);
    let max = u64::from(catch_up.max);
    let first = match view.plan.count_between(from, late, max.max(1)) {
        Some(count) if count <= max => from,
        _ => nth_newest(view.plan, from, late, catch_up.max),
    };
    spans.extend(dropped(view, from, first, Reason::Max));
    let mut steps = Vec::new();
    let (mut after, mut at) = (view.settled, first);
    while steps.len() < STEPS_MAX {
        let Some(tick) = view.plan.next_after(at).filter(|tick| *tick <= late) else { break };
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
        exhausted: view.plan.next_after(tick).is_none(),
    }
}

/// The newest tick in `(from, to]`. The next tick after t never goes back as t goes on, so the
/// newest one is found by halving, however many ticks lie between.
fn newest(plan: &Plan, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
    let within = |after: Timestamp| plan.next_after(after).filter(|tick| *tick <= to);
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

/// Just before the n-th newest tick in `(from, to]`.
fn nth_newest(plan: &Plan, from: Timestamp, to: Timestamp, n: u32) -> Timestamp {
    let mut at = to;
    for _ in 0..n {
        match newest(plan, from, at) {
            Some(tick) => at = tick.minus(Millis(1)),
            None => return from,
        }
    }
    at.max(from)
}
