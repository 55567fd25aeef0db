//! What a user defines: a task with its schedule, action and policies, in canonical form.
//!
//! The fields and their defaults are those of the HTTP body; the log and the state carry this
//! struct. Reading and checking the body is the work of `spec`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::schedule::Schedule;
use crate::domain::time::Millis;

/// The most executions of one task that may be live, whatever its definition says.
pub const MAX_LIVE_MAX: u32 = 10_000;
/// The highest priority; the lowest is 0.
pub const PRIORITY_MAX: u8 = 9;

/// A task's definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The task's identity.
    pub name: String,
    /// For people.
    pub description: String,
    /// For selectors.
    pub labels: BTreeMap<String, String>,
    /// Whether its ticks fire.
    pub enabled: bool,
    /// When.
    pub schedule: Schedule,
    /// What; none: the function of the task's name, or executors that declared it.
    pub action: Option<Action>,
    /// A JSON object, as compact text with sorted keys.
    pub parameters: String,
    /// Handed to every attempt as it stands.
    pub payload: String,
    /// What a tick does while an execution of the task has not ended.
    pub execution_mode: ExecutionMode,
    /// Executions that have not ended, in every mode.
    pub max_live: u32,
    /// Waiting executions in `sequential`.
    pub queue_max: u32,
    /// A limit shared by the tasks that name its group.
    pub concurrency: Option<Concurrency>,
    /// 9 goes first.
    pub priority: u8,
    /// What becomes of late ticks.
    pub catch_up: CatchUp,
    /// Whether ticks during a pause are late rather than skipped.
    pub catch_up_on_resume: bool,
    /// Whether an attempt of unknown outcome is made again.
    pub delivery: Delivery,
    /// Bound of one attempt; zero: none.
    pub timeout: Millis,
    /// Between TERM and KILL.
    pub kill_grace: Millis,
    /// A silent owner's attempts end after this.
    pub lost_after: Millis,
    /// For failures that are known.
    pub retry: Retry,
    /// Who may own it.
    pub assignment: Assignment,
    /// How much history is kept.
    pub keep: Keep,
    /// The tasks that the end of an execution starts.
    pub then: Chains,
    /// What the end of an execution of a tick does to the task.
    pub after_run: AfterRun,
    /// One claim completes the task.
    pub one_shot: bool,
}

/// What an execution does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// An HTTP request.
    Http(HttpAction),
    /// A process.
    Shell(ShellAction),
    /// A worker service that registered.
    Executor(ExecutorAction),
    /// A function of the embedding program.
    Func {
        /// The name under which it was registered.
        id: String,
    },
}

/// An HTTP request; any expected status is a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAction {
    /// Absolute, `http` or `https`.
    pub url: String,
    /// Upper case.
    pub method: String,
    /// Sent as they stand, references resolved.
    pub headers: BTreeMap<String, String>,
    /// None: a JSON object that describes the attempt.
    pub body: Option<String>,
    /// Inclusive ranges of status codes.
    pub expect_status: Vec<(u16, u16)>,
    /// Bound of the making of the connection: name, TCP and TLS. Beyond it the attempt has failed.
    pub connect_timeout: Millis,
}

/// A process; exit code 0 is a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellAction {
    /// Program and arguments; no shell in between.
    pub argv: Vec<String>,
    /// Added to the attempt's identity variables.
    pub env: BTreeMap<String, String>,
    /// None: the home of `user`, without `user` the node's folder `work`.
    pub cwd: Option<String>,
    /// Written to standard input.
    pub stdin: String,
    /// Run as this user: only where the node runs as root, or as that user.
    pub user: Option<String>,
}

/// Which registered executors, and how one is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorAction {
    /// The choice among online executors.
    pub balance: String,
    /// Only these; empty: those that declared the task.
    pub names: Vec<String>,
    /// Shares by executor id.
    pub weights: BTreeMap<String, u32>,
}

/// What a tick does while an execution of the task has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutionMode {
    /// Runs beside it.
    #[default]
    Parallel,
    /// Is skipped.
    Skip,
    /// Waits in order.
    Sequential,
    /// Takes its place.
    Replace,
}

/// A shared limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// Its name.
    pub group: String,
    /// Executions at once.
    pub limit: u32,
}

/// What becomes of ticks that are older than `failover_timeout` when they are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp {
    /// Which of them fire.
    pub policy: CatchUpPolicy,
    /// Older ones never fire.
    pub window: Millis,
    /// `all` fires at most so many, the newest.
    pub max: u32,
}

/// Which late ticks fire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatchUpPolicy {
    /// The newest, unless an on-time tick stands for them all.
    #[default]
    Last,
    /// Each, in order.
    All,
    /// None.
    None,
}

