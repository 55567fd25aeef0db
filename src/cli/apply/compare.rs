//! Compares the definitions of files with those of a cluster.

use std::collections::BTreeMap;

use super::super::exit::Failure;
use super::super::fetch;
use super::super::many;
use super::super::words;
use super::known::KnownCluster;
use super::{ApplyItem, ApplyResult, ObjectKind};
use crate::config::{Defined, Definitions};
use crate::domain::error_code::ErrorCode;
use crate::domain::spec::{self, BodyProblem, ReadContext};
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{CalendarBody, ChangeView, TaskBody};

/// The definitions of the tasks of the files, by name.
pub(super) type WantedTasks = BTreeMap<String, TaskSpec>;

/// What is to be done with each object of the files: calendars first, in the order of the files. All
/// that is wrong with them is added to the problems. Without a cluster only that is found, as far as
/// it does not depend on the cluster.
pub(super) fn compare(
    files: &Definitions,
    known: Option<&KnownCluster>,
    now: Timestamp,
    problems: &mut Vec<String>,
) -> (Vec<ApplyItem>, WantedTasks) {
    let mut items = Vec::new();
    for calendar in &files.calendars {
        let body = CalendarBody::from(&*calendar.body);
        items.extend(known.map(|known| calendar_item(&calendar.name, &body, known)));
    }
    let mut wanted = WantedTasks::new();
    for task in &files.tasks {
        let spec = match read(task, files, known, now) {
            Ok(spec) => spec,
            Err(broken) => {
                problems.extend(files.told(task, &broken));
                continue;
            }
        };
        items.extend(known.map(|known| task_item(task, &spec, known)));
        wanted.insert(spec.name.clone(), spec);
    }
    (items, wanted)
}

fn calendar_item(name: &str, body: &CalendarBody, known: &KnownCluster) -> ApplyItem {
    let mut item = ApplyItem::new(ObjectKind::Calendar, name, ApplyResult::Created);
    item.body = fetch::value(body);
    if let Some(former) = known.calendars.get(name) {
        item.changes = ChangeView::between(&fetch::value(&former.body), &item.body);
        item.revision = former.revision;
        item.result = changed_or_not(&item.changes);
    }
    item
}

fn task_item(
    task: &Defined<serde_json::Value>,
    spec: &TaskSpec,
    known: &KnownCluster,
) -> ApplyItem {
    let mut item = ApplyItem::new(ObjectKind::Task, &spec.name, ApplyResult::Created);
    let body = TaskBody::from(spec);
    // What the file says, and no more: a node of another version has its own defaults.
    item.body = task.body.clone();
    match known.tasks.get(&spec.name).map(|known| &known.task) {
        None => item.words = words::schedule(&body.schedule),
        Some(Ok(former)) => {
            item.changes = ChangeView::between(&fetch::value(&former.body), &fetch::value(&body));
            item.revision = former.revision;
            item.result = changed_or_not(&item.changes);
        }
        Some(Err(Failure { exit, message })) => {
            item.refuse(many::unsent(&spec.name, *exit, message.clone()));
        }
    }
    item
}

fn changed_or_not(changes: &[ChangeView]) -> ApplyResult {
    if changes.is_empty() { ApplyResult::Unchanged } else { ApplyResult::Changed }
}

/// Reads the definition of a task by the rules of a body.
fn read(
    task: &Defined<serde_json::Value>,
    files: &Definitions,
    known: Option<&KnownCluster>,
    now: Timestamp,
) -> Result<TaskSpec, Vec<BodyProblem>> {
    let reading = ReadContext {
        default_zone: known.map_or("UTC", |known| &known.zone),
        now,
        min_interval: Millis(100),
        functions_allowed: true,
        custom_strategy: true,
        current: None,
        settled: Timestamp(0),
        calendars: None,
    };
    let over = |problem: &BodyProblem| problem.code == ErrorCode::NeverFires;
    let spec = match spec::read(&task.body, reading) {
        Err(broken) if broken.iter().all(over) => {
            // A schedule that has come to its end stays as it is.
            let before = ReadContext { now: Timestamp(0), ..reading };
            let spec = spec::read(&task.body, before).map_err(|_same| broken.clone())?;
            match known {
                Some(known) if !has_schedule(known, &spec) => return Err(broken),
                Some(_) | None => spec,
            }
        }
        other => other?,
    };
    let missing = spec.schedule.exclude.iter().enumerate().filter(|(_, name)| {
        let there = known.is_none_or(|known| known.calendars.contains_key(*name));
        !there && files.calendar(name).is_none()
    });
    let missing: Vec<BodyProblem> = missing
        .map(|(at, name)| BodyProblem {
            pointer: format!("/schedule/exclude/{at}"),
            code: ErrorCode::UnknownCalendar,
            message: format!("neither the files nor the cluster have a calendar {name}"),
        })
        .collect();
    if missing.is_empty() { Ok(spec) } else { Err(missing) }
}

/// Whether the task in the cluster has the same schedule.
fn has_schedule(known: &KnownCluster, spec: &TaskSpec) -> bool {
    let former = known.tasks.get(&spec.name).and_then(|known| known.task.as_ref().ok());
    former.is_some_and(|former| former.body.schedule == TaskBody::from(spec).schedule)
}
