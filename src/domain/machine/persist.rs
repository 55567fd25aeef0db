//! The state as keys and values: what checkpoints and snapshots hold, and the way back.
//!
//! Keys are a letter and big-endian numbers. A task's ticks, spans and executions are hashed one by
//! one but stored in blocks: a checkpoint then writes a few rows for a busy task, neither all of its
//! past nor a row a tick.

use std::collections::VecDeque;
use std::sync::Arc;

use super::cluster_row;
use super::commands::guards;
use super::limits::TASKS_MAX;
use super::record_error::{RecordError, decode, first};
use super::state::State;
use super::store::blocks::{BlockRecord, Blocks};
use super::store::codec::encode;
use super::store::digest::{self, Digest};
use super::store::dirty::Dirty;
use super::store::register::{RegisterRows, RowError};
use super::task::history::History;
use super::task::keys;
use super::task::lines::Lines;
use super::task::record::{
    ClusterStatistics, Definition, Execution, FiredTick, LiveRecord, NodeOverrides, NodeRecord,
    PastDay, Span, Statistics, TaskProgress, TaskStatistics,
};
use super::task::whole::Task;
use super::versions::{self, RECORDS_OLDEST};
use crate::domain::ids::{ExecutionId, TaskKey};

/// A record to write, or to remove where the value is none.
pub type RecordRow = (Vec<u8>, Option<Vec<u8>>);

/// A block of a history as its row: its number first, since its key says it too.
fn block_row<T: BlockRecord>(
    task: TaskKey,
    number: u64,
    records: &VecDeque<T>,
) -> (Vec<u8>, Vec<u8>) {
    (keys::block(T::LETTER, task, number).to_vec(), encode(&(number, records)))
}

pub(super) fn block_rows<T: BlockRecord>(
    task: TaskKey,
    blocks: &Blocks<T>,
) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    blocks.blocks().map(move |(number, records)| block_row(task, number, records))
}

/// The row of a block that was noted; without a value: it is gone.
pub(super) fn noted_row<T: BlockRecord>(
    blocks: &Blocks<T>,
    noted: &(TaskKey, u8, u64),
) -> RecordRow {
    let (task, letter, number) = *noted;
    let value = blocks.block(number).map(|records| block_row(task, number, records).1);
    (keys::block(letter, task, number).to_vec(), value)
}

/// Reads a block, record by record: the whole may be larger than what one may claim. The blocks of
/// a task rise.
pub(super) fn read_block<T: BlockRecord>(
    task: TaskKey,
    key: &[u8],
    value: &[u8],
    blocks: &mut Blocks<T>,
) -> Result<(), RecordError> {
    let mut rest = value;
    let number: u64 = first(key, &mut rest)?;
    let count: u64 = first(key, &mut rest)?;
    let records = (0..count).map(|_| first(key, &mut rest)).collect::<Result<_, _>>()?;
    if !rest.is_empty() {
        return Err(RecordError::left_over(key));
    }
    if key != keys::block(T::LETTER, task, number) || !blocks.load(number, records) {
        return Err(RecordError::UnknownKey(key.to_vec()));
    }
    Ok(())
}

impl State {
    /// The layout of the records: digests of two layouts cannot be compared.
    pub const LAYOUT: u16 = versions::RECORDS;

