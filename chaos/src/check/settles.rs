//! Every settle and every verdict is correct. Apply only compares numbers, so the choices of
//! proposers are judged here, against the contract.
//!
//! - A settle starts at the end of the previous one, for the current revision, of a task that is
//!   active (or whose pause is over by then).
//! - Its claim is the first tick after the covered range. No tick is passed over without a verdict.
//! - A tick that a calendar excludes is `skipped`, `excluded`, whatever its age, and no other tick
//!   is. No more ticks fire than `max_ticks`, one for a one-shot task, and none for a completed
//!   task.
//! - A tick younger than `failover_timeout` fires. Older ones follow the catch-up policy: `last`
//!   fires the newest unless an on-time tick replaces it, `all` the newest `max`, `none` none.
//!   Ticks outside the window are `missed`, `window`. Counts are correct if present.

use std::collections::BTreeMap;

use punctual::domain::machine::command::{Claim, Settle, SettleSpan};
use punctual::domain::machine::record::{Reason, Trigger, Verdict};
use punctual::domain::schedule::calendar::Calendar;
use punctual::domain::task::{CatchUpPolicy, TaskSpec};

use super::model::ReplayedTask;
use super::oracle;

/// `failover_timeout` of the runs, in milliseconds.
pub const FAILOVER_MS: i64 = 5_000;
/// How far times in a settle may be ahead of the entry's timestamp, in milliseconds.
const AHEAD_MS: i64 = 200;

/// The state in which the settle was accepted.
pub struct SettleContext<'a> {
    pub task: &'a ReplayedTask,
    pub settled: i64,
    pub scheduler: bool,
    pub stamp: i64,
    pub calendars: &'a BTreeMap<String, Calendar>,
}

impl SettleContext<'_> {
    /// Whether a calendar of the task excludes a tick.
    fn excluded(&self, spec: &TaskSpec, tick: i64) -> bool {
        let known = spec.schedule.exclude.iter().filter_map(|name| self.calendars.get(name));
        known.filter_map(|calendar| oracle::excluded(calendar, tick)).any(|excluded| excluded)
    }
}

/// The violations in an accepted settle.
pub fn judge(seen: &SettleContext<'_>, settle: &Settle, not_fired: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let task = seen.task;
    let Some(spec) = &task.spec else { return vec!["it has no definition".to_owned()] };
    if task.deleted {
        wrong.push("it is marked deleted".to_owned());
    }
    if settle.revision.0 != task.revision {
        wrong.push(format!("revision {} is not {}", settle.revision, task.revision));
    }
    if settle.after.0 != seen.settled {
        wrong.push(format!("it begins at {}, not at {}", settle.after.0, seen.settled));
    }
    if settle.now.0 > seen.stamp + AHEAD_MS {
        wrong.push("its time is ahead of the stamp".to_owned());
    }
    let mut at = settle.after.0;
    for span in &settle.spans {
        if span.to.0 <= at || span.to.0 > seen.stamp + AHEAD_MS {
            wrong.push(format!("a span ends at {}, after {at}", span.to.0));
        }
        wrong.extend(judge_span(seen, spec, settle, span, at));
        at = span.to.0;
    }
    if let Some(claim) = &settle.claim {
        if !not_fired {
            wrong.extend(judge_claim(seen, spec, settle, claim, at));
        }
        at = claim.tick.0;
    }
    let left = left(spec, task);
    if task.exhausted && settle.claim.is_some() {
        wrong.push("it is completed".to_owned());
    }
    if settle.claim.is_some() && !not_fired && left == Some(0) {
        wrong.push(format!("it fires once more, {} having fired", task.fired));
    }
    let over = settle.claim.is_none() && left == Some(0);
    let more = oracle::ticks(&spec.schedule, task.set_at, at, at + 3_600_000);
    if settle.exhausted && !over && more.is_some_and(|more| !more.is_empty()) {
        wrong.push("a tick is left, though it says there is none".to_owned());
    }
    wrong
}

/// How many more ticks may fire. `None` means any number.
fn left(spec: &TaskSpec, task: &ReplayedTask) -> Option<u64> {
    let max = spec.schedule.max_ticks.into_iter().chain(spec.one_shot.then_some(1)).min();
    max.map(|max| max.saturating_sub(task.fired))
}

fn jitter(spec: &TaskSpec) -> i64 {
    spec.schedule.jitter.map_or(0, |jitter| i64::try_from(jitter.0).unwrap_or(0))
}

