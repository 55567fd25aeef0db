//! Backfills: executions for the ticks of a past range.
//!
//! A request is one step: it creates executions for the next ticks of the range, as many as may be
//! live at once. Whoever wants all of them repeats it. The cluster keeps how far a range is, so any
//! client continues through any node.

use serde_json::{Map, Value};

use super::trigger::merged;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::ExecutionId;
use crate::domain::machine::command::{Backfill, CancelBackfill};
use crate::domain::machine::limits::{
    BACKFILL_PARALLEL_MAX, BACKFILL_TICKS_MAX, BACKFILLS_MAX, TASK_BACKFILLS_MAX,
};
use crate::domain::machine::record::{BackfillKey, BackfillRecord, Reason};
use crate::domain::machine::{Answer, Command, Refusal, Response, Task};
use crate::domain::schedule::Plan;
use crate::domain::time::Timestamp;
use crate::dto::{BackfillRequest, BackfillTicksView, BackfillView, BackfillsView, Rfc3339};
use crate::ops::context::StateView;
use crate::ops::{Caller, OpAnswer, OpError, changes, plans, words};

/// The largest value of `parallel`.
pub(crate) const PARALLEL_MAX: u64 = BACKFILL_PARALLEL_MAX as u64;
/// Maximum number of ticks of a range.
const RANGE_TICKS_MAX: usize = 10_000;
/// Maximum number of ticks and excluded periods that are inspected for a range.
const LOOKS_MAX: usize = 100_000;
/// Maximum number of attempts when a step conflicts with other changes of its task.
const TRIES: u32 = 8;

/// A past range of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackfillRange {
    /// The first instant.
    pub from: Timestamp,
    /// The end, which is not part of the range.
    pub to: Timestamp,
    /// Whether these are parameters, not fields of a body.
    pub parameters: bool,
}

/// A step of a backfill.
#[derive(Clone, Debug)]
pub(crate) struct BackfillStep {
    /// The range.
    pub range: BackfillRange,
    /// Executions that may be live at once.
    pub parallel: u32,
    /// Laid over the parameters of the task.
    pub parameters: Option<Map<String, Value>>,
}

impl BackfillStep {
    /// The step that a program asks for.
    ///
    /// # Errors
    /// `out_of_range`.
    pub fn of(request: &BackfillRequest) -> Result<Self, OpError> {
        let parallel = request.parallel.unwrap_or(1);
        let parallel =
            u32::try_from(parallel).ok().filter(|many| (1..=BACKFILL_PARALLEL_MAX).contains(many));
        let parallel = parallel.ok_or_else(|| {
            let rule = format!("must be a whole number from 1 to {BACKFILL_PARALLEL_MAX}");
            OpError::field("/parallel", ErrorCode::OutOfRange, rule)
        })?;
        let range = BackfillRange { from: request.from.0, to: request.to.0, parameters: false };
        Ok(Self { range, parallel, parameters: request.parameters.clone() })
    }
}

impl BackfillRange {
    fn problem(&self, name: &str, rule: impl Into<String>) -> OpError {
        if self.parameters {
            return OpError::parameter(name, rule);
        }
        OpError::field(format!("/{name}"), ErrorCode::InvalidValue, rule)
    }

    const fn key(&self, task: &Task) -> BackfillKey {
        BackfillKey { task: task.key, from: self.from, to: self.to }
    }

    /// The plan of the task, if it can have ticks in the range.
    fn plan(&self, view: &StateView, task: &Task) -> Result<Plan, OpError> {
        let Self { from, to, .. } = *self;
        let Some(spec) = task.spec().filter(|_| task.live.deleted.is_none()) else {
            return Err(Refusal::TaskDeleted.into());
        };
        if to <= from {
            return Err(self.problem("to", "must lie after from"));
        }
        if to > view.now {
            let rule = format!("must not lie in the future: it is {} now", view.now);
            return Err(self.problem("to", rule));
        }
        if let Some(first) = spec.schedule.not_before.filter(|first| to <= *first) {
            return Err(
                self.problem("to", format!("must lie after not_before of the task, {first}"))
            );
        }
        if let Some(last) = spec.schedule.not_after.filter(|last| from > *last) {
            return Err(
                self.problem("from", format!("must not lie after not_after of the task, {last}"))
            );
        }
        let plan = plans::current(&view.state, task);
        let plan = plan.ok_or_else(|| OpError::internal("a schedule cannot be computed"))?;
        if plan.manual() {
            return Err(self.problem("from", "a task with a manual schedule has no ticks"));
        }
        Ok(plan)
    }

