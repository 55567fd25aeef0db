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
use super::told::{Told, told};
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

/// The finding for an instant that is not settled yet.
fn future(view: &StateView, task: &Task, plan: Option<&Plan>, at: Timestamp) -> TickFinding {
    let Some(plan) = plan else {
        return TickFinding::open(
            None,
            told!(
                "the task has no definition: only its deleted mark is left",
                "该任务没有定义，只剩删除标记"
            ),
        );
    };
    if plan.manual() {
        return TickFinding::open(None, manual(view, task));
    }
    if !is_tick(plan, at) {
        return TickFinding::no_tick(plan, at);
    }
    if let Some(why) = over(task) {
        let summary = told!("{at} is no tick any more: {why}", "{at} 不再是触发时间：{why}", why);
        return TickFinding::open(Some(false), summary);
    }
    if let Some(finding) = held(view, task, at) {
        return finding;
    }
    if let Some(calendar) = plan.excluded(at) {
        let name = &calendar.name;
        let summary = told!(
            "{at} will be skipped: calendar {name} leaves it out",
            "{at} 将被跳过：日历 {name} 排除了该时间"
        );
        return TickFinding::foreseen(Verdict::Skipped, Some(Reason::Excluded), summary);
    }
    let owner = view.members.owner(task);
    let Some(owner) = owner.map(|owner| views::node_name(&view.state, owner)) else {
        let nobody = task.spec().map(|spec| eligibility::nobody(&view.state, spec));
        let nobody = nobody.unwrap_or_default();
        let summary = told!("{at} waits: {nobody}", "{at} 等待：{nobody}", nobody);
        return TickFinding::open(Some(true), summary);
    };
    let due = plan.due(at);
    if due > view.now {
        let gone = task.spec().and_then(|spec| executors::warning(&view.state, spec));
        let gone = gone.map(|warning| {
            let detail = warning.detail;
            told!("; {detail}", "；没有可用的执行器，执行将等待，之后以 no_executor 失败")
        });
        let summary = told!(
            "{at} will fire on {owner}, which owns the task, if nothing changes",
            "若无变化，{at} 将由负责节点 {owner} 触发"
        );
        let summary = summary.with(overlap(task)).with(gone);
        return TickFinding::foreseen(Verdict::Fired, None, summary);
    }
    let policy = task.spec().map(|spec| spec.catch_up.policy).unwrap_or_default();
    let then = match policy {
        CatchUpPolicy::Last => {
            told!("the newest late tick fires for all of them", "由最近一次迟到的触发代替全部")
        }
        CatchUpPolicy::All => told!("late ticks fire one by one", "迟到的触发逐个执行"),
        CatchUpPolicy::None => told!("late ticks do not fire", "迟到的触发不再执行"),
    };
    let summary = told!(
        "{at} is due and not yet settled by {owner}; once it is late, {then}",
        "{at} 已到时间，{owner} 尚未处理；若迟到，{then}",
        then
    );
    TickFinding::open(Some(true), summary)
}

/// What becomes of a tick to come if what has not ended has not ended by then either.
fn overlap(task: &Task) -> Option<Told> {
    let spec = task.spec()?;
    let (live, waiting) = (u64::from(task.progress.live), u64::from(task.waiting()));
    let skipped = |rule: &str, limit: u32| {
        Some(told!(
            "; if none of its {live} executions has ended by then, it is skipped ({rule} {limit})",
            "；若届时其 {live} 个执行均未结束，则被跳过（{rule} {limit}）"
        ))
    };
    if live >= u64::from(spec.max_live) {
        return skipped("max_live", spec.max_live);
    }
    let mode = spec.execution_mode;
    if mode == ExecutionMode::Sequential && live > 0 && waiting >= u64::from(spec.queue_max) {
        return skipped("queue_max", spec.queue_max);
    }
    let running = task.live_executions().find(|one| one.status == Status::Running);
    let id = running.or_else(|| task.live_executions().next())?.id;
    let (word, then) = match mode {
        ExecutionMode::Parallel => return None,
        ExecutionMode::Skip => ("skip", told!("it is skipped", "则被跳过")),
        ExecutionMode::Sequential => ("sequential", told!("it waits for its turn", "则排队等待")),
        ExecutionMode::Replace => (
            "replace",
            told!("it takes the place of that one, which is stopped", "则停止该执行并取而代之"),
        ),
    };
    Some(told!(
        "; if execution {id} has not ended by then, {then} (execution_mode {word})",
        "；若届时执行 {id} 未结束，{then}（execution_mode {word}）",
        then
    ))
}

