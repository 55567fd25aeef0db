//! What a member knows of another node, and the end of a node that was removed.
//!
//! A removed node is not told by Raft: the leader only stops to send it entries. So a node that
//! hears no leader, or applied its own removal, asks the others. Their applied state is final.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::domain::ids::NodeId;

use super::super::bootstrap::Reminder;
use super::super::core::RaftCore;
use super::super::lead;
use super::super::network::{config_id, kind};
use super::super::wire::{Malformed, WireReader};

/// Interval between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Time limit for a member's answer.
const ASK_LIMIT: Duration = Duration::from_millis(500);

/// What a member says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum MemberWord {
    /// It cannot say.
    Unknown,
    /// A node with its configured id is a member.
    Listed,
    /// No node with its configured id is one.
    NotListed,
    /// It was a member, and is none any more.
    Removed,
}

impl MemberWord {
    const fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Listed => 1,
            Self::NotListed => 2,
            Self::Removed => 3,
        }
    }

    /// Reads an answer.
    pub fn read(answer: &[u8]) -> Self {
        match answer {
            [1] => Self::Listed,
            [2] => Self::NotListed,
            [3] => Self::Removed,
            _ => Self::Unknown,
        }
    }
}

/// The question about a node. Its join number is 0 if it has none.
pub(in super::super) fn question(node: NodeId) -> Bytes {
    Bytes::copy_from_slice(&node.0.to_le_bytes())
}

/// Answers a peer's [`question`].
pub(in super::super) fn answer(core: &RaftCore, body: Bytes) -> Result<Bytes, Malformed> {
    let mut reader = WireReader(body);
    let node = NodeId(reader.u64()?);
    reader.end()?;
    Ok(Bytes::copy_from_slice(&[word(core, node).number()]))
}

fn word(core: &RaftCore, node: NodeId) -> MemberWord {
    let state = core.replica.read();
    let logged = core.raft.metrics().borrow_watched().membership_config.clone();
    let listed = |node: NodeId| logged.nodes().any(|(id, _)| *id == node.0);
    let mut ids = logged.nodes().map(|(id, _)| config_id(*id));
    if state.cluster().id == 0 || logged.nodes().next().is_none() {
        MemberWord::Unknown
    } else if node.join() > 0 && state.is_gone(node) && !listed(node) {
        MemberWord::Removed
    } else if ids.any(|id| id == config_id(node.0)) {
        MemberWord::Listed
    } else {
        MemberWord::NotListed
    }
}

/// Ends this node when it is a member no more. Says what can be done when a majority may be lost.
pub(in super::super) async fn watch(core: Arc<RaftCore>, fatal: watch::Sender<Option<String>>) {
    let own = NodeId(core.id);
    let mut reminder = Reminder::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let gone = core.replica.read().is_gone(own);
        let unled = lead::no_leader_reason(&core);
        if let Some(unled) = &unled
            && let Some(recovery) = unled.recovery()
            && reminder.is_due()
        {
            tracing::warn!("{unled}. {recovery}");
        }
        if !gone && unled.is_none() {
            continue;
        }
        let others = core.peers.all();
        let asked = others.iter().map(|peer| async {
            let answer = peer.forward.call(kind::MEMBER, question(own), ASK_LIMIT).await;
            answer.map_or(MemberWord::Unknown, |answer| MemberWord::read(&answer))
        });
        let said = join_all(asked).await;
        if word(&core, own) == MemberWord::Removed || said.contains(&MemberWord::Removed) {
            core.removed.store(true, Ordering::Relaxed);
            let member = config_id(core.id);
            fatal.send_replace(Some(format!(
                "this node was removed from the cluster; to take it in again, empty its data \
                 folder and start it: it then prints the whole command, which begins with \
                 punctual cluster members add {member}"
            )));
            return;
        }
    }
}
