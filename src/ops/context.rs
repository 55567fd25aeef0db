//! What the routes are given: the parts of the node, and views of its state.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Secret;
use crate::consensus::{Consensus, ProposalAnswers};
use crate::domain::assign::Members;
use crate::domain::assign::custom::OwnStrategy;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::NodeId;
use crate::domain::machine::envelope::{self, IdempotencyKey};
use crate::domain::machine::{Answer, Command, Refusal, State, Task};
use crate::domain::spec::ReadContext;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::Engine;
use crate::exec::Exec;
use crate::telemetry::metrics::Metrics;

use super::changes;
use super::limits::{INDEX_LIMIT, READ_LIMIT, UNLED_READ_LIMIT, WRITE_LIMIT};
use crate::ops::error::OpError;
use crate::ops::files::NodeFiles;
use crate::ops::kept::KeptTasks;
use crate::ops::overview::KeptOverview;
use crate::ops::scans::Scans;
use crate::ops::streams::Streams;

/// Who the log says sent what came by this interface, as long as there are no tokens.
pub(super) const PRINCIPAL: &str = "api";

/// What the routes are given.
pub struct Context {
    /// Consensus and engine, once they run.
    pub running: OnceLock<RunningParts>,
    /// For the output of attempts.
    pub exec: Arc<Exec>,
    /// Cluster time.
    pub clock: Arc<dyn Clock>,
    /// The page of `/metrics`.
    pub metrics: Metrics,
    /// What the start waits for, as a sentence.
    pub progress: watch::Receiver<String>,
    /// Limits the scans of the state that run at once.
    pub scans: Scans,
    /// Places for streams.
    pub streams: Streams,
    /// What the web page shows first.
    pub overview: KeptOverview,
    /// What is known of all tasks together.
    pub kept: KeptTasks,
    /// The files that this node reads.
    pub files: NodeFiles,
    /// What the routes need to know.
    pub settings: ApiSettings,
}

/// The parts that are there once the node found its cluster.
pub struct RunningParts {
    /// The replicated log.
    pub consensus: Consensus,
    /// What acts on it.
    pub engine: Engine,
}

/// What the routes need to know.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// How this node is called: `n1`.
    pub node_name: String,
    /// Of the software.
    pub version: &'static str,
    /// The shortest interval of a schedule.
    pub min_interval: Millis,
    /// No start happens later than this after its grant was proposed.
    pub dispatch_ttl: Millis,
    /// Whether this node carries out functions of an embedding program.
    pub functions_allowed: bool,
    /// The strategy of the embedding program.
    pub strategy: Option<OwnStrategy>,
    /// Whether only this machine reaches the API.
    pub loopback: bool,
    /// Tasks that have metrics of their own.
    pub task_series: usize,
    /// The secret for the signatures of callbacks. None: they are not signed.
    pub executor_secret: Option<Secret>,
    /// What the routes of `bench` measure. None: these routes are closed.
    pub bench: Option<super::Starts>,
}

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Freshness {
    /// What this node has applied is enough.
    pub stale: bool,
    /// At least this index.
    pub min_index: Option<u64>,
}

impl Context {
    /// Consensus and engine.
    ///
    /// # Errors
    /// `no_leader` as long as the node looks for its cluster.
    pub(crate) fn running(&self) -> Result<&RunningParts, OpError> {
        self.running.get().ok_or_else(|| OpError::no_leader(self.progress.borrow().clone()))
    }

    /// The state, as fresh as asked for.
    ///
    /// # Errors
    /// `no_leader`, `index_not_reached`.
    pub(crate) async fn view(&self, fresh: Freshness) -> Result<StateView, OpError> {
        let consensus = &self.running()?.consensus;
        let limit =
            if consensus.no_leader_reason().is_some() { UNLED_READ_LIMIT } else { READ_LIMIT };
        if !fresh.stale && !consensus.read_barrier(limit).await {
            return Err(self.unled("no leader confirmed the read in time"));
        }
        if let Some(index) = fresh.min_index
            && !consensus.replica().reach(index, INDEX_LIMIT).await
        {
            let applied = consensus.replica().applied();
            let why = format!("this node has applied {applied}, not yet {index}");
            return Err(OpError::new(ErrorCode::IndexNotReached, why));
        }
        self.here()
    }

    /// The state as this node has it.
    ///
    /// # Errors
    /// `no_leader` as long as the node looks for its cluster.
    pub(crate) fn here(&self) -> Result<StateView, OpError> {
        let consensus = &self.running()?.consensus;
        let state = consensus.replica().frozen();
        let members = Members::of(&state);
        Ok(StateView { members, now: self.clock.now(), own: NodeId(consensus.id()), state })
    }

    /// Proposes one command and waits for its answer.
    ///
    /// # Errors
    /// A refusal, `not_accepted`, `outcome_unknown`.
    pub(crate) async fn submit(
        &self,
        command: &Command,
        key: Option<IdempotencyKey<'_>>,
    ) -> Result<Result<Answer, Refusal>, OpError> {
        let mut commands = Vec::new();
        envelope::pack(&mut commands, command, PRINCIPAL, key);
        let answered = self.propose(commands.into(), 1).await?;
        let response = answered.responses.into_iter().next();
        let response = response.ok_or_else(|| OpError::internal("a command was not answered"))?;
        if response.is_ok() {
            changes::log(changes::line(command));
        }
        Ok(response)
    }

    /// Proposes packed commands and waits for their answers.
    ///
    /// # Errors
    /// `not_accepted`, `outcome_unknown`.
    pub(crate) async fn propose(
        &self,
        commands: Bytes,
        count: usize,
    ) -> Result<ProposalAnswers, OpError> {
        let consensus = &self.running()?.consensus;
        let outcome = consensus.submit(commands, count, WRITE_LIMIT).await;
        outcome.map_err(|error| match consensus.no_leader_reason() {
            Some(unled) => OpError::from(error).because(OpError::unled(&unled)),
            None => error.into(),
        })
    }

    /// `no_leader`: what was not done for want of one, and if no leader serves this node, why.
    pub(crate) fn unled(&self, what: &str) -> OpError {
        let problem = OpError::no_leader(what);
        match self.running.get().and_then(|running| running.consensus.no_leader_reason()) {
            Some(unled) => problem.because(OpError::unled(&unled)),
            None => problem,
        }
    }
}

/// A frozen state, and what is asked of it together with it.
#[derive(Clone, Debug)]
pub(crate) struct StateView {
    /// The state.
    pub state: State,
    /// Who may own tasks in it.
    pub members: Members,
    /// Cluster time.
    pub now: Timestamp,
    /// This node.
    pub own: NodeId,
}

impl StateView {
    /// A task, marked deleted or not.
    ///
    /// # Errors
    /// `task_not_found`.
    pub fn task(&self, name: &str) -> Result<&Arc<Task>, OpError> {
        self.state.named(name).ok_or_else(|| OpError::from(Refusal::TaskNotFound))
    }

    /// The zone of schedules that name none.
    pub fn zone(&self) -> &str {
        &self.state.cluster().timezone
    }

    /// What reading a task's body needs to know.
    pub fn reading(&self, settings: &ApiSettings) -> ReadContext<'_> {
        // Any node may be asked, whichever has the functions.
        let functions = self.state.nodes().any(|node| !node.info.functions.is_empty());
        ReadContext {
            default_zone: self.zone(),
            now: self.now,
            min_interval: settings.min_interval,
            functions_allowed: settings.functions_allowed || functions,
            custom_strategy: settings.strategy.is_some(),
            current: None,
            settled: self.state.cluster().floor,
            calendars: Some(&self.state),
        }
    }
}
