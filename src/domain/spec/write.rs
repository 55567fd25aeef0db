//! The canonical body of a definition: every field, in a fixed order, defaults shown.

use serde_json::{Value, json};

use super::words::{
    AFTER_RUNS, BACKOFFS, CATCH_UP_POLICIES, DELIVERIES, EXECUTION_MODES, STRATEGIES, word,
};
use super::{action, schedule};
use crate::domain::task::TaskSpec;

/// Writes a task's canonical body, which [`super::read`] turns back into the same definition.
#[must_use]
pub fn write(spec: &TaskSpec) -> Value {
    // Parameters are the text of an object, made by `read`; anything else would be refused there.
    let parameters = serde_json::from_str(&spec.parameters)
        .unwrap_or_else(|_error| Value::String(spec.parameters.clone()));
    let strategy = spec.assignment.strategy.map(|strategy| word(STRATEGIES, &strategy));
    let concurrency = spec
        .concurrency
        .as_ref()
        .map(|concurrency| json!({"group": concurrency.group, "limit": concurrency.limit}));
    json!({
        "name": spec.name,
        "description": spec.description,
        "labels": spec.labels,
        "enabled": spec.enabled,
        "schedule": schedule::write(&spec.schedule),
        "action": spec.action.as_ref().map(action::write),
        "parameters": parameters,
        "payload": spec.payload,
        "execution_mode": word(EXECUTION_MODES, &spec.execution_mode),
        "queue_max": spec.queue_max,
        "concurrency": concurrency,
        "priority": spec.priority,
        "catch_up": {
            "policy": word(CATCH_UP_POLICIES, &spec.catch_up.policy),
            "window": spec.catch_up.window.to_string(),
            "max": spec.catch_up.max,
        },
        "catch_up_on_resume": spec.catch_up_on_resume,
        "delivery": word(DELIVERIES, &spec.delivery),
        "timeout": spec.timeout.to_string(),
        "kill_grace": spec.kill_grace.to_string(),
        "lost_after": spec.lost_after.to_string(),
        "retry": {
            "max_retry": spec.retry.max_retry,
            "delay": spec.retry.delay.to_string(),
            "backoff": word(BACKOFFS, &spec.retry.backoff),
            "max_delay": spec.retry.max_delay.to_string(),
        },
        "assignment": {"strategy": strategy, "selector": spec.assignment.selector},
        "keep": {
            "executions": spec.keep.executions,
            "ticks": spec.keep.ticks,
            "age": spec.keep.age.to_string(),
        },
        "after_run": word(AFTER_RUNS, &spec.after_run),
        "one_shot": spec.one_shot,
    })
}
