//! What many tests do with tasks and executions.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Api, TestResult, items, text, until};

/// An action that runs a script.
#[must_use]
pub fn shell(script: &str) -> Value {
    json!({"shell": {"argv": ["sh", "-c", script]}})
}

/// A task with these fields too.
#[must_use]
pub fn with(mut task: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (task.as_object_mut(), more) {
        fields.extend(more);
    }
    task
}

/// What actions wrote to a file, by line and word. A missing file has no lines.
#[must_use]
pub fn noted(notes: &Path) -> Vec<Vec<String>> {
    let notes = std::fs::read_to_string(notes).unwrap_or_default();
    notes.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

impl Api {
    /// Adds a task.
    ///
    /// # Errors
    /// It is refused.
    pub async fn add(&self, task: &Value) -> TestResult<()> {
        self.post("/api/v1/tasks", task).await.map(|_made| ())
    }

    /// Triggers a task with these parameters, and gives the id of the execution.
    ///
    /// # Errors
    /// It is refused.
    pub async fn trigger(&self, task: &str, parameters: &Value) -> TestResult<String> {
        let body = json!({ "parameters": parameters });
        let made = self.post(&format!("/api/v1/tasks/{task}/trigger"), &body).await?;
        Ok(text(&made, "id").to_owned())
    }

    /// Waits until an execution is as wanted.
    ///
    /// # Errors
    /// It is not in time.
    pub async fn execution_when(
        &self,
        id: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> TestResult<Value> {
        until(&format!("execution {id}"), async || {
            let execution = self.get(&format!("/api/v1/executions/{id}")).await?;
            if wanted(&execution) { Ok(execution) } else { Err(execution.to_string().into()) }
        })
        .await
    }

    /// Waits until an execution has a status.
    ///
    /// # Errors
    /// It has another one.
    pub async fn execution(&self, id: &str, status: &str) -> TestResult<Value> {
        let ended = self.execution_when(id, |one| text(one, "status") == status).await;
        ended.map_err(|error| format!("not {status}: {error}").into())
    }

    /// Waits until no execution waits or runs.
    ///
    /// # Errors
    /// One does not end in time.
    pub async fn all_ended(&self) -> TestResult<()> {
        until("all executions to end", async || {
            for status in ["pending", "running"] {
                let path = format!("/api/v1/executions?status={status}&limit=3");
                let live = self.get(&path).await?;
                if !items(&live).is_empty() {
                    return Err(live.to_string().into());
                }
            }
            Ok(())
        })
        .await
    }
}
