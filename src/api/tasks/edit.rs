//! Changing a task's definition.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api::extract::{Reply, Segment, Write};
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::command::{Put, PutMode};
use crate::domain::machine::{Command, Refusal, Task};
use crate::domain::spec::{self, ReadContext};
use crate::domain::task::TaskSpec;
use crate::ops::OpError;
use crate::ops::context::View;
use crate::ops::eligibility;

use super::{after_write, task_reply};

/// A patch that meets other changes is applied to the newer definition so many times.
const PATCH_TRIES: u32 = 8;

/// `PUT /tasks/{name}`: another definition; cursor and history stay.
pub(in crate::api) async fn put(Segment(name): Segment, write: Write) -> Reply {
    let mut body = spec::definition(write.body()?);
    if let Value::Object(fields) = &mut body {
        let named = fields.entry("name").or_insert_with(|| json!(name));
        if named.as_str().is_some_and(|named| named != name) {
            let message = format!("must stay `{name}`: a task's name is its identity");
            return Err(OpError::field("/name", ErrorCode::NameChanged, message));
        }
    }
    let answer = write.answer(|view| {
        let task = present(view, &name)?;
        let former = task.spec();
        let current = former.map(|spec| &spec.schedule);
        let reading = view.reading(&write.context.settings);
        let spec = spec::read(&body, ReadContext { current, ..reading })?;
        eligibility::check(&view.state, &spec, former)?;
        let mode = PutMode::Update { if_match: write.if_match(Some(task.live.revision)) };
        Ok(Some(Command::Put(Box::new(Put { mode, spec }))))
    });
    let made = answer.await?.revision();
    after_write(&write.context, StatusCode::OK, &name, made, None)
}

/// `PATCH /tasks/{name}`: a JSON merge patch (RFC 7396) of the definition.
///
/// Without `If-Match` it is applied to whatever is there, so that two patches of different fields
/// both last; one that changes nothing makes no revision.
pub(in crate::api) async fn patch(Segment(name): Segment, write: Write) -> Reply {
    let changes = write.body()?;
    for _ in 0..PATCH_TRIES {
        let view = write.view().await?;
        if let Some(first) = write.first(&view)? {
            return after_write(&write.context, StatusCode::OK, &name, first.revision(), None);
        }
        let task = present(&view, &name)?;
        let spec = patched(&view, task, changes, &write)?;
        let bound = write.if_match(Some(task.live.revision));
        if bound.is_none() && task.spec() == Some(&spec) {
            write.take_key().await?;
            return Ok(task_reply(&view, StatusCode::OK, task));
        }
        let if_match = bound.or(Some(task.live.revision));
        let put = Put { mode: PutMode::Update { if_match }, spec };
        match write.try_submit(&Command::Put(Box::new(put))).await? {
            Ok(answer) => {
                let made = answer.revision();
                return after_write(&write.context, StatusCode::OK, &name, made, None);
            }
            // Somebody changed the task meanwhile: the patch is applied to the newer definition.
            Err(Refusal::RevisionMismatch { .. }) if bound.is_none() => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    let why = "others change the task faster than this patch can be applied; nothing was changed, \
               send it again";
    Err(OpError::new(ErrorCode::NotAccepted, why))
}

fn patched(view: &View, task: &Task, changes: &Value, write: &Write) -> Result<TaskSpec, OpError> {
    let former = task.spec().ok_or_else(|| OpError::from(Refusal::TaskDeleted))?;
    let spec = spec::patch(former, changes, view.reading(&write.context.settings))?;
    eligibility::check(&view.state, &spec, Some(former))?;
    Ok(spec)
}

/// A task that is there and not marked deleted.
fn present<'a>(view: &'a View, name: &str) -> Result<&'a Task, OpError> {
    let task = view.task(name)?;
    if task.live.deleted.is_some() {
        return Err(Refusal::TaskDeleted.into());
    }
    Ok(task)
}
