//! The part that acts: actors that wake at ticks, propose settles, start what is granted, and say
//! how it ended.
//!
//! ```text
//! node actor ── one per process: registration, liveness, ownership, who is resident
//!  ├─ task actor ── one per owned task whose next tick is near: decides and proposes
//!  └─ execution actor ── one per attempt granted to this session: starts, watches, reports
//! timer queue ── one heap for all of them and for the tasks that sleep
//! ```
//!
//! Effects of applied commands are hints; [`reconcile`](node_actor) finds the same work in the
//! state. An actor never acts on an answer: it looks at what its own replica applied.
//!
//! Architecture invariant: no domain rule of its own. What a tick becomes is decided by
//! [`domain::settling`](crate::domain::settling), who owns a task by
//! [`domain::assign`](crate::domain::assign).

mod declared;
mod execution_actor;
mod liveness;
mod news;
mod node_actor;
mod pulse;
mod shared;
mod task_actor;
mod timer;
mod wanting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::consensus::{Consensus, Event, Service};
use crate::domain::ids::SessionId;
use crate::domain::machine::command::{Command, NodeIntent};
use crate::domain::machine::envelope;
use crate::domain::machine::record::{Intent, NodeInfo};
use crate::domain::time::Millis;
use crate::exec::Exec;
use crate::life;
use crate::telemetry::metrics::Metrics;

use node_actor::{NodeActor, NodeMsg};
use shared::Shared;

pub use declared::declare;
pub use shared::{Observer, Started};

/// What the engine needs to know.
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
    /// What this node tells of itself.
    pub info: NodeInfo,
}

/// What the engine is made of.
pub struct EngineParts {
    /// Its settings.
    pub settings: EngineSettings,
    /// The log.
    pub consensus: Consensus,
    /// What happens to the state.
    pub events: mpsc::UnboundedReceiver<Event>,
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
    shared: Arc<Shared>,
    node: ActorRef<NodeMsg>,
}

/// Asking for an intent is repeated this often until the state shows it.
const INTENT_LIMIT: Duration = Duration::from_secs(1);

impl Engine {
    /// Starts the actors.
    ///
    /// # Errors
    /// If the node actor cannot be started.
    pub async fn start(parts: EngineParts) -> Result<Self, ractor::SpawnErr> {
        let events = parts.events;
        let others = parts.service;
        let (shared, timers) = Shared::new(
            parts.settings,
            parts.consensus,
            parts.clock,
            parts.exec,
            parts.metrics,
            parts.observer,
            parts.boot,
        );
        let shared = Arc::new(shared);
        let node = shared.actor(NodeActor, Arc::clone(&shared)).await?;
        life::spawn(timer::run(Arc::clone(&shared.clock), timers, node.clone()));
        life::spawn(pulse::pump(events, node.clone()));
        life::spawn(pulse::tick(node.clone()));
        life::spawn(pulse::register(Arc::clone(&shared), node.clone()));
        life::spawn(liveness::tell(Arc::clone(&shared), node.clone()));
        shared.consensus.serve(liveness::service(Arc::clone(&shared), node.clone(), others));
        Ok(Self { shared, node })
    }

    /// This process's registration; none: not yet.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.shared.session()
    }

    /// Attempts that run here.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.running()
    }

    /// When the leader last heard of each node, in milliseconds ago, as far as this node leads.
    #[must_use]
    pub fn heard(&self) -> BTreeMap<u64, u64> {
        self.shared.heard.lock().clone()
    }

    /// Gives all tasks away and waits for the running attempts, at most so long; those left are
    /// then stopped.
    pub async fn leave(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        let node = crate::domain::ids::NodeId(self.shared.consensus.id());
        let command = Command::NodeIntent(NodeIntent { node, intent: Intent::Leaving });
        let mut bytes = Vec::new();
        envelope::pack(&mut bytes, &command, "", None);
        // Without a majority nobody could take the tasks over anyway.
        let _outcome = self.shared.consensus.submit(bytes.into(), 1, INTENT_LIMIT).await;
        self.shared.drained(deadline).await;
        if self.shared.running() > 0 {
            let _stopped = self.node.send_message(NodeMsg::StopAll);
            self.shared.drained(tokio::time::Instant::now() + limit).await;
        }
    }

    /// Ends the actors.
    pub fn stop(&self) {
        self.node.stop(None);
    }
}
