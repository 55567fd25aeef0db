//! A new cluster from the data of another, without a running node: from a backup, or from the data
//! folder that is left of a cluster that lost its majority.
//!
//! Either way one node becomes the only member of a cluster with an id of its own, and the others
//! join it with empty folders. The state is made by [`State::succeed`]. The new log begins behind
//! the last entry of the state, with a vote in it, so the node starts as one that restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use openraft::{EntryPayload, Membership};

use super::backup::{self, UnusableBackup};
use super::checkpoint::Checkpoints;
use super::machine::{self, CheckpointError, LoadedCheckpoint};
use super::types::{RaftMember, StoredMembership, Vote, log_id, pos};
use super::wire::{self, Unreadable};
use crate::domain::ids::NodeId;
use crate::domain::machine::{Applied, State};
use crate::domain::time::Timestamp;
use crate::storage::{
    AtomicFile, DataFolder, FolderIdentity, LogPos, LogStore, StorageError, Stores, WalLog,
};

/// The term in which the log of a new cluster begins.
const FIRST_TERM: u64 = 1;
/// Size of the entries that are read at once, in bytes.
const READ_BYTES: usize = 8 << 20;

/// The first node of a new cluster.
#[derive(Clone, Debug)]
pub struct FirstNode {
    /// The configured name of the cluster.
    pub cluster_name: String,
    /// A new random id, not 0.
    pub cluster_id: u128,
    /// The configured id of the node.
    pub member: u16,
    /// Host and port of its peer listener.
    pub peer: String,
    /// Base URL of its API. Empty: it has none.
    pub http: String,
    /// The time now.
    pub now: Timestamp,
    /// The file of its log lines, which may be in the data folder.
    pub log_file: Option<PathBuf>,
}

/// A new cluster, and what it goes on from.
#[derive(Debug)]
pub struct NewCluster {
    /// Its id.
    pub cluster_id: u128,
    /// The first node, with its join number.
    pub node: NodeId,
    /// What was read.
    pub from: backup::LoadedBackup,
    /// Where the former parts of the folder are. None: it had none.
    pub former: Option<PathBuf>,
}

/// Why no new cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The backup cannot be used.
    #[error("{}: {why}", file.display())]
    Backup {
        /// The file.
        file: PathBuf,
        /// The reason.
        why: UnusableBackup,
    },
    /// The data in the folder cannot be used.
    #[error("the data folder cannot be used: {0}")]
    Data(String),
    /// A rule forbids it.
    #[error("{0}")]
    Refused(String),
}

/// Makes the data folder of the first node of a new cluster from a backup. If it was interrupted, a
/// further call begins anew.
///
/// # Errors
/// The folder is not empty, the backup cannot be used or is of another cluster name, or the disk
/// failed.
pub fn restore(
    folder: &DataFolder,
    file: &Path,
    first: &FirstNode,
) -> Result<NewCluster, RestoreError> {
    let log_file = first.log_file.as_deref();
    let content = folder.content(log_file)?;
    if !content.is_empty() && !folder.restore_begun(log_file)? {
        let (path, content) = (folder.path().display(), content.join(", "));
        return Err(RestoreError::Refused(format!(
            "{path} is not empty ({content}), and a backup is restored to an empty data folder: \
             move the folder away, or set node.data_dir to another one"
        )));
    }
    let from = read_backup(file)?;
    expect_name(&from, first)?;
    // As long as this file is there, no node starts in the folder.
    write_recovery(folder, &from.state)?;
    folder.remove_data()?;
    let node = found(folder, &from, first)?;
    folder.end_recovery()?;
    Ok(NewCluster { cluster_id: first.cluster_id, node, from, former: None })
}

/// Where the log or the checkpoint in the data folder of a node ends. None: it has no entry. Of the members that are
/// left of a cluster, the one whose log ends last, first by term and then by index, has every entry
/// that was acknowledged, if any of them has.
///
/// # Errors
/// The folder has no data or cannot be read, or is that of another node.
pub fn log_end(folder: &DataFolder, first: &FirstNode) -> Result<Option<LogPos>, RestoreError> {
    identity_of(folder, first)?;
    let log: Arc<dyn LogStore> = Arc::new(WalLog::open(&folder.log(), folder.reserve())?);
    let end = end_of(Box::new(folder.states()), &log);
    log.close();
    end
}

/// Where a log or the checkpoint beside it ends.
///
/// # Errors
/// The checkpoint cannot be read.
pub fn end_of(
    stores: Box<dyn Stores>,
    log: &Arc<dyn LogStore>,
) -> Result<Option<LogPos>, RestoreError> {
    let last = log.state().last;
    // After a snapshot was installed and the power failed, the log may end before the checkpoint.
    let applied = loaded(stores, log)?.and_then(|loaded| loaded.applied);
    Ok(last.max(applied.map(|applied| pos(&applied))))
}

