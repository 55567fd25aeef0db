//! Explains why a tick fired or not, or what will happen to it: the verdict, its causes, and a
//! summary sentence.

use crate::domain::machine::Task;
use crate::domain::machine::record::{
    Code, Execution, FiredTick, Reason, Status, Trigger, Verdict,
};
use crate::domain::schedule::Plan;
use crate::domain::spec::strategy_word;
use crate::domain::task::{CatchUpPolicy, ExecutionMode};
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{FiredView, Rfc3339, TaskBody, WhyView};

use super::context::StateView;
use super::{eligibility, executors, plans, queue, views, words};

/// The finding about one instant of a task.
struct TickFinding {
    /// Whether the schedule has a tick at that instant. `None` if the definition of that time is
    /// not stored.
    tick: Option<bool>,
    verdict: Option<Verdict>,
    reason: Option<Reason>,
    /// Whether the verdict is final or only predicted.
    settled: bool,
    /// The result of the tick if it fired.
    fired: Option<FiredView>,
    index: Option<u64>,
    /// If the instant is not a tick: the ticks before and after it.
    nearest: (Option<Timestamp>, Option<Timestamp>),
    summary: String,
}

impl TickFinding {
    fn open(tick: Option<bool>, summary: impl Into<String>) -> Self {
        let summary = summary.into();
        let (verdict, reason, fired, index) = (None, None, None, None);
        let nearest = (None, None);
        Self { tick, verdict, reason, settled: false, fired, index, nearest, summary }
    }

    /// The finding for an instant that is not a tick of a plan.
    fn no_tick(plan: &Plan, at: Timestamp) -> Self {
        Self::between(at, "tick of this schedule", plan.last_before(at), plan.next_after(at))
    }

    /// The finding for an instant that is not a `tick`, with the nearest ones.
    fn between(
        at: Timestamp,
        tick: &str,
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) -> Self {
        let around = match (before, after) {
            (Some(before), Some(after)) => {
                format!("the one before it is {before}, the next one {after}")
            }
            (Some(before), None) => format!("the one before it is {before}, and none comes after"),
            (None, Some(after)) => format!("none comes before it, and the next one is {after}"),
            (None, None) => "there is none".to_owned(),
        };
        let nearest = (before, after);
        Self { nearest, ..Self::open(Some(false), format!("{at} is no {tick}; {around}")) }
    }

    fn foreseen(verdict: Verdict, reason: Option<Reason>, summary: impl Into<String>) -> Self {
        Self { verdict: Some(verdict), reason, ..Self::open(Some(true), summary) }
    }
}

/// Builds the response about an instant, or about the next tick if `at` is `None`.
pub(crate) fn why(view: &StateView, task: &Task, at: Option<Timestamp>) -> WhyView {
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
    let body = spec.map(TaskBody::from);
    let present = task.live.deleted.is_none();
    let owner = present.then(|| view.members.owner(task)).flatten();
    let (verdict, fired) = (finding.verdict.map(words::verdict), finding.fired);
    WhyView {
        task: task.live.name.to_string(),
        at: Rfc3339(at),
        tick: finding.tick,
        verdict: verdict.filter(|_| finding.settled).map(Into::into),
        expected: verdict.filter(|_| !finding.settled).map(Into::into),
        reason: finding.reason.map(|reason| words::reason(reason).into()),
        settled: finding.settled,
        previous_tick: finding.nearest.0.map(Rfc3339),
        next_tick: finding.nearest.1.map(Rfc3339),
        execution_id: fired.as_ref().map(|fired| fired.execution_id.clone()),
        execution_kept: fired.as_ref().map(|fired| fired.execution_kept),
        ended: fired.and_then(|fired| fired.ended),
        index: finding.index,
        backfills: backfills(task, at),
        due: plan.as_ref().map(|plan| Rfc3339(plan.due(at))),
        state: words::task_state(task).into(),
        schedule: body.as_ref().map(|body| body.schedule.clone()),
        catch_up: body.as_ref().map(|body| body.catch_up.clone()),
        execution_mode: body.as_ref().map(|body| body.execution_mode.clone()),
        enabled: spec.map(|spec| spec.enabled),
        paused: task.live.paused.as_ref().map(views::pause),
        scheduler_started: view.state.cluster().scheduler,
        owner: owner.map(|owner| views::node_name(&view.state, owner)),
        strategy: spec.map(|spec| strategy_word(view.members.strategy_of(spec)).into()),
        cursor: Rfc3339(settled),
        truncated_before: Rfc3339(task.progress.truncated_before),
        summary: finding.summary,
    }
}

