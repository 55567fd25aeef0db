//! Polls the wall clocks of the other members, from which cluster time is computed. A poll carries
//! the addresses of this node ([`addresses`](super::addresses)). The answers also show which members
//! respond, which members their settings list, and which process of a member answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::{Clock, ClusterClock};
use crate::life;

use super::bootstrap::MemberStanding;
use super::core::RaftCore;
use super::limits::{CLOCK_EVERY, CLOCK_LIMIT};
use super::membership::MemberList;
use super::network::{config_id, kind};
use super::wire::{Malformed, WireReader};

/// Polling interval while there is no majority or no leader.
const SOON: Duration = Duration::from_millis(100);

/// Number of checks without cluster time before it is logged. A normal start needs fewer.
const GRACE: u32 = 5;

/// The members that are polled.
#[derive(Clone, Default)]
pub(super) struct PolledMembers(Arc<Mutex<BTreeSet<u16>>>);

impl PolledMembers {
    /// Adds the other members of the list and returns those that were not polled before.
    fn add(&self, list: &MemberList, own: u16) -> Vec<u16> {
        let mut asked = self.0.lock();
        let others = list.ids().into_iter().filter(|id| *id != own);
        others.filter(|id| asked.insert(*id)).collect()
    }

    /// Whether a member is still in the list. If not, it is removed from the polled members.
    fn stays(&self, member: u16, members: &watch::Receiver<MemberList>) -> bool {
        let mut asked = self.0.lock();
        let stays = members.borrow().get(member).is_some();
        if !stays {
            asked.remove(&member);
        }
        stays
    }
}

/// Starts to poll every other member in the list that is not polled yet.
pub(super) fn follow(core: &Arc<RaftCore>, asked: &PolledMembers, list: &MemberList) {
    for member in asked.add(list, config_id(core.id)) {
        life::spawn(ask(Arc::clone(core), asked.clone(), member));
    }
}

/// Polls a member as long as it is in the list and Raft runs here. A node that has stopped polls
/// nobody, so that it does not seem to run.
async fn ask(core: Arc<RaftCore>, all: PolledMembers, member: u16) {
    let runs = || core.raft.metrics().borrow_watched().running_state.is_ok();
    while all.stays(member, &core.members) && runs() {
        let Some(peer) = core.peers.member(member) else {
            // The list of peers is not updated yet.
            tokio::time::sleep(SOON).await;
            continue;
        };
        let (asked, at) = (core.clock.asking(), Instant::now());
        match peer.forward.call(kind::CLOCK, core.announced.announcement(), CLOCK_LIMIT).await {
            Ok(answer) => match read(answer) {
                Ok((wall, list, process)) => {
                    core.clock.answered(peer.id, asked, wall);
                    core.contacts.answered(peer.id, list);
                    core.announced.answered(peer.id);
                    core.announced.copies.answered(peer.id, process, at);
                }
                Err(error) => tracing::warn!(peer = peer.id, %error, "a clock cannot be read"),
            },
            Err(error) => {
                core.announced.failed(peer.id, &peer.dialer.addr, &error);
                core.contacts.failed(peer.id, error);
            }
        }
        let calm = core.clock.sure() && super::lead::no_leader_reason(&core).is_none();
        tokio::time::sleep(if calm { CLOCK_EVERY } else { SOON }).await;
    }
}

/// The answer to a poll: the wall clock, the hash of the member list, and the number of the process
/// if it has one.
pub(super) fn shown(clock: &ClusterClock, standing: &MemberStanding) -> Bytes {
    bytes(clock.wall(), standing.list, standing.process)
}

fn bytes(wall: i64, list: u64, process: Option<u64>) -> Bytes {
    let mut out = BytesMut::with_capacity(24);
    out.put_i64_le(wall);
    out.put_u64_le(list);
    if let Some(process) = process {
        out.put_u64_le(process);
    }
    out.freeze()
}

/// Reads an answer. One of the first version has no number of its process.
fn read(answer: Bytes) -> Result<(i64, u64, Option<u64>), Malformed> {
    let mut reader = WireReader(answer);
    let (wall, list) = (reader.u64()?.cast_signed(), reader.u64()?);
    let process = if reader.0.is_empty() { None } else { Some(reader.u64()?) };
    Ok((wall, list, process))
}

/// Logs new problems.
fn warn(core: &RaftCore, told: &mut Vec<String>) {
    let warnings = super::lead::warnings(core);
    for warning in warnings.iter().filter(|warning| !told.contains(warning)) {
        tracing::warn!("{warning}");
    }
    *told = warnings;
}

/// Compares this node's clock with those of the other members, periodically.
pub(super) async fn look(core: Arc<RaftCore>) {
    let (clock, metrics) = (&core.clock, &core.metrics);
    let (mut unsure, mut moves) = (0_u32, clock.moves());
    let mut told = Vec::new();
    loop {
        warn(&core, &mut told);
        clock.agree();
        if !clock.sure() {
            unsure = unsure.saturating_add(1);
            if unsure == GRACE {
                tracing::warn!(
                    "the clocks of a majority do not agree: nothing is stamped or settled"
                );
            }
        } else if std::mem::take(&mut unsure) >= GRACE {
            tracing::info!("the clocks of a majority agree");
        }
        if clock.moves() != moves {
            moves = clock.moves();
            tracing::info!(ahead_ms = clock.skew() / 1_000_000, "cluster time was set");
        }
        metrics.clock_skew_seconds.set(seconds(clock.skew()));
        metrics.clock_agreed.set(i64::from(clock.agrees()));
        tokio::time::sleep(CLOCK_EVERY).await;
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a gauge; within a year it is exact to a microsecond"
)]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::super::membership::tests::list;
    use super::*;
    use crate::domain::ids::NodeId;

    #[test]
    fn answers_read_back() {
        for process in [None, Some(0), Some(u64::MAX)] {
            assert_eq!(read(bytes(-5, 7, process)), Ok((-5, 7, process)));
        }
        assert!(read(bytes(-5, 7, None).slice(..15)).is_err());
    }

    #[test]
    fn whoever_comes_is_asked_once_and_whoever_goes_no_longer() {
        let of = |ids: &[u16]| {
            list(&ids.iter().map(|id| (NodeId::new(*id, 1), "a", true)).collect::<Vec<_>>())
        };
        let (changes, members) = watch::channel(of(&[1, 2, 3]));
        let asked = PolledMembers::default();
        assert_eq!(asked.add(&members.borrow(), 1), [2, 3]);
        changes.send_replace(of(&[1, 3, 4]));
        assert_eq!(asked.add(&members.borrow(), 1), [4]);
        assert!(asked.stays(3, &members) && !asked.stays(2, &members));
        changes.send_replace(of(&[1, 2, 3, 4]));
        assert_eq!(asked.add(&members.borrow(), 1), [2], "it was added again");
    }
}
