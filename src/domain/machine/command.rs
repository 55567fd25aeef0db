//! The log's vocabulary. A kind has a number that is given once and never reused, and its meaning
//! never changes: a change is a new kind.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{ExecutionId, Fence, NodeId, Revision, SessionId, TaskKey};
use crate::domain::schedule::calendar::Calendar;
use crate::domain::task::{Strategy, TaskSpec};
use crate::domain::time::Timestamp;

use super::store::codec::{CONFIG, append};
use super::task::record::{Reason, Report, Trigger, Verdict};
use super::versions::{self, LEVEL};
pub use backfill::{Backfill, CancelBackfill};
pub use executors::{
    ExecutorLiveness, FailPending, OfExecutor, PutExecutor, SetExecutorStatus, StartOn,
};
pub use files::{Declare, DeclaredObject, FilesRead, FilesStep};
pub use nodes::{NodeFunctions, NodeIntent, NodeJoin, NodeLiveness, NodePatch, NodeUp, OfNode};

mod backfill;
mod executors;
mod files;
mod nodes;

/// How a put treats what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutMode {
    /// The name must be free, or its task over.
    Add,
    /// Whatever is there is replaced by a new incarnation.
    Force,
    /// The task must be there; cursor and history stay.
    Update {
        /// The revision that the caller saw.
        if_match: Option<Revision>,
    },
}

/// A stretch up to `to` and what its ticks become; it begins where the one before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleSpan {
    /// Inclusive end.
    pub to: Timestamp,
    /// Not `Fired`.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// How many ticks, if counted.
    pub count: Option<u64>,
}

/// The tick that fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The tick.
    pub tick: Timestamp,
    /// Tick plus jitter.
    pub due: Timestamp,
    /// On time, late, or by a caller.
    pub trigger: Trigger,
    /// Whether the proposer's session takes the first attempt with it.
    pub start: bool,
}

/// Decides ticks and moves the cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// Of this task.
    pub task: TaskKey,
    /// As the proposer saw it.
    pub revision: Revision,
    /// The newest revision of the calendars that the task leaves out, as the proposer saw them; 0: it
    /// leaves out none.
    pub calendars: Revision,
    /// The proposer.
    pub session: SessionId,
    /// Its cluster time.
    pub now: Timestamp,
    /// The later of cursor and floor.
    pub after: Timestamp,
    /// What does not fire, in order.
    pub spans: Vec<SettleSpan>,
    /// What fires, after all of it.
    pub claim: Option<Claim>,
    /// No tick is left after this.
    pub exhausted: bool,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The first command of a cluster.
    Genesis(Genesis),
    /// Creates, replaces or changes a task.
    Put(Box<Put>),
    /// Sets the deleted mark.
    MarkDeleted(MarkDeleted),
    /// Takes the deleted mark away.
    Reuse(Named),
    /// Removes all that is known of a name.
    Cleanup(Named),
    /// Removes some of all tasks.
    CleanupAll(CleanupAll),
    /// Holds a task's ticks.
    Pause(PauseTask),
    /// Lets them go on.
    Resume(Named),
    /// Ends what waits of a task, and holds its ticks until somebody resumes it.
    Cancel(Named),
    /// An execution now.
    TriggerTask(TriggerTask),
    /// A new execution of what an ended one did.
    Retry(OfExecution),
    /// Ends an execution.
    Stop(OfExecution),
    /// Takes a failed execution off the list of what needs a look.
    Dismiss(OfExecution),
    /// Decides ticks.
    Settle(Settle),
    /// Grants an attempt.
    Start(Start),
    /// Gives a grant back that was not used.
    Return(OfFence),
    /// Reports the end of an attempt.
    Finish(Box<Finish>),
    /// Ends an attempt that nobody will report.
    Lose(OfFence),
    /// Registers a node process.
    NodeUp(Box<NodeUp>),
    /// The leader's view of a node.
    NodeLiveness(NodeLiveness),
    /// What is meant to become of a node.
    NodeIntent(NodeIntent),
    /// Changes a node's weight, slots or labels.
    NodePatch(NodePatch),
    /// Ends the membership of a node. Its Raft id never comes back.
    NodeRemove(OfNode),
    /// Starts or stops claiming ticks.
    Scheduler(SetScheduler),
    /// Takes an idempotency key for a request of several commands.
    TakeKey(TakeKey),
    /// Makes or changes a calendar.
    PutCalendar(Box<PutCalendar>),
    /// Removes a calendar that no task leaves out.
    DeleteCalendar(Named),
    /// Registers an executor, or renews its registration.
    PutExecutor(Box<PutExecutor>),
    /// An executor says that it works.
    ExecutorHeartbeat(OfExecutor),
    /// What the prober of an executor found.
    ExecutorLiveness(ExecutorLiveness),
    /// An operator changes the status of an executor.
    ExecutorStatus(SetExecutorStatus),
    /// Removes an executor.
    DeleteExecutor(Named),
    /// Grants an attempt that an executor carries out.
    StartOn(StartOn),
    /// The executor of an attempt has accepted it.
    Accept(OfFence),
    /// Ends an attempt that could not be granted.
    Fail(FailPending),
    /// Changes how tasks are given to nodes.
    SetStrategy(StrategyChange),
    /// Takes a node into the cluster. The membership of the log follows.
    NodeJoin(Box<NodeJoin>),
    /// The node that joined is registered and has its vote.
    NodeJoined(OfNode),
    /// A node tells what it read in its files.
    FilesRead(FilesRead),
    /// Makes a task or a calendar what files say.
    Declare(Box<Declare>),
    /// A running node tells which functions it has now.
    NodeFunctions(NodeFunctions),
    /// Gives parts of the names, or single tasks, to nodes.
    Assign(Assign),
    /// Executions for ticks of a past range.
    Backfill(Box<Backfill>),
    /// No more executions for ticks of a past range.
    CancelBackfill(CancelBackfill),
}