    /// The rows that changed, as this frozen view has them, in the order of their keys: so a tree on
    /// disk takes them page by page.
    #[must_use]
    pub fn changed_rows(&self, dirty: &Dirty) -> Vec<RecordRow> {
        let mut rows = vec![self.cluster_row()];
        if dirty.statistics {
            rows.extend(self.statistics_row().map(|(key, value)| (key, Some(value))));
        }
        for key in &dirty.tasks {
            let task = self.tasks.get(*key);
            rows.push((keys::progress(*key).to_vec(), task.map(|task| progress_value(task))));
        }
        for key in &dirty.lives {
            let task = self.tasks.get(*key).filter(|task| guards::in_checkpoint(task));
            rows.push((keys::live(*key).to_vec(), task.map(|task| encode(&task.live))));
        }
        for noted in &dirty.blocks {
            let (key, letter, number) = *noted;
            let past = self.tasks.get(key).map(|task| (&task.history, &task.statistics));
            rows.push(match (past, letter) {
                (Some((history, _)), FiredTick::LETTER) => noted_row(&history.ticks, noted),
                (Some((history, _)), Span::LETTER) => noted_row(&history.spans, noted),
                (Some((history, _)), Execution::LETTER) => noted_row(&history.executions, noted),
                (Some((_, Some(statistics))), PastDay::LETTER) => {
                    noted_row(&statistics.days, noted)
                }
                _ => (keys::block(letter, key, number).to_vec(), None),
            });
        }
        for (key, revision) in &dirty.definitions {
            let kept = self.tasks.get(*key).and_then(|task| task.revision(*revision));
            let value = kept.map(|definition| encode(&**definition));
            rows.push((keys::definition(*key, *revision).to_vec(), value));
        }
        for key in &dirty.registers {
            let mut registers = self.registers.each().into_iter();
            let register = registers.find(|register| key.first() == Some(&register.letter()));
            rows.push((key.clone(), register.and_then(|register| register.value(key))));
        }
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// Every row, in no particular order.
    pub fn all_rows(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
        let tasks = self.tasks.iter().filter(|task| guards::in_checkpoint(task)).flat_map(|task| {
            let live = (keys::live(task.key).to_vec(), encode(&task.live));
            let progress = (keys::progress(task.key).to_vec(), progress_value(task));
            let History { ticks, spans, executions, .. } = &task.history;
            let past = block_rows(task.key, ticks)
                .chain(block_rows(task.key, spans))
                .chain(block_rows(task.key, executions));
            let days = task.statistics.iter().flat_map(|kept| block_rows(task.key, &kept.days));
            let definitions = task.definitions.iter().map(|definition| {
                (keys::definition(task.key, definition.revision).to_vec(), encode(&**definition))
            });
            [live, progress].into_iter().chain(past).chain(days).chain(definitions)
        });
        let (key, cluster) = self.cluster_row();
        let cluster = cluster.map(|cluster| (key, cluster)).into_iter();
        let registers = self.registers.each().into_iter().flat_map(RegisterRows::rows);
        cluster.chain(self.statistics_row()).chain(tasks).chain(registers)
    }

    /// `None`: nothing was counted.
    fn statistics_row(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let counted = *self.statistics != ClusterStatistics::default();
        counted.then(|| (keys::STATISTICS.to_vec(), encode(&*self.statistics)))
    }

    fn cluster_row(&self) -> RecordRow {
        let cluster = guards::cluster_row(&self.cluster);
        (b"c".to_vec(), Some(cluster_row::write(&cluster, self.digest())))
    }
}

/// The row that claims and ends rewrite: the progress and the current statistics.
fn progress_value(task: &Task) -> Vec<u8> {
    encode(&(guards::progress_row(&task.progress), task.recent()))
}

/// Puts a state together from its rows, of this version or the last one.
///
/// Where the form of a record changes, the reader of its row decodes both forms, by the version that
/// the cluster's row says, notes the record as dirty, so that the next checkpoint writes it in the
/// new form, and notes what that changes about the digest, which is of the former form.
#[derive(Debug, Default)]
pub struct Loader {
    state: State,
    /// Rows that came before that of the cluster, which says of which version they are.
    early: Vec<(Vec<u8>, Vec<u8>)>,
    /// The digest in the cluster's row; none: it has not come.
    expected: Option<u128>,
    /// The version of the rows.
    version: u16,
    /// By how much the digest of the rows of the last version differs from that of what was made of
    /// them.
    converted: Digest,
    tasks: std::collections::BTreeMap<TaskKey, TaskParts>,
}

#[derive(Debug, Default)]
struct TaskParts {
    live: Option<LiveRecord>,
    progress: Option<(TaskProgress, Option<Statistics>)>,
    days: Blocks<PastDay>,
    history: History,
    definitions: VecDeque<Arc<Definition>>,
}

impl Loader {
    /// Takes one row, in any order except that the blocks of a task rise.
    ///
    /// # Errors
    /// A row that cannot be read.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        if key == b"c" {
            let (version, cluster, digest) = cluster_row::read(key, value)?;
            self.state.cluster = cluster;
            self.version = version;
            self.expected = Some(digest);
            let early = std::mem::take(&mut self.early);
            return early.iter().try_for_each(|(key, value)| self.record(key, value));
        }
        if self.expected.is_none() {
            self.early.push((key.to_vec(), value.to_vec()));
            return Ok(());
        }
        self.record(key, value)
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let unknown = || RecordError::UnknownKey(key.to_vec());
        let (letter, rest) = key.split_first().ok_or_else(unknown)?;
        let number = || -> Result<u64, RecordError> {
            let bytes = rest.first_chunk::<8>();
            bytes.map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(unknown)
        };
        // A key says nothing that its record does not say too, so that the digest covers it.
        let is = |wanted: &[u8]| if key == wanted { Ok(()) } else { Err(unknown()) };
        match *letter {
            b'l' => {
                let task = TaskKey(number()?);
                is(&keys::live(task))?;
                self.part(task).live = Some(decode(key, value)?);
            }
            b'p' => {
                let task = TaskKey(number()?);
                is(&keys::progress(task))?;
                self.part(task).progress = Some(decode(key, value)?);
            }
            FiredTick::LETTER => {
                let task = TaskKey(number()?);
                read_block(task, key, value, &mut self.part(task).history.ticks)?;
            }
            Span::LETTER => {
                let task = TaskKey(number()?);
                read_block(task, key, value, &mut self.part(task).history.spans)?;
            }
            Execution::LETTER => {
                let task = TaskKey(number()?);
                read_block(task, key, value, &mut self.part(task).history.executions)?;
            }
            PastDay::LETTER => {
                let task = TaskKey(number()?);
                read_block(task, key, value, &mut self.part(task).days)?;
            }
            b'w' => {
                is(keys::STATISTICS)?;
                self.state.statistics = Arc::new(decode(key, value)?);
            }
            b'd' => {
                let (task, definition) = (TaskKey(number()?), decode::<Definition>(key, value)?);
                is(&keys::definition(task, definition.revision))?;
                self.part(task).definitions.push_back(Arc::new(definition));
            }
            b'n' if self.version == RECORDS_OLDEST => self.node_without_overrides(key, value)?,
            letter => {
                let mut registers = self.state.registers.each_mut().into_iter();
                let register = registers.find(|register| register.letter() == letter);
                let load = register.ok_or_else(unknown)?.load(key, value);
                load.map_err(|error| match error {
                    RowError::Key => unknown(),
                    RowError::Value(error) => RecordError::value(key, error),
                })?;
            }
        }
        Ok(())
    }

    /// A node of version 6. Overrides stand last in the record, so it is read with none behind it.
    fn node_without_overrides(&mut self, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let whole = [value, &encode(&NodeOverrides::default())].concat();
        let node: NodeRecord = decode(key, &whole)?;
        let nodes = &mut self.state.registers.nodes;
        if nodes.row_key(&node.id) != key {
            return Err(RecordError::UnknownKey(key.to_vec()));
        }
        self.converted.add(digest::encoded(key, value));
        self.converted.sub(digest::encoded(key, &whole));
        // Noted as changed: the next checkpoint writes it in the present form.
        nodes.set(node.id, node);
        Ok(())
    }

    fn part(&mut self, key: TaskKey) -> &mut TaskParts {
        self.tasks.entry(key).or_default()
    }

    /// The state, if the rows add up to the digest among them.
    ///
    /// # Errors
    /// Rows that are missing, damaged or too many.
    pub fn finish(mut self) -> Result<State, RecordError> {
        let expected = self.expected.ok_or(RecordError::NoCluster)?;
        let mut state = self.state;
        state.lines = Lines::new(state.cluster.scheduler, state.cluster.stamp);
        for (key, parts) in std::mem::take(&mut self.tasks) {
            let (Some(live), Some((progress, recent))) = (parts.live, parts.progress) else {
                return Err(RecordError::UnknownKey(keys::live(key).to_vec()));
            };
            if recent.is_none() && !parts.days.is_empty() {
                return Err(RecordError::UnknownKey(keys::progress(key).to_vec()));
            }
            let statistics =
                recent.map(|recent| Box::new(TaskStatistics::of(key, recent, parts.days)));
            if key.slot() >= TASKS_MAX {
                return Err(RecordError::UnknownKey(keys::live(key).to_vec()));
            }
            state.names.insert(Arc::clone(&live.name), key);
            let (definitions, history) = (parts.definitions, parts.history);
            let task = Task::of_records(key, live, progress, statistics, definitions, history);
            state.marks.add(key, &task.live);
            state.calendar_users.add(task.spec());
            state.strategy_users.add(task.spec());
            if guards::in_lines(&task) {
                state.lines.add(&task);
            }
            state.delayed.add(&task);
            state.in_flight.add(&task);
            state.tasks.insert(task);
        }
        let executions = |task: &Arc<Task>| {
            let key = task.key;
            let ids: Vec<ExecutionId> = task.history.executions.iter().map(|it| it.id).collect();
            ids.into_iter().map(move |id| (id, key))
        };
        state.executions = state.tasks.iter().flat_map(executions).collect();
        let keys = state.registers.keys.iter();
        state.key_order = keys.map(|(key, kept)| (kept.number, Arc::clone(key))).collect();
        state.finished = state.finished_backfills();
        for executor in state.registers.executors.values() {
            state.declared.add(&executor.info);
        }
        state.digest = state.recomputed();
        let mut found = Digest(state.digest());
        found.join(self.converted);
        let found = found.0;
        if found != expected {
            return Err(RecordError::Digest { expected, found });
        }
        Ok(state)
    }
}
