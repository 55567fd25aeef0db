//! Background tasks beside Raft: they follow the leader and the membership, check the disk, take
//! checkpoints, purge the log and create the cluster's first entry.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::RaftMetrics;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::clock::Clock;
use crate::domain::machine::Command;
use crate::domain::machine::command::{Genesis, StrategyChange};
use crate::domain::machine::envelope::{self, IdempotencyKey};
use crate::domain::task::Strategy;
use crate::storage::LogStore;
use crate::telemetry::metrics::Metrics;

use super::bootstrap::MemberStanding;
use super::core::RaftCore;
use super::limits::FLUSH_STALL;
use super::membership::{MemberList, MemberListSource};
use super::network::config_id;
use super::types::TypeConfig;
use super::{Consensus, ConsensusSettings};

/// How often the disk is looked at, and a checkpoint considered.
const WATCH: Duration = Duration::from_millis(500);

/// The values of Raft that other parts watch.
pub(super) struct RaftWatches {
    /// Who leads.
    pub leader: watch::Sender<Option<u64>>,
    /// Who is a member.
    pub members: watch::Sender<MemberList>,
    /// Makes lists of members.
    pub lists: MemberListSource,
}

/// Watches Raft: who leads, who is a member, whether it still runs.
pub(super) async fn follow(
    core: Arc<RaftCore>,
    followed: RaftWatches,
    fatal: watch::Sender<Option<String>>,
    standing: Arc<Mutex<MemberStanding>>,
) {
    let RaftWatches { leader, members, mut lists } = followed;
    let mut metrics = core.raft.metrics();
    let mut known = core.announced.known.subscribe();
    let mut stood = own_vote(&metrics.borrow_watched(), core.id);
    let mut listed = None;
    loop {
        let seen = metrics.borrow_watched().clone();
        if let Err(error) = &seen.running_state {
            fatal.send_replace(Some(format!("Raft stopped: {error}")));
            return;
        }
        if seen.last_log_index.is_some() {
            standing.lock().initialised = true;
        }
        // Raft tells of every entry; the membership is another one once in months.
        let membership = Some(*seen.membership_config.log_id());
        let moved = known.has_changed().unwrap_or(false);
        if listed != membership || moved {
            listed = membership;
            let list = lists.of(seen.membership_config.membership(), &known.borrow_and_update());
            members.send_if_modified(|known| {
                let news = *known != list;
                known.clone_from(&list);
                news
            });
        }
        leader.send_if_modified(|known| {
            let news = *known != seen.current_leader;
            if news {
                tell_leader(&core, seen.current_leader, seen.current_term);
            }
            *known = seen.current_leader;
            news
        });
        let own = own_vote(&seen, core.id);
        if own > stood {
            stood = own;
            core.metrics.raft_elections.inc();
        }
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        core.metrics.raft_is_leader.set(i64::from(seen.current_leader == Some(core.id)));
        core.metrics.raft_term.set(number(seen.current_term));
        let purged = seen.purged.map_or(0, |id| id.index());
        let entries = seen.last_log_index.unwrap_or(0).saturating_sub(purged);
        core.metrics.raft_log_entries.set(number(entries));
        core.metrics.raft_applied_index.set(number(seen.last_applied.map_or(0, |id| id.index())));
        let changed = tokio::select! {
            changed = metrics.changed() => changed.is_ok(),
            moved = known.changed() => {
                known.mark_changed();
                moved.is_ok()
            }
        };
        if !changed {
            fatal.send_replace(Some("Raft stopped".to_owned()));
            return;
        }
    }
}

/// The term of the last vote that this node gave itself; 0: none.
fn own_vote(seen: &RaftMetrics<TypeConfig>, own: u64) -> u64 {
    let voted = &seen.vote.leader_id;
    if voted.node_id == own { voted.term } else { 0 }
}

/// Publishes a change of the leader.
fn tell_leader(core: &RaftCore, leader: Option<u64>, term: u64) {
    let Some(leader) = leader else {
        tracing::info!(term, "no leader is known; an election is under way");
        return;
    };
    core.metrics.raft_leader_changes.inc();
    core.metrics.raft_leader_since.set(core.clock.now().0 as f64 / 1e3);
    tracing::info!(term, "n{} leads the cluster", config_id(leader));
}

/// Ends the node when its disk hangs; counts syncs.
pub(super) async fn watch_disk(
    disk: Arc<dyn LogStore>,
    fatal: watch::Sender<Option<String>>,
    metrics: Metrics,
) {
    let mut tick = ticking();
    let mut synced = 0;
    loop {
        tick.tick().await;
        let now = disk.fsyncs();
        metrics.log_fsyncs.inc_by(now.saturating_sub(synced));
        synced = now;
        if let Some(age) = disk.oldest_unflushed().filter(|age| *age > FLUSH_STALL) {
            let place = disk.place();
            let message = format!(
                "cannot write {}: the disk has not answered for {} s",
                place.display(),
                age.as_secs()
            );
            fatal.send_replace(Some(message));
            return;
        }
    }
}

/// When a member's checkpoints are due: after a number of entries, and at least at an interval.
/// Members take turns, so that those on one machine or disk do not write at the same time, unless
/// one takes longer than its share.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckpointSchedule {
    every: Duration,
    entries: u64,
}

/// The number of members before one, and of all members.
type CheckpointTurn = (u32, u32);