/// Whether an attempt of unknown outcome is made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// No.
    #[default]
    AtMostOnce,
    /// Yes, with the same idempotency key.
    AtLeastOnce,
}

/// Attempts after a known failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts after the first.
    pub max_retry: u32,
    /// Before the first retry.
    pub delay: Millis,
    /// How the delay grows.
    pub backoff: Backoff,
    /// It grows to this.
    pub max_delay: Millis,
    /// At most this is added, a fixed part of it for each retry.
    pub jitter: Millis,
}

/// How a retry delay grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// Not.
    Fixed,
    /// It doubles.
    #[default]
    Exponential,
}

/// Who may own a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// None: the cluster's.
    pub strategy: Option<Strategy>,
    /// Labels that the owner must have.
    pub selector: BTreeMap<String, String>,
}

/// How tasks are given to nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Strategy {
    /// Rendezvous hashing: least movement.
    #[default]
    Consistent,
    /// Hash of the name modulo the nodes.
    HashSharding,
    /// 16,384 slots.
    HashSlot,
    /// Contiguous ranges of names.
    Range,
    /// In proportion to weights.
    Weighted,
    /// By task sequence number.
    RoundRobin,
    /// By a strategy of the embedding program.
    Custom,
}

/// How much history is kept of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Ended executions.
    pub executions: u32,
    /// Fired ticks, and as many spans.
    pub ticks: u32,
    /// Older ones go.
    pub age: Millis,
}

/// The tasks that the end of an execution starts, by name, for each way to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chains {
    /// It succeeded.
    pub success: Vec<String>,
    /// It failed.
    pub failure: Vec<String>,
    /// What became of it is unknown.
    pub lost: Vec<String>,
    /// It took too long.
    pub timeout: Vec<String>,
    /// It succeeded, and the one before it did not.
    pub recovered: Vec<String>,
}

impl Chains {
    /// Each name with what it is named for.
    pub fn names(&self) -> impl Iterator<Item = (ChainCondition, &str)> {
        let Self { success, failure, lost, timeout, recovered } = self;
        let lists = [success, failure, lost, timeout, recovered];
        let all = ChainCondition::ALL.into_iter().zip(lists);
        all.flat_map(|(condition, names)| names.iter().map(move |name| (condition, name.as_str())))
    }
}

/// The end of an execution for which a task is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainCondition {
    /// It succeeded.
    Success,
    /// It failed.
    Failure,
    /// What became of it is unknown.
    Lost,
    /// It took too long.
    Timeout,
    /// It succeeded, and the one before it did not.
    Recovered,
}

impl ChainCondition {
    /// All of them, as [`Chains`] has their lists.
    pub const ALL: [Self; 5] =
        [Self::Success, Self::Failure, Self::Lost, Self::Timeout, Self::Recovered];

    /// How every interface names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Lost => "lost",
            Self::Timeout => "timeout",
            Self::Recovered => "recovered",
        }
    }
}

/// What the end of an execution of a tick does to its task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AfterRun {
    /// Nothing.
    #[default]
    Keep,
    /// Marks it deleted.
    MarkDeleted,
    /// Removes it with its history.
    Cleanup,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self { policy: CatchUpPolicy::Last, window: Millis::from_secs(3_600), max: 100 }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_retry: 0,
            delay: Millis::from_secs(1),
            backoff: Backoff::Exponential,
            max_delay: Millis::from_secs(30),
            jitter: Millis(0),
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        Self { executions: 100, ticks: 1_000, age: Millis::from_secs(30 * 86_400) }
    }
}

impl TaskSpec {
    /// Whether its executions stand in a line: the task's own, or that of a group.
    #[must_use]
    pub fn lined(&self) -> bool {
        self.execution_mode != ExecutionMode::Parallel || self.concurrency.is_some()
    }

    /// A task with every default of the contract.
    #[must_use]
    pub fn new(name: impl Into<String>, schedule: Schedule, action: Option<Action>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            labels: BTreeMap::new(),
            enabled: true,
            schedule,
            action,
            parameters: "{}".to_owned(),
            payload: String::new(),
            execution_mode: ExecutionMode::Parallel,
            max_live: 1_000,
            queue_max: 100,
            concurrency: None,
            priority: 5,
            catch_up: CatchUp::default(),
            catch_up_on_resume: false,
            delivery: Delivery::AtMostOnce,
            timeout: Millis(0),
            kill_grace: Millis::from_secs(5),
            lost_after: Millis::from_secs(10),
            retry: Retry::default(),
            assignment: Assignment::default(),
            keep: Keep::default(),
            then: Chains::default(),
            after_run: AfterRun::Keep,
            one_shot: false,
        }
    }
}
