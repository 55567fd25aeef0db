//! What is done to a task as a whole.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use serde_json::{Map, Value};

use crate::api::extract::{Reply, Segment, Write};
use crate::api::fields::Fields;
use crate::api::lists::location;
use crate::api::reply::{ok, reply};
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::command::{MarkDeleted, Named, PauseTask, TriggerTask};
use crate::domain::machine::{Answer, Command, Task};
use crate::domain::spec::check_name;
use crate::domain::time::Timestamp;
use crate::dto::{ExecutionChanged, ExecutionNow, ExecutionView, TaskChanged, TaskNow};
use crate::ops::OpError;
use crate::ops::context::{Context, View};
use crate::ops::{eligibility, views};

use super::after_write;

/// Longest reason of a pause.
const REASON_BYTES_MAX: usize = 4 << 10;
/// Payload and parameters of an execution together.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// `DELETE /tasks/{name}`: sets the deleted mark, or removes all that is known of the name.
pub(in crate::api) async fn delete(Segment(name): Segment, write: Write) -> Reply {
    let params = &write.params;
    let (wait, stop) = (params.flag("wait")?, params.flag("stop")?);
    let (cleanup, tombstone) = (params.flag("cleanup")?, params.flag("tombstone")?);
    Fields::of(write.body.as_ref(), &[])?.done()?;
    if cleanup && tombstone {
        return Err(OpError::parameter(
            "cleanup",
            "leaves no mark, so it does not go with tombstone",
        ));
    }
    if tombstone {
        check_name(&name).map_err(|rule| OpError::field("/name", ErrorCode::InvalidName, rule))?;
    }
    if cleanup {
        let running = cleaned(&write, &name).await?;
        if wait {
            no_more_starts(&write.context).await;
        }
        return gone(&write.context, &name, running);
    }
    let if_match = write.if_match_of(&name)?;
    let mark = MarkDeleted { name: name.clone(), stop, tombstone, if_match };
    let answer = write.submit(&Command::MarkDeleted(mark)).await?;
    if wait {
        no_more_starts(&write.context).await;
        let running = still_running(&write, &name)?;
        return after_write(&write.context, StatusCode::OK, &name, None, Some(running));
    }
    let ids = if let Answer::Running(ids) = answer { ids } else { Vec::new() };
    let running = views::executions(&write.context.here()?.state, &ids);
    after_write(&write.context, StatusCode::OK, &name, None, Some(running))
}

/// `POST /tasks/{name}/pause`: its ticks no longer fire.
pub(in crate::api) async fn pause(Segment(name): Segment, write: Write) -> Reply {
    let wait = write.params.flag("wait")?;
    let fields = Fields::of(write.body.as_ref(), &["reason", "until"])?;
    let answer = match pause_fields(&fields, write.context.clock.now()) {
        Ok((reason, until)) => {
            let if_match = write.if_match_of(&name)?;
            let pause = PauseTask { name: name.clone(), reason, until, if_match };
            write.submit(&Command::Pause(pause)).await?
        }
        // A pause that is repeated may be over by now.
        Err(problem) => write.unless_answered(problem).await?,
    };
    let mut running = None;
    if wait {
        no_more_starts(&write.context).await;
        running = Some(still_running(&write, &name)?);
    }
    after_write(&write.context, StatusCode::OK, &name, answer.revision(), running)
}

/// Reads what a pause says.
pub(super) fn pause_fields(
    fields: &Fields<'_>,
    now: Timestamp,
) -> Result<(String, Option<Timestamp>), OpError> {
    let reason = fields.short_text("reason", REASON_BYTES_MAX).unwrap_or_default();
    let until = fields.instant("until");
    if until.is_some_and(|until| until <= now) {
        fields.refuse("/until", ErrorCode::InvalidValue, format!("must lie after {now}"));
    }
    fields.done()?;
    Ok((reason.to_owned(), until))
}

/// `POST /tasks/{name}/resume`: its ticks fire again.
pub(in crate::api) async fn resume(Segment(name): Segment, write: Write) -> Reply {
    let named = named(&write, &name)?;
    let made = write.submit(&Command::Resume(named)).await?.revision();
    after_write(&write.context, StatusCode::OK, &name, made, None)
}