/// Names the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Minted by the initialising node.
    pub id: u128,
    /// From its configuration.
    pub name: String,
    /// Default zone.
    pub timezone: String,
    /// Whether the scheduler begins started.
    pub scheduler: bool,
    /// The key of callback addresses, minted by the initialising node.
    pub callback_key: u128,
}

/// Creates, replaces or changes a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// How.
    pub mode: PutMode,
    /// To this.
    pub spec: TaskSpec,
}

/// Sets the deleted mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkDeleted {
    /// Of this name.
    pub name: String,
    /// Running executions are stopped.
    pub stop: bool,
    /// Leaves a mark even where there is no task.
    pub tombstone: bool,
    /// The revision that the caller saw.
    pub if_match: Option<Revision>,
}

/// A command about one name: a task's, or a calendar's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The revision that the caller saw.
    pub if_match: Option<Revision>,
}

/// Removes all tasks, some slots of the table at a time, and with the last of them the calendars: so
/// no command takes long. The answer says how to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupAll {
    /// Must be this cluster's name.
    pub cluster: String,
    /// The slot to go on from.
    pub from: u32,
    /// What came later stays; none: what came before this command goes.
    pub upto: Option<Revision>,
}

/// Holds a task's ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseTask {
    /// The task's name.
    pub name: String,
    /// For people.
    pub reason: String,
    /// It ends by itself.
    pub until: Option<Timestamp>,
    /// The revision that the caller saw.
    pub if_match: Option<Revision>,
}

/// An execution now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerTask {
    /// The task's name.
    pub name: String,
    /// The merged JSON object; none: the task's own.
    pub parameters: Option<String>,
}

/// A command about one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfExecution {
    /// Of this task.
    pub task: TaskKey,
    /// This one.
    pub execution: ExecutionId,
}

/// Grants an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Of this task.
    pub task: TaskKey,
    /// This execution.
    pub execution: ExecutionId,
    /// To this session.
    pub session: SessionId,
    /// Its own grant that it could not use in time.
    pub again: Option<Fence>,
}

/// A command about one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfFence {
    /// Of this task.
    pub task: TaskKey,
    /// This execution.
    pub execution: ExecutionId,
    /// This grant.
    pub fence: Fence,
}

/// Reports the end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// Of this task.
    pub task: TaskKey,
    /// This execution.
    pub execution: ExecutionId,
    /// This grant.
    pub fence: Fence,
    /// How it ended.
    pub report: Report,
}

/// Starts or stops claiming ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetScheduler {
    /// Started?
    pub on: bool,
}

/// Changes how the tasks that name no strategy are given to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyChange {
    /// From now on.
    pub strategy: Strategy,
}

/// The choices of strategies that the leader proposes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assign {
    /// For `range`, in place of all parts before: the first name of each part, in their order, and
    /// the node of the part. The first part begins with the empty name.
    Parts(Vec<(String, NodeId)>),
    /// Of a strategy of the embedding program: tasks by name, and the node of each; none: it chooses
    /// no node any more. Tasks that are not among them keep what they have.
    Choices(Vec<(String, Option<NodeId>)>),
}

/// Changes nothing. Its key then stands for that request; the commands of the request follow under
/// keys of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeKey;

/// Makes or changes a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutCalendar {
    /// To this.
    pub calendar: Calendar,
    /// The revision that the caller saw.
    pub if_match: Option<Revision>,
    /// A hash of what a node's settings say, where they are who asks.
    pub source: Option<u128>,
}

