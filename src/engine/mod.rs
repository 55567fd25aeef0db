//! The acting part of a node: actors that wake at ticks, propose settles, start granted attempts
//! and report their ends.
//!
//! ```text
//! node actor ── one per process: registration, liveness, ownership, residency
//!  ├─ task actor ── one per owned task with a near tick: decides and proposes
//!  └─ execution actor ── one per attempt granted to this session: starts, watches, reports
//! timer queue ── one heap for all of them and for tasks without an actor
//! ```
//!
//! Hints of applied commands may be lost; looks at the state find the same work. An actor never
//! acts on an answer: it looks at the state that its own replica applied.
//!
//! Plain functions over plain data decide: [`residency`] (which tasks have an actor),
//! [`settle_cycle`] (when a task proposes), [`dispatch`] (which attempts run here) and [`judge`]
//! (which nodes are working or down). Each takes one event and returns the actions, which the
//! actors carry out. The stories in `testscripts/` test their answers.
//!
//! The node actor supervises the other actors. A task whose actor fails is looked at again; an
//! attempt whose actor fails ends as lost. Without the node actor, the timer, or one of the tasks
//! that drive them, the engine cannot continue and reports it ([`Engine::failure`]): no other node
//! takes over the tasks of a node whose Raft part is alive. For the same reason the node's liveness
//! reports pass through the node actor.
//!
//! Architecture invariant: no rule of the domain is here.
//! [`domain::settling`](crate::domain::settling) decides verdicts,
//! [`domain::assign`](crate::domain::assign) decides ownership.

mod assigner;
mod attempt_control;
mod attempts;
mod changed_lines;
mod choice;
mod context;
mod delays;
mod dispatch;
mod dispatch_words;
mod execution_actor;
mod executor_control;
mod functions;
mod judge;
mod left;
mod limits;
mod line_turns;
mod liveness;
mod moved;
mod node_actor;
mod observed;
mod operator_log;
mod prober;
mod pulse;
mod reports;
mod residency;
mod settle_cycle;
mod sleepers;
mod slots;
mod task_actor;
mod task_control;
#[cfg(test)]
mod tests;
mod timer;
mod view;
mod waiting;
mod watcher;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::ExecutorSettings;
use crate::consensus::{Consensus, ReplicaEvent, Service};
use crate::domain::assign::custom::OwnStrategy;
use crate::domain::ids::{NodeId, SessionId};
use crate::domain::machine::command::{Command, NodeIntent};
use crate::domain::machine::envelope;
use crate::domain::machine::record::{Intent, NodeInfo};
use crate::domain::time::Millis;
use crate::exec::Exec;
use crate::telemetry::metrics::Metrics;

use context::EngineContext;
use limits::{INTENT_LIMIT, STOP_LIMIT, TICK};
use node_actor::{NodeActor, NodeMsg};

pub use context::{AttemptStart, Observer};
pub use judge::LastHeard;
#[cfg(test)]
pub(crate) use node_actor::ActorFault;

/// The settings of the engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Younger ticks are on time.
    pub failover_timeout: Millis,
    /// A silent node is down after this.
    pub down_after: Millis,
    /// A start happens within this of the first proposal of its grant.
    pub dispatch_ttl: Millis,
    /// Tasks whose next tick is farther away have no actor.
    pub activation_horizon: Millis,
    /// Attempts that this process can carry out at once, whatever the node's slots are.
    pub attempts_max: usize,
    /// How executors are called and watched.
    pub executors: ExecutorSettings,
    /// The strategy of the embedding program.
    pub strategy: Option<OwnStrategy>,
    /// What this node tells of itself.
    pub info: NodeInfo,
}

/// The parts of the engine.
pub struct EngineParts {
    /// Its settings.
    pub settings: EngineSettings,
    /// The log.
    pub consensus: Consensus,
    /// Changes of the state.
    pub events: mpsc::UnboundedReceiver<ReplicaEvent>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What carries attempts out.
    pub exec: Arc<Exec>,
    /// Where it counts.
    pub metrics: Metrics,
    /// Who is told of each start; for measurements.
    pub observer: Option<Observer>,
    /// Answers what peers ask of the layers above.
    pub service: Service,
    /// A number that tells this process from the one before.
    pub boot: u128,
}

/// The handle to a running engine; clones share it.
#[derive(Clone)]
pub struct Engine {
    context: Arc<EngineContext>,
    node: ActorRef<NodeMsg>,
}

