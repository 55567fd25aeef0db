//! The state as keys and values: what checkpoints and snapshots hold, and the way back.
//!
//! Keys are a letter and big-endian numbers. A task's ticks, spans and executions are hashed one by
//! one but stored in blocks: a checkpoint then writes a few rows for a busy task, neither all of its
//! past nor a row a tick.

use std::collections::VecDeque;
use std::sync::Arc;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::ids::{ExecutionId, NodeId, Revision, TaskKey};
use crate::domain::schedule::calendar::Kept;
use crate::domain::time::Timestamp;

use super::cluster_row;
use super::commands::calendars;
use super::limits::{DECODE_BYTES_MAX, TASKS_MAX};
use super::state::{Counted, Dirty, Rules, State, Task};
use super::store::blocks::{Blocks, Record};
use super::store::digest::{self, Digest};
use super::task::history::History;
use super::task::record::{
    Definition, Execution, FiredTick, KeyRecord, Live, Node, Progress, Span,
};

/// How commands and records are written, with a limit to what reading them may claim.
pub(super) const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>> =
    bincode::config::standard().with_limit();

pub(super) fn append<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    // Writing plain data into memory has no way to fail.
    let _written = bincode::serde::encode_into_std_write(value, out, CONFIG);
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    append(value, &mut out);
    out
}

/// Records that do not add up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A key that no version wrote.
    #[error("unknown record {0:02x?}")]
    UnknownKey(Vec<u8>),
    /// A value that does not decode.
    #[error("record {key:02x?}: {error}")]
    Value {
        /// Of this record.
        key: Vec<u8>,
        /// The decoder's words.
        error: String,
    },
    /// A version of the records that this software does not read.
    #[error(
        "records of version {found}, written by {writer}; this software, {}, reads versions {} to {}",
        cluster_row::WRITER,
        cluster_row::OLDEST,
        cluster_row::VERSION
    )]
    Version {
        /// The version.
        found: u16,
        /// The software that wrote them.
        writer: String,
    },
    /// There is no cluster record.
    #[error("no cluster record")]
    NoCluster,
    /// The records are not those that were written.
    #[error("digest {found:032x} instead of {expected:032x}: records are damaged or missing")]
    Digest {
        /// As stored.
        expected: u128,
        /// As computed.
        found: u128,
    },
}

impl LoadError {
    fn left_over(key: &[u8]) -> Self {
        Self::Value { key: key.to_vec(), error: "bytes left over".to_owned() }
    }
}

pub(super) fn key_definition(task: TaskKey, revision: Revision) -> [u8; 17] {
    two(b'd', task.0, revision.0)
}

pub(super) fn key_live(task: TaskKey) -> [u8; 9] {
    one(b'l', task.0)
}

pub(super) fn key_progress(task: TaskKey) -> [u8; 9] {
    one(b'p', task.0)
}

pub(super) fn key_span(task: TaskKey, to: Timestamp) -> [u8; 17] {
    two(b's', task.0, to.0.cast_unsigned())
}

pub(super) fn key_node(node: NodeId) -> [u8; 9] {
    one(b'n', node.0)
}

pub(super) fn key_idempotency(key: &str) -> Vec<u8> {
    // The envelope's texts are no longer than a byte can say.
    let mut out = vec![b'k', u8::try_from(key.len()).unwrap_or(u8::MAX)];
    out.extend_from_slice(key.as_bytes());
    out
}

pub(super) fn key_calendar(name: &str) -> Vec<u8> {
    // Names are no longer than a byte can say.
    let mut out = vec![b'a', u8::try_from(name.len()).unwrap_or(u8::MAX)];
    out.extend_from_slice(name.as_bytes());
    out
}

fn key_block(letter: u8, task: TaskKey, number: u64) -> [u8; 17] {
    two(letter, task.0, number)
}

fn one(letter: u8, number: u64) -> [u8; 9] {
    let mut out = [letter; 9];
    out[1..].copy_from_slice(&number.to_be_bytes());
    out
}

