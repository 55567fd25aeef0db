//! The description of an attempt, in the form that each kind of action needs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::boot::BootInstant;
use super::executor::ExecutorTarget;
use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::spec::variable;
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
    /// The name of the node that carries it out.
    pub node: String,
    /// The task's name.
    pub task: String,
    /// None: a trigger.
    pub tick: Option<Timestamp>,
    /// The execution whose end started this one.
    pub parent: Option<ParentOfAttempt>,
    /// The same for all attempts of an execution.
    pub idempotency_key: String,
    /// A JSON object, as text.
    pub parameters: String,
    /// As the definition has it.
    pub payload: String,
    /// The executor that it was given to, if the action is an executor's.
    pub executor: Option<ExecutorTarget>,
    /// Bound of the attempt; zero: none.
    pub timeout: Millis,
    /// Between TERM and KILL.
    pub kill_grace: Millis,
    /// It does not start after this.
    pub start_by: BootInstant,
}

/// The execution whose end started the one of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentOfAttempt {
    /// The name of its task.
    pub task: String,
    /// Its number.
    pub execution: ExecutionId,
    /// How it ended, in the word of the API.
    pub status: &'static str,
    /// Of its process.
    pub exit_code: Option<i32>,
    /// Why it ended so; empty where there is no more to say.
    pub reason: String,
    /// The end of its output.
    pub tail: String,
}

impl GrantedAttempt {
    /// The identity as environment variables; a trigger's tick is empty, so that scripts under
    /// `set -u` work; and so are those of the parent where a chain did not start it. Each parameter has a variable of its own beside the one with all of them.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let mut variables = parameter_variables(&self.parameters);
        let identity = [
            ("PUNCTUAL_EXECUTION_ID", self.execution.to_string()),
            ("PUNCTUAL_FENCE", self.fence.to_string()),
            ("PUNCTUAL_ATTEMPT", self.attempt.to_string()),
            ("PUNCTUAL_NODE", self.node.clone()),
            ("PUNCTUAL_TASK", self.task.clone()),
            ("PUNCTUAL_TICK", self.tick.map(|tick| tick.to_string()).unwrap_or_default()),
            ("PUNCTUAL_IDEMPOTENCY_KEY", self.idempotency_key.clone()),
            ("PUNCTUAL_PARAMETERS", self.parameters.clone()),
            ("PUNCTUAL_PAYLOAD", self.payload.clone()),
        ];
        let parent = self.parent.as_ref();
        let of_parent = [
            ("TASK", parent.map(|parent| parent.task.clone())),
            ("EXECUTION_ID", parent.map(|parent| parent.execution.to_string())),
            ("STATUS", parent.map(|parent| parent.status.to_owned())),
            ("EXIT_CODE", parent.and_then(|parent| Some(parent.exit_code?.to_string()))),
            ("REASON", parent.map(|parent| parent.reason.replace('\0', ""))),
            ("TAIL", parent.map(|parent| parent.tail.replace('\0', ""))),
        ];
        variables.extend(
            of_parent.map(|(name, value)| {
                (format!("PUNCTUAL_PARENT_{name}"), value.unwrap_or_default())
            }),
        );
        variables.extend(identity.map(|(name, value)| (name.to_owned(), value)));
        variables
    }

    /// The identity as request headers; a trigger has no tick header.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("punctual-execution-id", self.execution.to_string()),
            ("punctual-fence", self.fence.to_string()),
            ("punctual-attempt", self.attempt.to_string()),
            ("punctual-node", self.node.clone()),
            ("punctual-task", self.task.clone()),
            ("idempotency-key", self.idempotency_key.clone()),
        ];
        headers.extend(self.tick.map(|tick| ("punctual-tick", tick.to_string())));
        if let Some(parent) = &self.parent {
            headers.push(("punctual-parent-task", parent.task.clone()));
            headers.push(("punctual-parent-execution-id", parent.execution.to_string()));
            headers.push(("punctual-parent-status", parent.status.to_owned()));
            let code = parent.exit_code.map(|code| ("punctual-parent-exit-code", code.to_string()));
            headers.extend(code);
        }
        headers
    }

    /// The identity with parameters and payload as a JSON object.
    pub(super) fn body(&self) -> String {
        self.json().to_string()
    }

    /// The same as a value.
    pub(super) fn json(&self) -> Value {
        let parameters = serde_json::from_str::<Value>(&self.parameters)
            .unwrap_or_else(|_error| Value::String(self.parameters.clone()));
        json!({
            "execution_id": self.execution.to_string(),
            "fence": self.fence.0,
            "attempt": self.attempt,
            "node": self.node,
            "task": self.task,
            "tick": self.tick.map(|tick| tick.to_string()),
            "parent": self.parent.as_ref().map(|parent| json!({
                "task": parent.task,
                "execution_id": parent.execution.to_string(),
                "status": parent.status,
                "exit_code": parent.exit_code,
                "reason": parent.reason,
                "tail": parent.tail,
            })),
            "idempotency_key": self.idempotency_key,
            "parameters": parameters,
            "payload": self.payload,
        })
    }
}

/// A variable for each parameter. Text is as it is, null is empty, other values are JSON. Of
/// parameters whose variables would have one name, the first by name has it. Text with a zero byte
/// cannot be a variable (definitions and triggers of commands refuse it), and is found in
/// `PUNCTUAL_PARAMETERS` only.
fn parameter_variables(parameters: &str) -> BTreeMap<String, String> {
    let named = serde_json::from_str::<BTreeMap<String, Value>>(parameters).unwrap_or_default();
    let mut variables = BTreeMap::new();
    for (name, value) in named {
        let value = match value {
            Value::Null => String::new(),
            Value::String(text) if text.contains('\0') => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        variables.entry(variable(&name)).or_insert(value);
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_has_a_variable_of_its_own() {
        let parameters = json!({
            "table": "orders", "batch-size": 12, "batch.size": 13, "größe": 1, "none": null,
            "full": true, "list": [1, "b"], "part": "a\u{0}b", "": "nameless",
        });
        let variables = parameter_variables(&parameters.to_string());
        let expected = [
            ("PUNCTUAL_PARAMETER_", "nameless"),
            ("PUNCTUAL_PARAMETER_BATCH_SIZE", "12"),
            ("PUNCTUAL_PARAMETER_FULL", "true"),
            ("PUNCTUAL_PARAMETER_GR__E", "1"),
            ("PUNCTUAL_PARAMETER_LIST", "[1,\"b\"]"),
            ("PUNCTUAL_PARAMETER_NONE", ""),
            ("PUNCTUAL_PARAMETER_TABLE", "orders"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, BTreeMap::from(expected));
    }
}
