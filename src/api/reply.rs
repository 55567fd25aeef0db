//! Responses: a body of `dto` with the index of its state and its revision.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::domain::ids::Revision;
use crate::ops::OpAnswer;
use crate::ops::context::StateView;

/// The header with the log index of the state in the response.
pub(super) const INDEX_HEADER: HeaderName = HeaderName::from_static("punctual-index");

/// Builds a response with a body from this state.
pub(super) fn reply(view: &StateView, status: StatusCode, body: impl Serialize) -> Response {
    (status, index(view), Json(body)).into_response()
}

/// [`reply`] with status 200.
pub(super) fn ok(view: &StateView, body: impl Serialize) -> Response {
    reply(view, StatusCode::OK, body)
}

/// Builds the response of an operation.
pub(super) fn answer<T: Serialize>(status: StatusCode, shown: OpAnswer<T>) -> Response {
    let mut response = reply(&shown.view, status, shown.body);
    if let Some(revision) = shown.revision {
        etag(response.headers_mut(), revision);
    }
    response
}

/// The header with the log index of a state.
pub(super) fn index(view: &StateView) -> [(HeaderName, HeaderValue); 1] {
    [(INDEX_HEADER, HeaderValue::from(view.state.cluster().applied))]
}

/// Adds the `ETag` of a revision.
pub(super) fn etag(headers: &mut HeaderMap, revision: Revision) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        headers.insert(ETAG, tag);
    }
}
