//! Compares the times of executions in one line with what the line allows.

use std::collections::BTreeMap;

use punctual::Timestamp;
use serde_json::Value;

use crate::loads::VIEWS_MS;
use crate::{Api, TestResult, field, text};

/// An execution that has started and ended, as the cluster reports it.
#[derive(Clone, Debug)]
pub struct StartedExecution {
    /// Its number.
    pub id: String,
    /// Its tick; empty: it was triggered.
    pub tick: String,
    /// When it started, in milliseconds since 1970.
    pub from: i64,
    /// When it ended.
    pub to: i64,
}

/// The executions of tasks that have started and ended, by fence.
///
/// # Errors
/// An error response, or a time that is none.
pub async fn started(api: &Api, tasks: &[String]) -> TestResult<Vec<StartedExecution>> {
    let millis = |one: &Value, name: &str| -> TestResult<i64> {
        Ok(Timestamp::parse(text(one, name))?.millis())
    };
    let mut all = BTreeMap::new();
    for task in tasks {
        for one in api.all(&format!("/api/v1/tasks/{task}/executions")).await? {
            let (Some(fence), Some(_)) =
                (field(&one, "fence").as_u64(), field(&one, "end_time").as_str())
            else {
                continue;
            };
            let (id, tick) = (text(&one, "id").to_owned(), text(&one, "tick").to_owned());
            let to = millis(&one, "end_time")?;
            // No node reported the start of a lost one. It held its place until its end.
            let from = millis(&one, "start_time").unwrap_or(to - 1);
            all.insert(fence, StartedExecution { id, tick, from, to });
        }
    }
    Ok(all.into_values().collect())
}

/// The maximum number of these that ran at the same time for longer than two nodes may differ in
/// their views of the time, which is much less than an action of the tests takes.
#[must_use]
pub fn most_at_once(all: &[StartedExecution]) -> usize {
    let at = |instant: i64| {
        let runs = |one: &&StartedExecution| one.from <= instant && instant + VIEWS_MS < one.to;
        all.iter().filter(runs).count()
    };
    all.iter().map(|one| at(one.from)).max().unwrap_or(0)
}