/// Whether a plan has a tick at this instant.
fn is_tick(plan: &Plan, at: Timestamp) -> bool {
    plan.next_after(at.minus(Millis(1))) == Some(at)
}

/// Why an execution waits for its next attempt, as part of a sentence.
fn next_attempt(view: &StateView, execution: &Execution) -> Option<String> {
    let at = execution.next_attempt_at().filter(|at| *at > view.now)?;
    let attempt = execution.attempt.as_ref()?;
    let report = attempt.report.as_ref()?;
    let (number, ended) = (attempt.number, words::status(report.status));
    let detail = if report.detail.is_empty() { "" } else { ": " };
    Some(format!(
        "until its next attempt at {at}; attempt {number} ended {ended}{detail}{}",
        report.detail
    ))
}

/// The kept executions of backfills for a tick, oldest first.
fn backfills(task: &Task, tick: Timestamp) -> Vec<String> {
    let of_tick = |one: &&Execution| one.trigger == Trigger::Backfill && one.tick == Some(tick);
    let found = task.history.executions.iter().filter(of_tick);
    found.map(|one| one.id.to_string()).collect()
}

/// What holds an execution that waits, as part of a sentence.
fn held_back(view: &StateView, task: &Task, execution: &Execution) -> Option<String> {
    let what = match task.inactive() {
        _ if execution.status != Status::Pending || execution.tick.is_none() => return None,
        _ if !view.state.cluster().scheduler => "the scheduler is stopped",
        Some(Reason::Disabled) => "the task is disabled",
        Some(Reason::Paused) => "the task is paused",
        _ => return None,
    };
    Some(format!("while {what}"))
}

/// What an execution waits for, or where an executor carries it out, as part of a sentence.
fn waits_for(view: &StateView, task: &Task, execution: &Execution) -> Option<String> {
    held_back(view, task, execution)
        .or_else(|| next_attempt(view, execution))
        .or_else(|| queue::waits_for(&view.state, task, execution))
        .or_else(|| executors::waits_for(&view.state, task, execution))
}

/// The result of a fired tick, as a sentence.
fn told(view: &StateView, fired: &FiredTick) -> String {
    let (at, id) = (fired.tick, fired.execution);
    let execution = view.state.execution(id).map(|(_, execution)| execution);
    let Some(ended) = &fired.ended else {
        let status = execution.map_or("no longer kept", |one| words::status(one.status));
        let mut out = format!("{at} fired: execution {id}, {status}");
        if let Some((task, one)) = view.state.execution(id) {
            out.extend(waits_for(view, task, one).map(|why| format!(" {why}")));
        }
        return out;
    };
    let mut out = format!("{at} fired: execution {id}, {}", words::status(ended.status));
    match ended.code {
        Code::Exit(code) if ended.status != Status::Success => {
            out.push_str(&format!(", exit {code}"))
        }
        Code::Http(status) => out.push_str(&format!(", status {status}")),
        Code::Exit(_) | Code::None => {}
    }
    let attempt = execution.and_then(|one| one.attempt.as_ref());
    let executor = attempt.and_then(views::executor_of);
    match (executor, ended.node()) {
        (Some(executor), _) => out.push_str(&format!(" on executor {executor}")),
        (None, Some(node)) => {
            out.push_str(&format!(" on {}", views::node_name(&view.state, node)));
        }
        (None, None) => {}
    }
    if let Some(reason) = &ended.reason {
        out.push_str(&format!(": {reason}"));
    }
    if execution.is_none() {
        out.push_str(" (its details and output are no longer kept)");
    }
    out
}

