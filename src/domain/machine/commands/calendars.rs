//! Calendars in the state: creation, change, removal, and lookup for the computation of ticks.

use std::sync::Arc;

use crate::domain::ids::Revision;
use crate::domain::machine::command::{Named, PutCalendar};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::event::{EventKind, EventObject};
use crate::domain::machine::limits::CALENDARS_MAX;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::machine::task::whole::Task;
use crate::domain::schedule::calendar::{Calendar, CalendarRecord};
use crate::domain::schedule::{Plan, Schedule, ScheduleError};
use crate::domain::task::TaskSpec;
use crate::domain::time::Timestamp;

impl State {
    /// The calendar of this name.
    #[must_use]
    pub fn calendar(&self, name: &str) -> Option<&Arc<CalendarRecord>> {
        self.registers.calendars.get(name)
    }

    /// All calendars, by name.
    pub fn calendars(&self) -> impl Iterator<Item = &Arc<CalendarRecord>> {
        self.registers.calendars.values()
    }

    /// The calendars that a schedule excludes.
    #[must_use]
    pub fn excluded_by(&self, schedule: &Schedule) -> Vec<Arc<Calendar>> {
        let kept = schedule.exclude.iter().filter_map(|name| self.calendar(name));
        kept.map(|kept| Arc::clone(&kept.calendar)).collect()
    }

    /// The ticks of a definition that was set at that time, with the current calendars.
    ///
    /// # Errors
    /// The schedule or a calendar cannot be computed.
    pub fn plan(&self, spec: &TaskSpec, set_at: Timestamp) -> Result<Plan, ScheduleError> {
        let calendars = self.excluded_by(&spec.schedule);
        Plan::excluding(&spec.schedule, &spec.name, &self.cluster.timezone, set_at, calendars)
    }

    /// The highest revision of the calendars that a task excludes. 0: it excludes none.
    #[must_use]
    pub fn calendars_of(&self, task: &Task) -> Revision {
        if !task.rules.excludes {
            return Revision(0);
        }
        let names = task.spec().map(|spec| &spec.schedule.exclude);
        let kept = names.into_iter().flatten().filter_map(|name| self.calendar(name));
        kept.map(|kept| kept.revision).max().unwrap_or(Revision(0))
    }

    /// The tasks, including those marked deleted, that exclude a calendar.
    pub fn users_of<'a>(&'a self, calendar: &'a str) -> impl Iterator<Item = &'a Arc<Task>> {
        let uses = move |spec: &TaskSpec| spec.schedule.exclude.iter().any(|name| name == calendar);
        let some = self.tasks().filter(|task| task.rules.excludes);
        some.filter(move |task| task.spec().is_some_and(uses))
    }

    /// Refuses a definition that excludes a calendar that does not exist.
    pub(in crate::domain::machine) fn calendars_known(
        &self,
        spec: &TaskSpec,
    ) -> Result<(), Refusal> {
        let known = |name: &String| self.registers.calendars.get(&**name).is_some();
        let all = spec.schedule.exclude.iter().all(known);
        if all { Ok(()) } else { Err(Refusal::CalendarNotFound) }
    }

    pub(in crate::domain::machine) fn put_calendar(
        &mut self,
        cx: &EntryContext<'_>,
        put: PutCalendar,
        effects: &mut Effects,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let former = self.registers.calendars.get(&*put.calendar.name).cloned();
        seen(former.as_deref(), put.if_match)?;
        let created_at = match &former {
            Some(former) if *former.calendar == put.calendar || settings_yield(former, &put) => {
                return Ok(Answer::Calendar { revision: former.revision, created: false });
            }
            Some(former) => former.created_at,
            None if put.if_match.is_some() => return Err(Refusal::CalendarNotFound),
            None if self.registers.calendars.len() >= CALENDARS_MAX => return Err(Refusal::Full),
            None => cx.stamp,
        };
        let name: Arc<str> = put.calendar.name.as_str().into();
        let calendar = Arc::new(put.calendar);
        let (updated_at, source) = (cx.stamp, put.source);
        let kept = CalendarRecord { calendar, revision, created_at, updated_at, source };
        self.registers.calendars.set(Arc::clone(&name), kept);
        self.tell(cx, EventKind::CalendarPut, EventObject::Calendar(name), effects);
        Ok(Answer::Calendar { revision, created: former.is_none() })
    }

    pub(in crate::domain::machine) fn delete_calendar(
        &mut self,
        cx: &EntryContext<'_>,
        body: &Named,
        effects: &mut Effects,
    ) -> Response {
        let former =
            self.registers.calendars.get(&*body.name).cloned().ok_or(Refusal::CalendarNotFound)?;
        seen(Some(&former), body.if_match)?;
        if self.calendar_users.any(&body.name) {
            return Err(Refusal::CalendarInUse);
        }
        self.remove_calendar(cx, body.name.as_str().into(), effects);
        Ok(Answer::Done)
    }

    /// Removes the calendars with a revision of at most `upto` that no task excludes.
    pub(in crate::domain::machine) fn remove_calendars(
        &mut self,
        cx: &EntryContext<'_>,
        upto: Revision,
        effects: &mut Effects,
    ) {
        let gone = self
            .registers
            .calendars
            .iter()
            .filter(|(name, kept)| kept.revision <= upto && !self.calendar_users.any(name));
        let gone: Vec<Arc<str>> = gone.map(|(name, _)| Arc::clone(name)).collect();
        for name in gone {
            self.remove_calendar(cx, name, effects);
        }
    }

    fn remove_calendar(&mut self, cx: &EntryContext<'_>, name: Arc<str>, effects: &mut Effects) {
        self.registers.calendars.remove(&name);
        self.tell(cx, EventKind::CalendarDeleted, EventObject::Calendar(name), effects);
    }
}

/// Whether a declared calendar of the settings must not replace the existing one: that one does not
/// come from settings, or the declaration has not changed since it was last applied.
fn settings_yield(former: &CalendarRecord, put: &PutCalendar) -> bool {
    put.source.is_some() && (former.source.is_none() || former.source == put.source)
}

/// Checks that a calendar has the revision that the caller expects.
fn seen(former: Option<&CalendarRecord>, if_match: Option<Revision>) -> Result<(), Refusal> {
    match (former, if_match) {
        (Some(former), Some(seen)) if former.revision != seen => {
            Err(Refusal::RevisionMismatch { current: former.revision })
        }
        _ => Ok(()),
    }
}
