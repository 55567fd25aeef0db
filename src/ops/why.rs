//! Explains why a tick fired or not, or what will happen to it: the verdict, its causes, and a
//! summary sentence.

use crate::domain::machine::Task;
use crate::domain::machine::record::{
    Code, Execution, FiredTick, Reason, Status, Trigger, Verdict,
};
use crate::domain::schedule::Plan;
use crate::domain::spec::strategy_word;
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{FiredView, Rfc3339, TaskBody, WhyView};

mod future;

pub(super) use self::future::over;
use super::context::StateView;
use super::told::{Told, told};
use super::{executors, plans, queue, views, words};

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
    summary: Told,
}

impl TickFinding {
    fn open(tick: Option<bool>, summary: Told) -> Self {
        let (verdict, reason, fired, index) = (None, None, None, None);
        let nearest = (None, None);
        Self { tick, verdict, reason, settled: false, fired, index, nearest, summary }
    }

    /// The finding for an instant that is not a tick of a plan.
    fn no_tick(plan: &Plan, at: Timestamp) -> Self {
        let tick = told!("tick of this schedule", "该调度的触发时间");
        Self::between(at, &tick, plan.last_before(at), plan.next_after(at))
    }

    /// The finding for an instant that is not a `tick`, with the nearest ones.
    fn between(
        at: Timestamp,
        tick: &Told,
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) -> Self {
        let around = match (before, after) {
            (Some(before), Some(after)) => told!(
                "the one before it is {before}, the next one {after}",
                "前一次为 {before}，后一次为 {after}"
            ),
            (Some(before), None) => told!(
                "the one before it is {before}, and none comes after",
                "前一次为 {before}，之后没有"
            ),
            (None, Some(after)) => told!(
                "none comes before it, and the next one is {after}",
                "之前没有，后一次为 {after}"
            ),
            (None, None) => told!("there is none", "没有任何触发时间"),
        };
        let nearest = (before, after);
        let summary =
            told!("{at} is no {tick}; {around}", "{at} 不是{tick}；{around}", tick, around);
        Self { nearest, ..Self::open(Some(false), summary) }
    }

    fn foreseen(verdict: Verdict, reason: Option<Reason>, summary: Told) -> Self {
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
        future::future(view, task, plan.as_ref(), at)
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
        summary: finding.summary.en,
        summary_zh: finding.summary.zh,
    }
}

/// Whether a plan has a tick at this instant.
fn is_tick(plan: &Plan, at: Timestamp) -> bool {
    plan.next_after(at.minus(Millis(1))) == Some(at)
}

/// Why an execution waits for its next attempt, as part of a sentence.
fn next_attempt(view: &StateView, execution: &Execution) -> Option<Told> {
    let at = execution.next_attempt_at().filter(|at| *at > view.now)?;
    let attempt = execution.attempt.as_ref()?;
    let report = attempt.report.as_ref()?;
    let (number, ended) = (attempt.number, words::status_told(report.status));
    let out = told!(
        "until its next attempt at {at}; attempt {number} ended {ended}",
        "等待 {at} 的下一次尝试；第 {number} 次尝试的结果为{ended}",
        ended
    );
    Some(out.with(detail(&report.detail)))
}

/// What a program or a node said, after a colon.
fn detail(text: &str) -> Option<Told> {
    (!text.is_empty()).then(|| told!(": {text}", "：{text}"))
}

/// The kept executions of backfills for a tick, oldest first.
fn backfills(task: &Task, tick: Timestamp) -> Vec<String> {
    let of_tick = |one: &&Execution| one.trigger == Trigger::Backfill && one.tick == Some(tick);
    let found = task.history.executions.iter().filter(of_tick);
    found.map(|one| one.id.to_string()).collect()
}

/// What holds an execution that waits, as part of a sentence.
fn held_back(view: &StateView, task: &Task, execution: &Execution) -> Option<Told> {
    let what = match task.inactive() {
        _ if execution.status != Status::Pending || execution.tick.is_none() => return None,
        _ if !view.state.cluster().scheduler => {
            told!("while the scheduler is stopped", "因调度器已停止而等待")
        }
        Some(Reason::Disabled) => told!("while the task is disabled", "因任务已禁用而等待"),
        Some(Reason::Paused) => told!("while the task is paused", "因任务已暂停而等待"),
        _ => return None,
    };
    Some(what)
}

/// What an execution waits for, or where an executor carries it out, as part of a sentence.
fn waits_for(view: &StateView, task: &Task, execution: &Execution) -> Option<Told> {
    let found = held_back(view, task, execution)
        .or_else(|| next_attempt(view, execution))
        .or_else(|| queue::waits_for(&view.state, task, execution))
        .or_else(|| executors::waits_for(&view.state, task, execution))?;
    Some(told!(" {found}", "，{found}", found))
}

