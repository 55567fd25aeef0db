//! The definitions that a task keeps: the one in force, those that live executions use, and the newest
//! of the others.

use std::sync::Arc;

use super::editor::Hand;
use super::record::Definition;
use crate::domain::machine::commands::calendars;
use crate::domain::machine::limits::REVISIONS_MAX;
use crate::domain::machine::persist::key_definition;
use crate::domain::machine::state::Rules;
use crate::domain::machine::store::digest;

impl Hand<'_> {
    /// Puts a new definition in force.
    pub fn define(&mut self, definition: Definition) {
        let revision = definition.revision;
        let key = self.task.key;
        calendars::count(self.excluding, self.task.spec(), false);
        calendars::count(self.excluding, Some(&definition.spec), true);
        self.live().definition = Some(revision);
        self.digest.add(digest::hash(&key_definition(key, revision), &definition));
        self.dirty.definitions.push((key, revision));
        self.task.rules = Rules::of(Some(&definition.spec));
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
        self.digest.sub(digest::hash(&key_definition(key, gone.revision), &*gone));
        self.dirty.definitions.push((key, gone.revision));
        true
    }

    /// Leaves a deleted mark its name, its numbers and its cursor.
    pub(in crate::domain::machine) fn forget(&mut self) {
        calendars::count(self.excluding, self.task.spec(), false);
        let live = self.live();
        live.definition = None;
        if let Some(mark) = &mut live.deleted {
            mark.by.clear();
        }
        self.task.rules = Rules::of(None);
        while self.drop_definition() {}
        self.drop_past();
    }
}
