//! Why a tick fired or not, or what will become of it: the verdict with all that led to it, and
//! one sentence.

use serde_json::{Value, json};

use crate::domain::machine::Task;
use crate::domain::machine::record::{Reason, Verdict};
use crate::domain::schedule::Plan;
use crate::domain::task::CatchUpPolicy;
use crate::domain::time::{Millis, Timestamp};

use super::context::View;
use super::views::{self, instant};
use super::{eligibility, plans, words};

/// What is known of one instant of a task.
struct Finding {
    /// Whether the schedule has a tick there; none: the definition of that time is not kept.
    tick: Option<bool>,
    verdict: Option<Verdict>,
    reason: Option<Reason>,
    /// Whether the verdict is in the log, or only foreseen.
    settled: bool,
    execution: Option<String>,
    index: Option<u64>,
    summary: String,
}

impl Finding {
    fn open(tick: Option<bool>, summary: impl Into<String>) -> Self {
        let summary = summary.into();
        let (verdict, reason, execution, index) = (None, None, None, None);
        Self { tick, verdict, reason, settled: false, execution, index, summary }
    }

    fn foreseen(verdict: Verdict, reason: Option<Reason>, summary: impl Into<String>) -> Self {
        Self { verdict: Some(verdict), reason, ..Self::open(Some(true), summary) }
    }
}

/// The answer about an instant; none: about the next tick.
pub(super) fn why(view: &View, task: &Task, at: Option<Timestamp>) -> Value {
    let plan = plans::current(&view.state, task);
    let settled = view.state.settled(task);
    let next = || plan.as_ref().and_then(|plan| plan.next_after(settled.max(view.now)));
    let at = at.or_else(next).unwrap_or(view.now);
    let finding = if at <= task.progress.cursor {
        past(view, task, at)
    } else if at <= settled {
        passed_over(plan.as_ref(), at)
    } else {
        future(view, task, plan.as_ref(), at)
    };
    let spec = task.spec();
    let body = spec.map(crate::domain::spec::write);
    let part = |key: &str| body.as_ref().and_then(|body| body.get(key)).cloned();
    let owner = spec.filter(|_| task.live.deleted.is_none());
    let owner = owner.and_then(|spec| view.members.owner(spec));
    json!({
        "task": &*task.live.name,
        "at": at.to_string(),
        "tick": finding.tick,
        "verdict": finding.verdict.map(words::verdict),
        "reason": finding.reason.map(words::reason),
        "settled": finding.settled,
        "execution_id": finding.execution,
        "index": finding.index,
        "due": plan.as_ref().map(|plan| plan.due(at).to_string()),
        "state": words::task_state(task),
        "schedule": part("schedule"),
        "catch_up": part("catch_up"),
        "execution_mode": part("execution_mode"),
        "enabled": part("enabled"),
        "paused": task.live.paused.as_ref().map(|pause| {
            json!({"reason": pause.reason, "until": instant(pause.until)})
        }),
        "scheduler_started": view.state.cluster().scheduler,
        "owner": owner.map(|owner| views::node_name(&view.state, owner)),
        "cursor": settled.to_string(),
        "truncated_before": task.progress.truncated_before.to_string(),
        "summary": finding.summary,
    })
}

/// Whether a plan has a tick at this instant.
fn is_tick(plan: &Plan, at: Timestamp) -> bool {
    plan.next_after(at.minus(Millis(1))) == Some(at)
}

fn no_tick(plan: &Plan, at: Timestamp) -> String {
    match plan.next_after(at) {
        Some(next) => format!("{at} is no tick of this schedule; the next one after it is {next}"),
        None => format!("{at} is no tick of this schedule, and none comes after it"),
    }
}

/// An instant up to the cursor: its verdict stands in the state, if history is kept so far back.
fn past(view: &View, task: &Task, at: Timestamp) -> Finding {
    if let Some(fired) = task.history.fired(at) {
        let execution = view.state.execution(fired.execution);
        let status = execution.map_or("no longer kept", |(_, one)| words::status(one.status));
        let id = fired.execution.to_string();
        return Finding {
            settled: true,
            execution: Some(id.clone()),
            index: Some(fired.index),
            ..Finding::foreseen(
                Verdict::Fired,
                None,
                format!("{at} fired: execution {id}, {status}"),
            )
        };
    }
    let Some(span) = task.history.span(at) else {
        let before = task.progress.truncated_before;
        let summary = if at <= before {
            format!("{at} lies before {before}, where what is known begins")
        } else {
            format!("{at} lies between two fired ticks and is none")
        };
        let known = (at > before).then_some(false);
        return Finding { settled: known.is_some(), ..Finding::open(known, summary) };
    };
    let plan = span.revision.and_then(|it| plans::of_revision(&view.state, task, it));
    let tick = plan.as_ref().map(|plan| is_tick(plan, at));
    if let (Some(false), Some(plan)) = (tick, &plan) {
        return Finding { settled: true, ..Finding::open(tick, no_tick(plan, at)) };
    }
    let (verdict, because) = (words::verdict(span.verdict), words::because(span.reason));
    let summary = match tick {
        Some(_) => format!("{at} was {verdict}: {because}"),
        None => format!("if {at} was a tick, it was {verdict}: {because}"),
    };
    Finding {
        tick,
        verdict: Some(span.verdict),
        reason: Some(span.reason),
        settled: true,
        execution: None,
        index: Some(span.index),
        summary,
    }
}