    /// All ticks of a range that was not begun.
    fn all(&self, plan: &Plan) -> Result<Vec<Timestamp>, OpError> {
        let ticks = self.rest(plan, BackfillRecord::before(self.from))?;
        if ticks.is_empty() {
            let first = plan.next_open(BackfillRecord::before(self.from));
            let first = first.map(|first| format!(": the first after from is {first}"));
            let (from, to, first) = (self.from, self.to, first.unwrap_or_default());
            let rule = format!("the task has no tick from {from} to {to}{first}");
            return Err(self.problem("from", rule));
        }
        Ok(ticks)
    }

    /// All ticks of the range after an instant.
    fn rest(&self, plan: &Plan, after: Timestamp) -> Result<Vec<Timestamp>, OpError> {
        let ticks = self.first_ticks(plan, after, RANGE_TICKS_MAX + 1);
        let ticks = ticks.filter(|ticks| ticks.len() <= RANGE_TICKS_MAX);
        let rule = format!("the range must have at most {RANGE_TICKS_MAX} ticks: divide it");
        ticks.ok_or_else(|| self.problem("to", rule))
    }

    /// The first ticks of the range after an instant that no calendar excludes, at most so many. None:
    /// it takes too long to find them.
    fn first_ticks(&self, plan: &Plan, after: Timestamp, most: usize) -> Option<Vec<Timestamp>> {
        let (mut ticks, mut at) = (Vec::new(), after);
        for _ in 0..LOOKS_MAX {
            let next = plan.next_after(at).filter(|tick| *tick < self.to);
            let Some(tick) = next.filter(|_| ticks.len() < most) else { return Some(ticks) };
            at = tick;
            if plan.excluded(tick).is_some() {
                at = plan.stretch(tick, self.to).last;
            } else {
                ticks.push(tick);
            }
        }
        None
    }

    /// The ticks of the next step, and how many follow them. What follows is counted once for each
    /// definition of the task and its calendars: a further step looks at its own ticks only.
    fn next(
        &self,
        view: &StateView,
        task: &Task,
        known: Option<&BackfillRecord>,
    ) -> Result<(Vec<Timestamp>, u64), OpError> {
        let plan = self.plan(view, task)?;
        let calendars = view.state.calendars_of(task);
        let counted = |known: &&BackfillRecord| {
            Some(known.definition) == task.live.definition && known.calendars == calendars
        };
        if let Some(known) = known.filter(counted)
            && let Some(mut ticks) = self.first_ticks(&plan, known.cursor, BACKFILL_TICKS_MAX + 1)
        {
            // Another release may compute other ticks: whether some follow is looked at.
            let more = ticks.split_off(ticks.len().min(BACKFILL_TICKS_MAX)).len() as u64;
            let left = known.remaining.saturating_sub(ticks.len() as u64);
            return Ok((ticks, if more == 0 { 0 } else { left.max(more) }));
        }
        let mut ticks = match known {
            Some(known) => self.rest(&plan, known.cursor)?,
            None => self.all(&plan)?,
        };
        let remaining = ticks.split_off(ticks.len().min(BACKFILL_TICKS_MAX)).len() as u64;
        Ok((ticks, remaining))
    }
}