fn two(letter: u8, first: u64, second: u64) -> [u8; 17] {
    let mut out = [letter; 17];
    out[1..9].copy_from_slice(&first.to_be_bytes());
    out[9..].copy_from_slice(&second.to_be_bytes());
    out
}

/// A record to write, or to remove where the value is none.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

/// A block of a history as its row: its number first, since its key says it too.
fn block_row<T: Record>(task: TaskKey, number: u64, records: &VecDeque<T>) -> (Vec<u8>, Vec<u8>) {
    (key_block(T::LETTER, task, number).to_vec(), encode(&(number, records)))
}

pub(super) fn block_rows<T: Record>(
    task: TaskKey,
    blocks: &Blocks<T>,
) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    blocks.blocks().map(move |(number, records)| block_row(task, number, records))
}

/// The row of a block that was noted; without a value: it is gone.
pub(super) fn noted_row<T: Record>(blocks: &Blocks<T>, noted: &(TaskKey, u8, u64)) -> Row {
    let (task, letter, number) = *noted;
    let value = blocks.block(number).map(|records| block_row(task, number, records).1);
    (key_block(letter, task, number).to_vec(), value)
}

/// Reads a block, record by record: the whole may be larger than what one may claim. The blocks of
/// a task rise.
pub(super) fn read_block<T: Record>(
    task: TaskKey,
    key: &[u8],
    value: &[u8],
    blocks: &mut Blocks<T>,
) -> Result<(), LoadError> {
    let mut rest = value;
    let number: u64 = first(key, &mut rest)?;
    let count: u64 = first(key, &mut rest)?;
    let records = (0..count).map(|_| first(key, &mut rest)).collect::<Result<_, _>>()?;
    if !rest.is_empty() {
        return Err(LoadError::left_over(key));
    }
    if key != key_block(T::LETTER, task, number) || !blocks.load(number, records) {
        return Err(LoadError::UnknownKey(key.to_vec()));
    }
    Ok(())
}

impl State {
    /// The layout of the records: digests of two layouts cannot be compared.
    pub const LAYOUT: u16 = cluster_row::VERSION;

