//! Parts of tasks and executions in the words that people read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::local::{LocalClock, length};
use crate::domain::time::Millis;
use crate::dto::{
    EndedView, ExecutionView, LastExecution, PauseView, Rfc3339, TaskView, WarningView,
};

pub use crate::dto::short::{action, quoted, result, schedule};

/// What holds for every `catch_up`.
pub const ON_TIME: &str = "up to limits.failover_timeout late is on time";

/// The schedule of a task, if its definition is known.
#[must_use]
pub fn schedule_of(task: &TaskView) -> String {
    task.definition.body().map(|body| schedule(&body.schedule)).unwrap_or_default()
}

/// `a=b,c=d`
#[must_use]
pub fn pairs(labels: &BTreeMap<String, String>) -> String {
    let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// The task's state, with what a pause says of itself, and whether it is disabled.
#[must_use]
pub fn state(task: &TaskView, clock: &LocalClock) -> String {
    let enabled = task.definition.body().is_none_or(|body| body.enabled);
    state_of(&task.state, enabled, task.paused.as_ref(), clock)
}

/// The same of a task of which only this is known.
#[must_use]
pub fn state_of(
    state: &str,
    enabled: bool,
    pause: Option<&PauseView>,
    clock: &LocalClock,
) -> String {
    let mut out = state.to_owned();
    if state == "active" && !enabled {
        out.push_str(" (disabled)");
    }
    if let Some(pause) = pause.filter(|_| state == "paused") {
        if let Some(until) = pause.until {
            out.push_str(&format!(" until {}", clock.short(until.0)));
        }
        if !pause.reason.is_empty() {
            out.push_str(&format!(": {}", pause.reason));
        }
    }
    out
}

/// `, next tick in 3 s (12:00:05)`, or nothing: behind what was done to a task.
#[must_use]
pub fn next_tick(task: &TaskView, clock: &LocalClock) -> String {
    let next = task
        .next_tick
        .map(|at| format!(", next tick {} ({})", clock.distance(at.0), clock.short(at.0)));
    next.unwrap_or_default()
}

/// What is worth knowing of a task or a schedule.
#[must_use]
pub fn warnings(warnings: &[WarningView]) -> Vec<String> {
    warnings.iter().map(|warning| warning.detail.clone()).collect()
}

/// How the execution of a tick ended: `failed, exit 5`.
#[must_use]
pub fn ending(ended: &EndedView) -> String {
    let exit = ended.exit_code.map(|code| format!(", exit {code}")).unwrap_or_default();
    let status = ended.http_status.map(|status| format!(", status {status}")).unwrap_or_default();
    format!("{}{exit}{status}", ended.status)
}

/// A value of a definition in one line: a text as it is, `none` for null.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if !text.is_empty() && !text.chars().any(char::is_control) => {
            text.clone()
        }
        other => other.to_string(),
    }
}

/// `+1 ms`, `-3 ms`, or nothing.
#[must_use]
pub fn lateness(late: Option<i64>) -> String {
    late.map(|late| format!("{late:+} ms")).unwrap_or_default()
}

/// `3 ms`, `12 s so far`, or nothing.
#[must_use]
pub fn duration(execution: &ExecutionView, clock: &LocalClock) -> String {
    if let Some(millis) = execution.duration_ms {
        return length(Millis(millis));
    }
    let started = execution.start_time.filter(|_| execution.status == "running");
    started.map(|at| format!("{} so far", length(clock.now().since(at.0)))).unwrap_or_default()
}

/// Whether an execution of this status has come to its end.
#[must_use]
pub fn ended(execution: &ExecutionView) -> bool {
    !matches!(&*execution.status, "pending" | "running")
}

/// Whether an execution ended, and not well.
#[must_use]
pub fn went_wrong(last: &LastExecution) -> bool {
    matches!(&*last.status, "failed" | "timeout" | "lost")
}

/// An instant as `12:00:05 (in 3 s)`, or nothing.
#[must_use]
pub fn at(at: Option<Rfc3339>, clock: &LocalClock) -> String {
    at.map(|at| clock.with_distance(at.0)).unwrap_or_default()
}

/// An instant that has passed as `12:00:05 (3 s ago)`, or nothing.
#[must_use]
pub fn ago(at: Option<Rfc3339>, clock: &LocalClock) -> String {
    at.map(|at| clock.with_age(at.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dto::{ActionBody, ScheduleBody};

    #[test]
    fn schedules_read_like_the_options_that_make_them() {
        for (rule, words) in [
            (json!({"interval": "5s", "anchor": null}), "every 5s"),
            (json!({"cron": "0 2 * * *", "timezone": "Asia/Tokyo"}), "0 2 * * * Asia/Tokyo"),
            (json!({"daily": ["02:00", "14:00"]}), "daily 02:00,14:00"),
            (json!({"daily": "02:00", "timezone": "UTC"}), "daily 02:00 UTC"),
            (json!({"weekly": {"days": ["mon", "fri"], "at": "09:00"}}), "weekly mon,fri 09:00"),
            (json!({"monthly": {"days": [1, -1], "at": "09:00"}}), "monthly 1,-1 09:00"),
            (json!({"at": "2026-12-01T01:00:00.000Z"}), "at 2026-12-01T01:00:00.000Z"),
            (json!({"delay": "5m"}), "delay 5m"),
            (json!({"immediate": true}), "immediate"),
            (json!({"manual": true}), "manual"),
        ] {
            let mut body = json!({
                "timezone": null, "dst": {"gap": "shift", "fold": "first"}, "exclude": [],
            });
            body.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
            let body: ScheduleBody = serde_json::from_value(body).unwrap();
            assert_eq!(schedule(&body), words);
        }
    }

    #[test]
    fn actions_are_shown_as_a_shell_would_read_them() {
        let read = |body| serde_json::from_value::<ActionBody>(body).unwrap();
        let shell = read(json!({"shell": {
            "argv": ["echo", "it's", ""], "env": {}, "cwd": null, "stdin": "", "user": "www",
        }}));
        assert_eq!(action(Some(&shell)), r"echo 'it'\''s' '' (as www)");
        let http = read(json!({"http": {
            "url": "http://x/", "method": "POST", "headers": {}, "body": null,
            "expect_status": ["200-299"], "connect_timeout": "10s",
        }}));
        assert_eq!(action(Some(&http)), "POST http://x/");
        let function = read(json!({"func": {"id": "report"}}));
        assert_eq!(action(Some(&function)), "function report");
    }
}
