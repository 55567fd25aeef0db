//! Tasks: created, changed, held, deleted and removed.

use std::collections::{BTreeMap, BTreeSet};

use punctual::domain::machine::command::{Declare, DeclaredObject, MarkDeleted, Put, PutMode};
use punctual::domain::machine::{Answer, EventKind};
use punctual::domain::schedule::Rule;
use punctual::domain::task::TaskSpec;

use super::{ReferenceModel, ReplayedTask, TaskChange};

const FILES: &str = "the newest files are in force";

impl ReferenceModel {
    pub(super) fn changed(&mut self, name: &str, revision: u64, revives: bool) {
        if let Some(key) = &self.key {
            // If one entry contains two changes, only the later one is visible.
            self.revisions.retain(|_, known| *known != revision);
            self.revisions.insert(key.clone(), revision);
        }
        let change = TaskChange { index: self.index, revives };
        self.changes.entry(name.to_owned()).or_default().push(change);
    }

    /// The task must exist and not be marked deleted.
    pub(super) fn alive(&mut self, property: &'static str, key: u64, what: &str) {
        self.judge(property);
        match self.tasks.get(&key) {
            Some(task) if task.deleted => {
                let what = format!("{what} of {} was accepted, which is marked deleted", task.name);
                self.complain(property, what);
            }
            Some(_) => {}
            None => self.complain(property, format!("{what} of a task that is not there")),
        }
    }

    /// The instant from which a schedule counts, and the initial cursor.
    fn begin(&self, spec: &TaskSpec, settled: i64) -> (i64, i64) {
        let stamp = self.stamp;
        match spec.schedule.rule {
            Rule::Immediate => {
                let tick = stamp.max(settled + 1);
                (tick, tick - 1)
            }
            Rule::At(at) if at.0 <= stamp => (stamp, at.0 - 1),
            _ => (stamp, stamp),
        }
    }

    pub(super) fn settled(&self, task: &ReplayedTask) -> i64 {
        task.cursor.max(self.floor)
    }

    pub(super) fn put(&mut self, put: Put, answer: &Answer) {
        let Answer::Task { task: key, revision, .. } = answer else { return };
        let (key, revision, name) = (key.0, revision.0, put.spec.name.clone());
        let former = self.tasks.get(&key).cloned();
        if let PutMode::Update { .. } = put.mode {
            self.alive("tombstones stay", key, "an update");
            let Some(mut task) = former else { return };
            let (spec, settled) = (put.spec, self.settled(&task));
            let old = task.spec.as_ref();
            let rescheduled = old.is_none_or(|old| old.schedule != spec.schedule);
            let switched = old.is_none_or(|old| old.enabled != spec.enabled);
            // A completed task that may fire more than once after all has ticks again.
            let once = |spec: &TaskSpec| spec.one_shot;
            let revived = task.exhausted && old.is_some_and(once) && !spec.one_shot;
            if rescheduled || switched || revived {
                let (set_at, begun) = self.begin(&spec, settled);
                task.cursor = settled.max(if rescheduled { begun } else { self.stamp });
                if rescheduled {
                    task.set_at = set_at;
                }
                task.exhausted &= !(rescheduled || revived);
            }
            (task.spec, task.revision) = (Some(spec), revision);
            self.tasks.insert(key, task);
            // An update does not end a pause, and a deleted mark refuses it.
            return self.changed(&name, revision, false);
        }
        if put.mode == PutMode::Add {
            self.judge("tombstones stay");
            match &former {
                Some(task) if task.deleted => {
                    self.complain("tombstones stay", format!("add of {name}, marked deleted"));
                }
                Some(task)
                    if !(task.exhausted && task.live.is_empty()) && task.cancelled.is_none() =>
                {
                    self.complain("tombstones stay", format!("add of {name}, which is there"));
                }
                _ => {}
            }
        }
        let settled = former.as_ref().map_or(self.floor, |task| self.settled(task));
        let (set_at, begun) = self.begin(&put.spec, settled);
        let cursor = if former.is_some() { begun.max(settled) } else { begun };
        self.end_where(|execution| execution.task == key);
        self.ran.clear();
        let task = ReplayedTask {
            name: name.clone(),
            incarnation: revision,
            revision,
            cursor,
            deleted: false,
            paused: None,
            cancelled: None,
            spec: Some(put.spec),
            set_at,
            exhausted: false,
            fired: 0,
            live: BTreeSet::new(),
            last: None,
            ends: BTreeMap::new(),
        };
        self.tasks.insert(key, task);
        self.names.insert(name.clone(), key);
        self.changed(&name, revision, true);
    }