/// The result of a fired tick, as a sentence.
fn fired(view: &StateView, fired: &FiredTick) -> Told {
    let (at, id) = (fired.tick, fired.execution);
    let found = view.state.execution(id);
    let Some(ended) = &fired.ended else {
        let gone = || told!("no longer kept", "已不再保留");
        let status = found.map_or_else(gone, |(_, one)| words::status_told(one.status));
        let out = told!(
            "{at} fired: execution {id}, {status}",
            "{at} 已触发：执行 {id}，{status}",
            status
        );
        return out.with(found.and_then(|(task, one)| waits_for(view, task, one)));
    };
    let status = words::status_told(ended.status);
    let out =
        told!("{at} fired: execution {id}, {status}", "{at} 已触发：执行 {id}，{status}", status);
    let code = match ended.code {
        Code::Exit(code) if ended.status != Status::Success => {
            Some(told!(", exit {code}", "，退出码 {code}"))
        }
        Code::Http(status) => Some(told!(", status {status}", "，状态码 {status}")),
        Code::Exit(_) | Code::None => None,
    };
    let attempt = found.and_then(|(_, one)| one.attempt.as_ref());
    let executor = attempt.and_then(views::executor_of);
    let place = match (executor, ended.node()) {
        (Some(executor), _) => Some(told!(" on executor {executor}", "，由执行器 {executor} 执行")),
        (None, Some(node)) => {
            let node = views::node_name(&view.state, node);
            Some(told!(" on {node}", "，在 {node} 上"))
        }
        (None, None) => None,
    };
    let reason = ended.reason.as_ref().map(|reason| told!(": {reason}", "：{reason}"));
    let gone = found.is_none().then(|| {
        told!(" (its details and output are no longer kept)", "（其详情和输出已不再保留）")
    });
    out.with(code).with(place).with(reason).with(gone)
}

/// The finding for an instant up to the cursor. Its verdict is in the state if the history reaches
/// back that far.
fn past(view: &StateView, task: &Task, at: Timestamp) -> TickFinding {
    if let Some(fired) = task.history.fired(at) {
        return TickFinding {
            settled: true,
            fired: Some(views::fired(&view.state, fired)),
            index: Some(fired.index),
            ..TickFinding::foreseen(Verdict::Fired, None, self::fired(view, fired))
        };
    }
    let Some(span) = task.history.span(at) else {
        let begin = task.progress.truncated_before;
        if at <= begin {
            let summary = told!(
                "{at} lies before {begin}, where what is known begins",
                "{at} 早于 {begin}，更早的历史已不再保留"
            );
            return TickFinding::open(None, summary);
        }
        // It is in the range that ends with a fired tick and contains no other tick.
        let ticks = &task.history.ticks;
        let before = ticks.iter().rev().map(|fired| fired.tick).find(|tick| *tick < at);
        let before = before.filter(|tick| *tick > begin);
        let after = ticks.at_or_after(at).map(|fired| fired.tick);
        return TickFinding {
            settled: true,
            ..TickFinding::between(at, &told!("tick that fired", "已触发的时间"), before, after)
        };
    };
    let plan = span.revision.and_then(|it| plans::of_revision(&view.state, task, it));
    let tick = plan.as_ref().map(|plan| is_tick(plan, at));
    if let (Some(false), Some(plan)) = (tick, &plan) {
        return TickFinding { settled: true, ..TickFinding::no_tick(plan, at) };
    }
    let mut because = words::because(span.reason);
    if matches!(span.reason, Reason::Overlap | Reason::QueueFull)
        && let Some(live) = queue::live_at(task, at)
    {
        let id = live.id;
        because.push(&told!(" (execution {id})", "（执行 {id}）"));
    }
    let verdict = did(span.verdict);
    let summary = match tick {
        Some(_) => {
            told!("{at} was {verdict}: {because}", "{at} {verdict}：{because}", verdict, because)
        }
        None => told!(
            "if {at} was a tick, it was {verdict}: {because}",
            "若 {at} 是触发时间，则{verdict}：{because}",
            verdict,
            because
        ),
    };
    TickFinding {
        tick,
        reason: Some(span.reason),
        settled: true,
        index: Some(span.index),
        ..TickFinding::foreseen(span.verdict, Some(span.reason), summary)
    }
}

/// A verdict as part of a sentence.
fn did(verdict: Verdict) -> Told {
    let zh = match verdict {
        Verdict::Fired => "已触发",
        Verdict::Skipped => "被跳过",
        Verdict::Missed => "被错过",
        Verdict::Coalesced => "被合并",
    };
    Told { en: words::verdict(verdict).to_owned(), zh: zh.to_owned() }
}

/// The finding for an instant before the floor that starting the scheduler set.
fn passed_over(plan: Option<&Plan>, at: Timestamp) -> TickFinding {
    match plan {
        Some(plan) if !is_tick(plan, at) => {
            TickFinding { settled: true, ..TickFinding::no_tick(plan, at) }
        }
        _ => {
            let because = words::because(Reason::Stopped);
            let summary = told!("{at} was skipped: {because}", "{at} 被跳过：{because}", because);
            let stopped = Some(Reason::Stopped);
            TickFinding {
                settled: true,
                ..TickFinding::foreseen(Verdict::Skipped, stopped, summary)
            }
        }
    }
}