/// An instant that the start of the scheduler passed over.
fn passed_over(plan: Option<&Plan>, at: Timestamp) -> Finding {
    match plan {
        Some(plan) if !is_tick(plan, at) => {
            Finding { settled: true, ..Finding::open(Some(false), no_tick(plan, at)) }
        }
        _ => Finding {
            settled: true,
            ..Finding::foreseen(
                Verdict::Skipped,
                Some(Reason::Stopped),
                format!("{at} was skipped: {}", words::because(Reason::Stopped)),
            )
        },
    }
}

/// An instant that nobody has settled.
fn future(view: &View, task: &Task, plan: Option<&Plan>, at: Timestamp) -> Finding {
    let Some(plan) = plan else {
        return Finding::open(None, "the task has no definition: only its deleted mark is left");
    };
    if plan.manual() {
        let summary =
            "a manual task has no ticks of its own: a trigger or a caller's claim makes one";
        return Finding::open(None, summary);
    }
    if !is_tick(plan, at) {
        return Finding::open(Some(false), no_tick(plan, at));
    }
    let max = task.spec().and_then(|spec| spec.schedule.max_ticks);
    let fired = task.progress.totals.fired;
    if let Some(max) = max.filter(|max| fired >= *max) {
        let summary = format!("{at} is no tick any more: {fired} have fired, max_ticks is {max}");
        return Finding::open(Some(false), summary);
    }
    if let Some(finding) = held(view, task, at) {
        return finding;
    }
    if let Some(calendar) = plan.excluded(at) {
        let name = &calendar.name;
        let summary = format!("{at} will be skipped: calendar {name} leaves it out");
        return Finding::foreseen(Verdict::Skipped, Some(Reason::Excluded), summary);
    }
    let owner = task.spec().and_then(|spec| view.members.owner(spec));
    let Some(owner) = owner.map(|owner| views::node_name(&view.state, owner)) else {
        let nobody = task.spec().map(|spec| eligibility::nobody(&view.state, spec));
        let summary = format!("{at} waits: {}", nobody.unwrap_or_default());
        return Finding::open(Some(true), summary);
    };
    let due = plan.due(at);
    if due > view.now {
        return Finding::foreseen(
            Verdict::Fired,
            None,
            format!("{at} will fire on {owner}, which owns the task, if nothing changes"),
        );
    }
    let policy = task.spec().map(|spec| spec.catch_up.policy).unwrap_or_default();
    let then = match policy {
        CatchUpPolicy::Last => "the newest late tick fires for all of them",
        CatchUpPolicy::All => "late ticks fire one by one",
        CatchUpPolicy::None => "late ticks do not fire",
    };
    let summary = format!("{at} is due and not yet settled by {owner}; once it is late, {then}");
    Finding::open(Some(true), summary)
}

/// What keeps a future tick from firing, whoever owns the task.
fn held(view: &View, task: &Task, at: Timestamp) -> Option<Finding> {
    if !view.state.cluster().scheduler {
        let summary = format!("{at} will be skipped unless the scheduler is started before it");
        return Some(Finding::foreseen(Verdict::Skipped, Some(Reason::Stopped), summary));
    }
    let reason = task.inactive()?;
    let pause = task.live.paused.as_ref().filter(|_| reason == Reason::Paused);
    if pause.and_then(|pause| pause.until).is_some_and(|until| until < at) {
        return None;
    }
    if pause.is_some() && task.spec().is_some_and(|spec| spec.catch_up_on_resume) {
        let summary = format!("{at} waits for the end of the pause, and then goes by catch_up");
        return Some(Finding::open(Some(true), summary));
    }
    let what = match reason {
        Reason::Deleted => "the task is marked deleted",
        Reason::Disabled => "the task is disabled",
        _ => "the task is paused",
    };
    let summary = format!("{at} will be skipped if nothing changes: {what}");
    Some(Finding::foreseen(Verdict::Skipped, Some(reason), summary))
}