    /// What files say of a task, which is accepted for the set that was begun last only.
    pub(super) fn declare(&mut self, declare: Declare, answer: &Answer) {
        let DeclaredObject::Task { spec, hash } = declare.object else {
            return self.complain(FILES, "the files of a run define only tasks".to_owned());
        };
        self.judge(FILES);
        if self.files != Some(hash) {
            let what = format!("{} is of {hash}, {:?} was begun last", spec.name, self.files);
            self.complain(FILES, what);
        }
        let if_match = declare.if_match;
        let mode = if_match.map_or(PutMode::Add, |_| PutMode::Update { if_match });
        self.put(Put { mode, spec }, answer);
    }

    /// Moves the cursor to the timestamp, as an edit does.
    pub(super) fn close(&mut self, key: u64) {
        let (stamp, floor) = (self.stamp, self.floor);
        if let Some(task) = self.tasks.get_mut(&key) {
            task.cursor = task.cursor.max(floor).max(stamp);
        }
    }

    pub(super) fn mark_deleted(&mut self, mark: &MarkDeleted) {
        let name = &*mark.name;
        let Some(key) = self.names.get(name).copied() else { return };
        if self.tasks.get(&key).is_some_and(|task| !task.deleted) {
            self.mark(key);
            let revision = self.marks.get(name).copied().unwrap_or(0);
            self.changed(name, revision, false);
        }
        if mark.stop {
            self.stop_all(key);
        }
    }

    /// Marks a task deleted. Its waiting executions end.
    pub(super) fn mark(&mut self, key: u64) {
        self.close(key);
        self.end_where(|execution| execution.task == key && execution.granted.is_none());
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.deleted = true;
        let name = task.name.clone();
        self.note_end(EventKind::TaskDeleted, &name);
    }

    pub(super) fn reuse(&mut self, name: &str, answer: &Answer) {
        let Some(key) = self.names.get(name).copied() else { return };
        if self.tasks.get(&key).is_some_and(|task| task.deleted) {
            self.close(key);
            let Answer::Task { revision, .. } = answer else { return };
            if let Some(task) = self.tasks.get_mut(&key) {
                (task.deleted, task.revision) = (false, revision.0);
            }
            self.changed(name, revision.0, true);
        }
    }

    pub(super) fn cleanup(&mut self, name: &str) {
        if self.names.contains_key(name) {
            self.remove(name);
            self.changed(name, 0, false);
        }
    }

    /// Removes everything stored under a name.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(key) = self.names.remove(name) else { return };
        self.end_where(|execution| execution.task == key);
        self.ran.clear();
        self.tasks.remove(&key);
        self.note_end(EventKind::TaskCleaned, name);
    }

    pub(super) fn pause(&mut self, name: &str, until: Option<i64>, answer: &Answer) {
        let Some(key) = self.names.get(name).copied() else { return };
        self.alive("tombstones stay", key, "a pause");
        if !self.catches_up(key) {
            self.close(key);
        }
        let Answer::Task { revision, .. } = answer else { return };
        if let Some(task) = self.tasks.get_mut(&key) {
            (task.paused, task.revision) = (Some(until), revision.0);
        }
        self.changed(name, revision.0, until.is_some());
    }

    pub(super) fn resume(&mut self, name: &str, answer: &Answer) {
        let Some(key) = self.names.get(name).copied() else { return };
        self.alive("tombstones stay", key, "a resume");
        let Some(task) = self.tasks.get(&key) else { return };
        let (cancelled, overdue) = (task.cancelled.is_some(), self.overdue(task));
        if task.paused.is_none() && !cancelled {
            return;
        }
        if cancelled || !self.catches_up(key) {
            self.close(key);
        }
        let Some(revision) = answer.revision() else { return };
        if let Some(task) = self.tasks.get_mut(&key) {
            (task.paused, task.cancelled, task.revision) = (None, None, revision.0);
        }
        self.changed(name, revision.0, true);
        if cancelled {
            self.made_up(key, overdue, answer);
        }
    }

    pub(super) fn catches_up(&self, key: u64) -> bool {
        let spec = self.tasks.get(&key).and_then(|task| task.spec.as_ref());
        spec.is_some_and(|spec| spec.catch_up_on_resume)
    }
}
