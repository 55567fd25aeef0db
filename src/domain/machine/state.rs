//! The replicated state, and how its records are reached and changed.
//!
//! A clone is a frozen view and costs a few pointers: the maps are persistent, the records shared.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use imbl::OrdMap;

use crate::domain::ids::{ExecutionId, NodeId, Revision, SessionId, TaskKey};
use crate::domain::schedule::calendar::Kept;
use crate::domain::task::{Keep, Strategy, TaskSpec};
use crate::domain::time::Timestamp;

use super::store::digest::{self, Digest};
use super::store::index::Index;
use super::store::table::Table;
use super::task::history::History;
use super::task::record::{
    Cluster, Definition, Execution, KeyRecord, Live, Node, Progress, Reason,
};
use super::task::tombstones::Marks;

/// A task: its definitions, its live record, its past.
#[derive(Clone, Debug)]
pub struct Task {
    /// Names the record in the log.
    pub key: TaskKey,
    /// What claims leave alone.
    pub live: Live,
    /// What they rewrite.
    pub progress: Progress,
    /// Kept revisions, oldest first.
    pub definitions: VecDeque<Arc<Definition>>,
    /// The past.
    pub history: History,
    /// Hashes of these two as the digest has them.
    pub(super) counted: Counted,
    /// What claims need of the definition in force.
    pub(super) rules: Rules,
    /// The checkpoint epoch in which it was last noted as changed.
    pub(super) noted: u64,
}

/// Hashes of a task's two records, as the digest has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub live: u128,
    pub progress: u128,
}

/// What claims need of a definition, so that they need not reach for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub enabled: bool,
    pub catch_up_on_resume: bool,
    pub max_ticks: Option<u64>,
    pub excludes: bool,
    pub keep: Keep,
}

impl Rules {
    /// Those of a definition; of none, those that stand in nobody's way.
    pub(super) fn of(spec: Option<&TaskSpec>) -> Self {
        Self {
            enabled: spec.is_none_or(|spec| spec.enabled),
            catch_up_on_resume: spec.is_some_and(|spec| spec.catch_up_on_resume),
            excludes: spec.is_some_and(|spec| !spec.schedule.exclude.is_empty()),
            max_ticks: spec.and_then(|spec| spec.schedule.max_ticks),
            keep: spec.map_or_else(Keep::default, |spec| spec.keep),
        }
    }
}

impl Task {
    /// The definition in force; none for a bare tombstone.
    #[must_use]
    pub fn definition(&self) -> Option<&Arc<Definition>> {
        self.revision(self.live.definition?)
    }

    /// What the definition in force says.
    #[must_use]
    pub fn spec(&self) -> Option<&TaskSpec> {
        self.definition().map(|definition| &definition.spec)
    }

    /// A kept revision.
    #[must_use]
    pub fn revision(&self, revision: Revision) -> Option<&Arc<Definition>> {
        // The newest is nearly always the one in force.
        match self.definitions.back() {
            Some(newest) if newest.revision == revision => Some(newest),
            _ => self.definitions.iter().find(|kept| kept.revision == revision),
        }
    }

    /// Why its ticks do not fire, whatever their time; none: they do.
    #[must_use]
    pub fn inactive(&self) -> Option<Reason> {
        if self.live.deleted.is_some() {
            Some(Reason::Deleted)
        } else if !self.rules.enabled {
            Some(Reason::Disabled)
        } else if self.live.paused.is_some() {
            Some(Reason::Paused)
        } else {
            None
        }
    }

    /// A number made of what a claim reads first: see `State::warm`.
    pub(super) fn warmth(&self) -> u64 {
        self.key.0
            ^ self.live.revision.0
            ^ self.progress.totals.lost
            ^ self.history.warmth()
            ^ self.counted.progress as u64
            ^ self.noted
    }

    /// Its executions that have not ended, newest first.
    pub fn live_executions(&self) -> impl Iterator<Item = &Execution> {
        let live = usize::try_from(self.progress.live).unwrap_or(usize::MAX);
        let all = self.history.executions.iter().rev();
        all.filter(|execution| !execution.status.ended()).take(live)
    }

    /// Whether no tick is left and nothing runs.
    #[must_use]
    pub fn over(&self) -> bool {
        self.progress.exhausted && self.progress.live == 0 && self.live.deleted.is_none()
    }
}

/// What changed since the last checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    /// Counts checkpoints.
    pub(super) epoch: u64,
    /// Tasks whose progress changed, or which are gone.
    pub(super) tasks: Vec<TaskKey>,
    /// Tasks whose live record changed, or which are gone.
    pub(super) lives: Vec<TaskKey>,
    /// Blocks of their history, by letter and number, that changed or are gone.
    pub(super) blocks: Vec<(TaskKey, u8, u64)>,
    /// Definitions that came or went.
    pub(super) definitions: Vec<(TaskKey, Revision)>,
    /// Nodes.
    pub(super) nodes: BTreeSet<NodeId>,
    /// Idempotency keys that came or went.
    pub(super) keys: BTreeSet<Arc<str>>,
    /// Calendars that came, changed or went.
    pub(super) calendars: BTreeSet<Arc<str>>,
}