impl CheckpointSchedule {
    pub fn of(settings: &ConsensusSettings) -> Self {
        Self { every: settings.checkpoint_interval, entries: settings.snapshot_every.max(1) }
    }

    /// After the start.
    fn first(&self, (before, of): CheckpointTurn) -> Duration {
        self.every + self.every / of * before
    }

    /// Counts the checkpoints that the entries up to here make due.
    fn round(&self, index: u64, (before, of): CheckpointTurn) -> u64 {
        let share = self.entries / u64::from(of) * u64::from(before);
        index.saturating_add(share) / self.entries
    }
}

/// Takes checkpoints.
pub(super) async fn checkpoint(core: Arc<RaftCore>, turns: CheckpointSchedule) {
    let place = || core.members.borrow().place(config_id(core.id));
    let mut due = Instant::now() + turns.first(place());
    let mut covered = super::lead::status(&core).checkpoint;
    let mut tick = ticking();
    loop {
        tick.tick().await;
        let applied = core.replica.applied();
        let place = place();
        let full = turns.round(applied, place) > turns.round(covered, place);
        if full || (Instant::now() >= due && applied > covered) {
            (due, covered) = (Instant::now() + turns.every, applied);
            if core.raft.trigger().snapshot().await.is_err() {
                return;
            }
        }
    }
}

fn ticking() -> Interval {
    let mut tick = tokio::time::interval(WATCH);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// Purges the log behind a checkpoint. openraft does this once after each checkpoint, but not while
/// an entry of that range is being sent to a member, which may take any time for a member that is
/// down. So the purge is requested again until it is done.
pub(super) async fn purge(core: Arc<RaftCore>, retained: u64) {
    let mut tick = ticking();
    loop {
        tick.tick().await;
        let seen = super::lead::status(&core);
        let upto = seen.checkpoint.saturating_sub(retained);
        if upto > seen.purged && core.raft.trigger().purge_log(upto).await.is_err() {
            return;
        }
    }
}

/// As leader of a cluster without a name, names it.
pub(super) async fn create_cluster(
    consensus: Consensus,
    settings: ConsensusSettings,
    callback_key: u128,
) {
    let mut leader = consensus.leader();
    loop {
        if consensus.replica().read().cluster().id != 0 {
            return;
        }
        if consensus.is_leader() {
            let id = consensus
                .requests
                .standing
                .lock()
                .identity
                .as_ref()
                .map_or(0, |own| own.cluster_id);
            let genesis = Genesis {
                id,
                name: settings.cluster_name.clone(),
                timezone: settings.timezone.clone(),
                scheduler: settings.scheduler,
                callback_key,
            };
            let (bytes, commands) = first_commands(genesis, settings.strategy);
            // Refused or late: the next round looks at the state again.
            let _outcome = consensus.submit(bytes, commands, Duration::from_secs(2)).await;
        }
        let _changed = tokio::time::timeout(WATCH, leader.changed()).await;
    }
}

/// The commands that make a cluster, for one entry. The strategy has a key, so that a second such
/// entry, of a leader that did not know of the first, does not set it again.
fn first_commands(genesis: Genesis, strategy: Strategy) -> (Bytes, usize) {
    let mut bytes = Vec::new();
    envelope::pack(&mut bytes, &Command::Genesis(genesis), "", None);
    if strategy == Strategy::default() {
        return (bytes.into(), 1);
    }
    // The space tells it from the keys of callers.
    let key = IdempotencyKey { text: "first strategy", request: 0 };
    let command = Command::SetStrategy(StrategyChange { strategy });
    envelope::pack(&mut bytes, &command, "", Some(key));
    (bytes.into(), 2)
}

#[cfg(test)]
mod tests {
    use super::super::membership::tests::list;
    use super::*;
    use crate::domain::ids::NodeId;

    #[test]
    fn a_node_stood_where_its_vote_is_its_own() {
        let mut seen = RaftMetrics::<TypeConfig>::new_initial(7);
        assert_eq!(own_vote(&seen, 7), 0);
        for (term, node, stood) in [(3, 7, 3), (4, 9, 0), (5, 7, 5)] {
            seen.vote.leader_id.term = term;
            seen.vote.leader_id.node_id = node;
            assert_eq!(own_vote(&seen, 7), stood, "term {term}, node {node}");
        }
    }

    #[test]
    fn members_take_their_checkpoints_in_turn() {
        let turns = CheckpointSchedule { every: Duration::from_secs(30), entries: 90 };
        let due = |place: CheckpointTurn| -> Vec<u64> {
            let is = |index: &u64| turns.round(*index, place) > turns.round(index - 1, place);
            (1..=180).filter(is).collect()
        };
        let [a, b, c] = [1, 2, 3].map(|id| (NodeId::new(id, 1), "a", true));
        let three = list(&[a, b, c]);
        assert_eq!(due(three.place(1)), [90, 180]);
        assert_eq!(due(three.place(2)), [60, 150]);
        assert_eq!(due(three.place(3)), [30, 120]);
        let first = |id| turns.first(three.place(id)).as_secs();
        assert_eq!([first(1), first(2), first(3)], [30, 40, 50]);
        let two = list(&[b, c]);
        assert_eq!((due(two.place(2)), due(two.place(3))), (vec![90, 180], vec![45, 135]));
    }
}
