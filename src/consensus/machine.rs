//! openraft's state machine on top of the replica: applies entries to the replica and writes the
//! replica to checkpoints.
//!
//! A checkpoint is openraft's "build snapshot": the records that changed since the last one are
//! written to the store, durably, in one batch with their index. Only then may the log be purged. A
//! peer receives a frozen view of memory; there is no snapshot file.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

use crate::domain::machine::{Applied, Loader, RecordError, State};
use crate::life;
use crate::storage::{StorageError, StoreChange};
use crate::telemetry::metrics::Metrics;

use super::checkpoint::{Checkpoints, Generation};
use super::replica::Replica;
use super::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};
use super::wire::{self, Unreadable};

/// Key of the record with the last entry that the checkpoint covers.
const META_KEY: &[u8] = b"r";
/// Length of the hash at the end of that record.
const SEAL_BYTES: usize = 16;
/// Length of the number before the hash: the number of log entries that the disk must have.
const PROMISED_BYTES: usize = 8;
/// Rows per write to the new store of an installed snapshot.
const INSTALL_ROWS: usize = 10_000;
/// Bytes of entries applied before apply yields to other tasks: a few milliseconds of work, so that
/// a node that catches up still answers heartbeats in time.
const APPLY_TURN: usize = 64 << 10;

/// A frozen state that is sent to a peer or was received from one.
#[derive(Clone, Debug)]
pub struct FrozenState(Box<State>);

impl FrozenState {
    pub(super) fn new(state: State) -> Self {
        Self(Box::new(state))
    }

    pub(super) const fn state(&self) -> &State {
        &self.0
    }

    pub(super) fn into_state(mut self) -> State {
        std::mem::take(&mut *self.0)
    }
}

impl Drop for FrozenState {
    /// Dropped in the background: the parts no longer shared with the current state may be large.
    fn drop(&mut self) {
        life::let_go(std::mem::take(&mut *self.0));
    }
}

/// openraft's state machine.
pub struct MachineStore {
    replica: Arc<Replica>,
    disk: Arc<Mutex<Checkpoints>>,
    generation: Generation,
    applied: Option<LogId>,
    membership: StoredMembership,
    has_snapshot: bool,
    starting: StartCheckpoint,
    refused: RefusedEntry,
    metrics: Metrics,
}

/// Description of an entry written by a later version, if one was read.
pub(super) type RefusedEntry = Arc<Mutex<Option<String>>>;

/// The checkpoint on disk and its state while Raft starts. None when Raft runs.
///
/// At start, Raft first replays the entries that are known to be committed, and then asks for the
/// snapshot. A snapshot of the replayed state would let it purge entries that no checkpoint covers.
pub(super) type StartCheckpoint = Arc<Mutex<Option<(SnapshotMeta, State)>>>;

/// The contents of a checkpoint.
pub(super) struct LoadedCheckpoint {
    pub state: State,
    pub applied: Option<LogId>,
    pub membership: StoredMembership,
    /// When the checkpoint was written, the disk had all entries before this index.
    pub promised: u64,
}

/// Reads the current checkpoint, if there is one.
///
/// # Errors
/// The store cannot be read, or its records are inconsistent.
pub(super) fn load(disk: &Checkpoints) -> Result<Option<LoadedCheckpoint>, CheckpointError> {
    let damaged = |why: &dyn std::fmt::Display| CheckpointError::Damaged(why.to_string());
    if let Some(damage) = disk.damage() {
        return Err(damaged(&damage));
    }
    if !disk.exist() {
        return Ok(None);
    }
    let mut loader = Loader::default();
    let mut meta = None;
    let mut damage = None;
    disk.scan(&mut |key, value| {
        if key == META_KEY {
            meta = Some(Bytes::copy_from_slice(value));
        } else if damage.is_none() {
            damage = loader.row(key, value).err();
        }
        Ok(())
    })?;
    match damage {
        Some(version @ RecordError::Version { .. }) => {
            return Err(CheckpointError::Version(version.to_string()));
        }
        Some(damage) => return Err(damaged(&damage)),
        None => {}
    }
    // An empty file opens as an empty store.
    let meta = meta.ok_or_else(|| damaged(&"it holds no records"))?;
    let state = loader.finish().map_err(|error| damaged(&error))?;
    let (applied, membership, promised) = unsealed(meta).map_err(|error| match error {
        Unreadable::Version { .. } => CheckpointError::Version(error.to_string()),
        Unreadable::Malformed(_) => damaged(&error),
    })?;
    if applied.as_ref().map_or(0, |id| id.index()) != state.cluster().applied {
        return Err(damaged(&"records of different checkpoints"));
    }
    Ok(Some(LoadedCheckpoint { state, applied, membership, promised }))
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk failed.
    #[error(transparent)]
    Storage(StorageError),
    /// The records are damaged.
    #[error("{0}")]
    Damaged(String),
    /// Another version wrote them. The text has both versions.
    #[error("{0}")]
    Version(String),
}

