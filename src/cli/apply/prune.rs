//! What is removed because the files no longer have it.

use super::super::context::CliContext;
use super::super::exit::{Exit, Failure};
use super::compare::WantedTasks;
use super::known::KnownCluster;
use super::{ApplyItem, ApplyResult, ObjectKind};
use crate::config::Definitions;

/// Maximum number of names shown in a question.
const SHOWN: usize = 5;

/// Tasks of the files that lack the labels by which the set is known: the next run would delete
/// nothing of theirs, and this one would not know them.
pub(super) fn unlabelled(
    files: &Definitions,
    wanted: &WantedTasks,
    labels: &[(String, String)],
) -> Vec<String> {
    if files.tasks.is_empty() {
        let all = "the files have no task, so --prune would delete every task with the label";
        return vec![all.to_owned()];
    }
    let mut problems = Vec::new();
    for task in &files.tasks {
        let Some(spec) = wanted.get(&task.name) else { continue };
        for (key, value) in labels.iter().filter(|(key, value)| spec.labels.get(key) != Some(value))
        {
            let (place, name) = (files.place(task), &task.name);
            problems.push(format!(
                "{place}: {name}: labels.{key}: must be {value}, as --label says of all tasks of \
                 the files"
            ));
        }
    }
    problems
}

/// The tasks of the set that the files do not have, and the calendars, not of the files, that only tasks of the files
/// excluded, none of which does any longer. A calendar that a deleted task excludes is kept with it.
pub(super) fn removals(
    files: &Definitions,
    wanted: &WantedTasks,
    known: &KnownCluster,
) -> Vec<ApplyItem> {
    let gone = known.owned.iter().filter(|(name, _)| !wanted.contains_key(*name));
    let mut items: Vec<ApplyItem> = gone
        .map(|(name, revision)| ApplyItem {
            revision: *revision,
            ..ApplyItem::new(ObjectKind::Task, name, ApplyResult::Removed)
        })
        .collect();
    let unused = known.calendars.values().filter(|calendar| {
        let name = &calendar.body.name;
        let excluded = |task: &&str| {
            let former = known.tasks.get(*task).and_then(|known| known.task.as_ref().ok());
            former.is_some_and(|former| former.body.schedule.exclude.contains(name))
        };
        let users = wanted.keys().map(String::as_str).filter(excluded).count() as u64;
        let used = wanted.values().any(|spec| spec.schedule.exclude.contains(name));
        let free = users > 0 && users == calendar.task_count && !used;
        free && files.calendar(name).is_none() && calendar.origin != "static"
    });
    items.extend(unused.map(|calendar| ApplyItem {
        revision: calendar.revision,
        ..ApplyItem::new(ObjectKind::Calendar, &calendar.body.name, ApplyResult::Removed)
    }));
    items
}

/// Asks before anything is removed.
pub(super) fn confirm(
    removed: &[&str],
    yes: bool,
    context: &mut CliContext,
) -> Result<(), Failure> {
    if yes || removed.is_empty() {
        return Ok(());
    }
    let rest = if removed.len() > SHOWN { ", …" } else { "" };
    let shown = removed.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    let what = format!("{} ({shown}{rest})", removed.len());
    match context.out.confirm(&format!("remove {what}, which the files do not have? type yes:")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure { exit: Exit::No, message: "nothing was changed".to_owned() }),
        None => Err(Failure::usage(format!(
            "{what} would be removed, and there is no terminal to ask on; add --yes"
        ))),
    }
}
