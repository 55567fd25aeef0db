//! Operations on many tasks.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::pause_request;
use crate::api::extract::{Bulky, HandlerResult, WriteRequest};
use crate::api::fields::BodyFields;
use crate::api::reply::answer;
use crate::domain::error_code::ErrorCode;
use crate::domain::spec::escape;
use crate::dto::{BatchItems, BulkRequest};
use crate::ops::OpError;
use crate::ops::tasks::batch::{self, ITEMS_MAX};
use crate::ops::tasks::bulk::{self, Operation, TaskSelection};

const OPERATIONS: [&str; 6] = ["pause", "resume", "cancel", "trigger", "delete", "cleanup"];

/// `POST /tasks/batch`: creates each task of a list. Errors are reported per task.
pub(in crate::api) async fn batch(Bulky(write): Bulky) -> HandlerResult {
    let force = write.params.flag("force")?;
    let (items, place) = match write.body()? {
        Value::Array(items) => (items, ""),
        body => {
            let fields = BodyFields::of::<BatchItems>(Some(body))?;
            let items = fields.need("items").list("items");
            fields.done()?;
            let missing = || OpError::internal("items were read and not found");
            (items.ok_or_else(missing)?, "/items")
        }
    };
    let made = batch::batch(&write.caller, items, place, force).await?;
    Ok(answer(StatusCode::OK, made))
}

/// `POST /tasks/bulk`: one operation on many tasks. Errors are reported per task.
pub(in crate::api) async fn bulk(Bulky(write): Bulky) -> HandlerResult {
    let (operation, tasks) = bulk_request(&write)?;
    Ok(answer(StatusCode::OK, bulk::bulk(&write.caller, operation, tasks).await?))
}

/// Parses the operation and the selection of tasks.
fn bulk_request(write: &WriteRequest) -> Result<(Operation, TaskSelection), OpError> {
    let fields = BodyFields::of::<BulkRequest>(Some(write.body()?))?;
    let op = fields.need("op").word("op", &OPERATIONS);
    let belongs: &[(&str, &str)] = &[
        ("reason", "pause"),
        ("until", "pause"),
        ("parameters", "trigger"),
        ("stop", "delete"),
        ("tombstone", "delete"),
    ];
    for (field, to) in belongs {
        if fields.has(field) && op.is_some_and(|op| op != *to) {
            fields.refuse(&format!("/{field}"), ErrorCode::Conflict, format!("belongs to {to}"));
        }
    }
    let tasks = selection(&fields);
    let (stop, tombstone) = (fields.flag("stop"), fields.flag("tombstone"));
    let parameters = fields.object("parameters").cloned();
    let pause = pause_request(&fields);
    fields.done()?;
    let operation = match op {
        Some("pause") => Operation::Pause {
            reason: pause.reason.unwrap_or_default(),
            until: pause.until.map(|until| until.0),
        },
        Some("resume") => Operation::Resume,
        Some("cancel") => Operation::Cancel,
        Some("trigger") => Operation::Trigger { parameters },
        Some("delete") => Operation::Delete { stop, tombstone },
        _ => Operation::Cleanup,
    };
    Ok((operation, tasks))
}

fn selection(fields: &BodyFields<'_>) -> TaskSelection {
    if fields.has("names") == fields.has("selector") {
        fields.refuse("", ErrorCode::OneOf, "needs exactly one of names and selector");
    }
    if let Some(list) = fields.list("names") {
        if list.is_empty() || list.len() > ITEMS_MAX {
            let message = format!("must have 1 to {ITEMS_MAX} names, has {}", list.len());
            fields.refuse("/names", ErrorCode::TooManyItems, message);
        }
        let mut names = Vec::with_capacity(list.len());
        for (at, name) in list.iter().enumerate() {
            match name.as_str() {
                Some(name) => names.push(name.to_owned()),
                None => {
                    fields.refuse(&format!("/names/{at}"), ErrorCode::WrongType, "must be text")
                }
            }
        }
        return TaskSelection::Names(names);
    }
    let selector = fields.object("selector");
    if selector.is_some_and(Map::is_empty) {
        fields.refuse(
            "/selector",
            ErrorCode::Empty,
            "must not be empty: it would select every task",
        );
    }
    let mut labels = BTreeMap::new();
    for (key, value) in selector.into_iter().flatten() {
        match value.as_str() {
            Some(value) => drop(labels.insert(key.clone(), value.to_owned())),
            None => {
                let pointer = format!("/selector/{}", escape(key));
                fields.refuse(&pointer, ErrorCode::WrongType, "must be text");
            }
        }
    }
    TaskSelection::Labels(labels)
}