/// What a step does.
enum StepDecision {
    /// Propose this.
    Propose(Box<Backfill>),
    /// Nothing: the next tick waits for this, or there is none.
    Nothing(Option<&'static str>),
}

/// Creates executions for the next ticks of a range. A request that creates none writes nothing to the
/// log, so that its key stays free, and is decided anew when it is repeated.
///
/// # Errors
/// `task_not_found`, `task_deleted`, `task_cancelled`, `inactive`, `limit_reached`, `too_large`,
/// `ahead_of_time`; `invalid_value` for a range that is not past, has no ticks or too many.
pub(crate) async fn step(
    caller: &Caller,
    name: &str,
    step: &BackfillStep,
) -> Result<OpAnswer<BackfillView>, OpError> {
    for _ in 0..TRIES {
        let view = caller.view().await?;
        if let Some(first) = caller.first_response(&view)? {
            return answered(caller, name, step, first);
        }
        let (decided, of, wanted) = (view.clone(), name.to_owned(), step.clone());
        let decide = move || decide(&decided, decided.task(&of)?, &wanted);
        let body = match caller.context.scans.run(decide).await?? {
            StepDecision::Propose(body) => body,
            StepDecision::Nothing(waits_for) => {
                let task = view.task(name)?;
                let body = shown(&view, task, &step.range, Vec::new(), waits_for);
                return Ok(OpAnswer::of(view, body));
            }
        };
        let begins = view.state.backfill_of(view.task(name)?, &step.range.key(view.task(name)?));
        let begins = begins.is_none();
        let response = caller.try_submit(&Command::Backfill(body)).await?;
        if response.as_ref().is_err_and(Refusal::outdated) {
            // The range or the task has changed: try again.
            continue;
        }
        let (from, to) = (step.range.from, step.range.to);
        let line = || format!("a backfill of task {name} from {from} to {to} was begun");
        changes::log((begins && response.is_ok()).then(line));
        return answered(caller, name, step, response);
    }
    Err(OpError::new(ErrorCode::NotAccepted, "the task changes too fast; nothing was changed"))
}

/// Ends a range before it is complete: no further executions are created for its ticks, and those that
/// were go on. A range that is closed stays as it is.
///
/// # Errors
/// `task_not_found`, `backfill_not_found`.
pub(crate) async fn cancel(
    caller: &Caller,
    name: &str,
    range: &BackfillRange,
) -> Result<OpAnswer<BackfillView>, OpError> {
    let mut ends = false;
    let make = |view: &StateView| {
        let task = view.task(name)?;
        let key = range.key(task);
        ends = view.state.backfill_of(task, &key).is_some_and(|known| !known.closed());
        let BackfillKey { task, from, to } = key;
        Ok(Some(Command::CancelBackfill(CancelBackfill { task, from, to })))
    };
    caller.answer(make).await?;
    let (from, to) = (range.from, range.to);
    let line = || format!("the backfill of task {name} from {from} to {to} was cancelled");
    changes::log(ends.then(line));
    let view = caller.context.here()?;
    let body = shown(&view, view.task(name)?, range, Vec::new(), None);
    Ok(OpAnswer::of(view, body))
}

/// The range after a command, or why the next tick waits.
fn answered(
    caller: &Caller,
    name: &str,
    step: &BackfillStep,
    response: Response,
) -> Result<OpAnswer<BackfillView>, OpError> {
    let (executions, waits_for) = match response {
        Ok(Answer::Backfilled { executions, .. }) => (executions, None),
        Ok(_) => return Err(OpError::internal("a backfill made no executions")),
        Err(Refusal::Full) => return Err(full()),
        Err(refusal) => match word(&refusal) {
            Some(waits_for) => (Vec::new(), Some(waits_for)),
            None => return Err(refusal.into()),
        },
    };
    let view = caller.context.here()?;
    let body = shown(&view, view.task(name)?, &step.range, executions, waits_for);
    Ok(OpAnswer::of(view, body))
}

/// What the next tick waits for; none: the refusal says more than that it has to wait.
const fn word(refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::NoRoom => Some("parallel"),
        Refusal::Overlap => Some("overlap"),
        Refusal::QueueFull => Some("queue_full"),
        Refusal::MaxLive => Some("max_live"),
        _ => None,
    }
}

fn full() -> OpError {
    let why = format!(
        "the task has {TASK_BACKFILLS_MAX} backfills that are not finished, or the cluster \
         {BACKFILLS_MAX}"
    );
    let advice = "Complete them, or cancel them with `--cancel`: `punctual backfill NAME` lists those \
                  of a task.";
    OpError::new(ErrorCode::LimitReached, why).advise(advice)
}

fn decide(view: &StateView, task: &Task, step: &BackfillStep) -> Result<StepDecision, OpError> {
    let range = &step.range;
    let known = view.state.backfill_of(task, &range.key(task));
    if known.is_some_and(BackfillRecord::closed) {
        return Ok(StepDecision::Nothing(None));
    }
    let live = known.map_or(0, |known| known.live.len());
    let held = held(view, task);
    if live >= usize::try_from(step.parallel).unwrap_or(usize::MAX) {
        let why = held.map_or("parallel", |(why, _)| why);
        return Ok(StepDecision::Nothing(Some(why)));
    }
    let (ticks, remaining) = range.next(view, task, known)?;
    match held {
        Some((why, _)) if live > 0 => return Ok(StepDecision::Nothing(Some(why))),
        Some((_, problem)) => return Err(problem),
        None => {}
    }
    // The log decides. What it would refuse as this node sees the task is not proposed.
    if let Some(refusal) = task.admits_backfill().err().filter(|_| !ticks.is_empty()) {
        return word(&refusal).map_or_else(
            || Err(refusal.into()),
            |waits_for| Ok(StepDecision::Nothing(Some(waits_for))),
        );
    }
    let after = known.map_or(BackfillRecord::before(range.from), |known| known.cursor);
    let parameters = step.parameters.as_ref().map(|over| merged(task, over)).transpose()?;
    Ok(StepDecision::Propose(Box::new(Backfill {
        task: task.key,
        revision: task.live.revision,
        calendars: view.state.calendars_of(task),
        from: range.from,
        to: range.to,
        after,
        ticks,
        remaining,
        parallel: step.parallel,
        parameters,
    })))
}

