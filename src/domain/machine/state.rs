//! The replicated state: all records, and the two ways to change them, registers and the task editor.
//!
//! A frozen view costs a few pointers: the maps are persistent, the records shared.

use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::effects::Effects;
use super::event::{Event, EventKind, EventObject};
use super::hint::Hint;
use super::response::Refusal;
use super::store::digest::{self, Digest};
use super::store::dirty::Dirty;
use super::store::index::Index;
use super::store::register::registers;
use super::store::table::TaskTable;
use super::task::backfills::{BackfillKey, BackfillRecord};
use super::task::calendar_users::CalendarUsers;
use super::task::delayed::DelayedExecutions;
use super::task::dispatched::{DeclaredTasks, InFlight};
use super::task::editor::{EntryContext, TaskEditor};
use super::task::files::{FilesRecord, SetRecord, TaskSource};
use super::task::keys;
use super::task::lines::{Lines, TaskLines};
use super::task::record::{
    Cluster, ClusterStatistics, Execution, KeyRecord, MemberRecord, NodeRecord,
};
use super::task::strategy_users::StrategyUsers;
use super::task::tombstones::DeletedMarks;
use super::task::whole::Task;
use crate::domain::executor::ExecutorRecord;
use crate::domain::ids::{EventId, ExecutionId, NodeId, Revision, SessionId, TaskKey};
use crate::domain::schedule::calendar::CalendarRecord;
use crate::domain::task::{AfterRun, Strategy};
use crate::domain::time::Timestamp;

registers! {
    /// The records that are kept by a key of their own.
    Registers {
        /// Members of the cluster.
        nodes: NodeId => NodeRecord, b'n';
        /// Answers by idempotency key.
        keys: Arc<str> => KeyRecord, b'k';
        /// Calendars by name.
        calendars: Arc<str> => CalendarRecord, b'a';
        /// Executors by id.
        executors: Arc<str> => ExecutorRecord, b'x';
        /// What came of the members, by configured id.
        members: NodeId => MemberRecord, b'm';
        /// What nodes read in their files.
        files: NodeId => FilesRecord, b'f';
        /// The set of files in force, by the name of the cluster's only one.
        sets: Arc<str> => SetRecord, b'g';
        /// Which tasks come from files, by name.
        sources: Arc<str> => TaskSource, b'o';
        /// The node of each part of the names, by the first name of the part.
        parts: Arc<str> => NodeId, b'j';
        /// The node that a strategy of an embedding program chose for a task, by name.
        choices: Arc<str> => NodeId, b'q';
        /// How far the backfills of tasks are, by task and range.
        backfills: BackfillKey => BackfillRecord, b'b';
    }
}

/// The names of tasks at one time.
#[derive(Clone, Debug)]
pub struct TaskNames(OrdMap<Arc<str>, TaskKey>);

impl TaskNames {
    /// Whether nothing was added or removed between two times. It costs nothing.
    #[must_use]
    pub fn are(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

/// All that the log has led to.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) cluster: Cluster,
    pub(super) names: OrdMap<Arc<str>, TaskKey>,
    pub(super) tasks: TaskTable<Task>,
    pub(super) registers: Registers,
    /// Statistics of all tasks, including removed ones.
    pub(super) statistics: Arc<ClusterStatistics>,
    /// Whose each kept execution is; derived.
    pub(super) executions: Index,
    /// Names that carry the deleted mark; derived.
    pub(super) marks: DeletedMarks,
    /// How many tasks leave each calendar out; derived.
    pub(super) calendar_users: CalendarUsers,
    /// How many tasks name each strategy of assignment; derived.
    pub(super) strategy_users: StrategyUsers,
    /// What limits how many executions run at once; derived.
    pub(super) lines: Lines,
    /// Executions that wait for a further attempt; derived.
    pub(super) delayed: DelayedExecutions,
    /// The running attempts of executors; derived.
    pub(super) in_flight: InFlight,
    /// The tasks that executors declare; derived.
    pub(super) declared: DeclaredTasks,
    /// Idempotency keys by age; derived.
    pub(super) key_order: OrdMap<u64, Arc<str>>,
    /// Backfills of which nothing comes any more, by their begin; derived.
    pub(super) finished: OrdSet<(Timestamp, BackfillKey)>,
    /// The sum over the records of tasks; registers have their own.
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
                callback_key: 0,
            },
            names: OrdMap::new(),
            tasks: TaskTable::default(),
            registers: Registers::default(),
            statistics: Arc::default(),
            executions: Index::default(),
            marks: DeletedMarks::default(),
            calendar_users: CalendarUsers::default(),
            strategy_users: StrategyUsers::default(),
            lines: Lines::default(),
            delayed: DelayedExecutions::default(),
            in_flight: InFlight::default(),
            declared: DeclaredTasks::default(),
            key_order: OrdMap::new(),
            finished: OrdSet::new(),
            digest: Digest::default(),
            dirty: Dirty::of(1),
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
        for register in self.registers.each() {
            digest.join(register.digest());
        }
        digest.add(digest::hash(b"c", &self.cluster));
        digest.add(digest::hash(keys::STATISTICS, &*self.statistics));
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

