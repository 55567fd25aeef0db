//! What files define against what the cluster has: who proposes, and what.
//!
//! Each node reads its own files. The set of definitions that was begun last is in force for the
//! whole cluster, also when no member has it any more. A node begins a set only when its files change,
//! so nodes with different files do not replace each other's definitions in turn.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ids::{NodeId, Revision};
use super::machine::record::FilesRecord;
use super::machine::{State, Task};
use super::schedule::calendar::Calendar;

/// What a node does about its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesTurn {
    /// Its set is in force, and everything of it was proposed.
    InStep,
    /// Another set is in force, and its files have not changed since it told.
    Different,
    /// It tells its set, and changes nothing.
    Tell,
    /// It puts its set in force.
    Begin,
    /// Its set of this number is in force: it proposes what is in it.
    Propose(Revision),
}

/// What a node whose files have the set of this hash does.
#[must_use]
pub fn turn(state: &State, node: NodeId, hash: u128) -> FilesTurn {
    let in_force = state.files_in_force();
    let own = state.files_of(node).filter(|own| own.hash != 0);
    let told = own.filter(|own| own.hash == hash && own.problems == 0);
    match (told, in_force) {
        (Some(own), Some(set)) if own.set == set.set => match set.complete {
            true => FilesTurn::InStep,
            false => FilesTurn::Propose(set.set),
        },
        // Another node began the same set anew, or this one told of problems.
        (_, Some(set)) if set.hash == hash => FilesTurn::Tell,
        (Some(_), Some(_)) => FilesTurn::Different,
        // The first files of the cluster.
        (_, None) => FilesTurn::Begin,
        (None, Some(_)) => match own {
            // It had these before, and only told of problems since.
            Some(own) if own.hash == hash => FilesTurn::Tell,
            Some(_) => FilesTurn::Begin,
            // A node that is new to the cluster changes nothing of what others have.
            None => FilesTurn::Tell,
        },
    }
}

/// What a node that reads no files does about what it told when it read some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutFiles {
    /// Nothing: the cluster knows nothing of files of it.
    Nothing,
    /// It leaves that for now, and looks again later. It is the only node of the cluster: no other node
    /// could know that its files changed meanwhile, and it would be as new when it reads them again.
    Waits,
    /// It takes that back.
    TakesBack,
}

/// What a node that reads no files does about what it told when it read some.
#[must_use]
pub fn without_files(state: &State, node: NodeId) -> WithoutFiles {
    let others = state.nodes().any(|other| other.id != node);
    match (state.files_of(node), others) {
        (None, _) => WithoutFiles::Nothing,
        (Some(_), false) => WithoutFiles::Waits,
        (Some(_), true) => WithoutFiles::TakesBack,
    }
}

/// What becomes of a task or a calendar that the files have no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prune {
    /// A task is disabled; a calendar stays.
    #[default]
    Disable,
    /// A task is marked deleted; a calendar is removed, unless a task excludes it.
    Delete,
}

/// How a name stands: what the files say against what the cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is what the files say.
    InStep,
    /// The name is free.
    Missing,
    /// It is what the files said before; with the revision to change.
    Outdated(Revision),
    /// Somebody else changed it since: it is left alone.
    Drifted,
    /// It did not come from files: it is left alone.
    Foreign,
    /// It carries the deleted mark, and stays deleted.
    Deleted,
    /// It came from files that have it no more; with the revision to change.
    Gone(Revision),
    /// It came from files that have it no more, and what was to be done about that is done.
    LeftBehind,
}

impl Standing {
    /// The word of interfaces.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::InStep => "in_step",
            Self::Missing => "missing",
            Self::Outdated(_) => "outdated",
            Self::Drifted => "drifted",
            Self::Foreign => "foreign",
            Self::Deleted => "deleted",
            Self::Gone(_) | Self::LeftBehind => "gone",
        }
    }
}

/// How a task stands that the files have; `hash` is of what they say.
#[must_use]
pub fn task_standing(state: &State, name: &str, hash: u128) -> Standing {
    let Some(task) = state.named(name) else { return Standing::Missing };
    if task.live.deleted.is_some() {
        return Standing::Deleted;
    }
    match state.source(task) {
        None => Standing::Foreign,
        Some(source) if task.live.definition != Some(source.definition) => Standing::Drifted,
        Some(source) if source.hash == hash => Standing::InStep,
        Some(_) => Standing::Outdated(task.live.revision),
    }
}

/// How a calendar stands that the files have.
#[must_use]
pub fn calendar_standing(state: &State, calendar: &Calendar, hash: u128) -> Standing {
    match state.calendar(&calendar.name) {
        None => Standing::Missing,
        Some(kept) if kept.source == Some(hash) || *kept.calendar == *calendar => Standing::InStep,
        Some(kept) if kept.source.is_none() => Standing::Foreign,
        Some(kept) => Standing::Outdated(kept.revision),
    }
}

/// The tasks that came from files and are not among these names, each with how it stands.
#[must_use]
pub fn gone_tasks<'s>(
    state: &'s State,
    wanted: &BTreeSet<&str>,
    prune: Prune,
) -> Vec<(&'s Arc<Task>, Standing)> {
    let gone = state.static_tasks().filter(|(task, _)| !wanted.contains(&*task.live.name));
    let here = gone.filter(|(task, _)| task.live.deleted.is_none());
    here.map(|(task, source)| {
        let standing = if task.live.definition != Some(source.definition) {
            Standing::Drifted
        } else if source.hash == 0 && prune == Prune::Disable {
            Standing::LeftBehind
        } else {
            Standing::Gone(task.live.revision)
        };
        (task, standing)
    })
    .collect()
}

/// The calendars that came from files and are not among these names, each with how it stands.
#[must_use]
pub fn gone_calendars(
    state: &State,
    wanted: &BTreeSet<&str>,
    prune: Prune,
) -> Vec<(Arc<Calendar>, Standing)> {
    let from_files = state.calendars().filter(|kept| kept.source.is_some());
    let gone = from_files.filter(|kept| !wanted.contains(kept.calendar.name.as_str()));
    gone.map(|kept| {
        let standing = match prune {
            Prune::Delete => Standing::Gone(kept.revision),
            Prune::Disable => Standing::LeftBehind,
        };
        (Arc::clone(&kept.calendar), standing)
    })
    .collect()
}

/// Whether a node's files have the set in force.
#[must_use]
pub fn in_force(state: &State, files: &FilesRecord) -> bool {
    state.files_in_force().is_some_and(|set| set.set == files.set)
}

#[cfg(test)]
mod tests;