/// Why executions of ticks do not start: a word, and the error for a request that needs them to.
fn held(view: &StateView, task: &Task) -> Option<(&'static str, OpError)> {
    let name = &task.live.name;
    let inactive = |why: &str| OpError::new(ErrorCode::Inactive, why);
    if task.spec().is_some_and(|spec| spec.one_shot) {
        let problem = inactive("a task with one_shot fires once, so it has no backfill");
        return Some(("disabled", problem.advise(format!("Run it: `punctual run {name}`."))));
    }
    let reason = task.inactive();
    let problem = match reason {
        Some(Reason::Deleted) => Refusal::TaskDeleted.into(),
        Some(Reason::Cancelled) => Refusal::TaskCancelled.into(),
        Some(Reason::Disabled) => inactive("the task is disabled, so no tick of it is executed")
            .advise(format!("Enable it: `punctual set {name} --enabled`.")),
        Some(_) => inactive("the task is paused, so no tick of it is executed")
            .advise(format!("Resume it: `punctual resume {name}`.")),
        None if !view.state.cluster().scheduler => {
            inactive("the scheduler is stopped, so no tick is executed")
                .advise("Start it: `punctual scheduler start`.")
        }
        None => return None,
    };
    Some((reason.map_or("stopped", words::reason), problem))
}

fn shown(
    view: &StateView,
    task: &Task,
    range: &BackfillRange,
    executions: Vec<ExecutionId>,
    waits_for: Option<&'static str>,
) -> BackfillView {
    let key = range.key(task);
    let executions = executions.iter().map(ToString::to_string).collect();
    let none = || BackfillRecord::begun(task.live.incarnation, range.from, view.now);
    let known = view.state.backfill_of(task, &key);
    let body = match known {
        Some(known) => one(task, &key, known),
        None => BackfillView {
            begun_at: None,
            changed_at: None,
            total: 0,
            remaining: 0,
            ..one(task, &key, &none())
        },
    };
    BackfillView { executions, waits_for: waits_for.map(Into::into), ..body }
}

fn one(task: &Task, key: &BackfillKey, known: &BackfillRecord) -> BackfillView {
    let ended = &known.ended;
    let state = match known.closed() {
        false => "open",
        true if known.cancelled(key) => "cancelled",
        true => "complete",
    };
    BackfillView {
        state: state.into(),
        task: task.live.name.to_string(),
        incarnation: known.incarnation.0,
        from: Rfc3339(key.from),
        to: Rfc3339(key.to),
        done: known.closed() && known.live.is_empty(),
        total: known.created.saturating_add(known.remaining),
        created: known.created,
        remaining: known.remaining,
        cursor: (known.created > 0).then_some(Rfc3339(known.cursor)),
        live: known.live.iter().map(ToString::to_string).collect(),
        success: ended.success,
        failed: ended.failed,
        timeout: ended.timeout,
        cancelled: ended.cancelled,
        lost: ended.lost,
        begun_at: Some(Rfc3339(known.begun_at)),
        changed_at: Some(Rfc3339(known.changed_at)),
        executions: Vec::new(),
        waits_for: None,
    }
}

/// The backfills of a task.
pub(crate) fn list(view: &StateView, task: &Task) -> BackfillsView {
    let ranges = view.state.backfills(task.key);
    let ranges = ranges.filter(|(_, known)| known.incarnation == task.live.incarnation);
    BackfillsView {
        items: ranges.map(|(key, known)| one(task, key, known)).collect(),
        next_cursor: (),
    }
}

/// The ticks that a backfill of a range would execute.
///
/// # Errors
/// `task_deleted`; `invalid_parameter` for a range that is not past, has no ticks or too many.
pub(crate) fn ticks(
    view: &StateView,
    task: &Task,
    range: &BackfillRange,
) -> Result<BackfillTicksView, OpError> {
    let ticks = range.all(&range.plan(view, task)?)?;
    let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else {
        return Err(OpError::internal("a range without ticks"));
    };
    let known = view.state.backfill_of(task, &range.key(task));
    let cursor = known.map_or(BackfillRecord::before(range.from), |known| known.cursor);
    Ok(BackfillTicksView {
        task: task.live.name.to_string(),
        from: Rfc3339(range.from),
        to: Rfc3339(range.to),
        total: ticks.len() as u64,
        remaining: ticks.iter().filter(|tick| **tick > cursor).count() as u64,
        first: Rfc3339(*first),
        last: Rfc3339(*last),
        ticks: ticks.iter().map(|tick| Rfc3339(*tick)).collect(),
    })
}
