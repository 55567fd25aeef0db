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
                let live = self.live(status).await?;
                if !items(&live).is_empty() {
                    return Err(live.to_string().into());
                }
            }
            Ok(())
        })
        .await
    }

    /// Waits until no execution runs. A stopped scheduler holds those that are pending.
    ///
    /// # Errors
    /// One does not end in time.
    pub async fn none_runs(&self) -> TestResult<()> {
        until("no execution to run", async || {
            let running = self.live("running").await?;
            if items(&running).is_empty() { Ok(()) } else { Err(running.to_string().into()) }
        })
        .await
    }

    /// Stops the scheduler, and waits until no execution is left.
    ///
    /// # Errors
    /// Some are left in time.
    pub async fn quiet(&self) -> TestResult<()> {
        let all = json!({});
        self.quiet_by(("/api/v1/scheduler/stop", &all), ("/api/v1/scheduler/start", &all)).await
    }

    /// Makes a request after which nothing new begins, and waits until no execution is left. Those
    /// that were pending at that time are held, so the other request lets them go, and the first is
    /// made again.
    ///
    /// # Errors
    /// Some are left in time.
    pub async fn quiet_by(&self, hold: (&str, &Value), release: (&str, &Value)) -> TestResult<()> {
        until("a time with nothing left", async || {
            self.post(hold.0, hold.1).await?;
            self.none_runs().await?;
            let held = self.live("pending").await?;
            if items(&held).is_empty() {
                return Ok(());
            }
            self.post(release.0, release.1).await?;
            for execution in items(&held) {
                let path = format!("/api/v1/executions/{}", text(execution, "id"));
                until("a held execution to go on", async || {
                    let found = self.get(&path).await?;
                    if text(&found, "status") == "pending" { Err("held".into()) } else { Ok(()) }
                })
                .await?;
            }
            Err(held.to_string().into())
        })
        .await
    }

    async fn live(&self, status: &str) -> TestResult<Value> {
        self.get(&format!("/api/v1/executions?status={status}&limit=3")).await
    }
}