    /// The rows that changed, as this frozen view has them, in the order of their keys: so a tree on
    /// disk takes them page by page.
    #[must_use]
    pub fn changed_rows(&self, dirty: &Dirty) -> Vec<Row> {
        let mut rows = vec![self.cluster_row()];
        for key in &dirty.tasks {
            let task = self.tasks.get(*key);
            rows.push((key_progress(*key).to_vec(), task.map(|task| progress_value(task))));
        }
        for key in &dirty.lives {
            let task = self.tasks.get(*key).filter(|task| !left_out(task));
            rows.push((key_live(*key).to_vec(), task.map(|task| encode(&task.live))));
        }
        for noted in &dirty.blocks {
            let (key, letter, number) = *noted;
            rows.push(match (self.tasks.get(key).map(|task| &task.history), letter) {
                (None, _) => (key_block(letter, key, number).to_vec(), None),
                (Some(history), FiredTick::LETTER) => noted_row(&history.ticks, noted),
                (Some(history), Span::LETTER) => noted_row(&history.spans, noted),
                (Some(history), _) => noted_row(&history.executions, noted),
            });
        }
        for (key, revision) in &dirty.definitions {
            let kept = self.tasks.get(*key).and_then(|task| task.revision(*revision));
            let value = kept.map(|definition| encode(&**definition));
            rows.push((key_definition(*key, *revision).to_vec(), value));
        }
        for id in &dirty.nodes {
            let value = self.nodes.get(id).map(|node| encode(&**node));
            rows.push((key_node(*id).to_vec(), value));
        }
        for key in &dirty.keys {
            rows.push((key_idempotency(key), self.keys.get(key).map(|kept| encode(&**kept))));
        }
        for name in &dirty.calendars {
            rows.push((key_calendar(name), self.calendars.get(name).map(|kept| encode(&**kept))));
        }
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// Every row, in no particular order.
    pub fn all_rows(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
        let tasks = self.tasks.iter().filter(|task| !left_out(task)).flat_map(|task| {
            let live = (key_live(task.key).to_vec(), encode(&task.live));
            let progress = (key_progress(task.key).to_vec(), progress_value(task));
            let History { ticks, spans, executions, .. } = &task.history;
            let past = block_rows(task.key, ticks)
                .chain(block_rows(task.key, spans))
                .chain(block_rows(task.key, executions));
            let definitions = task.definitions.iter().map(|definition| {
                (key_definition(task.key, definition.revision).to_vec(), encode(&**definition))
            });
            [live, progress].into_iter().chain(past).chain(definitions)
        });
        let nodes = self.nodes.values().map(|node| (key_node(node.id).to_vec(), encode(&**node)));
        let keys = self.keys.iter().map(|(key, kept)| (key_idempotency(key), encode(&**kept)));
        let (key, cluster) = self.cluster_row();
        let cluster = cluster.map(|cluster| (key, cluster)).into_iter();
        let calendars =
            self.calendars.iter().map(|(name, kept)| (key_calendar(name), encode(&**kept)));
        cluster.chain(tasks).chain(nodes).chain(keys).chain(calendars)
    }

    fn cluster_row(&self) -> Row {
        let mut cluster = self.cluster.clone();
        if bug!("snapshot-without-counter") {
            cluster.counter = 0;
        }
        if bug!("snapshot-without-floor") {
            cluster.floor = Timestamp(0);
        }
        (b"c".to_vec(), Some(cluster_row::write(&cluster, self.digest())))
    }
}

/// Whether a checkpoint leaves a task out: never.
fn left_out(task: &Task) -> bool {
    bug!("snapshot-without-tombstones") && task.live.deleted.is_some()
}

fn progress_value(task: &Task) -> Vec<u8> {
    if bug!("snapshot-without-cursors") {
        return encode(&Progress { cursor: Timestamp(0), ..task.progress });
    }
    encode(&task.progress)
}

/// Puts a state together from its rows, of this version or the last one.
///
/// Where the form of a record changes, the reader of its row decodes both forms, by the version that
/// the cluster's row says, and notes the record as dirty, so that the next checkpoint writes it in
/// the new form.
#[derive(Debug, Default)]
pub struct Loader {
    state: State,
    /// Rows that came before that of the cluster, which says of which version they are.
    early: Vec<(Vec<u8>, Vec<u8>)>,
    /// The digest in the cluster's row; none: it has not come.
    expected: Option<u128>,
    tasks: std::collections::BTreeMap<TaskKey, Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    live: Option<Live>,
    progress: Option<Progress>,
    history: History,
    definitions: VecDeque<Arc<Definition>>,
}

impl Loader {
    /// Takes one row, in any order except that the blocks of a task rise.
    ///
    /// # Errors
    /// A row that cannot be read.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), LoadError> {
        if key == b"c" {
            let (cluster, digest) = cluster_row::read(key, value)?;
            self.state.cluster = cluster;
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

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), LoadError> {
        let unknown = || LoadError::UnknownKey(key.to_vec());
        let (letter, rest) = key.split_first().ok_or_else(unknown)?;
        let number = || -> Result<u64, LoadError> {
            let bytes = rest.first_chunk::<8>();
            bytes.map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(unknown)
        };
        // A key says nothing that its record does not say too, so that the digest covers it.
        let is = |wanted: &[u8]| if key == wanted { Ok(()) } else { Err(unknown()) };
        match *letter {
            b'l' => {
                let task = TaskKey(number()?);
                is(&key_live(task))?;
                self.part(task).live = Some(decode(key, value)?);
            }
            b'p' => {
                let task = TaskKey(number()?);
                is(&key_progress(task))?;
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
            b'd' => {
                let (task, definition) = (TaskKey(number()?), decode::<Definition>(key, value)?);
                is(&key_definition(task, definition.revision))?;
                self.part(task).definitions.push_back(Arc::new(definition));
            }
            b'n' => {
                let node: Node = decode(key, value)?;
                is(&key_node(node.id))?;
                self.state.nodes.insert(node.id, Arc::new(node));
            }
            b'k' => {
                let text = rest.get(1..).unwrap_or_default();
                let text = std::str::from_utf8(text).map_err(|_error| unknown())?;
                is(&key_idempotency(text))?;
                let kept: KeyRecord = decode(key, value)?;
                let text: Arc<str> = text.into();
                self.state.key_order.insert(kept.number, Arc::clone(&text));
                self.state.keys.insert(text, Arc::new(kept));
            }
            b'a' => {
                let kept: Kept = decode(key, value)?;
                let name: Arc<str> = kept.calendar.name.as_str().into();
                is(&key_calendar(&name))?;
                self.state.calendars.insert(name, Arc::new(kept));
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn part(&mut self, key: TaskKey) -> &mut Parts {
        self.tasks.entry(key).or_default()
    }

    /// The state, if the rows add up to the digest among them.
    ///
    /// # Errors
    /// Rows that are missing, damaged or too many.
    pub fn finish(mut self) -> Result<State, LoadError> {
        let expected = self.expected.ok_or(LoadError::NoCluster)?;
        let mut state = self.state;
        for (key, parts) in std::mem::take(&mut self.tasks) {
            let (Some(live), Some(progress)) = (parts.live, parts.progress) else {
                return Err(LoadError::UnknownKey(key_live(key).to_vec()));
            };
            if key.slot() >= TASKS_MAX {
                return Err(LoadError::UnknownKey(key_live(key).to_vec()));
            }
            state.names.insert(Arc::clone(&live.name), key);
            let Parts { mut history, mut definitions, .. } = parts;
            history.count();
            definitions.make_contiguous().sort_by_key(|definition| definition.revision);
            let counted = Counted::of(key, &live, &progress);
            let rules = Rules::of(None);
            let mut task =
                Task { key, live, progress, definitions, history, counted, rules, noted: 0 };
            task.rules = Rules::of(task.spec());
            state.marks.note(&task, false);
            calendars::count(&mut state.excluding, task.spec(), true);
            state.tasks.insert(task);
        }
        let executions = |task: &Arc<Task>| {
            let key = task.key;
            let ids: Vec<ExecutionId> = task.history.executions.iter().map(|it| it.id).collect();
            ids.into_iter().map(move |id| (id, key))
        };
        state.executions = state.tasks.iter().flat_map(executions).collect();
        state.digest = state.recompute();
        let found = state.digest();
        if found != expected {
            return Err(LoadError::Digest { expected, found });
        }
        Ok(state)
    }
}

impl State {
    /// The digest of all records but the cluster's, from scratch.
    pub(super) fn recompute(&self) -> Digest {
        let mut digest = Digest::default();
        for task in self.tasks.iter() {
            let key = task.key;
            digest.add(digest::hash(&key_live(key), &task.live));
            digest.add(task.progress.hash(key));
            for definition in &task.definitions {
                let row = key_definition(key, definition.revision);
                digest.add(digest::hash(&row, &**definition));
            }
            for tick in &task.history.ticks {
                digest.add(tick.hash(key));
            }
            for span in &task.history.spans {
                digest.add(digest::hash(&key_span(key, span.to), span));
            }
            for execution in &task.history.executions {
                digest.add(execution.hash(key));
            }
        }
        for node in self.nodes.values() {
            digest.add(digest::hash(&key_node(node.id), &**node));
        }
        for (key, kept) in &self.keys {
            digest.add(digest::hash(&key_idempotency(key), &**kept));
        }
        for (name, kept) in &self.calendars {
            digest.add(digest::hash(&key_calendar(name), &**kept));
        }
        digest
    }
}

/// Reads what stands first in `rest`, and takes it away.
pub(super) fn first<T: DeserializeOwned>(key: &[u8], rest: &mut &[u8]) -> Result<T, LoadError> {
    match bincode::serde::decode_from_slice(rest, CONFIG) {
        Ok((decoded, used)) => {
            *rest = rest.get(used..).unwrap_or_default();
            Ok(decoded)
        }
        Err(error) => Err(LoadError::Value { key: key.to_vec(), error: error.to_string() }),
    }
}

pub(super) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, LoadError> {
    let mut rest = value;
    let decoded = first(key, &mut rest)?;
    if rest.is_empty() { Ok(decoded) } else { Err(LoadError::left_over(key)) }
}
