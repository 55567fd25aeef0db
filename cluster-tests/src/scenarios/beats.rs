//! Tasks that tick each second and run the witness.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::starts::TaskReport;
use crate::{Api, TestResult, text, until, with, witness_program};

/// Interval of the tasks in milliseconds.
pub(super) const STEP_MS: i64 = 1_000;

/// The names and the definitions of this number of tasks, each with these fields too.
pub(super) fn tasks(
    count: usize,
    witness: &Path,
    more: &Value,
) -> TestResult<(Vec<String>, Vec<Value>)> {
    let program = witness_program()?;
    let names: Vec<String> = (0..count).map(|number| format!("beat-{number:03}")).collect();
    let body = |name| {
        let task = json!({
            "name": name,
            "schedule": {"interval": "1s"},
            "action": {"shell": {"argv": [program, witness]}},
            "keep": {"ticks": 10_000, "executions": 10_000},
        });
        with(task, more.clone())
    };
    let bodies = names.iter().map(body).collect();
    Ok((names, bodies))
}

/// Waits until every tick up to this time has its verdict.
pub(super) async fn settled(api: &Api, tasks: usize, upto: i64) -> TestResult<()> {
    let upto = punctual::Timestamp(upto - STEP_MS).to_string();
    until("every tick of the period to be settled", async || {
        let found = api.all("/api/v1/tasks").await?;
        // Timestamps of the same format can be compared as texts.
        let behind = found.iter().find(|task| text(task, "cursor") < upto.as_str());
        match behind {
            Some(task) => {
                Err(format!("{} is at {}", text(task, "name"), text(task, "cursor")).into())
            }
            None if found.len() != tasks => Err(format!("{} tasks", found.len()).into()),
            None => Ok(()),
        }
    })
    .await
}

/// Pauses the tasks, and waits until no execution is left.
pub(super) async fn quiet(api: &Api, names: &[String]) -> TestResult<()> {
    let pause = json!({"op": "pause", "names": names, "reason": "the load is over"});
    let resume = json!({"op": "resume", "names": names});
    let path = "/api/v1/tasks/bulk";
    api.quiet_by((path, &pause), (path, &resume)).await
}

/// The reports of these tasks, by name.
pub(super) async fn stories(
    api: &Api,
    names: &[String],
) -> TestResult<BTreeMap<String, TaskReport>> {
    let mut stories = BTreeMap::new();
    for name in names {
        stories.insert(name.clone(), TaskReport::ask(api, name, STEP_MS).await?);
    }
    Ok(stories)
}
