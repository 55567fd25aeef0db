//! Creates tasks and changes their definitions.

use serde_json::{Value, json};

use super::changed;
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::command::{Put, PutMode};
use crate::domain::machine::{Command, Refusal, Task};
use crate::domain::schedule::Warning;
use crate::domain::spec::{self, ReadContext};
use crate::domain::task::TaskSpec;
use crate::domain::time::Timestamp;
use crate::domain::warning_code::WarningCode;
use crate::dto::{TaskChanged, TaskNow};
use crate::ops::context::{ApiSettings, StateView};
use crate::ops::{Caller, OpAnswer, OpError, eligibility, views, why};

/// Maximum number of attempts to apply a patch that conflicts with other changes.
const PATCH_TRIES: u32 = 8;

/// Creates a task from its body. With `force` it replaces an existing task.
///
/// # Errors
/// Errors in the body; `task_exists`, `task_deleted`.
pub(crate) async fn create(
    caller: &Caller,
    body: &Value,
    force: bool,
) -> Result<OpAnswer<TaskChanged>, OpError> {
    let view = caller.context.here()?;
    let answer = match read_new(&view, &caller.context.settings, body) {
        Ok(spec) => {
            let put = Put { mode: mode(force), spec };
            caller.submit(&Command::Put(Box::new(put))).await?
        }
        // The body was valid then, but may no longer be, for example because its time has passed.
        Err(problem) => caller.unless_answered(problem).await?,
    };
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    changed(caller, name, answer.revision(), None)
}

/// Reads the body of a task that is not there yet.
///
/// # Errors
/// Errors in the body.
pub(crate) fn read_new(
    view: &StateView,
    settings: &ApiSettings,
    body: &Value,
) -> Result<TaskSpec, OpError> {
    let mut reading = view.reading(settings);
    reading.settled = settled(view, body);
    let spec = spec::read(&spec::definition(body), reading)?;
    eligibility::check(&view.state, &spec, None)?;
    Ok(spec)
}

/// Reads the body that a task is to have.
///
/// # Errors
/// Errors in the body; `name_changed`, `task_not_found`, `task_deleted`.
pub(crate) fn read_changed(
    view: &StateView,
    settings: &ApiSettings,
    name: &str,
    body: &Value,
) -> Result<TaskSpec, OpError> {
    let body = named(name, body)?;
    let former = present(view, name)?.spec();
    let current = former.map(|spec| &spec.schedule);
    let spec = spec::read(&body, ReadContext { current, ..view.reading(settings) })?;
    eligibility::check(&view.state, &spec, former)?;
    Ok(spec)
}

/// A body with the name of the task that it is for.
fn named(name: &str, body: &Value) -> Result<Value, OpError> {
    let mut body = spec::definition(body);
    if let Value::Object(fields) = &mut body {
        let named = fields.entry("name").or_insert_with(|| json!(name));
        if named.as_str().is_some_and(|named| named != name) {
            let message = format!("must stay `{name}`: a task's name is its identity");
            return Err(OpError::field("/name", ErrorCode::NameChanged, message));
        }
    }
    Ok(body)
}

/// Up to here no tick of a new task of that name fires: what its name had before is settled.
pub(in crate::ops) fn settled(view: &StateView, body: &Value) -> Timestamp {
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let floor = view.state.cluster().floor;
    view.state.named(name).map_or(floor, |task| view.state.settled(task))
}

/// How a new task treats an existing one with the same name.
pub(super) const fn mode(force: bool) -> PutMode {
    if force { PutMode::Force } else { PutMode::Add }
}