/// The checkpoint of a node.
fn loaded(
    stores: Box<dyn Stores>,
    log: &Arc<dyn LogStore>,
) -> Result<Option<LoadedCheckpoint>, RestoreError> {
    let checkpoints = Checkpoints::open(stores, Arc::clone(log))?;
    machine::load(&checkpoints).map_err(|error| match error {
        CheckpointError::Storage(error) => RestoreError::from(error),
        other => RestoreError::Data(format!("the checkpoint: {other}")),
    })
}

/// Makes the data folder of a member of a cluster that lost its majority that of the first node of a
/// new cluster. Its former parts are kept in a folder beside.
///
/// If it was interrupted, a further call goes on with what was read, and keeps the former parts in
/// the same folder.
///
/// # Errors
/// The folder has no data or cannot be read, the node needs no other one, or the disk failed.
pub fn recover(folder: &DataFolder, first: &FirstNode) -> Result<NewCluster, RestoreError> {
    if !folder.recovery().exists() {
        begin_recovery(folder, first)?;
    }
    let from = read_backup(&folder.recovery())?;
    expect_name(&from, first)?;
    if let Some(former) = folder.succeeded()? {
        let FolderIdentity { cluster_id, node, .. } = identity_of(folder, first)?;
        folder.end_recovery()?;
        return Ok(NewCluster { cluster_id, node, from, former: Some(former) });
    }
    let former = folder.set_aside()?;
    let node = found(folder, &from, first)?;
    folder.end_recovery()?;
    Ok(NewCluster { cluster_id: first.cluster_id, node, from, former: Some(former) })
}

/// Reads the data of a node into the file of the recovery. The folder for the former parts comes
/// first: with it, a recovery is known from a restore, and a further call finds it.
pub(super) fn begin_recovery(folder: &DataFolder, first: &FirstNode) -> Result<(), RestoreError> {
    let state = state_of(folder, first)?;
    folder.begin_former()?;
    write_recovery(folder, &state)
}

fn write_recovery(folder: &DataFolder, state: &State) -> Result<(), RestoreError> {
    let file = folder.recovery();
    let out = AtomicFile::create(folder.reserve(), &file)?;
    let failed = |source| StorageError::new("write", &file, source);
    Ok(backup::write(state, out).map_err(failed)?.commit()?)
}

/// A backup is used for a cluster of its name only.
fn expect_name(from: &backup::LoadedBackup, first: &FirstNode) -> Result<(), RestoreError> {
    let (name, configured) = (&from.header.cluster_name, &first.cluster_name);
    if name == configured {
        return Ok(());
    }
    Err(RestoreError::Refused(format!(
        "the data is of cluster {name}, and these settings are of cluster {configured}: set \
         cluster.name to {name}"
    )))
}

fn read_backup(file: &Path) -> Result<backup::LoadedBackup, RestoreError> {
    let opened = File::open(file);
    let opened = opened.map_err(|source| StorageError::new("open", file, source))?;
    backup::read(BufReader::new(opened))
        .map_err(|why| RestoreError::Backup { file: file.to_owned(), why })
}

/// The error about a folder without data.
#[must_use]
pub fn no_data(folder: &Path) -> RestoreError {
    RestoreError::Refused(format!(
        "{} has no data of a cluster; begin from a backup with: punctual restore FILE",
        folder.display()
    ))
}

/// The identity in a data folder, which is that of this node.
fn identity_of(folder: &DataFolder, first: &FirstNode) -> Result<FolderIdentity, RestoreError> {
    let identity = FolderIdentity::read(folder.reserve(), folder.path())?;
    let identity = identity.ok_or_else(|| no_data(folder.path()))?;
    identity.expect(folder.path(), &first.cluster_name, u64::from(first.member))?;
    Ok(identity)
}

/// The state of a data folder with all entries of its log, also those of which it does not know
/// whether they were committed: a majority that is lost may have acknowledged them.
fn state_of(folder: &DataFolder, first: &FirstNode) -> Result<State, RestoreError> {
    let identity = identity_of(folder, first)?;
    let log: Arc<dyn LogStore> = Arc::new(WalLog::open(&folder.log(), folder.reserve())?);
    let read = left_over(Box::new(folder.states()), &log, identity.node, &mut |_, _, _, _| ());
    log.close();
    read
}

/// What is told of each entry that is read: the state after it, its index, its bytes and its answers.
/// No bytes: it has no commands.
pub type TellEntry<'a> = &'a mut dyn FnMut(&State, u64, Option<&[u8]>, &Applied);

/// The state of a node of this Raft id with all entries of its log.
///
/// # Errors
/// The data cannot be read, or the node needs no other one.
pub fn left_over(
    stores: Box<dyn Stores>,
    log: &Arc<dyn LogStore>,
    node: NodeId,
    tell: TellEntry<'_>,
) -> Result<State, RestoreError> {
    let (state, voters) = replayed(stores, log, tell)?;
    if voters == BTreeSet::from([node.0]) {
        return Err(RestoreError::Refused(
            "this node is the only one with a vote: it needs no other node, start it".to_owned(),
        ));
    }
    Ok(state)
}

