//! Calendars: named sets of times that schedules exclude.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::StateView;
use super::lists::PageRequest;
use super::{Caller, OpAnswer, OpError};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::Revision;
use crate::domain::machine::command::{Named, PutCalendar};
use crate::domain::machine::{Answer, Command, Refusal};
use crate::domain::schedule::calendar::{Calendar, CalendarRecord};
use crate::dto::{
    CalendarBody, CalendarChanged, CalendarGone, CalendarRemoved, CalendarView, ListView, Rfc3339,
};

/// Maximum number of tasks listed for a calendar.
const USERS_TOLD: usize = 100;
/// Maximum number of tasks listed in the error message.
const USERS_NAMED: usize = 5;

/// A page of the list of calendars.
pub(crate) fn list(view: &StateView, page: &PageRequest) -> ListView<CalendarView> {
    let mut users: BTreeMap<&str, u64> = BTreeMap::new();
    let some = view.state.calendars().next().is_some();
    for task in view.state.tasks().take_while(|_| some) {
        for name in task.spec().into_iter().flat_map(|spec| &spec.schedule.exclude) {
            *users.entry(name).or_default() += 1;
        }
    }
    let after = page.after().unwrap_or_default();
    let behind = view.state.calendars().filter(|kept| *kept.calendar.name > *after);
    let show = |kept: &&Arc<CalendarRecord>| {
        let tasks = users.get(kept.calendar.name.as_str()).copied().unwrap_or(0);
        body(kept, tasks, None)
    };
    page.list(behind, |kept| kept.calendar.name.clone(), show)
}

/// A calendar and the tasks that exclude it.
///
/// # Errors
/// `calendar_not_found`.
pub(crate) fn show(view: &StateView, name: &str) -> Result<CalendarView, OpError> {
    let kept = view.state.calendar(name).ok_or_else(|| OpError::from(Refusal::CalendarNotFound))?;
    Ok(body(kept, view.state.users_of(name).count() as u64, Some(users(view, name))))
}

/// Creates or changes a calendar. Also returns whether it was created.
///
/// # Errors
/// `revision_mismatch`, `limit_reached`.
pub(crate) async fn put(
    caller: &Caller,
    calendar: Calendar,
) -> Result<(OpAnswer<CalendarChanged>, bool), OpError> {
    let name = calendar.name.clone();
    let if_match = caller.if_match(revision(caller, &name)?);
    let put = PutCalendar { calendar, if_match, source: None };
    let answer = caller.submit(&Command::PutCalendar(Box::new(put))).await?;
    let created = matches!(answer, Answer::Calendar { created: true, .. });
    let view = caller.context.here()?;
    if view.state.calendar(&name).is_none() {
        // The calendar was removed in the meantime.
        let gone = CalendarGone { id: name.clone(), name, revision: () };
        return Ok((OpAnswer::of(view, CalendarChanged::Gone(gone)), created));
    }
    let frozen = view.clone();
    let shown = caller.context.scans.run(move || show(&view, &name)).await??;
    let revision = answer.revision().or(Some(Revision(shown.revision)));
    Ok((OpAnswer { view: frozen, body: CalendarChanged::Kept(shown), revision }, created))
}

/// The revision of a calendar in the state of this node.
fn revision(caller: &Caller, name: &str) -> Result<Option<Revision>, OpError> {
    Ok(caller.context.here()?.state.calendar(name).map(|kept| kept.revision))
}

/// Removes a calendar that no task excludes.
///
/// # Errors
/// `calendar_not_found`, `calendar_in_use` with the tasks.
pub(crate) async fn delete(
    caller: &Caller,
    name: String,
) -> Result<OpAnswer<CalendarRemoved>, OpError> {
    let if_match = caller.if_match(revision(caller, &name)?);
    let named = Named { name: name.clone(), if_match };
    let outcome = caller.try_submit(&Command::DeleteCalendar(named)).await?;
    let view = caller.context.here()?;
    match outcome {
        Ok(_) => Ok(OpAnswer::of(view, CalendarRemoved { name, deleted: true })),
        Err(Refusal::CalendarInUse) => {
            let users = caller.context.scans.run(move || users(&view, &name)).await?;
            let first = users.iter().take(USERS_NAMED).cloned().collect::<Vec<_>>().join(", ");
            let why = format!("the calendar is in use by: {first}");
            Err(OpError::new(ErrorCode::CalendarInUse, why).with("tasks", users))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// The names of the first [`USERS_TOLD`] tasks that exclude a calendar.
fn users(view: &StateView, name: &str) -> Vec<String> {
    let users = view.state.users_of(name).take(USERS_TOLD);
    users.map(|task| task.live.name.to_string()).collect()
}

fn body(kept: &CalendarRecord, task_count: u64, tasks: Option<Vec<String>>) -> CalendarView {
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
