//! `/nodes`.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::extract::{HandlerResult, PathSegment, ReadRequest, WriteRequest};
use super::fields::BodyFields;
use super::lists::page;
use super::reply::{answer, ok};
use crate::domain::assign::WEIGHT_MAX;
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::record::AUTOMATIC_LABELS;
use crate::domain::spec::{check_label, escape};
use crate::dto::{LabelChanges, NodePatchRequest};
use crate::ops::{OpError, nodes};

/// Maximum number of concurrent executions of a node.
const SLOTS_MAX: u64 = 1_000_000;

/// `GET /nodes`.
pub(super) async fn list(read: ReadRequest) -> HandlerResult {
    let page = page(&read.params)?;
    let view = read.view().await?;
    Ok(ok(&view, nodes::list(&read.context, &view, &page).await?))
}

/// `GET /nodes/{id}`.
pub(super) async fn get(PathSegment(id): PathSegment, read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    Ok(answer(StatusCode::OK, nodes::show(&read.context, view, &id).await?))
}

/// `PATCH /nodes/{id}`: changes weight, slots and labels.
pub(super) async fn patch(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    let changes = patch_request(write.body()?)?;
    Ok(answer(StatusCode::OK, nodes::patch(&write.caller, &id, &changes).await?))
}

fn patch_request(body: &Value) -> Result<NodePatchRequest, OpError> {
    let fields = BodyFields::of::<NodePatchRequest>(Some(body))?;
    let number = |key, max| {
        let number = fields.number(key, 0..=max);
        fields.has(key).then(|| number.and_then(|number| u32::try_from(number).ok()))
    };
    let (weight, slots) = (number("weight", u64::from(WEIGHT_MAX)), number("slots", SLOTS_MAX));
    let changes = fields.object("labels").map(|changes| labels(&fields, changes));
    let labels = fields.has("labels").then_some(changes);
    fields.done()?;
    Ok(NodePatchRequest { weight, slots, labels })
}

/// Labels to set. `null` takes one back.
fn labels(fields: &BodyFields<'_>, changes: &Map<String, Value>) -> LabelChanges {
    let mut labels = LabelChanges::new();
    for (key, value) in changes {
        let pointer = format!("/labels/{}", escape(key));
        match value {
            _ if AUTOMATIC_LABELS.contains(&key.as_str()) => {
                let rule = "is the node's own, and cannot be set";
                fields.refuse(&pointer, ErrorCode::InvalidLabel, rule);
            }
            Value::Null => drop(labels.insert(key.clone(), None)),
            Value::String(value) => match check_label(key, value) {
                Ok(()) => drop(labels.insert(key.clone(), Some(value.clone()))),
                Err(rule) => fields.refuse(&pointer, ErrorCode::InvalidLabel, rule),
            },
            _ => {
                let rule = "must be text, or null to take it back";
                fields.refuse(&pointer, ErrorCode::WrongType, rule);
            }
        }
    }
    labels
}

/// `POST /nodes/{id}/drain`: moves the node's tasks to other nodes until it is undrained.
pub(super) async fn drain(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, nodes::drain(&write.caller, &id, true).await?))
}

/// `POST /nodes/{id}/undrain`: the node may own tasks again.
pub(super) async fn undrain(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, nodes::drain(&write.caller, &id, false).await?))
}
