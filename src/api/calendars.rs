//! Calendars: named times that schedules leave out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::error_code::ErrorCode;
use crate::domain::ids::Revision;
use crate::domain::machine::command::{Named, PutCalendar};
use crate::domain::machine::{Answer, Command, Refusal};
use crate::domain::schedule::calendar::Kept;
use crate::domain::spec::{calendar_definition, read_calendar};
use axum::http::StatusCode;
use axum::response::Response;

use super::extract::{Read, Reply, Segment, Write};
use super::reply::{etag, ok, reply};
use crate::api::lists::page;
use crate::dto::{
    CalendarBody, CalendarChanged, CalendarGone, CalendarRemoved, CalendarView, Rfc3339,
};
use crate::ops::OpError;
use crate::ops::context::{View, aside};

/// Tasks of a calendar that are told by name.
const USERS_TOLD: usize = 100;
/// And so many in the sentence.
const USERS_NAMED: usize = 5;

/// `GET /calendars`.
pub(super) async fn list(read: Read) -> Reply {
    let page = page(&read.params)?;
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
        ok(&view, page.list(behind, |kept| kept.calendar.name.clone(), show))
    })
    .await
}

/// `GET /calendars/{name}`.
pub(super) async fn get(Segment(name): Segment, read: Read) -> Reply {
    let view = read.view().await?;
    aside(move || show(&view, StatusCode::OK, &name)).await?
}

/// `PUT /calendars/{name}`: makes it or changes it.
pub(super) async fn put(Segment(name): Segment, write: Write) -> Reply {
    let calendar = read_calendar(&name, &calendar_definition(write.body()?))?;
    let if_match = write.caller.if_match(revision(&write, &name)?);
    let put = PutCalendar { calendar, if_match, source: None };
    let answer = write.caller.submit(&Command::PutCalendar(Box::new(put))).await?;
    let created = matches!(answer, Answer::Calendar { created: true, .. });
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let view = write.caller.context.here()?;
    if view.state.calendar(&name).is_none() {
        // It was removed since.
        return Ok(reply(
            &view,
            status,
            CalendarChanged::Gone(CalendarGone { id: name.clone(), name, revision: () }),
        ));
    }
    let mut response = aside(move || show(&view, status, &name)).await??;
    if let Some(made) = answer.revision() {
        etag(response.headers_mut(), made);
    }
    Ok(response)
}

/// The revision of a calendar as this node has it.
fn revision(write: &Write, name: &str) -> Result<Option<Revision>, OpError> {
    Ok(write.caller.context.here()?.state.calendar(name).map(|kept| kept.revision))
}

/// `DELETE /calendars/{name}`: removes one that no task leaves out.
pub(super) async fn delete(Segment(name): Segment, write: Write) -> Reply {
    let if_match = write.caller.if_match(revision(&write, &name)?);
    let named = Named { name: name.clone(), if_match };
    let outcome = write.caller.try_submit(&Command::DeleteCalendar(named)).await?;
    let view = write.caller.context.here()?;
    match outcome {
        Ok(_) => Ok(ok(&view, CalendarRemoved { name, deleted: true })),
        Err(Refusal::CalendarInUse) => {
            let users = aside(move || users(&view, &name)).await?;
            let first = users.iter().take(USERS_NAMED).cloned().collect::<Vec<_>>().join(", ");
            let why = format!("the calendar is in use by: {first}");
            Err(OpError::new(ErrorCode::CalendarInUse, why).with("tasks", users))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// The names of the tasks that leave a calendar out, so many of them.
fn users(view: &View, name: &str) -> Vec<String> {
    let users = view.state.users_of(name).take(USERS_TOLD);
    users.map(|task| task.live.name.to_string()).collect()
}

fn show(view: &View, status: StatusCode, name: &str) -> Result<Response, OpError> {
    let kept = view.state.calendar(name).ok_or_else(|| OpError::from(Refusal::CalendarNotFound))?;
    let mut response = reply(
        view,
        status,
        body(kept, view.state.users_of(name).count() as u64, Some(users(view, name))),
    );
    etag(response.headers_mut(), kept.revision);
    Ok(response)
}

fn body(kept: &Kept, task_count: u64, tasks: Option<Vec<String>>) -> CalendarView {
    CalendarView {
        body: CalendarBody::from(&*kept.calendar),
        id: kept.calendar.name.clone(),
        revision: kept.revision.0,
        created_at: Rfc3339(kept.created_at),
        updated_at: Rfc3339(kept.updated_at),
        origin: if kept.source.is_some() { "static" } else { "api" }.into(),
        task_count,
        tasks,
    }
}
