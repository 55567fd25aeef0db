//! The description of an attempt, in the form that each kind of action needs.

use serde_json::{Value, json};

use super::boot::BootInstant;
use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::time::{Millis, Timestamp};

/// One granted attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedAttempt {
    /// The execution it belongs to.
    pub execution: ExecutionId,
    /// The fencing token of its grant.
    pub fence: Fence,
    /// 1 for the first.
    pub attempt: u32,
    /// The task's name.
    pub task: String,
    /// None: a trigger.
    pub tick: Option<Timestamp>,
    /// The same for all attempts of an execution.
    pub idempotency_key: String,
    /// A JSON object, as text.
    pub parameters: String,
    /// As the definition has it.
    pub payload: String,
    /// Bound of the attempt; zero: none.
    pub timeout: Millis,
    /// Between TERM and KILL.
    pub kill_grace: Millis,
    /// It does not start after this.
    pub start_by: BootInstant,
}

impl GrantedAttempt {
    /// The identity as environment variables; a trigger's tick is empty, so that scripts under
    /// `set -u` work.
    pub(super) fn environment(&self) -> [(&'static str, String); 8] {
        [
            ("PUNCTUAL_EXECUTION_ID", self.execution.to_string()),
            ("PUNCTUAL_FENCE", self.fence.to_string()),
            ("PUNCTUAL_ATTEMPT", self.attempt.to_string()),
            ("PUNCTUAL_TASK", self.task.clone()),
            ("PUNCTUAL_TICK", self.tick.map(|tick| tick.to_string()).unwrap_or_default()),
            ("PUNCTUAL_IDEMPOTENCY_KEY", self.idempotency_key.clone()),
            ("PUNCTUAL_PARAMETERS", self.parameters.clone()),
            ("PUNCTUAL_PAYLOAD", self.payload.clone()),
        ]
    }

    /// The identity as request headers; a trigger has no tick header.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("punctual-execution-id", self.execution.to_string()),
            ("punctual-fence", self.fence.to_string()),
            ("punctual-attempt", self.attempt.to_string()),
            ("punctual-task", self.task.clone()),
            ("idempotency-key", self.idempotency_key.clone()),
        ];
        headers.extend(self.tick.map(|tick| ("punctual-tick", tick.to_string())));
        headers
    }

    /// The identity with parameters and payload as a JSON object.
    pub(super) fn body(&self) -> String {
        let parameters = serde_json::from_str::<Value>(&self.parameters)
            .unwrap_or_else(|_error| Value::String(self.parameters.clone()));
        json!({
            "execution_id": self.execution.to_string(),
            "fence": self.fence.0,
            "attempt": self.attempt,
            "task": self.task,
            "tick": self.tick.map(|tick| tick.to_string()),
            "idempotency_key": self.idempotency_key,
            "parameters": parameters,
            "payload": self.payload,
        })
        .to_string()
    }
}