impl From<StorageError> for CheckpointError {
    fn from(error: StorageError) -> Self {
        if error.is_damage() { Self::Damaged(error.to_string()) } else { Self::Storage(error) }
    }
}

impl MachineStore {
    pub(super) fn new(
        replica: Arc<Replica>,
        disk: Checkpoints,
        loaded: Option<(Option<LogId>, StoredMembership)>,
        metrics: Metrics,
    ) -> Self {
        let has_snapshot = loaded.is_some();
        let starting = loaded.clone().map(|(last_log_id, last_membership)| {
            (SnapshotMeta { last_log_id, last_membership }, replica.frozen())
        });
        let starting = Arc::new(Mutex::new(starting));
        let (applied, membership) = loaded.unwrap_or_default();
        let generation = disk.generation();
        let disk = Arc::new(Mutex::new(disk));
        Self {
            replica,
            disk,
            generation,
            applied,
            membership,
            has_snapshot,
            starting,
            refused: RefusedEntry::default(),
            metrics,
        }
    }

    /// The checkpoints that this machine writes.
    pub(super) fn checkpoints(&self) -> Arc<Mutex<Checkpoints>> {
        Arc::clone(&self.disk)
    }

    /// Set when an entry of a later version is read.
    pub(super) fn refused(&self) -> RefusedEntry {
        Arc::clone(&self.refused)
    }

    /// To be cleared when Raft runs.
    pub(super) fn starting(&self) -> StartCheckpoint {
        Arc::clone(&self.starting)
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }

    fn apply_one(
        &mut self,
        entry: super::types::LogEntry,
        out: &mut Applied,
    ) -> Result<(), io::Error> {
        let index = entry.log_id.index();
        match entry.payload {
            EntryPayload::Blank => self.replica.skip(index),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                self.replica.skip(index);
            }
            EntryPayload::Normal(payload) => {
                let bytes = payload.0.get(1..).unwrap_or_default();
                let replica = &self.replica;
                let applied = catch_unwind(AssertUnwindSafe(|| replica.apply(index, bytes, out)));
                match applied {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) if error.is_of_later_version() => {
                        let why = format!("log entry {index}: {error}");
                        *self.refused.lock() = Some(why.clone());
                        return Err(fault(format!("{why}; start the version that wrote it")));
                    }
                    Ok(Err(error)) => {
                        return Err(fault(format!("log entry {index} cannot be applied: {error}")));
                    }
                    Err(_panic) => {
                        return Err(fault(format!("log entry {index}: apply panicked")));
                    }
                }
            }
        }
        self.applied = Some(entry.log_id);
        Ok(())
    }
}

