//! The definitions that a task keeps: the one in force, those that live executions use, and the newest
//! of the others.

use std::sync::Arc;

use super::editor::TaskEditor;
use super::keys;
use super::record::Definition;
use super::whole::ClaimRules;
use crate::domain::machine::limits::REVISIONS_MAX;
use crate::domain::machine::store::digest;

impl TaskEditor<'_> {
    /// Puts a new definition in force.
    pub fn define(&mut self, definition: Definition) {
        let revision = definition.revision;
        let key = self.task.key;
        self.calendar_users.remove(self.task.spec());
        self.calendar_users.add(Some(&definition.spec));
        self.live_mut().definition = Some(revision);
        self.digest.add(digest::hash(&keys::definition(key, revision), &definition));
        self.dirty.definitions.push((key, revision));
        self.task.rules = ClaimRules::of(Some(&definition.spec));
        self.task.definitions.push_back(Arc::new(definition));
        self.drop_old_definitions();
    }

    fn drop_old_definitions(&mut self) {
        while self.task.definitions.len() > REVISIONS_MAX {
            if !self.drop_definition() {
                return;
            }
        }
    }

    /// Drops the oldest definition that nothing uses; false: all are in use.
    pub(in crate::domain::machine) fn drop_definition(&mut self) -> bool {
        let free = self.task.definitions.iter().position(|kept| {
            Some(kept.revision) != self.task.live.definition
                && !self.task.live_executions().any(|execution| execution.revision == kept.revision)
        });
        let Some(gone) = free.and_then(|at| self.task.definitions.remove(at)) else { return false };
        let key = self.task.key;
        self.digest.sub(digest::hash(&keys::definition(key, gone.revision), &*gone));
        self.dirty.definitions.push((key, gone.revision));
        true
    }

    /// Leaves a deleted mark its name, its numbers and its cursor.
    pub(in crate::domain::machine) fn forget(&mut self) {
        self.calendar_users.remove(self.task.spec());
        let live = self.live_mut();
        live.definition = None;
        if let Some(mark) = &mut live.deleted {
            mark.by.clear();
        }
        self.task.rules = ClaimRules::of(None);
        while self.drop_definition() {}
        self.drop_past();
    }
}
