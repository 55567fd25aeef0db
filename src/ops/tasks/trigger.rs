//! Executions started on request.

use serde_json::{Map, Value};

use crate::domain::error_code::ErrorCode;
use crate::domain::machine::command::TriggerTask;
use crate::domain::machine::{Answer, Command, Task};
use crate::domain::spec::{self, NO_NUL, is_command, with_nul};
use crate::dto::{ExecutionChanged, ExecutionNow, TriggerRequest};
use crate::ops::context::StateView;
use crate::ops::{Caller, OpAnswer, OpError, eligibility, views};

/// Maximum size of payload and parameters of an execution together, in bytes.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// Creates an execution of a task now.
///
/// # Errors
/// `task_not_found`, `task_deleted`, `max_live`, `overlap`, `queue_full`, `too_large`.
pub(crate) async fn trigger(
    caller: &Caller,
    name: &str,
    request: TriggerRequest,
) -> Result<OpAnswer<ExecutionChanged>, OpError> {
    let name = name.to_owned();
    let trigger = |parameters| Command::TriggerTask(TriggerTask { name: name.clone(), parameters });
    let answer = match &request.parameters {
        None => caller.submit(&trigger(None)).await?,
        Some(over) => {
            let laid = |view: &StateView| merged(view.task(&name)?, over);
            caller.answer(|view| Ok(Some(trigger(Some(laid(view)?))))).await?
        }
    };
    made(caller, &answer)
}

/// The execution that a command created.
pub(crate) fn made(
    caller: &Caller,
    answer: &Answer,
) -> Result<OpAnswer<ExecutionChanged>, OpError> {
    let Answer::Execution { execution: id, .. } = answer else {
        return Err(OpError::internal("a command made no execution"));
    };
    let view = caller.context.here()?;
    let found = view.state.execution(*id);
    let execution = match found {
        Some((task, execution)) => {
            ExecutionNow::Kept(Box::new(views::execution(&view.state, task, execution)))
        }
        // The task was removed in the meantime.
        None => ExecutionNow::Gone { id: id.to_string() },
    };
    let spec = found.and_then(|(task, _)| task.spec());
    let told = spec.and_then(|spec| eligibility::warning(&view.state, spec));
    let warnings = told.iter().map(views::warning).collect();
    Ok(OpAnswer::of(view, ExecutionChanged { execution, warnings }))
}

/// Parameters of a task merged with those of a request, in the format of the log: compact JSON with
/// sorted keys.
pub(super) fn merged(task: &Task, over: &Map<String, Value>) -> Result<String, OpError> {
    let own = task.spec().map_or("{}", |spec| spec.parameters.as_str());
    let mut all: Map<String, Value> = serde_json::from_str(own).unwrap_or_default();
    all.extend(over.iter().map(|(key, value)| (key.clone(), value.clone())));
    if let Some(name) = with_nul(over).first().filter(|_| task.spec().is_some_and(is_command)) {
        let place = format!("/parameters/{}", spec::escape(name));
        return Err(OpError::field(&place, ErrorCode::InvalidValue, NO_NUL));
    }
    let mut all = Value::Object(all);
    all.sort_all_objects();
    let text = all.to_string();
    let payload = task.spec().map_or(0, |spec| spec.payload.len());
    if text.len() + payload > PAYLOAD_BYTES_MAX {
        let message =
            format!("must have at most {PAYLOAD_BYTES_MAX} bytes together with payload, merged");
        return Err(OpError::field("/parameters", ErrorCode::TooLarge, message));
    }
    Ok(text)
}