/// The size of the commands to apply, in bytes.
fn weight(entry: &super::types::LogEntry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(payload) => payload.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

fn fault(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl RaftStateMachine<TypeConfig> for MachineStore {
    type SnapshotData = FrozenState;
    type SnapshotBuilder = CheckpointBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut out = Applied::default();
        let mut turn = 0;
        while let Some((entry, responder)) = entries.try_next().await? {
            turn += weight(&entry);
            self.apply_one(entry, &mut out)?;
            if let Some(responder) = responder {
                responder.send(());
            }
            if turn >= APPLY_TURN {
                turn = 0;
                self.publish(&mut out);
                tokio::task::yield_now().await;
            }
        }
        self.publish(&mut out);
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<CheckpointBuilder> {
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> CheckpointBuilder {
        self.has_snapshot = true;
        let (frozen, dirty) = self.replica.with_state(|state| {
            let dirty = state.take_dirty();
            (state.clone(), dirty)
        });
        CheckpointBuilder {
            replica: Arc::clone(&self.replica),
            disk: Arc::clone(&self.disk),
            generation: self.generation.now(),
            frozen,
            dirty: Some(dirty),
            meta: self.meta(),
            metrics: self.metrics.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: FrozenState,
    ) -> io::Result<()> {
        let disk = Arc::clone(&self.disk);
        let state = snapshot.into_state();
        let (former, written) = (self.applied, meta.clone());
        let task = life::blocking(move || {
            install(&mut disk.lock(), &state, &written, former).map(|()| state)
        });
        let state = task.await?.map_err(io::Error::other)?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.has_snapshot = true;
        // Count it before the state becomes visible.
        self.metrics.snapshots_installed.inc();
        self.replica.replace(state);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<openraft::type_config::alias::SnapshotOf<TypeConfig, FrozenState>>> {
        if !self.has_snapshot {
            return Ok(None);
        }
        let starting = self.starting.lock().clone();
        let (meta, state) = starting.unwrap_or_else(|| (self.meta(), self.replica.frozen()));
        Ok(Some(Snapshot { meta, snapshot: FrozenState::new(state) }))
    }
}

impl MachineStore {
    fn publish(&self, out: &mut Applied) {
        if let Some(applied) = &self.applied {
            self.replica.applied_to(applied.index(), std::mem::take(&mut out.effects.hints));
        }
    }
}

/// Writes a state received from a peer to a new store and makes it current.
pub(super) fn install_loaded(
    disk: &mut Checkpoints,
    loaded: &LoadedCheckpoint,
) -> Result<(), StorageError> {
    let meta =
        SnapshotMeta { last_log_id: loaded.applied, last_membership: loaded.membership.clone() };
    install(disk, &loaded.state, &meta, None)
}

/// Installs a state. `former` is the last entry that this node had applied from its log.
fn install(
    disk: &mut Checkpoints,
    state: &State,
    meta: &SnapshotMeta,
    former: Option<LogId>,
) -> Result<(), StorageError> {
    let mut fresh = disk.fresh()?;
    let mut batch = vec![meta_change(meta, promised(disk, former))];
    for (key, value) in state.all_rows() {
        batch.push(StoreChange::Put(key, value));
        if batch.len() >= INSTALL_ROWS {
            fresh.write(std::mem::take(&mut batch))?;
        }
    }
    fresh.write(batch)?;
    disk.switch(fresh)
}

/// The number of entries that the log must have or have purged from now on: those that are synced
/// and applied, because they are never truncated.
fn promised(disk: &Checkpoints, applied: Option<LogId>) -> u64 {
    let synced = disk.log().synced().map_or(0, |pos| pos.index + 1);
    applied.map_or(0, |id| id.index() + 1).min(synced)
}

fn meta_change(meta: &SnapshotMeta, promised: u64) -> StoreChange {
    let mut bytes = wire::meta_bytes(meta.last_log_id.as_ref(), &meta.last_membership).to_vec();
    bytes.extend_from_slice(&promised.to_le_bytes());
    // The digest of the state does not cover this record.
    bytes.extend_from_slice(&xxh3_128(&bytes).to_le_bytes());
    StoreChange::Put(META_KEY.to_vec(), bytes)
}

/// Reads and verifies the record of [`meta_change`].
fn unsealed(mut bytes: Bytes) -> Result<(Option<LogId>, StoredMembership, u64), Unreadable> {
    let seal = bytes.split_off(bytes.len().saturating_sub(SEAL_BYTES));
    if *seal != xxh3_128(&bytes).to_le_bytes() {
        return Err(wire::Malformed("seal of the Raft record").into());
    }
    let promised = bytes.split_off(bytes.len().saturating_sub(PROMISED_BYTES));
    let promised = promised.first_chunk().map(|number| u64::from_le_bytes(*number));
    let promised = promised.ok_or(wire::Malformed("length of the Raft record"))?;
    let (applied, membership) = wire::read_meta(bytes)?;
    Ok((applied, membership, promised))
}

/// Writes one checkpoint.
pub struct CheckpointBuilder {
    replica: Arc<Replica>,
    disk: Arc<Mutex<Checkpoints>>,
    /// The generation of the store that the changes belong to.
    generation: u64,
    frozen: State,
    dirty: Option<crate::domain::machine::Dirty>,
    meta: SnapshotMeta,
    metrics: Metrics,
}

impl RaftSnapshotBuilder<TypeConfig> for CheckpointBuilder {
    type SnapshotData = FrozenState;

    async fn build_snapshot(
        &mut self,
    ) -> io::Result<openraft::type_config::alias::SnapshotOf<TypeConfig, FrozenState>> {
        let disk = Arc::clone(&self.disk);
        // Move the state out: dropping it would block this thread for too long.
        let frozen = std::mem::take(&mut self.frozen);
        let dirty = self.dirty.take().unwrap_or_default();
        let (meta, generation) = (self.meta.clone(), self.generation);
        let begun = Instant::now();
        let task = life::background(move || {
            let rows = frozen.changed_rows(&dirty);
            let mut disk = disk.lock();
            let mut changes = vec![meta_change(&meta, promised(&disk, meta.last_log_id))];
            changes.extend(rows.into_iter().map(|(key, value)| match value {
                Some(value) => StoreChange::Put(key, value),
                None => StoreChange::Delete(key),
            }));
            match disk.write(generation, changes) {
                Ok(written) => Ok((FrozenState::new(frozen), written)),
                Err(error) => Err(Box::new((error, dirty))),
            }
        });
        let (snapshot, written) = match task.await? {
            Ok(built) => built,
            Err(failed) => {
                let (error, dirty) = *failed;
                self.replica.with_state(|state| state.merge_dirty(dirty));
                return Err(io::Error::other(error));
            }
        };
        // If not written, a newer state was installed meanwhile and is on the disk.
        if written {
            self.metrics.checkpoint_seconds.observe(begun.elapsed().as_secs_f64());
        }
        Ok(Snapshot { meta: self.meta.clone(), snapshot })
    }
}
