//! Changing a task's definition.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api::context::View;
use crate::api::eligibility;
use crate::api::error::Problem;
use crate::api::extract::{Reply, Segment, Write};
use crate::api::views;
use crate::domain::machine::command::{Put, PutMode};
use crate::domain::machine::{Command, Refusal, Task};
use crate::domain::spec::{self, ReadContext};
use crate::domain::task::TaskSpec;

use super::after_write;

/// A patch that meets other changes is applied to the newer definition so many times.
const PATCH_TRIES: u32 = 8;

/// `PUT /tasks/{name}`: another definition; cursor and history stay.
pub(in crate::api) async fn put(Segment(name): Segment, write: Write) -> Reply {
    write.params.only(&[])?;
    let mut body = spec::definition(write.body()?);
    let view = write.view().await?;
    // What was done before under the same key is answered from the log, whatever became of the
    // task since.
    let task = match write.key {
        None => Some(present(&view, &name)?),
        Some(_) => view.state.named(&name).map(|task| &**task),
    };
    if let Value::Object(fields) = &mut body {
        let named = fields.entry("name").or_insert_with(|| json!(name));
        if named.as_str().is_some_and(|named| named != name) {
            let message = format!("must stay `{name}`: a task's name is its identity");
            return Err(Problem::field("/name", "name_changed", message));
        }
    }
    let former = task.and_then(Task::spec);
    let current = former.map(|spec| &spec.schedule);
    let reading = view.reading(&write.context.settings);
    let spec = spec::read(&body, ReadContext { current, ..reading })?;
    eligibility::check(&view.state, &spec, former)?;
    let put = Put { mode: PutMode::Update { if_match: write.if_match }, spec };
    write.submit(&Command::Put(Box::new(put))).await?;
    after_write(&write.context, StatusCode::OK, &name, json!({}))
}

/// `PATCH /tasks/{name}`: a JSON merge patch (RFC 7396) of the definition.
///
/// Without `If-Match` it is applied to whatever is there, so that two patches of different fields
/// both last; one that changes nothing is then answered without a command, which is also what a
/// repeated one finds.
pub(in crate::api) async fn patch(Segment(name): Segment, write: Write) -> Reply {
    write.params.only(&[])?;
    let changes = write.body()?;
    for attempt in 0..PATCH_TRIES {
        let view = write.view().await?;
        let task = present(&view, &name)?;
        let spec = patched(&view, task, changes, &write)?;
        if write.if_match.is_none() && task.spec() == Some(&spec) {
            return Ok(views::task_reply(&view, StatusCode::OK, task, json!({})));
        }
        let if_match = write.if_match.or(Some(task.live.revision));
        let put = Put { mode: PutMode::Update { if_match }, spec };
        // A key stands for one command, and each try is another.
        let key = match (&write.key, attempt) {
            (Some(key), 1..) => Some(format!("{key} {attempt}")),
            (key, _) => key.clone(),
        };
        let command = Command::Put(Box::new(put));
        match write.context.submit(&command, key.as_deref()).await? {
            Ok(_) => return after_write(&write.context, StatusCode::OK, &name, json!({})),
            Err(Refusal::RevisionMismatch { .. }) if write.if_match.is_none() => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(Problem::new("not_accepted", "the task changes too fast; nothing was changed"))
}

fn patched(view: &View, task: &Task, changes: &Value, write: &Write) -> Result<TaskSpec, Problem> {
    let former = task.spec().ok_or_else(|| Problem::from(Refusal::TaskDeleted))?;
    let spec = spec::patch(former, changes, view.reading(&write.context.settings))?;
    eligibility::check(&view.state, &spec, Some(former))?;
    Ok(spec)
}

/// A task that is there and not marked deleted.
fn present<'a>(view: &'a View, name: &str) -> Result<&'a Task, Problem> {
    let task = view.task(name)?;
    if task.live.deleted.is_some() {
        return Err(Refusal::TaskDeleted.into());
    }
    Ok(task)
}
