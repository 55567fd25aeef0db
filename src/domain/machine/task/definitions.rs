//! The definitions that a task keeps: the one in force, those that live executions use, and the newest
//! of the others. What its lines depend on changes here, too.

use std::sync::Arc;

use super::editor::TaskEditor;
use super::keys;
use super::record::Definition;
use super::whole::ClaimRules;
use crate::domain::machine::hint::Hint;
use crate::domain::machine::limits::REVISIONS_MAX;
use crate::domain::machine::store::digest;

impl TaskEditor<'_> {
    /// Changes what the lines of the task depend on: its definition, and what holds its ticks.
    pub(in crate::domain::machine) fn relined(&mut self, change: impl FnOnce(&mut Self)) {
        let former = self.task.lines();
        let lined = self.task.lined();
        if lined {
            self.lines.remove(self.task);
        }
        change(self);
        if self.task.lined() {
            self.lines.add(self.task);
        }
        if lined || self.task.lined() {
            self.hint(Hint::Line(self.task.key));
        }
        self.lines.left(&former, &self.task.lines(), self.effects);
    }

    /// Puts a new definition in force.
    pub fn define(&mut self, definition: Definition) {
        let revision = definition.revision;
        let key = self.task.key;
        self.calendar_users.remove(self.task.spec());
        self.calendar_users.add(Some(&definition.spec));
        self.strategy_users.remove(self.task.spec());
        self.strategy_users.add(Some(&definition.spec));
        self.relined(|task| {
            task.live_mut().definition = Some(revision);
            task.digest.add(digest::hash(&keys::definition(key, revision), &definition));
            task.dirty.definitions.push((key, revision));
            task.task.rules = ClaimRules::of(Some(&definition.spec));
            task.task.definitions.push_back(Arc::new(definition));
        });
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
        self.strategy_users.remove(self.task.spec());
        self.relined(|task| {
            let live = task.live_mut();
            live.definition = None;
            if let Some(mark) = &mut live.deleted {
                mark.by.clear();
            }
            task.task.rules = ClaimRules::of(None);
        });
        while self.drop_definition() {}
        self.drop_past();
        self.drop_statistics();
    }
}