/// The finding for an instant up to the cursor. Its verdict is in the state if the history reaches
/// back that far.
fn past(view: &StateView, task: &Task, at: Timestamp) -> TickFinding {
    if let Some(fired) = task.history.fired(at) {
        return TickFinding {
            settled: true,
            fired: Some(views::fired(&view.state, fired)),
            index: Some(fired.index),
            ..TickFinding::foreseen(Verdict::Fired, None, told(view, fired))
        };
    }
    let Some(span) = task.history.span(at) else {
        let begin = task.progress.truncated_before;
        if at <= begin {
            let summary = format!("{at} lies before {begin}, where what is known begins");
            return TickFinding::open(None, summary);
        }
        // It is in the range that ends with a fired tick and contains no other tick.
        let ticks = &task.history.ticks;
        let before = ticks.iter().rev().map(|fired| fired.tick).find(|tick| *tick < at);
        let before = before.filter(|tick| *tick > begin);
        let after = ticks.at_or_after(at).map(|fired| fired.tick);
        return TickFinding {
            settled: true,
            ..TickFinding::between(at, "tick that fired", before, after)
        };
    };
    let plan = span.revision.and_then(|it| plans::of_revision(&view.state, task, it));
    let tick = plan.as_ref().map(|plan| is_tick(plan, at));
    if let (Some(false), Some(plan)) = (tick, &plan) {
        return TickFinding { settled: true, ..TickFinding::no_tick(plan, at) };
    }
    let verdict = words::verdict(span.verdict);
    let mut because = words::because(span.reason).to_owned();
    if matches!(span.reason, Reason::Overlap | Reason::QueueFull)
        && let Some(live) = queue::live_at(task, at)
    {
        because.push_str(&format!(" (execution {})", live.id));
    }
    let summary = match tick {
        Some(_) => format!("{at} was {verdict}: {because}"),
        None => format!("if {at} was a tick, it was {verdict}: {because}"),
    };
    TickFinding {
        tick,
        reason: Some(span.reason),
        settled: true,
        index: Some(span.index),
        ..TickFinding::foreseen(span.verdict, Some(span.reason), summary)
    }
}

/// The finding for an instant before the floor that starting the scheduler set.
fn passed_over(plan: Option<&Plan>, at: Timestamp) -> TickFinding {
    match plan {
        Some(plan) if !is_tick(plan, at) => {
            TickFinding { settled: true, ..TickFinding::no_tick(plan, at) }
        }
        _ => TickFinding {
            settled: true,
            ..TickFinding::foreseen(
                Verdict::Skipped,
                Some(Reason::Stopped),
                format!("{at} was skipped: {}", words::because(Reason::Stopped)),
            )
        },
    }
}

/// The finding for an instant that is not settled yet.
fn future(view: &StateView, task: &Task, plan: Option<&Plan>, at: Timestamp) -> TickFinding {
    let Some(plan) = plan else {
        return TickFinding::open(
            None,
            "the task has no definition: only its deleted mark is left",
        );
    };
    if plan.manual() {
        return TickFinding::open(None, manual(view, task));
    }
    if !is_tick(plan, at) {
        return TickFinding::no_tick(plan, at);
    }
    if let Some(why) = over(task) {
        return TickFinding::open(Some(false), format!("{at} is no tick any more: {why}"));
    }
    if let Some(finding) = held(view, task, at) {
        return finding;
    }
    if let Some(calendar) = plan.excluded(at) {
        let name = &calendar.name;
        let summary = format!("{at} will be skipped: calendar {name} leaves it out");
        return TickFinding::foreseen(Verdict::Skipped, Some(Reason::Excluded), summary);
    }
    let owner = view.members.owner(task);
    let Some(owner) = owner.map(|owner| views::node_name(&view.state, owner)) else {
        let nobody = task.spec().map(|spec| eligibility::nobody(&view.state, spec));
        let summary = format!("{at} waits: {}", nobody.unwrap_or_default());
        return TickFinding::open(Some(true), summary);
    };
    let due = plan.due(at);
    if due > view.now {
        let gone = task.spec().and_then(|spec| executors::warning(&view.state, spec));
        let gone = gone.map(|warning| format!("; {}", warning.detail)).unwrap_or_default();
        return TickFinding::foreseen(
            Verdict::Fired,
            None,
            format!(
                "{at} will fire on {owner}, which owns the task, if nothing changes{}{gone}",
                overlap(task)
            ),
        );
    }
    let policy = task.spec().map(|spec| spec.catch_up.policy).unwrap_or_default();
    let then = match policy {
        CatchUpPolicy::Last => "the newest late tick fires for all of them",
        CatchUpPolicy::All => "late ticks fire one by one",
        CatchUpPolicy::None => "late ticks do not fire",
    };
    let summary = format!("{at} is due and not yet settled by {owner}; once it is late, {then}");
    TickFinding::open(Some(true), summary)
}

