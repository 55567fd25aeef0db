//! `/cluster/members`.

use axum::http::StatusCode;
use serde_json::Value;

use super::extract::{HandlerResult, PathSegment, WriteRequest};
use super::fields::BodyFields;
use super::reply::answer;
use crate::config::{base_url, host_port};
use crate::domain::error_code::ErrorCode;
use crate::dto::MemberAddRequest;
use crate::ops::{OpError, members};

/// `POST /cluster/members`: adds a node that waits with an empty data folder.
pub(super) async fn add(write: WriteRequest) -> HandlerResult {
    let (id, peer, http) = addition(write.body()?)?;
    Ok(answer(StatusCode::OK, members::add(&write.caller, id, peer, http).await?))
}

/// The id and the addresses of a node to be added.
fn addition(body: &Value) -> Result<(u16, String, String), OpError> {
    let fields = BodyFields::of::<MemberAddRequest>(Some(body))?;
    fields.need("id").need("peer");
    let id = fields.number("id", 1..=u64::from(u16::MAX)).and_then(|id| u16::try_from(id).ok());
    let address = |key: &str, rule: fn(&str) -> Result<(), String>| {
        let text = fields.text(key).unwrap_or_default();
        if fields.has(key)
            && let Err(problem) = rule(text)
        {
            fields.refuse(&format!("/{key}"), ErrorCode::InvalidValue, problem);
        }
        text.to_owned()
    };
    let peer = address("peer", host_port);
    let http = address("http", base_url);
    fields.done()?;
    Ok((id.unwrap_or_default(), peer, http))
}

/// `DELETE /cluster/members/{id}`: removes a member. `id` is its configured id or its node name.
pub(super) async fn remove(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, members::remove(&write.caller, &id).await?))
}

/// `POST /cluster/members/{id}/replace`: readmits a member that lost its data. `id` is its
/// configured id or its node name.
pub(super) async fn replace(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, members::replace(&write.caller, &id).await?))
}
