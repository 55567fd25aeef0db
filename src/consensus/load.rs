//! The state at the start: from the checkpoint, else from the log, else from a member.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::storage::LogStore;
use crate::transport::{Dialer, Frame, Purpose};

use super::checkpoint::Checkpoints;
use super::machine::{self, LoadError, Loaded};
use super::network::{Peers, kind};
use super::server::receive_snapshot;
use super::start::StartError;

/// Before the members are asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// Loads the checkpoint. One that is damaged, or older than what was cut off the log, is given up:
/// its state comes from the log if all of it is there, else from a peer.
pub(super) async fn load(
    checkpoints: &mut Checkpoints,
    log: &Arc<dyn LogStore>,
    peers: &Peers,
    progress: &watch::Sender<String>,
) -> Result<Option<Loaded>, StartError> {
    match machine::load(checkpoints) {
        Ok(loaded) => {
            let Some(purged) = log.state().purged else { return Ok(loaded) };
            let applied = |loaded: &Loaded| loaded.applied.as_ref().map(|id| id.index());
            match loaded {
                Some(loaded) if applied(&loaded) >= Some(purged.index) => return Ok(Some(loaded)),
                // A disk may give back what it held before, whole and in itself sound.
                Some(_) => {
                    tracing::error!("the checkpoint ends before the log begins and is not used");
                    checkpoints.discard()?;
                }
                None => {}
            }
        }
        Err(LoadError::Storage(error)) => return Err(error.into()),
        Err(LoadError::Damaged(why)) => {
            tracing::error!(why, "the checkpoint is damaged and is not used");
            checkpoints.discard()?;
        }
    }
    let Some(purged) = log.state().purged else { return Ok(None) };
    loop {
        for peer in peers.all() {
            match fetch(&peer.dialer, purged.index).await {
                Ok(loaded) => {
                    machine::install_loaded(checkpoints, &loaded)?;
                    tracing::info!(from = peer.id, "the state was fetched from a member");
                    return Ok(Some(loaded));
                }
                Err(error) => tracing::debug!(from = peer.id, %error, "no snapshot"),
            }
        }
        progress.send_replace(format!(
            "the checkpoint is damaged, and no member with a state up to entry {} answers",
            purged.index
        ));
        tokio::time::sleep(AGAIN).await;
    }
}

async fn fetch(dialer: &Dialer, at_least: u64) -> io::Result<Loaded> {
    let mut connection = dialer.connect(Purpose::Snapshot).await.map_err(io::Error::other)?;
    let ask = Frame { id: 1, kind: kind::SNAPSHOT_FETCH, body: Bytes::new() };
    connection.sender.send(ask).await.map_err(io::Error::other)?;
    let first = connection.receiver.next().await.map_err(io::Error::other)?;
    let first = first.ok_or(io::ErrorKind::UnexpectedEof)?;
    let (meta, frozen) = receive_snapshot(&mut connection, first.body).await?;
    let index = meta.last_log_id.map_or(0, |id| id.index());
    if index < at_least {
        return Err(io::Error::other(format!("its state ends at entry {index}")));
    }
    Ok(Loaded {
        state: frozen.into_state(),
        applied: meta.last_log_id,
        membership: meta.last_membership,
    })
}
