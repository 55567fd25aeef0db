//! What runs beside Raft: who leads, is the disk alive, is there something to purge or to found.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::machine::Command;
use crate::domain::machine::command::Genesis;
use crate::storage::LogStore;

use super::bootstrap::Standing;
use super::core::Core;
use super::{Consensus, Settings};

/// An append or vote that waits longer for the disk ends the node.
const FLUSH_STALL: Duration = Duration::from_secs(20);
/// How often the disk is looked at, and a checkpoint considered.
const WATCH: Duration = Duration::from_millis(500);

/// Watches Raft: who leads, whether it still runs.
pub(super) async fn follow(
    core: Arc<Core>,
    leader: watch::Sender<Option<u64>>,
    fatal: watch::Sender<Option<String>>,
    standing: Arc<Mutex<Standing>>,
) {
    let mut metrics = core.raft.metrics();
    let mut term = 0;
    loop {
        let seen = metrics.borrow_watched().clone();
        if let Err(error) = &seen.running_state {
            fatal.send_replace(Some(format!("Raft stopped: {error}")));
            return;
        }
        if seen.last_log_index.is_some() {
            standing.lock().initialised = true;
        }
        leader.send_if_modified(|known| {
            let news = *known != seen.current_leader;
            *known = seen.current_leader;
            news
        });
        if seen.current_term != term {
            core.metrics.raft_elections.inc_by(seen.current_term.saturating_sub(term));
            term = seen.current_term;
        }
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        core.metrics.raft_is_leader.set(i64::from(seen.current_leader == Some(core.id)));
        core.metrics.raft_term.set(number(seen.current_term));
        core.metrics.raft_applied_index.set(number(seen.last_applied.map_or(0, |id| id.index())));
        if metrics.changed().await.is_err() {
            fatal.send_replace(Some("Raft stopped".to_owned()));
            return;
        }
    }
}

/// When a member's first checkpoint is due: members that start together take theirs in turn, so that
/// those on one machine or one disk do not write all at once.
pub(super) fn first_checkpoint(settings: &Settings) -> Duration {
    let before = settings.members.iter().filter(|member| member.id < settings.member).count();
    let share = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let every = settings.checkpoint_interval;
    every + every / share(settings.members.len().max(1)) * share(before)
}

/// Ends the node when its disk hangs; takes checkpoints by time.
pub(super) async fn watch_disk(
    core: Arc<Core>,
    disk: Arc<dyn LogStore>,
    fatal: watch::Sender<Option<String>>,
    (first, every): (Duration, Duration),
) {
    let mut due = Instant::now() + first;
    let mut covered = core.replica.applied();
    let mut tick = tokio::time::interval(WATCH);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
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
        let applied = core.replica.applied();
        if Instant::now() >= due && applied > covered {
            (due, covered) = (Instant::now() + every, applied);
            if core.raft.trigger().snapshot().await.is_err() {
                return;
            }
        }
    }
}

/// Removes what is behind a checkpoint. openraft does so itself once after each checkpoint, but not
/// while an entry of that range is on its way to a member, which for one that is down may be any
/// time: so it is asked again until it is done.
pub(super) async fn purge(core: Arc<Core>, retained: u64) {
    let mut tick = tokio::time::interval(WATCH);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let seen = super::start::status(&core);
        let upto = seen.checkpoint.saturating_sub(retained);
        if upto > seen.purged && core.raft.trigger().purge_log(upto).await.is_err() {
            return;
        }
    }
}

/// As leader of a cluster without a name, names it.
pub(super) async fn found(consensus: Consensus, settings: Settings) {
    let mut leader = consensus.leader();
    loop {
        if consensus.replica().read().cluster().id != 0 {
            return;
        }
        if consensus.is_leader() {
            let id =
                consensus.desk.standing.lock().identity.as_ref().map_or(0, |own| own.cluster_id);
            let genesis = Genesis {
                id,
                name: settings.cluster_name.clone(),
                timezone: settings.timezone.clone(),
                scheduler: settings.scheduler,
            };
            let mut bytes = Vec::new();
            let command = Command::Genesis(genesis);
            crate::domain::machine::envelope::pack(&mut bytes, &command, "", None);
            // Refused or late: the next round looks at the state again.
            let _outcome = consensus.submit(bytes.into(), 1, Duration::from_secs(2)).await;
        }
        let _changed = tokio::time::timeout(WATCH, leader.changed()).await;
    }
}
