//! Loads the state at start: from the checkpoint, else from the log, else from a member.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::storage::LogPos;
use crate::transport::{Dialer, PeerFrame, Purpose};

use super::ConsensusSettings;
use super::checkpoint::Checkpoints;
use super::machine::{self, CheckpointError, LoadedCheckpoint};
use super::network::kind;
use super::peers::Peers;
use super::server::receive_snapshot;
use super::start::StartError;

/// Pause before the members are asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// Advice for the operator of a node whose data is damaged or missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The configured id of the node.
    pub member: u16,
    /// Whether it is the only member of the cluster.
    pub alone: bool,
}

impl Advice {
    pub(super) fn of(settings: &ConsensusSettings) -> Self {
        Self { member: settings.member, alone: settings.members.len() < 2 }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.alone {
            return out.write_str(
                "this folder is the only copy of the cluster's data: do not empty it; stop the \
                 node, keep the folder as it is, and start the node with a backup of the whole \
                 folder in its place",
            );
        }
        write!(
            out,
            "while a majority of the other members runs, move the folder away, start this node \
             with an empty one, and readmit it with: punctual cluster members replace {}",
            self.member
        )
    }
}

/// Loads the checkpoint. A checkpoint that is damaged, or older than the purged part of the log, is
/// not used. The state then comes from the log if it is complete, else from a peer. The disk is not
/// changed before another state is available.
///
/// # Errors
/// Data that was synced is missing and no member can replace it (log entries, or the state before
/// the log of a single node), or the records have another version.
pub(super) async fn load(
    checkpoints: &mut Checkpoints,
    peers: &Peers,
    advice: Advice,
    progress: &watch::Sender<String>,
) -> Result<Option<LoadedCheckpoint>, StartError> {
    let log = checkpoints.log().state();
    let next = |pos: Option<LogPos>| pos.map_or(0, |pos| pos.index + 1);
    let lost = |why: String| StartError::Damaged(why, advice);
    let why = match machine::load(checkpoints) {
        Ok(Some(loaded)) if next(log.last) < loaded.promised => {
            let (end, promised) = (next(log.last), loaded.promised);
            return Err(lost(format!(
                "the Raft log ends before entry {end}, but the checkpoint says that it was synced \
                 up to entry {}",
                promised - 1
            )));
        }
        Ok(Some(loaded)) => {
            let applied = loaded.applied.as_ref().map_or(0, |id| id.index() + 1);
            if applied >= next(log.purged) {
                return Ok(Some(loaded));
            }
            // A disk may return an older version of the checkpoint that is consistent in itself.
            format!("the checkpoint ends before entry {applied}")
        }
        Ok(None) => "there is no checkpoint".to_owned(),
        Err(CheckpointError::Storage(error)) => return Err(error.into()),
        Err(CheckpointError::Version(version)) => {
            return Err(StartError::Version(format!("the checkpoint has {version}")));
        }
        Err(CheckpointError::Damaged(why)) => format!("the checkpoint is damaged: {why}"),
    };
    if checkpoints.exist() {
        tracing::error!(why, "the checkpoint is not used");
    }
    checkpoints.set_aside();
    let Some(purged) = log.purged else { return Ok(None) };
    let why = format!("{why}, and the log begins behind entry {}", purged.index);
    if advice.alone {
        return Err(lost(why));
    }
    from_a_member(checkpoints, peers, purged.index, &why, progress).await.map(Some)
}

/// Fetches a state that includes at least `index` from any member that has one.
async fn from_a_member(
    checkpoints: &mut Checkpoints,
    peers: &Peers,
    index: u64,
    why: &str,
    progress: &watch::Sender<String>,
) -> Result<LoadedCheckpoint, StartError> {
    loop {
        let mut answers = Vec::new();
        for peer in peers.all() {
            match fetch(&peer.dialer, index).await {
                Ok(loaded) => {
                    machine::install_loaded(checkpoints, &loaded)?;
                    tracing::info!(from = peer.id, "the state was fetched from a member");
                    return Ok(loaded);
                }
                Err(error) => answers.push(format!("member {} ({error})", peer.id)),
            }
        }
        progress.send_replace(format!(
            "{why}; waiting for a member with a state up to that entry: {}",
            answers.join(", ")
        ));
        tokio::time::sleep(AGAIN).await;
    }
}

async fn fetch(dialer: &Dialer, at_least: u64) -> io::Result<LoadedCheckpoint> {
    let mut connection = dialer.connect(Purpose::Snapshot).await.map_err(io::Error::other)?;
    let ask = PeerFrame { id: 1, kind: kind::SNAPSHOT_FETCH, body: Bytes::new() };
    connection.sender.send(ask).await.map_err(io::Error::other)?;
    let first = connection.receiver.next().await.map_err(io::Error::other)?;
    let first = first.ok_or(io::ErrorKind::UnexpectedEof)?;
    let (meta, frozen) = receive_snapshot(&mut connection, first.body).await?;
    let index = meta.last_log_id.map_or(0, |id| id.index());
    if index < at_least {
        return Err(io::Error::other(format!("its state ends at entry {index}")));
    }
    Ok(LoadedCheckpoint {
        state: frozen.into_state(),
        applied: meta.last_log_id,
        membership: meta.last_membership,
        promised: 0,
    })
}
