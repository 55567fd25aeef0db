//! The definitions that a task keeps: the one in force, those that live executions use, and the newest
//! of the others.

use std::sync::Arc;

use super::calendars;
use super::digest;
use super::hand::Hand;
use super::limits::REVISIONS_MAX;
use super::persist::key_definition;
use super::record::Definition;
use super::state::Rules;

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
    pub(super) fn drop_definition(&mut self) -> bool {
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
    pub(super) fn forget(&mut self) {
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
