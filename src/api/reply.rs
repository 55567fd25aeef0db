//! Answers: a body of `dto`, the state that it shows, and its revision.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::domain::ids::Revision;
use crate::ops::OpAnswer;
use crate::ops::context::StateView;

/// The header that carries the log index an answer reflects.
pub(super) const INDEX_HEADER: HeaderName = HeaderName::from_static("punctual-index");

/// Answers with a body that shows a state.
pub(super) fn reply(view: &StateView, status: StatusCode, body: impl Serialize) -> Response {
    (status, index(view), Json(body)).into_response()
}

/// [`reply`] with 200.
pub(super) fn ok(view: &StateView, body: impl Serialize) -> Response {
    reply(view, StatusCode::OK, body)
}

/// Answers with what an operation gives.
pub(super) fn answer<T: Serialize>(status: StatusCode, shown: OpAnswer<T>) -> Response {
    let mut response = reply(&shown.view, status, shown.body);
    if let Some(revision) = shown.revision {
        etag(response.headers_mut(), revision);
    }
    response
}

/// The header that names a state.
pub(super) fn index(view: &StateView) -> [(HeaderName, HeaderValue); 1] {
    [(INDEX_HEADER, HeaderValue::from(view.state.cluster().applied))]
}

/// Adds a revision to an answer.
pub(super) fn etag(headers: &mut HeaderMap, revision: Revision) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        headers.insert(ETAG, tag);
    }
}