/// Replaces the definition of a task. Cursor and history are kept.
///
/// # Errors
/// Errors in the body; `name_changed`, `task_not_found`, `task_deleted`.
pub(crate) async fn put(
    caller: &Caller,
    name: &str,
    body: &Value,
) -> Result<OpAnswer<TaskChanged>, OpError> {
    named(name, body)?;
    let answer = caller.answer(|view| {
        let spec = read_changed(view, &caller.context.settings, name, body)?;
        let task = present(view, name)?;
        let mode = PutMode::Update { if_match: caller.if_match(Some(task.live.revision)) };
        Ok(Some(Command::Put(Box::new(Put { mode, spec }))))
    });
    let before = completed(&caller.context.here()?, name);
    let made = answer.await?.revision();
    Ok(warned(changed(caller, name, made, None)?, name, before))
}

/// Why no tick of a task is left, by its definition.
fn completed(view: &StateView, name: &str) -> Option<String> {
    let task = view.state.named(name).filter(|task| task.used_up())?;
    why::over(task).map(|why| why.en)
}

/// Adds that a change leaves no tick to a task that had some.
fn warned(
    mut answer: OpAnswer<TaskChanged>,
    name: &str,
    before: Option<String>,
) -> OpAnswer<TaskChanged> {
    let now = completed(&answer.view, name).filter(|_| before.is_none());
    if let (Some(why), TaskNow::Kept(task)) = (now, &mut answer.body.task) {
        let detail = format!("the change completes the task, and none of its ticks fires: {why}");
        task.warnings.push(views::warning(&Warning { code: WarningCode::Completed, detail }));
    }
    answer
}

/// Applies a JSON merge patch (RFC 7396) to a definition.
///
/// Unless it is bound to a revision, it is applied to the current definition, so that two
/// concurrent patches of different fields both take effect. A patch that changes nothing creates no
/// revision.
///
/// # Errors
/// Errors in the result; `task_not_found`, `task_deleted`, `not_accepted`.
pub(crate) async fn patch(
    caller: &Caller,
    name: &str,
    changes: &Value,
) -> Result<OpAnswer<TaskChanged>, OpError> {
    for _ in 0..PATCH_TRIES {
        let view = caller.view().await?;
        if let Some(first) = caller.first(&view)? {
            return changed(caller, name, first.revision(), None);
        }
        let task = present(&view, name)?;
        let before = completed(&view, name);
        let spec = patched(&view, task, changes, caller)?;
        let bound = caller.if_match(Some(task.live.revision));
        if bound.is_none() && task.spec() == Some(&spec) {
            caller.take_key().await?;
            let (now, revision) = (views::task(&view, task), Some(task.live.revision));
            let task = TaskNow::Kept(Box::new(now));
            let body = TaskChanged { task, running: None, cancelled: None, execution_id: None };
            return Ok(OpAnswer { view, body, revision });
        }
        let if_match = bound.or(Some(task.live.revision));
        let put = Put { mode: PutMode::Update { if_match }, spec };
        match caller.try_submit(&Command::Put(Box::new(put))).await? {
            Ok(answer) => {
                let changed = changed(caller, name, answer.revision(), None)?;
                return Ok(warned(changed, name, before));
            }
            // Somebody changed the task meanwhile: the patch is applied to the newer definition.
            Err(Refusal::RevisionMismatch { .. }) if bound.is_none() => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    let why = "others change the task faster than this patch can be applied; nothing was changed";
    Err(OpError::new(ErrorCode::NotAccepted, why))
}

fn patched(
    view: &StateView,
    task: &Task,
    changes: &Value,
    caller: &Caller,
) -> Result<TaskSpec, OpError> {
    let former = task.spec().ok_or_else(|| OpError::from(Refusal::TaskDeleted))?;
    let spec = spec::patch(former, changes, view.reading(&caller.context.settings))?;
    eligibility::check(&view.state, &spec, Some(former))?;
    Ok(spec)
}

/// A task that exists and is not marked deleted.
fn present<'a>(view: &'a StateView, name: &str) -> Result<&'a Task, OpError> {
    let task = view.task(name)?;
    if task.live.deleted.is_some() {
        return Err(Refusal::TaskDeleted.into());
    }
    Ok(task)
}
