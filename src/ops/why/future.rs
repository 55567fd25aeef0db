//! What will become of a tick that is not settled.

use super::{TickFinding, detail, is_tick, waits_for};
use crate::domain::machine::Task;
use crate::domain::machine::record::{Reason, Status, Verdict};
use crate::domain::schedule::Plan;
use crate::domain::task::{CatchUpPolicy, ExecutionMode};
use crate::domain::time::Timestamp;
use crate::ops::context::StateView;
use crate::ops::told::{Told, told};
use crate::ops::{eligibility, executors, views, words};

/// The finding for an instant that is not settled yet.
pub(super) fn future(
    view: &StateView,
    task: &Task,
    plan: Option<&Plan>,
    at: Timestamp,
) -> TickFinding {
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
    TickFinding::open(Some(true), late(task, &owner, at))
}

/// What becomes of a tick that is due and that its owner has not settled.
fn late(task: &Task, owner: &str, at: Timestamp) -> Told {
    let policy = task.spec().map(|spec| spec.catch_up.policy).unwrap_or_default();
    let then = match policy {
        CatchUpPolicy::Last => {
            told!("the newest late tick fires for all of them", "由最近一次迟到的触发代替全部")
        }
        CatchUpPolicy::All => told!("late ticks fire one by one", "迟到的触发逐个执行"),
        CatchUpPolicy::None => told!("late ticks do not fire", "迟到的触发不再执行"),
    };
    told!(
        "{at} is due and not yet settled by {owner}; once it is late, {then}",
        "{at} 已到时间，{owner} 尚未处理；若迟到，{then}",
        then
    )
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
pub(in crate::ops) fn over(task: &Task) -> Option<Told> {
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