    /// The slots whose task is another record than in an older state, with what they had and have. What
    /// did not change is not visited, so the cost depends on the number of changes.
    pub fn changed_tasks<'a>(
        &'a self,
        older: &'a Self,
    ) -> impl Iterator<Item = (usize, Option<&'a Arc<Task>>, Option<&'a Arc<Task>>)> {
        self.tasks.changes(&older.tasks)
    }

    /// The tasks by name whose names begin so, from the first name greater than `after`.
    pub fn by_prefix<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Task>> {
        let begin = if prefix > after {
            Bound::Included(Arc::<str>::from(prefix))
        } else {
            Bound::Excluded(Arc::<str>::from(after))
        };
        let names = self.names.range((begin, Bound::Unbounded));
        let names = names.take_while(move |(name, _)| name.starts_with(prefix));
        names.filter_map(|(_, key)| self.tasks.get(*key))
    }

    /// All tasks by name, from the first name greater than `after`.
    pub fn by_name<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Arc<Task>> {
        self.names
            .range(Arc::<str>::from(after)..)
            .filter(move |(name, _)| &***name > after)
            .filter_map(|(_, key)| self.tasks.get(*key))
    }

    /// The names of all tasks and tombstones. The copy shares them.
    #[must_use]
    pub fn names(&self) -> TaskNames {
        TaskNames(self.names.clone())
    }

    /// How many tasks and tombstones there are.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// How many executions are kept.
    #[must_use]
    pub fn execution_count(&self) -> usize {
        self.executions.len()
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

    /// Executions that wait for a further attempt.
    #[must_use]
    pub const fn delayed(&self) -> &DelayedExecutions {
        &self.delayed
    }

    /// What limits how many executions run at once.
    #[must_use]
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Statistics of all tasks, including removed ones.
    #[must_use]
    pub fn statistics(&self) -> &ClusterStatistics {
        &self.statistics
    }

    /// Whether a task, marked deleted or not, names this strategy of assignment.
    #[must_use]
    pub fn names_strategy(&self, strategy: Strategy) -> bool {
        self.strategy_users.any(strategy)
    }

    /// Tasks with live executions.
    pub fn busy_tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.busy()
    }

    /// All members.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.registers.nodes.values()
    }

    /// One member.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Arc<NodeRecord>> {
        self.registers.nodes.get(&id)
    }

    /// The member whose live session this is.
    #[must_use]
    pub fn session(&self, session: SessionId) -> Option<&Arc<NodeRecord>> {
        self.registers.nodes.values().find(|node| node.session == session)
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
            registers: self.registers.frozen(),
            statistics: Arc::clone(&self.statistics),
            executions: self.executions.clone(),
            marks: self.marks.clone(),
            calendar_users: self.calendar_users.clone(),
            strategy_users: self.strategy_users.clone(),
            lines: self.lines.clone(),
            delayed: self.delayed.clone(),
            in_flight: self.in_flight.clone(),
            declared: self.declared.clone(),
            key_order: self.key_order.clone(),
            finished: self.finished.clone(),
            digest: self.digest,
            // What changed since the last checkpoint is nothing to those who read. In an epoch of
            // its own, should it be gone on from, no task counts as noted that is not.
            dirty: Dirty::of(self.dirty.epoch + 1),
        }
    }

    /// Takes the list of what changed, and begins a new one.
    pub fn take_dirty(&mut self) -> Dirty {
        let next = Dirty::of(self.dirty.epoch + 1);
        let mut dirty = std::mem::replace(&mut self.dirty, next);
        for register in self.registers.each_mut() {
            dirty.registers.extend(register.take_dirty());
        }
        dirty
    }

    /// Puts a list back whose checkpoint failed.
    pub fn merge_dirty(&mut self, lost: Dirty) {
        self.dirty.merge(lost);
    }

    /// The digest over the records of tasks, from scratch.
    pub(super) fn recomputed(&self) -> Digest {
        let mut digest = Digest::default();
        for task in self.tasks.iter() {
            digest.add(digest::hash(&keys::live(task.key), &task.live));
            digest.add(task.progress.hash(task.key));
            task.each_hash(|hash| digest.add(hash));
        }
        digest
    }

    /// Changes a task. What its records add to the digest and to the list of changes is written once,
    /// when the closure ends. Then the end of an execution may end the task: afterwards it may be
    /// marked deleted, or gone.
    ///
    /// # Errors
    /// There is no such task, or the closure refuses.
    pub(super) fn edit<R>(
        &mut self,
        cx: &EntryContext<'_>,
        key: TaskKey,
        effects: &mut Effects,
        change: impl FnOnce(&mut TaskEditor<'_>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let tasks = u64::try_from(self.tasks.len()).unwrap_or(u64::MAX);
        let (task, busy) = self.tasks.get_mut(key).ok_or(Refusal::TaskNotFound)?;
        let (former, incarnation) = (task.progress, task.live.incarnation);
        let mut editor = TaskEditor {
            task,
            index: cx.index,
            stamp: cx.stamp,
            floor: self.cluster.floor,
            tasks,
            counter: &mut self.cluster.counter,
            digest: &mut self.digest,
            dirty: &mut self.dirty,
            executions: &mut self.executions,
            marks: &mut self.marks,
            calendar_users: &mut self.calendar_users,
            strategy_users: &mut self.strategy_users,
            lines: &mut self.lines,
            delayed: &mut self.delayed,
            statistics: &mut self.statistics,
            in_flight: &mut self.in_flight,
            declared: &self.declared,
            busy,
            effects,
            former_live: None,
            ran: None,
            backfilled: Vec::new(),
            counted: false,
        };
        let answer = change(&mut editor);
        let after_run = editor.after_run();
        let backfilled = std::mem::take(&mut editor.backfilled);
        let reborn = editor.live.incarnation != incarnation;
        editor.finish(&former);
        if reborn {
            self.end_backfills(key);
        }
        for (execution, status) in backfilled {
            self.end_backfilled(cx, key, execution, status);
        }
        if after_run != AfterRun::Keep {
            self.end_task(cx, key, after_run, effects);
        }
        answer
    }

    /// Makes an empty record for a name; the caller fills it.
    pub(super) fn new_task(
        &mut self,
        cx: &EntryContext<'_>,
        name: &str,
        revision: Revision,
    ) -> TaskKey {
        let key = self.tasks.vacancy(revision);
        let name: Arc<str> = name.into();
        let task = Task::new(key, Arc::clone(&name), revision, cx.stamp, self.dirty.epoch);
        self.digest.add(task.counted.live);
        self.digest.add(task.counted.progress);
        self.dirty.tasks.push(key);
        self.dirty.lives.push(key);
        self.names.insert(name, key);
        self.tasks.insert(task);
        key
    }

    /// The next value of the counter.
    pub(super) const fn step(&mut self) -> u64 {
        self.cluster.counter += 1;
        self.cluster.counter
    }

    /// Tells those who watch what happened to an object that is no task.
    pub(super) fn tell(
        &mut self,
        cx: &EntryContext<'_>,
        kind: EventKind,
        object: EventObject,
        effects: &mut Effects,
    ) {
        let id = EventId(self.step());
        effects.events.push(Event { id, at: cx.stamp, kind, object });
    }

    /// Removes all that is known of a task.
    pub(super) fn drop_task(&mut self, cx: &EntryContext<'_>, key: TaskKey, effects: &mut Effects) {
        // The next checkpoint takes away the rows of its past.
        if let Some((task, _)) = self.tasks.get_mut(key) {
            task.history.note_all(key, &mut self.dirty);
            task.note_days(&mut self.dirty);
        }
        let Some(task) = self.tasks.remove(key) else { return };
        self.names.remove(&task.live.name);
        self.registers.sources.remove(&task.live.name);
        self.registers.choices.remove(&task.live.name);
        self.drop_backfills(key);
        self.marks.remove(key, &task.live);
        self.calendar_users.remove(task.spec());
        self.strategy_users.remove(task.spec());
        self.lines.remove(&task);
        self.delayed.remove(&task);
        self.in_flight.remove(&task);
        self.lines.left(&task.lines(), &TaskLines::default(), effects);
        self.digest.sub(task.counted.live);
        self.digest.sub(task.counted.progress);
        task.each_hash(|hash| self.digest.sub(hash));
        for definition in &task.definitions {
            self.dirty.definitions.push((key, definition.revision));
        }
        for execution in &task.history.executions {
            self.executions.remove(execution.id);
        }
        self.dirty.tasks.push(key);
        self.dirty.lives.push(key);
        effects.hints.push(Hint::Task(key));
        let name = EventObject::Task(Arc::clone(&task.live.name));
        self.tell(cx, EventKind::TaskCleaned, name, effects);
    }
}