/// What is known of a task that has no ticks of its own.
fn manual(view: &StateView, task: &Task) -> Told {
    let name = &task.live.name;
    let mut out = told!(
        "a manual task has no ticks of its own: `punctual run {name}`, a chain, or a caller's claim \
         makes an execution",
        "手动任务没有自己的触发时间：由 `punctual run {name}`、任务链或调用方的认领产生执行"
    );
    let held = match task.inactive() {
        Some(Reason::Deleted) => Some(told!(
            "; none can be made: the task is marked deleted",
            "；任务已标记删除，无法执行"
        )),
        Some(Reason::Cancelled) => Some(told!(
            "; the task is cancelled, and only a run by hand starts",
            "；任务已取消，只能手动执行"
        )),
        Some(Reason::Paused) => Some(told!(
            "; the task is paused, and only a run by hand starts",
            "；任务已暂停，只能手动执行"
        )),
        Some(Reason::Disabled) => Some(told!(
            "; the task is disabled, and only a run by hand starts",
            "；任务已禁用，只能手动执行"
        )),
        _ => None,
    };
    out = out.with(held);
    let Some(last) = task.history.executions.back() else {
        return out
            .with(Some(told!("; none was made yet, or none is kept", "；尚无执行，或已不再保留")));
    };
    let (id, at, status) = (last.id, last.created_at, words::status_told(last.status));
    out.push(&told!(
        "; the last one is execution {id} of {at}, {status}",
        "；最近一次为 {at} 的执行 {id}，{status}",
        status
    ));
    let report = last.attempt.as_ref().and_then(|attempt| attempt.report.as_ref());
    let failed = report.filter(|_| last.status.failure());
    out.with(waits_for(view, task, last)).with(failed.and_then(|report| detail(&report.detail)))
}

/// Why no tick of a task fires any more, though its schedule has some left.
pub(super) fn over(task: &Task) -> Option<Told> {
    let spec = task.spec()?;
    let fired = task.progress.totals.fired;
    if let Some(max) = spec.schedule.max_ticks.filter(|max| fired >= *max) {
        return Some(told!(
            "{fired} have fired, max_ticks is {max}",
            "已触发 {fired} 次，max_ticks 为 {max}"
        ));
    }
    if spec.one_shot && (fired > 0 || task.progress.exhausted) {
        return Some(told!(
            "the task is one_shot, and its first tick is decided",
            "任务为 one_shot，其首次触发已有结论"
        ));
    }
    let none = || told!("no tick of the task was left", "任务已没有剩余的触发时间");
    task.progress.exhausted.then(none)
}

/// What prevents a future tick from firing, regardless of the owner.
fn held(view: &StateView, task: &Task, at: Timestamp) -> Option<TickFinding> {
    if !view.state.cluster().scheduler {
        let besides = task.inactive().map(|reason| {
            let held = inactive(reason);
            told!("; besides, {held}", "；此外，{held}", held)
        });
        let summary = told!(
            "{at} will be skipped unless the scheduler is started before it",
            "除非在此之前启动调度器，{at} 将被跳过"
        );
        let summary = summary.with(besides);
        return Some(TickFinding::foreseen(Verdict::Skipped, Some(Reason::Stopped), summary));
    }
    let reason = task.inactive()?;
    let pause = task.live.paused.as_ref().filter(|_| reason == Reason::Paused);
    if pause.and_then(|pause| pause.until).is_some_and(|until| until < at) {
        return None;
    }
    if pause.is_some() && task.spec().is_some_and(|spec| spec.catch_up_on_resume) {
        let summary = told!(
            "{at} waits for the end of the pause, and then goes by catch_up",
            "{at} 等待暂停结束，之后按 catch_up 处理"
        );
        return Some(TickFinding::open(Some(true), summary));
    }
    let held = inactive(reason);
    let summary = told!(
        "{at} will be skipped if nothing changes: {held}",
        "若无变化，{at} 将被跳过：{held}",
        held
    );
    Some(TickFinding::foreseen(Verdict::Skipped, Some(reason), summary))
}

/// Why the ticks of a task do not fire, as a sentence.
fn inactive(reason: Reason) -> Told {
    match reason {
        Reason::Deleted => told!("the task is marked deleted", "任务已标记删除"),
        Reason::Disabled => told!("the task is disabled", "任务已禁用"),
        Reason::Cancelled => told!("the task is cancelled", "任务已取消"),
        _ => told!("the task is paused", "任务已暂停"),
    }
}