/// What becomes of a tick to come if what has not ended has not ended by then either.
fn overlap(task: &Task) -> String {
    let Some(spec) = task.spec() else { return String::new() };
    let (live, waiting) = (u64::from(task.progress.live), u64::from(task.waiting()));
    let skipped = |rule: &str, limit: u32| {
        format!(
            "; if none of its {live} executions has ended by then, it is skipped ({rule} {limit})"
        )
    };
    if live >= u64::from(spec.max_live) {
        return skipped("max_live", spec.max_live);
    }
    let mode = spec.execution_mode;
    if mode == ExecutionMode::Sequential && live > 0 && waiting >= u64::from(spec.queue_max) {
        return skipped("queue_max", spec.queue_max);
    }
    let (word, then) = match mode {
        ExecutionMode::Parallel => return String::new(),
        ExecutionMode::Skip => ("skip", "it is skipped"),
        ExecutionMode::Sequential => ("sequential", "it waits for its turn"),
        ExecutionMode::Replace => ("replace", "it takes the place of that one, which is stopped"),
    };
    let running = task.live_executions().find(|one| one.status == Status::Running);
    match running.or_else(|| task.live_executions().next()) {
        Some(live) => format!(
            "; if execution {} has not ended by then, {then} (execution_mode {word})",
            live.id
        ),
        None => String::new(),
    }
}

/// What is known of a task that has no ticks of its own.
fn manual(view: &StateView, task: &Task) -> String {
    let name = &task.live.name;
    let mut out = format!(
        "a manual task has no ticks of its own: `punctual run {name}`, a chain, or a caller's claim \
         makes an execution"
    );
    let held = match task.inactive() {
        Some(Reason::Deleted) => "; none can be made: the task is marked deleted",
        Some(Reason::Cancelled) => "; the task is cancelled, and only a run by hand starts",
        Some(Reason::Paused) => "; the task is paused, and only a run by hand starts",
        Some(Reason::Disabled) => "; the task is disabled, and only a run by hand starts",
        _ => "",
    };
    out.push_str(held);
    let Some(last) = task.history.executions.back() else {
        out.push_str("; none was made yet, or none is kept");
        return out;
    };
    let (id, at, status) = (last.id, last.created_at, words::status(last.status));
    out.push_str(&format!("; the last one is execution {id} of {at}, {status}"));
    out.extend(waits_for(view, task, last).map(|why| format!(" {why}")));
    let report = last.attempt.as_ref().and_then(|attempt| attempt.report.as_ref());
    let detail = report.map_or("", |report| report.detail.as_str());
    if last.status.failure() && !detail.is_empty() {
        out.push_str(&format!(": {detail}"));
    }
    out
}

/// Why no tick of a task fires any more, though its schedule has some left.
pub(super) fn over(task: &Task) -> Option<String> {
    let spec = task.spec()?;
    let fired = task.progress.totals.fired;
    if let Some(max) = spec.schedule.max_ticks.filter(|max| fired >= *max) {
        return Some(format!("{fired} have fired, max_ticks is {max}"));
    }
    if spec.one_shot && (fired > 0 || task.progress.exhausted) {
        return Some("the task is one_shot, and its first tick is decided".to_owned());
    }
    task.progress.exhausted.then(|| "no tick of the task was left".to_owned())
}

/// What prevents a future tick from firing, regardless of the owner.
fn held(view: &StateView, task: &Task, at: Timestamp) -> Option<TickFinding> {
    if !view.state.cluster().scheduler {
        let besides = task.inactive().map(|reason| format!("; besides, {}", inactive(reason)));
        let besides = besides.unwrap_or_default();
        let summary =
            format!("{at} will be skipped unless the scheduler is started before it{besides}");
        return Some(TickFinding::foreseen(Verdict::Skipped, Some(Reason::Stopped), summary));
    }
    let reason = task.inactive()?;
    let pause = task.live.paused.as_ref().filter(|_| reason == Reason::Paused);
    if pause.and_then(|pause| pause.until).is_some_and(|until| until < at) {
        return None;
    }
    if pause.is_some() && task.spec().is_some_and(|spec| spec.catch_up_on_resume) {
        let summary = format!("{at} waits for the end of the pause, and then goes by catch_up");
        return Some(TickFinding::open(Some(true), summary));
    }
    let summary = format!("{at} will be skipped if nothing changes: {}", inactive(reason));
    Some(TickFinding::foreseen(Verdict::Skipped, Some(reason), summary))
}

/// Why the ticks of a task do not fire, as a sentence.
const fn inactive(reason: Reason) -> &'static str {
    match reason {
        Reason::Deleted => "the task is marked deleted",
        Reason::Disabled => "the task is disabled",
        Reason::Cancelled => "the task is cancelled",
        _ => "the task is paused",
    }
}