/// All that the log has led to.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) cluster: Cluster,
    pub(super) names: OrdMap<Arc<str>, TaskKey>,
    pub(super) tasks: Table,
    pub(super) nodes: OrdMap<NodeId, Arc<Node>>,
    pub(super) calendars: OrdMap<Arc<str>, Arc<Kept>>,
    /// Whose each kept execution is; derived.
    pub(super) executions: Index,
    /// Names that carry the deleted mark; derived.
    pub(super) marks: Marks,
    /// How many tasks leave each calendar out, marked deleted or not; derived.
    pub(super) excluding: OrdMap<Arc<str>, u32>,
    pub(super) keys: OrdMap<Arc<str>, Arc<KeyRecord>>,
    /// Keys by age; derived.
    pub(super) key_order: OrdMap<u64, Arc<str>>,
    pub(super) digest: Digest,
    pub(super) dirty: Dirty,
}

impl Default for State {
    fn default() -> Self {
        Self {
            cluster: Cluster {
                id: 0,
                name: String::new(),
                timezone: "UTC".to_owned(),
                scheduler: false,
                floor: Timestamp(0),
                strategy: Strategy::Consistent,
                counter: 0,
                stamp: Timestamp(0),
                applied: 0,
            },
            names: OrdMap::new(),
            tasks: Table::default(),
            nodes: OrdMap::new(),
            calendars: OrdMap::new(),
            executions: Index::default(),
            marks: Marks::default(),
            excluding: OrdMap::new(),
            keys: OrdMap::new(),
            key_order: OrdMap::new(),
            digest: Digest::default(),
            dirty: Dirty { epoch: 1, ..Dirty::default() },
        }
    }
}

impl State {
    /// What there is once in a cluster.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The digest over all records, the cluster's with index and counter included.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let mut digest = self.digest;
        digest.add(digest::hash(b"c", &self.cluster));
        digest.0
    }

    /// Makes this state another than its commands made it.
    #[cfg(test)]
    pub fn bend(&mut self) {
        self.cluster.floor = Timestamp(self.cluster.floor.0 + 1);
    }

    /// A task by its key.
    #[must_use]
    pub fn task(&self, key: TaskKey) -> Option<&Arc<Task>> {
        self.tasks.get(key)
    }

    /// A task by its name, marked deleted or not.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Task>> {
        self.tasks.get(*self.names.get(name)?)
    }

    /// All tasks, in the order of their slots.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.iter()
    }

    /// All tasks by name, from the first name greater than `after`.
    pub fn by_name<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Arc<Task>> {
        self.names
            .range(Arc::<str>::from(after)..)
            .filter(move |(name, _)| &***name > after)
            .filter_map(|(_, key)| self.tasks.get(*key))
    }

    /// How many names carry the deleted mark.
    #[must_use]
    pub const fn tombstone_count(&self) -> usize {
        self.marks.len()
    }

    /// How many tasks and tombstones there are.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// An execution with its task.
    #[must_use]
    pub fn execution(&self, id: ExecutionId) -> Option<(&Arc<Task>, &Execution)> {
        let task = self.tasks.get(self.executions.get(id)?)?;
        Some((task, task.history.execution(id)?))
    }

    /// Kept executions, newest first, below `before`.
    pub fn executions_before(
        &self,
        before: ExecutionId,
    ) -> impl Iterator<Item = (&Arc<Task>, &Execution)> {
        self.executions.before(before).filter_map(|(id, key)| {
            let task = self.tasks.get(key)?;
            Some((task, task.history.execution(id)?))
        })
    }

    /// All members.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// One member.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// The member whose live session this is.
    #[must_use]
    pub fn session(&self, session: SessionId) -> Option<&Arc<Node>> {
        self.nodes.values().find(|node| node.session == session)
    }

    /// Up to here every tick of the task is settled.
    #[must_use]
    pub fn settled(&self, task: &Task) -> Timestamp {
        task.progress.cursor.max(self.cluster.floor)
    }

    /// A view that does not change any more; it costs a few pointers, whatever the size.
    #[must_use]
    pub fn frozen(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            names: self.names.clone(),
            tasks: self.tasks.clone(),
            nodes: self.nodes.clone(),
            calendars: self.calendars.clone(),
            executions: self.executions.clone(),
            marks: self.marks.clone(),
            excluding: self.excluding.clone(),
            keys: self.keys.clone(),
            key_order: self.key_order.clone(),
            digest: self.digest,
            // What changed since the last checkpoint is nothing to those who read. In an epoch of
            // its own, should it be gone on from, no task counts as noted that is not.
            dirty: Dirty { epoch: self.dirty.epoch + 1, ..Dirty::default() },
        }
    }

    /// Takes the list of what changed, and begins a new one.
    pub fn take_dirty(&mut self) -> Dirty {
        let next = Dirty { epoch: self.dirty.epoch + 1, ..Dirty::default() };
        std::mem::replace(&mut self.dirty, next)
    }

    /// Puts a list back whose checkpoint failed.
    pub fn merge_dirty(&mut self, lost: Dirty) {
        self.dirty.tasks.extend(lost.tasks);
        self.dirty.lives.extend(lost.lives);
        self.dirty.blocks.extend(lost.blocks);
        self.dirty.definitions.extend(lost.definitions);
        self.dirty.nodes.extend(lost.nodes);
        self.dirty.keys.extend(lost.keys);
        self.dirty.calendars.extend(lost.calendars);
    }
}
