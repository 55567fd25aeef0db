//! The body of a registration, in both of its spellings.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::fields::BodyFields;
use crate::domain::error_code::ErrorCode;
use crate::domain::executor::{DECLARED_MAX, ExecutorInfo};
use crate::domain::spec::{self, check_name, escape};
use crate::dto::{DeclaredTaskRequest, RegisterRequest};
use crate::ops::OpError;
use crate::ops::executors::{DeclaredFields, DeclaredTask, Registration};

/// Largest weight and capacity.
const SHARE_MAX: u64 = 1_000_000;
/// Entries of the metadata, and bytes of each key and value.
const METADATA_MAX: usize = 64;
const METADATA_BYTES_MAX: usize = 1_024;
/// Longest URL.
const URL_BYTES_MAX: usize = 2_048;
/// What the status of a declared task says of its ticks.
const ACTIVE: [&str; 2] = ["active", "enabled"];
const INACTIVE: [&str; 3] = ["paused", "disabled", "inactive"];

/// Reads a registration.
///
/// # Errors
/// All that is wrong with it, but for the definitions of its tasks.
pub(super) fn read(body: &Value) -> Result<Registration, OpError> {
    let fields = BodyFields::of::<RegisterRequest>(Some(body))?;
    let id = one_of(&fields, ["instance_id", "executor_id"]);
    let url = one_of(&fields, ["base_url", "executor_url"]);
    for (found, field) in [(id, "instance_id"), (url, "base_url")] {
        if found.is_none() {
            fields.need(field);
        }
    }
    let name = one_of(&fields, ["name", "executor_name"]);
    for (field, text) in id.into_iter().chain(name) {
        if let Err(rule) = check_name(text) {
            fields.refuse(&format!("/{field}"), ErrorCode::InvalidName, rule);
        }
    }
    let url_field = url.map_or("base_url", |(field, _)| field);
    let base_url = url.and_then(|(field, text)| check_url(&fields, field, text, true));
    let health = fields.text("health_check_url").filter(|text| !text.is_empty());
    let health = health.and_then(|text| check_url(&fields, "health_check_url", text, false));
    let share = |field, default| {
        let number = fields.number(field, 0..=SHARE_MAX).unwrap_or(default);
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    let (weight, capacity) = (share("weight", 1), share("capacity", 0));
    let metadata = metadata(&fields);
    let tasks = tasks(&fields);
    fields.done()?;
    let id = id.map(|(_, id)| id).unwrap_or_default().to_owned();
    let tasks = tasks?;
    let mut names: Vec<String> = tasks.iter().map(|task| task.name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let info = ExecutorInfo {
        name: name.map_or_else(|| id.clone(), |(_, name)| name.to_owned()),
        id,
        base_url: base_url.unwrap_or_default(),
        health_check_url: health,
        weight,
        capacity,
        metadata,
        tasks: names,
    };
    Ok(Registration { info, url_field, tasks })
}

/// The text of one of two spellings of a field, and which one it is.
fn one_of<'v>(
    fields: &BodyFields<'v>,
    spellings: [&'static str; 2],
) -> Option<(&'static str, &'v str)> {
    let [first, second] = spellings.map(|field| fields.text(field).map(|text| (field, text)));
    if let (Some((_, one)), Some((field, other))) = (first, second)
        && one != other
    {
        let message = format!("says {other:?}, but `{}` says {one:?}", spellings[0]);
        fields.refuse(&format!("/{field}"), ErrorCode::Conflict, message);
    }
    first.or(second)
}

/// A URL of an executor. That of its requests is a beginning: paths are put behind it.
fn check_url(fields: &BodyFields<'_>, field: &str, text: &str, base: bool) -> Option<String> {
    let rule = match spec::check_url(text) {
        _ if text.len() > URL_BYTES_MAX => Some(format!("must have at most {URL_BYTES_MAX} bytes")),
        Err(rule) => Some(rule),
        Ok(()) if base && text.contains(['?', '#']) => {
            Some("must have neither a query nor a fragment".to_owned())
        }
        Ok(()) => None,
    };
    match rule {
        Some(rule) => {
            fields.refuse(&format!("/{field}"), ErrorCode::InvalidUrl, rule);
            None
        }
        None if base => Some(text.trim_end_matches('/').to_owned()),
        None => Some(text.to_owned()),
    }
}

fn metadata(fields: &BodyFields<'_>) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    let given = fields.object("metadata");
    if given.is_some_and(|given| given.len() > METADATA_MAX) {
        let message = format!("must have at most {METADATA_MAX} entries");
        fields.refuse("/metadata", ErrorCode::TooLarge, message);
        return metadata;
    }
    for (key, value) in given.into_iter().flatten() {
        let pointer = format!("/metadata/{}", escape(key));
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => {
                fields.refuse(&pointer, ErrorCode::WrongType, "must be text, a number or a flag");
                continue;
            }
        };
        if key.len() > METADATA_BYTES_MAX || text.len() > METADATA_BYTES_MAX {
            let message = format!("key and value must have at most {METADATA_BYTES_MAX} bytes");
            fields.refuse(&pointer, ErrorCode::TooLarge, message);
        }
        metadata.insert(key.clone(), text);
    }
    metadata
}

/// The declared tasks; what is wrong with one is told with its place.
fn tasks(fields: &BodyFields<'_>) -> Result<Vec<DeclaredTask>, OpError> {
    let given = fields.list("tasks");
    if given.is_some_and(|given| given.len() > DECLARED_MAX) {
        let message = format!("must have at most {DECLARED_MAX} items");
        fields.refuse("/tasks", ErrorCode::TooManyItems, message);
        return Ok(Vec::new());
    }
    let items = given.into_iter().flatten().enumerate();
    let read = items.map(|(at, item)| task(item).map_err(|p| p.below(&format!("/tasks/{at}"))));
    read.collect()
}

/// A declared task as the body of a task.
fn task(item: &Value) -> Result<DeclaredTask, OpError> {
    let fields = BodyFields::of::<DeclaredTaskRequest>(Some(item))?;
    let name = one_of(&fields, ["task_name", "name"]);
    if name.is_none() {
        fields.need("task_name");
    }
    let cron = one_of(&fields, ["cron", "cron_expression"]).filter(|(_, text)| !text.is_empty());
    let status = fields.word("status", &[ACTIVE.as_slice(), INACTIVE.as_slice()].concat());
    let timeout = ["timeout", "timeout_seconds"].into_iter();
    let mut timeout = timeout.filter_map(|field| Some((field, fields.get(field)?)));
    let limit = timeout.next();
    if timeout.next().is_some_and(|(_, other)| limit.is_some_and(|(_, one)| one != other)) {
        let message = "says something else than `timeout`";
        fields.refuse("/timeout_seconds", ErrorCode::Conflict, message);
    }
    let others = ["execution_mode", "max_retry", "parameters"];
    let others = others.into_iter().filter_map(|field| Some((field, fields.get(field)?)));
    let task = DeclaredFields {
        name: name.unwrap_or_default(),
        cron,
        balance: fields.get("load_balance_strategy"),
        limit,
        others: others.collect(),
        disabled: status.is_some_and(|status| INACTIVE.contains(&status)),
    };
    fields.done()?;
    Ok(DeclaredTask::new(&task))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(body: Value) -> Vec<(String, String)> {
        let problem = read(&body).err().unwrap();
        let field = |one: crate::dto::FieldError| (one.pointer, one.code.to_string());
        problem.fields().into_iter().map(field).collect()
    }

    #[test]
    fn both_spellings_say_the_same() {
        let one = json!({
            "name": "data", "instance_id": "e-1", "base_url": "http://h:9090/",
            "health_check_url": "http://h:9090/health", "tasks": [{
                "task_name": "report", "cron": "0 0 2 * * *", "execution_mode": "sequential",
                "load_balance_strategy": "sticky", "timeout": 300,
            }],
        });
        let other = json!({
            "executor_name": "data", "executor_id": "e-1", "executor_url": "http://h:9090",
            "health_check_url": "http://h:9090/health", "metadata": {}, "tasks": [{
                "name": "report", "cron_expression": "0 0 2 * * *", "execution_mode": "sequential",
                "load_balance_strategy": "sticky", "timeout_seconds": 300, "status": "active",
            }],
        });
        let (one, other) = (read(&one).unwrap(), read(&other).unwrap());
        assert_eq!(one.info, other.info);
        assert_eq!((one.info.weight, one.info.capacity), (1, 0));
        assert_eq!(one.info.base_url, "http://h:9090");
        assert_eq!(one.info.tasks, ["report"]);
        assert_eq!(one.tasks[0].body, other.tasks[0].body);
        assert_eq!(
            one.tasks[0].body,
            json!({
                "name": "report", "schedule": {"cron": "0 0 2 * * *"},
                "action": {"executor": {"balance": "sticky"}}, "timeout_seconds": 300,
                "execution_mode": "sequential",
            })
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let rows = [
            (json!({}), vec![("/instance_id", "missing_field"), ("/base_url", "missing_field")]),
            (
                json!({"instance_id": "e", "executor_id": "f", "base_url": "http://h"}),
                vec![("/executor_id", "conflict")],
            ),
            (
                json!({"instance_id": ".e", "executor_url": "h:90", "weight": -1}),
                vec![
                    ("/instance_id", "invalid_name"),
                    ("/executor_url", "invalid_url"),
                    ("/weight", "wrong_type"),
                ],
            ),
            (
                json!({"instance_id": "e", "base_url": "http://u:p@h?a=b", "colour": 1}),
                vec![("/colour", "unknown_field"), ("/base_url", "invalid_url")],
            ),
            (
                json!({"instance_id": "e", "base_url": "http://h", "tasks": [{"cron": "* * * * *"}]}),
                vec![("/tasks/0/task_name", "missing_field")],
            ),
            (
                json!({"instance_id": "e", "base_url": "http://h", "metadata": {"a": [1]}}),
                vec![("/metadata/a", "wrong_type")],
            ),
        ];
        for (body, wanted) in rows {
            let wanted = wanted.into_iter().map(|(at, code)| (at.to_owned(), code.to_owned()));
            assert_eq!(problems(body.clone()), wanted.collect::<Vec<_>>(), "{body}");
        }
    }
}
