//! The tasks that drive the node actor: events of the state, time, and the registration of this
//! process.

use std::sync::Arc;

use ractor::ActorRef;
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::consensus::ReplicaEvent;
use crate::domain::ids::NodeId;
use crate::domain::machine::command::{Command, NodeUp};
use crate::domain::machine::record::NodeInfo;
use crate::domain::machine::{Answer, envelope};

use super::context::EngineContext;
use super::limits::{LOOK, LOOKS_MAX, REGISTER_LIMIT, TICK};
use super::node_actor::NodeMsg;

/// Forwards the events of the state to the node actor.
pub(super) async fn pump(
    mut events: mpsc::UnboundedReceiver<ReplicaEvent>,
    node: ActorRef<NodeMsg>,
) {
    while let Some(event) = events.recv().await {
        if node.send_message(NodeMsg::Event(event)).is_err() {
            return;
        }
    }
}

/// Sends ticks to the node actor.
pub(super) async fn tick(clock: Arc<dyn Clock>, node: ActorRef<NodeMsg>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if node.send_message(NodeMsg::Tick(clock.boot())).is_err() {
            return;
        }
    }
}

/// Ends the engine if the node actor hangs.
pub(super) async fn watch(context: Arc<EngineContext>) {
    hangs(context.round.subscribe()).await;
    context.fail(format!("the engine's node actor has not come round for {LOOKS_MAX} s"));
}

/// Returns when there was no round for this number of checks. Checks are counted instead of time,
/// because a paused process makes no checks.
async fn hangs<T>(mut rounds: watch::Receiver<T>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut without = 0;
    while without < LOOKS_MAX {
        look.tick().await;
        without = if rounds.has_changed().unwrap_or(false) { 0 } else { without + 1 };
        rounds.mark_unchanged();
    }
}

/// Registers this process. An unregistered node takes no work, so this must not fail.
pub(super) fn keep_registering(context: &Arc<EngineContext>, node: ActorRef<NodeMsg>) {
    context.watch_work("registration", context.spawn(register(Arc::clone(context), node)));
}

/// Registers this process once, or again if its session is removed.
async fn register(context: Arc<EngineContext>, node: ActorRef<NodeMsg>) {
    loop {
        // Another function may have been registered since the last try.
        let functions = context.exec.functions();
        let info = NodeInfo { functions, ..context.settings.info.clone() };
        let node_id = NodeId(context.consensus.id());
        let up = Command::NodeUp(Box::new(NodeUp { node: node_id, boot: context.boot, info }));
        let mut bytes = Vec::new();
        envelope::pack(&mut bytes, &up, "", None);
        let outcome = context.consensus.submit(bytes.into(), 1, REGISTER_LIMIT).await;
        let answer = outcome.ok().and_then(|answered| answered.responses.into_iter().next());
        if let Some(Ok(Answer::Session(session))) = answer {
            // If the node actor has stopped, this process ends.
            let _gone = node.send_message(NodeMsg::Registered(session));
            return;
        }
        // After an unknown outcome this process may already be registered. A second registration
        // ends that session before it gets any grant.
        tokio::time::sleep(TICK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_actor_that_does_not_come_round_is_noticed() {
        let rounds = watch::Sender::new(0);
        let watched = tokio::spawn(hangs(rounds.subscribe()));
        // The rounds are late, but not too late.
        for round in 1..=10 {
            tokio::time::sleep(LOOK * (LOOKS_MAX - 2)).await;
            rounds.send_replace(round);
            assert!(!watched.is_finished(), "round {round}");
        }
        watched.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_held_still_has_not_missed_a_round() {
        let rounds = watch::Sender::new(0);
        let watched = tokio::spawn(hangs(rounds.subscribe()));
        tokio::time::sleep(LOOK * 2).await;
        for round in 1..=3 {
            tokio::time::advance(LOOK * 1_000).await;
            rounds.send_replace(round);
            tokio::time::sleep(LOOK).await;
        }
        assert!(!watched.is_finished());
        watched.abort();
    }
}