fn judge_span(
    seen: &SettleContext<'_>,
    spec: &TaskSpec,
    settle: &Settle,
    span: &SettleSpan,
    from: i64,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let (to, now) = (span.to.0, settle.now.0);
    let Some(mut ticks) = oracle::ticks(&spec.schedule, seen.task.set_at, from, to) else {
        return wrong;
    };
    if seen.task.exhausted || left(spec, seen.task) == Some(0) {
        // Possibly because of an edit: there are no further ticks, whatever the rule.
        ticks.clear();
    }
    let label = format!("{:?} {:?} ({from}, {to}]", span.verdict, span.reason);
    if span.count.is_some_and(|count| count != ticks.len() as u64) {
        wrong.push(format!("{label} counts {:?} of {} ticks", span.count, ticks.len()));
    }
    let excluded = ticks.iter().filter(|tick| seen.excluded(spec, **tick)).count();
    if (span.verdict, span.reason) == (Verdict::Skipped, Reason::Excluded) {
        if excluded != ticks.len() || excluded == 0 {
            wrong.push(format!("{label}: {excluded} of {} are left out", ticks.len()));
        }
        return wrong;
    }
    let late = ticks.last().is_none_or(|last| *last <= now - FAILOVER_MS);
    let window = i64::try_from(spec.catch_up.window.0).unwrap_or(i64::MAX);
    let too_late = ticks.last().is_none_or(|last| *last <= now - window);
    let in_window = ticks.first().is_none_or(|first| *first > now - window - jitter(spec));
    let policy = spec.catch_up.policy;
    let right = match (span.verdict, span.reason) {
        (Verdict::Skipped, Reason::Paused) => {
            let until = seen.task.paused.flatten();
            // A pause without ticks ends this way under every policy, because there is nothing to
            // catch up.
            let skips = !spec.catch_up_on_resume || ticks.is_empty();
            return match until {
                Some(until) if to <= until && until <= now && skips => wrong,
                _ => vec![format!("{label}: the pause is {until:?}")],
            };
        }
        (Verdict::Missed, Reason::Window) => policy != CatchUpPolicy::None && too_late,
        (Verdict::Missed, Reason::Max) => policy == CatchUpPolicy::All && in_window,
        (Verdict::Missed, Reason::NoNode) => policy == CatchUpPolicy::None,
        (Verdict::Coalesced, Reason::Later) => {
            policy == CatchUpPolicy::Last && in_window && settle.claim.is_some()
        }
        _ => false,
    };
    if excluded > 0 {
        wrong.push(format!("{label}: {excluded} of {} are left out", ticks.len()));
    }
    if !right || !late {
        wrong.push(format!("{label} at {now}, policy {policy:?}, late {late}"));
    }
    wrong
}

fn judge_claim(
    seen: &SettleContext<'_>,
    spec: &TaskSpec,
    settle: &Settle,
    claim: &Claim,
    from: i64,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let (tick, due, now) = (claim.tick.0, claim.due.0, settle.now.0);
    let active = match seen.task.paused {
        None => true,
        Some(Some(until)) => until <= tick || (spec.catch_up_on_resume && until <= now),
        Some(None) => false,
    };
    let active = active && seen.task.cancelled.is_none();
    if !active || !spec.enabled || !seen.scheduler {
        wrong.push(format!("{tick} was claimed while nothing may fire"));
    }
    let set_at = seen.task.set_at;
    let Some(ticks) = oracle::ticks(&spec.schedule, set_at, from, tick) else { return wrong };
    if ticks != [tick] {
        wrong.push(format!("{tick} was claimed after {from}, the ticks between are {ticks:?}"));
    }
    if seen.excluded(spec, tick) {
        wrong.push(format!("{tick} was claimed, which a calendar leaves out"));
    }
    if due < tick || due > tick + jitter(spec) || due > seen.stamp + AHEAD_MS {
        wrong.push(format!("{tick} is due at {due}, stamp {}", seen.stamp));
    }
    if jitter(spec) > 0 {
        // The jitter of each tick is computed by the product, and therefore also the limit between
        // on time and late.
        return wrong;
    }
    let late = tick <= now - FAILOVER_MS;
    let expected = if late { Trigger::CatchUp } else { Trigger::Schedule };
    if claim.trigger != expected {
        wrong.push(format!("{tick} at {now} is {:?}", claim.trigger));
    }
    if late {
        let newer = oracle::ticks(&spec.schedule, set_at, tick, now - FAILOVER_MS);
        let open = |newer: Vec<i64>| newer.iter().filter(|at| !seen.excluded(spec, **at)).count();
        let newer = newer.map_or(0, open);
        let window = i64::try_from(spec.catch_up.window.0).unwrap_or(i64::MAX);
        let right = match spec.catch_up.policy {
            CatchUpPolicy::None => false,
            CatchUpPolicy::Last => newer == 0,
            CatchUpPolicy::All => newer < usize::try_from(spec.catch_up.max).unwrap_or(0),
        };
        if !right || tick <= now - window {
            wrong.push(format!("{tick} was caught up at {now}, {newer} late ones are newer"));
        }
    }
    wrong
}
