//! Definitions from the files of nodes.
//!
//! A set is all definitions that the files of a node have. A node begins a set when its files
//! change; the set that was begun last is in force. Only a set in force is proposed, so nodes with
//! different files do not replace each other's definitions in turn. The set in force is a record of
//! its own: it stays in force when the nodes that have it leave the cluster.

use std::sync::Arc;

use super::guards;
use crate::domain::ids::{NodeId, Revision};
use crate::domain::machine::command::{
    Declare, DeclaredObject, FilesRead, FilesStep, MarkDeleted, Named, Put, PutCalendar, PutMode,
};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::machine::task::files::{FilesRecord, IN_FORCE, SetRecord, TaskSource};
use crate::domain::machine::task::whole::Task;
use crate::domain::task::TaskSpec;

impl State {
    /// What each node read in its files.
    pub fn files(&self) -> impl Iterator<Item = (NodeId, &FilesRecord)> {
        self.registers.files.iter().map(|(node, kept)| (*node, &**kept))
    }

    /// What a node read in its files.
    #[must_use]
    pub fn files_of(&self, node: NodeId) -> Option<&FilesRecord> {
        self.registers.files.get(&node).map(|kept| &**kept)
    }

    /// The set in force; none: no node has begun one.
    #[must_use]
    pub fn files_in_force(&self) -> Option<&SetRecord> {
        self.registers.sets.get(IN_FORCE).map(|kept| &**kept)
    }

    /// Where the definition of a task comes from; none: not from files.
    #[must_use]
    pub fn source(&self, task: &Task) -> Option<&Arc<TaskSource>> {
        let source = self.registers.sources.get(&*task.live.name)?;
        (source.incarnation == task.live.incarnation).then_some(source)
    }

    /// The tasks that came from files, by name, with their sources.
    pub fn static_tasks(&self) -> impl Iterator<Item = (&Arc<Task>, &TaskSource)> {
        let named = self.registers.sources.iter();
        named.filter_map(|(name, _)| {
            let task = self.named(name)?;
            self.source(task).map(|source| (task, &**source))
        })
    }

    pub(in crate::domain::machine) fn files_read(&mut self, body: &FilesRead) -> Response {
        let node = self.registers.nodes.get(&body.node).ok_or(Refusal::NodeNotFound)?;
        if node.session != body.session {
            return Err(Refusal::Session);
        }
        let former = self.registers.files.get(&body.node).map(|kept| FilesRecord::clone(kept));
        let in_force = self.files_in_force().cloned();
        let read = match body.step {
            FilesStep::None => {
                self.registers.files.remove(&body.node);
                guards::node_without_set(self);
                return Ok(Answer::Done);
            }
            FilesStep::Tell(hash) => match in_force.filter(|set| set.hash == hash) {
                Some(SetRecord { hash, set, complete }) => {
                    FilesRecord { hash, set, complete, problems: 0 }
                }
                None => FilesRecord { hash, set: Revision(0), complete: false, problems: 0 },
            },
            FilesStep::Begin(hash) => {
                let set = Revision(self.cluster.counter);
                let begun = SetRecord { hash, set, complete: false };
                self.registers.sets.set(IN_FORCE.into(), begun);
                FilesRecord { hash, set, complete: false, problems: 0 }
            }
            FilesStep::Complete(hash) => return self.complete(hash, in_force),
            FilesStep::Broken(problems) => {
                let none = FilesRecord { hash: 0, set: Revision(0), complete: false, problems: 0 };
                FilesRecord { problems, ..former.clone().unwrap_or(none) }
            }
        };
        if former.as_ref() != Some(&read) {
            self.registers.files.set(body.node, read);
        }
        Ok(Answer::Done)
    }

    /// Notes with all nodes that have the set in force that everything of it was proposed.
    fn complete(&mut self, hash: u128, in_force: Option<SetRecord>) -> Response {
        let Some(set) = in_force.filter(|set| set.hash == hash) else {
            return Err(Refusal::Order);
        };
        if !set.complete {
            let whole = SetRecord { complete: true, ..set.clone() };
            self.registers.sets.set(IN_FORCE.into(), whole);
        }
        let with = self.registers.files.iter().filter(|(_, kept)| kept.set == set.set);
        let with: Vec<(NodeId, FilesRecord)> =
            with.map(|(node, kept)| (*node, FilesRecord::clone(kept))).collect();
        for (node, kept) in with.into_iter().filter(|(_, kept)| !kept.complete) {
            self.registers.files.set(node, FilesRecord { complete: true, ..kept });
        }
        Ok(Answer::Done)
    }

    pub(in crate::domain::machine) fn declare(
        &mut self,
        cx: &EntryContext<'_>,
        body: Declare,
        effects: &mut Effects,
    ) -> Response {
        let in_force = self.files_in_force().map_or(Revision(0), |kept| kept.set);
        if body.set != in_force {
            return Err(Refusal::RevisionMismatch { current: in_force });
        }
        let if_match = body.if_match;
        match body.object {
            DeclaredObject::Task { spec, hash } => {
                self.declare_task(cx, spec, hash, if_match, effects)
            }
            DeclaredObject::TaskGone(name) => {
                if if_match.is_none() {
                    return Err(Refusal::TaskExists);
                }
                let mark = MarkDeleted { name, stop: false, tombstone: false, if_match };
                self.mark_deleted(cx, mark, effects)
            }
            DeclaredObject::Calendar { calendar, hash } => {
                if if_match.is_none() && self.calendar(&calendar.name).is_some() {
                    return Err(Refusal::RevisionMismatch { current: Revision(0) });
                }
                let put = PutCalendar { calendar, if_match, source: Some(hash) };
                self.put_calendar(cx, put, effects)
            }
            DeclaredObject::CalendarGone(name) => {
                self.delete_calendar(cx, &Named { name, if_match }, effects)
            }
        }
    }

    fn declare_task(
        &mut self,
        cx: &EntryContext<'_>,
        spec: TaskSpec,
        hash: u128,
        if_match: Option<Revision>,
        effects: &mut Effects,
    ) -> Response {
        let name: Arc<str> = spec.name.as_str().into();
        if if_match.is_none()
            && let Some(task) = self.named(&name)
        {
            let deleted = task.live.deleted.is_some();
            return Err(if deleted { Refusal::TaskDeleted } else { Refusal::TaskExists });
        }
        let mode = match if_match {
            Some(_) => PutMode::Update { if_match },
            None => PutMode::Add,
        };
        let answer = self.put(cx, Put { mode, spec }, effects)?;
        if let (Some(definition), Some(task)) = (answer.revision(), self.named(&name)) {
            let incarnation = task.live.incarnation;
            self.registers.sources.set(name, TaskSource { hash, incarnation, definition });
        }
        Ok(answer)
    }

    /// Whether this definition of a task is the one that files set. Setting it again takes back what
    /// was changed since.
    pub(super) fn is_of_files(&self, task: &Task, spec: &TaskSpec) -> bool {
        let source = self.source(task).and_then(|source| task.revision(source.definition));
        source.is_some_and(|kept| kept.spec == *spec)
    }

    /// Notes that the definition of a task is again the one that files set.
    pub(super) fn note_of_files(&mut self, name: &str, definition: Revision) {
        if let Some(source) = self.registers.sources.get(name) {
            let source = TaskSource { definition, ..TaskSource::clone(source) };
            self.registers.sources.set(name.into(), source);
        }
    }
}
