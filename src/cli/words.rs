//! Parts of tasks and executions in the words that people read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fetch::{given, instant, text, word};
use super::local::{LocalClock, length};
use crate::domain::time::Millis;
use crate::dto::{ExecutionView, Rfc3339};

/// What holds for every `catch_up`.
pub const ON_TIME: &str = "up to limits.failover_timeout late is on time";

/// `every 5s`, `0 2 * * * Europe/Berlin`, `daily 02:00`, `manual`.
#[must_use]
pub fn schedule(task: &Value) -> String {
    let Some(schedule) = given(task, "schedule") else { return String::new() };
    let zone = text(schedule, "timezone").map(|zone| format!(" {zone}")).unwrap_or_default();
    if let Some(every) = text(schedule, "interval") {
        return format!("every {every}");
    }
    if let Some(cron) = text(schedule, "cron") {
        return format!("{cron}{zone}");
    }
    for key in ["at", "delay"] {
        if let Some(value) = text(schedule, key) {
            return format!("{key} {value}");
        }
    }
    if let Some(daily) = given(schedule, "daily") {
        return format!("daily {}{zone}", list(daily));
    }
    for key in ["weekly", "monthly"] {
        if let Some(rule) = given(schedule, key) {
            let days = given(rule, "days").map(list).unwrap_or_default();
            return format!("{key} {days} {}{zone}", word(rule, "at"));
        }
    }
    let known = ["immediate", "manual"].into_iter().find(|key| given(schedule, key).is_some());
    known.unwrap_or_default().to_owned()
}

/// The items of a list with commas between them.
#[must_use]
pub fn list(value: &Value) -> String {
    let one = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    match value.as_array() {
        Some(items) => items.iter().map(one).collect::<Vec<_>>().join(","),
        None => one(value),
    }
}

/// `a=b,c=d`
#[must_use]
pub fn labels(value: &Value, key: &str) -> String {
    let pairs = value.get(key).and_then(Value::as_object).into_iter().flatten();
    let one = |(key, value): (&String, &Value)| format!("{key}={}", list(value));
    pairs.map(one).collect::<Vec<_>>().join(",")
}

/// `a=b,c=d`
#[must_use]
pub fn pairs(labels: &BTreeMap<String, String>) -> String {
    let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// The task's state, with what a pause says of itself, and whether it is disabled.
#[must_use]
pub fn state(task: &Value, clock: &LocalClock) -> String {
    let mut out = word(task, "state");
    if out == "active" && task.get("enabled") == Some(&Value::Bool(false)) {
        out.push_str(" (disabled)");
    }
    if let Some(pause) = given(task, "paused").filter(|_| out == "paused") {
        if let Some(until) = instant(pause, "until") {
            out.push_str(&format!(" until {}", clock.short(until)));
        }
        if let Some(reason) = text(pause, "reason").filter(|reason| !reason.is_empty()) {
            out.push_str(&format!(": {reason}"));
        }
    }
    out
}

/// What is worth knowing of a task or a schedule.
#[must_use]
pub fn warnings(value: &Value) -> Vec<String> {
    let told = value.get("warnings").and_then(Value::as_array).into_iter().flatten();
    told.map(|warning| word(warning, "detail")).collect()
}

/// How the execution of a tick ended: `failed, exit 5`; nothing while it has not.
#[must_use]
pub fn ending(ended: &Value) -> String {
    let number = |key: &str, what: &str| {
        let number = given(ended, key).map(|number| format!(", {what} {number}"));
        number.unwrap_or_default()
    };
    let (exit, status) = (number("exit_code", "exit"), number("http_status", "status"));
    format!("{}{exit}{status}", word(ended, "status"))
}

/// `12:00:05 (in 3 s)`, or nothing.
#[must_use]
pub fn moment(value: &Value, key: &str, clock: &LocalClock) -> String {
    instant(value, key).map(|at| clock.with_distance(at)).unwrap_or_default()
}

/// `12:00:05 (3 s ago)`, or nothing: of what has happened.
#[must_use]
pub fn past(value: &Value, key: &str, clock: &LocalClock) -> String {
    instant(value, key).map(|at| clock.with_age(at)).unwrap_or_default()
}

/// What a task does.
#[must_use]
pub fn action(task: &Value) -> String {
    let Some(action) = given(task, "action") else {
        return "by the function or executor of its name".to_owned();
    };
    if let Some(http) = given(action, "http") {
        return format!("{} {}", word(http, "method"), word(http, "url"));
    }
    if let Some(shell) = given(action, "shell") {
        let argv = shell.get("argv").and_then(Value::as_array).into_iter().flatten();
        let words: Vec<String> = argv.filter_map(Value::as_str).map(quoted).collect();
        let user = text(shell, "user").map(|user| format!(" (as {user})")).unwrap_or_default();
        return format!("{}{user}", words.join(" "));
    }
    action.to_string()
}

/// A word of a command line as a shell would need it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
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

/// What became of it: `exit 0`, `status 200`, or the newest attempt's detail.
#[must_use]
pub fn result(execution: &ExecutionView) -> String {
    if let Some(code) = execution.exit_code {
        return format!("exit {code}");
    }
    if let Some(status) = execution.http_status {
        return format!("status {status}");
    }
    let newest = execution.attempts.last().and_then(|attempt| attempt.detail.clone());
    let detail = newest.unwrap_or_default();
    // What only repeats the status explains nothing.
    match &*execution.status {
        "lost" if detail.is_empty() || detail == "lost" => {
            "its node went away before it reported the end".to_owned()
        }
        status if detail == status => String::new(),
        _ => detail,
    }
}

/// Whether an execution of this status has come to its end.
#[must_use]
pub fn ended(execution: &ExecutionView) -> bool {
    !matches!(&*execution.status, "pending" | "running")
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

    #[test]
    fn schedules_read_like_the_options_that_make_them() {
        for (schedule, words) in [
            (json!({"interval": "5s", "anchor": null}), "every 5s"),
            (json!({"cron": "0 2 * * *", "timezone": "Asia/Tokyo"}), "0 2 * * * Asia/Tokyo"),
            (json!({"daily": ["02:00", "14:00"]}), "daily 02:00,14:00"),
            (json!({"weekly": {"days": ["mon", "fri"], "at": "09:00"}}), "weekly mon,fri 09:00"),
            (json!({"monthly": {"days": [1, -1], "at": "09:00"}}), "monthly 1,-1 09:00"),
            (json!({"at": "2026-12-01T01:00:00.000Z"}), "at 2026-12-01T01:00:00.000Z"),
            (json!({"manual": true}), "manual"),
            (json!(null), ""),
        ] {
            assert_eq!(super::schedule(&json!({ "schedule": schedule })), words);
        }
    }

    #[test]
    fn actions_are_shown_as_a_shell_would_read_them() {
        let shell = json!({"action": {"shell": {"argv": ["echo", "it's", ""], "user": "www"}}});
        assert_eq!(action(&shell), r"echo 'it'\''s' '' (as www)");
        let http = json!({"action": {"http": {"url": "http://x/", "method": "POST"}}});
        assert_eq!(action(&http), "POST http://x/");
    }
}