impl Engine {
    /// Starts the actors.
    ///
    /// # Errors
    /// If the node actor cannot be started.
    pub async fn start(parts: EngineParts) -> Result<Self, ractor::SpawnErr> {
        let events = parts.events;
        let others = parts.service;
        let (context, timers) = EngineContext::new(
            parts.settings,
            parts.consensus,
            parts.clock,
            parts.exec,
            parts.metrics,
            parts.observer,
            parts.boot,
        );
        let context = Arc::new(context);
        let (node, ends) = context.actor(NodeActor, Arc::clone(&context), None).await?;
        context.watch("node actor", ends);
        let timer = timer::run(Arc::clone(&context.clock), timers, node.clone());
        context.watch("timer", context.spawn(timer));
        context.watch("stream of events", context.spawn(pulse::pump(events, node.clone())));
        let tick = pulse::tick(Arc::clone(&context.clock), node.clone());
        context.watch("tick", context.spawn(tick));
        context.watch("watch", context.spawn(pulse::watch(Arc::clone(&context))));
        context
            .watch("liveness", context.spawn(liveness::report(Arc::clone(&context), node.clone())));
        let functions = functions::tell(Arc::clone(&context), context.exec.functions_added());
        context.watch("functions", context.spawn(functions));
        context.watch("assignment", context.spawn(assigner::propose(Arc::clone(&context))));
        pulse::keep_registering(&context, node.clone());
        context.consensus.serve(liveness::service(Arc::clone(&context), node.clone(), others));
        Ok(Self { context, node })
    }

    /// Waits until the engine cannot go on; says why. Whoever runs the node ends it then.
    pub async fn failure(&self) -> String {
        self.context.failure().await
    }

    /// This process's registration; none: not yet.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.context.session()
    }

    /// What the leader last heard of each node; empty if no leader tells.
    pub async fn heard(&self) -> BTreeMap<u64, LastHeard> {
        liveness::heard(&self.context).await
    }

    /// Hands all tasks over and waits for the running attempts, at most for `patience`. Then it stops
    /// the remaining ones and waits for their ends, at most for `stopping`. What was granted and is
    /// not begun by then is given back, so that another node begins it.
    pub async fn leave(&self, patience: Duration, stopping: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        self.context.dispatch.lock().slots.close();
        // Without a majority nobody could take the tasks over anyway.
        self.give_tasks_away().await;
        let ended = async {
            if !self.context.drained(deadline).await {
                // A node actor that is gone has stopped them.
                let _gone = self.node.send_message(NodeMsg::StopAll);
                self.context.drained(tokio::time::Instant::now() + stopping).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.stay_away() => {}
        }
    }

    /// Gives the tasks away again whenever this node may own some: the end of a drain that began
    /// before it left gives it tasks.
    async fn stay_away(&self) {
        let node = NodeId(self.context.consensus.id());
        loop {
            tokio::time::sleep(TICK).await;
            let intent = {
                let state = self.context.consensus.replica().read();
                state.node(node).map(|node| node.intent)
            };
            if intent == Some(Intent::None) {
                self.give_tasks_away().await;
            }
        }
    }

    async fn give_tasks_away(&self) {
        let node = NodeId(self.context.consensus.id());
        let command = Command::NodeIntent(NodeIntent { node, intent: Intent::Leaving });
        let mut bytes = Vec::new();
        envelope::pack(&mut bytes, &command, "", None);
        let outcome = self.context.consensus.submit(bytes.into(), 1, INTENT_LIMIT).await;
        if outcome.is_ok() {
            // No grant for this node comes after its intent, so all of them are known then.
            self.context.consensus.read_barrier(INTENT_LIMIT).await;
        }
    }

    /// Makes actors fail.
    #[cfg(test)]
    pub(crate) fn fail(&self, fault: ActorFault) {
        self.node.send_message(NodeMsg::Fail(fault)).expect("the node actor is there");
    }

    /// Tells the engine that one of its parts has ended.
    #[cfg(test)]
    pub(crate) fn note_end(&self) {
        self.context.note_end("part", "ended");
    }

    /// How many attempts run here.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.context.running()
    }

    /// Waits until the node actor has come round so many times.
    #[cfg(test)]
    pub(crate) async fn rounds(&self, count: usize) {
        let mut round = self.context.round.subscribe();
        for _ in 0..count {
            round.changed().await.expect("the engine runs");
        }
    }

    /// How many tasks and actors of the engine there are.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.context.left()
    }

    /// Ends the actors and all that they started, running attempts included.
    pub async fn stop(&self) {
        self.context.stop();
        // With the node actor end its children. On a process that hangs nothing is gained by waiting
        // longer.
        let _late = self.node.stop_and_wait(None, Some(STOP_LIMIT)).await;
        let _late = tokio::time::timeout(STOP_LIMIT, self.context.stopped()).await;
    }
}