/// A command that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A later version knows it.
    #[error(
        "command kind {0}; this software, of level {LEVEL}, knows kinds up to {last}",
        last = Command::LAST_KIND
    )]
    UnknownKind(u16),
    /// A later version wrote the entry.
    #[error("an entry of version {found}; this software reads version {known}", known = versions::ENTRY)]
    Version {
        /// The version that the entry says.
        found: u8,
    },
    /// Its body does not decode.
    #[error("command kind {0}: {1}")]
    Body(u16, String),
    /// The entry's frame does not.
    #[error("entry: {0}")]
    Entry(&'static str),
}

impl DecodeError {
    /// Whether the bytes are those of a later version, not damaged ones.
    #[must_use]
    pub const fn is_of_later_version(&self) -> bool {
        matches!(self, Self::UnknownKind(_) | Self::Version { .. })
    }
}

macro_rules! kinds {
    ($($number:literal $variant:ident),* $(,)?) => {
        impl Command {
            /// The highest number of a kind.
            const LAST_KIND: u16 = {
                let (mut last, mut at) = (0, 0);
                while at < Self::KINDS.len() {
                    if Self::KINDS[at].0 > last {
                        last = Self::KINDS[at].0;
                    }
                    at += 1;
                }
                last
            };

            /// The number of this kind.
            #[must_use]
            pub const fn kind(&self) -> u16 {
                match self { $(Self::$variant(_) => $number,)* }
            }

            /// The number and its name, for every kind.
            pub const KINDS: &[(u16, &str)] = &[$(($number, stringify!($variant)),)*];

            /// Appends the body.
            pub fn encode_body(&self, out: &mut Vec<u8>) {
                match self { $(Self::$variant(body) => append(body, out),)* }
            }

            /// Reads a body.
            ///
            /// # Errors
            /// An unknown kind, or bytes that are not a body of it.
            pub fn decode(kind: u16, body: &[u8]) -> Result<Self, DecodeError> {
                match kind {
                    $($number => read(kind, body).map(Self::$variant),)*
                    _ => Err(DecodeError::UnknownKind(kind)),
                }
            }
        }
    };
}

kinds! {
    1 Genesis, 2 Put, 3 MarkDeleted, 4 Reuse, 5 Cleanup, 6 CleanupAll, 7 Pause, 8 Resume,
    9 TriggerTask, 10 Retry, 11 Stop, 12 Settle, 13 Start, 14 Return, 15 Finish, 16 Lose,
    17 NodeUp, 18 NodeLiveness, 19 NodeIntent, 20 NodePatch, 21 Scheduler,
    22 TakeKey, 23 Dismiss, 24 NodeRemove,
    25 PutCalendar, 26 DeleteCalendar, 27 Cancel,
    28 PutExecutor, 29 ExecutorHeartbeat, 30 ExecutorLiveness, 31 ExecutorStatus,
    32 DeleteExecutor, 33 StartOn, 34 Accept, 35 Fail,
    36 SetStrategy,
    37 NodeJoin, 38 NodeJoined,
    39 Declare, 40 FilesRead,
    41 NodeFunctions,
    42 Backfill,
    43 Assign,
    44 CancelBackfill,
}

impl Command {
    /// The number of [`Command::Settle`].
    pub const SETTLE: u16 = 12;
    /// The number of [`Command::Finish`].
    pub const FINISH: u16 = 15;
    const LOSE: u16 = 16;
    /// The number of [`Command::StartOn`].
    pub const START_ON: u16 = 33;
    const FAIL: u16 = 35;
    /// The number of [`Command::Backfill`].
    pub const BACKFILL: u16 = 42;

    /// The task of a command about ticks or attempts, without reading the rest of it: all of these
    /// begin with it.
    pub(super) fn task(kind: u16, body: &[u8]) -> Option<TaskKey> {
        let about_task = (Self::SETTLE..=Self::LOSE).contains(&kind)
            || (Self::START_ON..=Self::FAIL).contains(&kind);
        if !about_task {
            return None;
        }
        let (key, _) = bincode::serde::decode_from_slice(body, CONFIG).ok()?;
        Some(key)
    }
}

fn read<T: DeserializeOwned>(kind: u16, body: &[u8]) -> Result<T, DecodeError> {
    match bincode::serde::decode_from_slice(body, CONFIG) {
        Ok((value, used)) if used == body.len() => Ok(value),
        Ok(_) => Err(DecodeError::Body(kind, "bytes left over".to_owned())),
        Err(error) => Err(DecodeError::Body(kind, error.to_string())),
    }
}