/// `POST /tasks/{name}/reuse`: takes the deleted mark away.
pub(in crate::api) async fn reuse(Segment(name): Segment, write: Write) -> Reply {
    let named = named(&write, &name)?;
    let made = write.submit(&Command::Reuse(named)).await?.revision();
    after_write(&write.context, StatusCode::OK, &name, made, None)
}

/// `POST /tasks/{name}/cleanup`: removes all that is known of the name, if there is anything.
pub(in crate::api) async fn cleanup(Segment(name): Segment, write: Write) -> Reply {
    Fields::of(write.body.as_ref(), &[])?.done()?;
    let running = cleaned(&write, &name).await?;
    gone(&write.context, &name, running)
}

/// A command about one name, of a request that says nothing else.
fn named(write: &Write, name: &str) -> Result<Named, OpError> {
    Fields::of(write.body.as_ref(), &[])?.done()?;
    Ok(Named { name: name.to_owned(), if_match: write.if_match_of(name)? })
}

/// Removes a name, and tells what ran of it.
async fn cleaned(write: &Write, name: &str) -> Result<Vec<ExecutionView>, OpError> {
    let view = write.context.here()?;
    let running = view.state.named(name).map(|task| views::running(&view.state, task));
    let named = Named { name: name.to_owned(), if_match: write.if_match_of(name)? };
    write.submit(&Command::Cleanup(named)).await?;
    Ok(running.unwrap_or_default())
}

fn gone(context: &Context, name: &str, cancelled: Vec<ExecutionView>) -> Reply {
    let (task, cancelled) = (TaskNow::gone(name), Some(cancelled));
    Ok(ok(&context.here()?, TaskChanged { task, running: None, cancelled }))
}

/// Waits until no grant that was proposed before can lead to a start any more.
async fn no_more_starts(context: &Context) {
    if bug!("delete-does-not-wait") {
        return;
    }
    let ttl = context.settings.dispatch_ttl.0;
    tokio::time::sleep(Duration::from_millis(ttl.saturating_add(ttl / 10))).await;
}

fn still_running(write: &Write, name: &str) -> Result<Vec<ExecutionView>, OpError> {
    let view = write.context.here()?;
    let running = view.state.named(name).map(|task| views::running(&view.state, task));
    Ok(running.unwrap_or_default())
}

/// `POST /tasks/{name}/trigger`: an execution now.
pub(in crate::api) async fn trigger(Segment(name): Segment, write: Write) -> Reply {
    let fields = Fields::of(write.body.as_ref(), &["parameters"])?;
    let over = fields.object("parameters");
    fields.done()?;
    let trigger = |parameters| Command::TriggerTask(TriggerTask { name: name.clone(), parameters });
    let answer = match over {
        None => write.submit(&trigger(None)).await?,
        Some(over) => {
            let laid = |view: &View| merged(view.task(&name)?, over);
            write.answer(|view| Ok(Some(trigger(Some(laid(view)?))))).await?
        }
    };
    execution_reply(&write.context, &answer)
}

/// Answers with an execution that was made.
pub(in crate::api) fn execution_reply(context: &Context, answer: &Answer) -> Reply {
    let Answer::Execution { execution: id, .. } = answer else {
        return Err(OpError::internal("a command made no execution"));
    };
    let view = context.here()?;
    let found = view.state.execution(*id);
    let execution = match found {
        Some((task, execution)) => {
            ExecutionNow::Kept(Box::new(views::execution(&view.state, task, execution)))
        }
        // Its task was removed since.
        None => ExecutionNow::Gone { id: id.to_string() },
    };
    let spec = found.and_then(|(task, _)| task.spec());
    let told = spec.and_then(|spec| eligibility::warning(&view.state, spec));
    let warnings = told.iter().map(views::warning).collect();
    let body = ExecutionChanged { execution, warnings };
    let mut response = reply(&view, StatusCode::CREATED, body);
    if let Some(location) = location("executions", &id.to_string()) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Parameters laid over those of a task, as the log carries them: compact, keys sorted.
pub(super) fn merged(task: &Task, over: &Map<String, Value>) -> Result<String, OpError> {
    let own = task.spec().map_or("{}", |spec| spec.parameters.as_str());
    let mut all: Map<String, Value> = serde_json::from_str(own).unwrap_or_default();
    all.extend(over.iter().map(|(key, value)| (key.clone(), value.clone())));
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
