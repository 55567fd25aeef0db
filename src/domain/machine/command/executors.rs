//! The bodies of the commands about executors, and about the attempts that they carry out.

use serde::{Deserialize, Serialize};

use crate::domain::executor::{ExecutorInfo, ExecutorStatus};
use crate::domain::ids::{ExecutionId, Fence, Revision, SessionId, TaskKey};
use crate::domain::time::Timestamp;

/// Registers an executor, or renews its registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutExecutor {
    /// What it tells of itself.
    pub info: ExecutorInfo,
}

/// A command about one executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfExecutor {
    /// Its id.
    pub id: String,
}

/// What the prober of an executor found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorLiveness {
    /// Its id.
    pub id: String,
    /// The revision that the prober saw.
    pub revision: Revision,
    /// The last renewal that it saw.
    pub renewed_at: Timestamp,
    /// Whether it answers.
    pub online: bool,
    /// What was found, for people.
    pub reason: String,
}

/// An operator changes the status of an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetExecutorStatus {
    /// Its id.
    pub id: String,
    /// To this.
    pub status: ExecutorStatus,
    /// For people.
    pub reason: String,
    /// The revision that the caller saw.
    pub if_match: Option<Revision>,
}

/// Grants an attempt that an executor carries out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartOn {
    /// Of this task.
    pub task: TaskKey,
    /// This execution.
    pub execution: ExecutionId,
    /// To this session, which asks the executor.
    pub session: SessionId,
    /// The executor's id.
    pub executor: String,
    /// Its own grant that it could not use in time.
    pub again: Option<Fence>,
}

/// Ends an attempt that could not be granted as failed. What waits for a further one may get it, as
/// the retry policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailPending {
    /// Of this task.
    pub task: TaskKey,
    /// This execution, which waits.
    pub execution: ExecutionId,
    /// The proposer.
    pub session: SessionId,
    /// A reason word of the contract.
    pub reason: String,
}