/// The state at the end of a log, and the voters there.
fn replayed(
    stores: Box<dyn Stores>,
    log: &Arc<dyn LogStore>,
    tell: TellEntry<'_>,
) -> Result<(State, BTreeSet<u64>), RestoreError> {
    let damaged = |why: &dyn std::fmt::Display| RestoreError::Data(why.to_string());
    let (mut state, applied, mut membership) = match loaded(stores, log)? {
        Some(LoadedCheckpoint { state, applied, membership, .. }) => {
            (state, applied.map(|id| id.index()), membership.membership().clone())
        }
        None => (State::default(), None, Membership::default()),
    };
    let seen = log.state();
    let mut next = applied.map_or(0, |applied| applied + 1);
    if let Some(purged) = seen.purged.filter(|purged| purged.index >= next) {
        let why =
            format!("its log begins behind entry {}, its checkpoint ends before", purged.index);
        return Err(damaged(&why));
    }
    let end = seen.last.map_or(0, |last| last.index + 1);
    while next < end {
        let entries = log.read(next, end, READ_BYTES).map_err(|error| damaged(&error))?;
        if entries.is_empty() {
            return Err(damaged(&format!("log entry {next} is missing")));
        }
        for (at, bytes) in entries {
            let wrong = |why: &dyn std::fmt::Display| damaged(&format!("log entry {next}: {why}"));
            let entry = wire::read_entry(at, bytes);
            let (mut payload, mut applied) = (None, Applied::default());
            match entry.map_err(|error: Unreadable| wrong(&error))?.payload {
                EntryPayload::Blank => state.skip(next),
                EntryPayload::Membership(changed) => {
                    membership = changed;
                    state.skip(next);
                }
                EntryPayload::Normal(normal) => payload = Some(normal),
            }
            let commands = payload.as_ref().map(|payload| payload.0.get(1..).unwrap_or_default());
            if let Some(bytes) = commands {
                state.apply(next, bytes, &mut applied).map_err(|error| wrong(&error))?;
            }
            tell(&state, next, commands, &applied);
            next += 1;
        }
    }
    if state.cluster().id == 0 {
        return Err(RestoreError::Refused("no cluster has begun in this data folder".to_owned()));
    }
    Ok((state, membership.voter_ids().collect()))
}

/// Fills a data folder without data. The identity comes last: without it the node does not start.
pub(super) fn found(
    folder: &DataFolder,
    from: &backup::LoadedBackup,
    first: &FirstNode,
) -> Result<NodeId, RestoreError> {
    let log: Arc<dyn LogStore> = Arc::new(WalLog::open(&folder.log(), folder.reserve())?);
    let identity = fill(&log, Box::new(folder.states()), from, first)?;
    log.close();
    identity.write(folder.reserve(), folder.path())?;
    Ok(identity.node)
}

/// Fills an empty log and empty stores with what the first node of a new cluster starts from. Returns
/// the identity of that node.
///
/// # Errors
/// The disk failed, or a number is at its end.
pub fn fill(
    log: &Arc<dyn LogStore>,
    stores: Box<dyn Stores>,
    from: &backup::LoadedBackup,
    first: &FirstNode,
) -> Result<FolderIdentity, RestoreError> {
    let mut state = from.state.frozen();
    if !state.succeed(first.cluster_id, first.now) {
        return Err(RestoreError::Refused("the counter of the cluster is at its end".to_owned()));
    }
    let join = state.last_gone(u64::from(first.member)) + 1;
    let join = u16::try_from(join);
    let join = join.map_err(|_large| RestoreError::Refused("no join number is left".to_owned()))?;
    let node = NodeId::new(first.member, join);
    let begin = LogPos { term: FIRST_TERM, node: node.0, index: state.cluster().applied };
    begin_log(log, begin).map_err(|source| StorageError::new("write", log.place(), source))?;
    let at = Some(log_id(begin));
    let address = RaftMember { peer: first.peer.clone(), http: first.http.clone() };
    let (voters, nodes) = (BTreeSet::from([node.0]), BTreeMap::from([(node.0, address)]));
    let membership = Membership::new(vec![voters], nodes);
    let membership = membership.map_err(|error| RestoreError::Data(error.to_string()))?;
    let membership = StoredMembership::new(at, membership);
    let loaded = LoadedCheckpoint { state, applied: at, membership, promised: 0 };
    let mut checkpoints = Checkpoints::open(stores, Arc::clone(log))?;
    machine::install_loaded(&mut checkpoints, &loaded)?;
    checkpoints.close();
    Ok(FolderIdentity {
        cluster_name: first.cluster_name.clone(),
        cluster_id: first.cluster_id,
        node,
        created: first.now,
        voted: true,
    })
}

/// Begins a log behind `at`, with a vote, durably.
fn begin_log(log: &Arc<dyn LogStore>, at: LogPos) -> io::Result<()> {
    log.purge_to(at);
    let (tell, told) = mpsc::channel();
    let vote = wire::vote_bytes(&Vote::new(at.term, at.node));
    log.save_vote(vote, Box::new(move |written| drop(tell.send(written))));
    told.recv().map_err(io::Error::other)?
}
