//! Calendars: named times that schedules leave out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::domain::error_code::ErrorCode;
use crate::domain::ids::Revision;
use crate::domain::machine::command::{Named, PutCalendar};
use crate::domain::machine::{Answer, Command, Refusal};
use crate::domain::schedule::calendar::Kept;
use crate::domain::spec::{calendar_definition, read_calendar, write_calendar};

use super::context::{View, aside, etag};
use super::extract::{Read, Reply, Segment, Write};
use super::lists::{PAGING, Page};
use crate::ops::error::OpError;

/// Tasks of a calendar that are told by name.
const USERS_TOLD: usize = 100;
/// And so many in the sentence.
const USERS_NAMED: usize = 5;

/// `GET /calendars`.
pub(super) async fn list(read: Read) -> Reply {
    let page = Page::of(read.params.only(&PAGING)?)?;
    let view = read.view().await?;
    aside(move || {
        let mut users: BTreeMap<&str, u64> = BTreeMap::new();
        for task in view.state.tasks() {
            for name in task.spec().into_iter().flat_map(|spec| &spec.schedule.exclude) {
                *users.entry(name).or_default() += 1;
            }
        }
        let after = page.after().unwrap_or_default();
        let behind = view.state.calendars().filter(|kept| *kept.calendar.name > *after);
        let show = |kept: &&Arc<Kept>| {
            let tasks = users.get(kept.calendar.name.as_str()).copied().unwrap_or(0);
            body(kept, tasks, None)
        };
        view.ok(page.list(behind, |kept| kept.calendar.name.clone(), show))
    })
    .await
}

/// `GET /calendars/{name}`.
pub(super) async fn get(Segment(name): Segment, read: Read) -> Reply {
    read.params.only(&[])?;
    let view = read.view().await?;
    aside(move || show(&view, StatusCode::OK, &name)).await?
}

/// `PUT /calendars/{name}`: makes it or changes it.
pub(super) async fn put(Segment(name): Segment, write: Write) -> Reply {
    write.params.only(&[])?;
    let calendar = read_calendar(&name, &calendar_definition(write.body()?))?;
    let if_match = write.if_match(revision(&write, &name)?);
    let put = PutCalendar { calendar, if_match, source: None };
    let answer = write.submit(&Command::PutCalendar(Box::new(put))).await?;
    let created = matches!(answer, Answer::Calendar { created: true, .. });
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let view = write.context.here()?;
    if view.state.calendar(&name).is_none() {
        // It was removed since.
        return Ok(view.reply(status, json!({"id": name, "name": name, "revision": null})));
    }
    let mut response = aside(move || show(&view, status, &name)).await??;
    if let Some(made) = answer.revision() {
        etag(response.headers_mut(), made);
    }
    Ok(response)
}

/// The revision of a calendar as this node has it.
fn revision(write: &Write, name: &str) -> Result<Option<Revision>, OpError> {
    Ok(write.context.here()?.state.calendar(name).map(|kept| kept.revision))
}

/// `DELETE /calendars/{name}`: removes one that no task leaves out.
pub(super) async fn delete(Segment(name): Segment, write: Write) -> Reply {
    write.params.only(&[])?;
    let if_match = write.if_match(revision(&write, &name)?);
    let named = Named { name: name.clone(), if_match };
    let outcome = write.try_submit(&Command::DeleteCalendar(named)).await?;
    let view = write.context.here()?;
    match outcome {
        Ok(_) => Ok(view.ok(json!({"name": name, "deleted": true}))),
        Err(Refusal::CalendarInUse) => {
            let users = aside(move || users(&view, &name)).await?;
            let names = users.as_array().into_iter().flatten().filter_map(Value::as_str);
            let first: Vec<&str> = names.take(USERS_NAMED).collect();
            let first = first.join(", ");
            let why = format!("the calendar is in use by: {first}");
            Err(OpError::new(ErrorCode::CalendarInUse, why).with("tasks", users))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// The names of the tasks that leave a calendar out, so many of them.
fn users(view: &View, name: &str) -> Value {
    let users = view.state.users_of(name).take(USERS_TOLD);
    users.map(|task| Value::from(&*task.live.name)).collect()
}

fn show(view: &View, status: StatusCode, name: &str) -> Result<Response, OpError> {
    let kept = view.state.calendar(name).ok_or_else(|| OpError::from(Refusal::CalendarNotFound))?;
    let mut response = view.reply(
        status,
        body(kept, view.state.users_of(name).count() as u64, Some(users(view, name))),
    );
    etag(response.headers_mut(), kept.revision);
    Ok(response)
}

fn body(kept: &Kept, count: u64, tasks: Option<Value>) -> Value {
    let mut body = write_calendar(&kept.calendar);
    if let Value::Object(body) = &mut body {
        let origin = if kept.source.is_some() { "static" } else { "api" };
        body.extend(Map::from_iter([
            ("id".to_owned(), kept.calendar.name.clone().into()),
            ("revision".to_owned(), kept.revision.0.into()),
            ("created_at".to_owned(), kept.created_at.to_string().into()),
            ("updated_at".to_owned(), kept.updated_at.to_string().into()),
            ("origin".to_owned(), origin.into()),
            ("task_count".to_owned(), count.into()),
        ]));
        body.extend(tasks.map(|tasks| ("tasks".to_owned(), tasks)));
    }
    body
}
