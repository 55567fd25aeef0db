//! `GET /openapi.json`, and the answer of routes that a later version builds.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use super::routes;
use crate::ops::{Context, OpError};

/// `GET /openapi.json`: what can be asked, and what is answered.
pub(super) async fn document(State(context): State<Arc<Context>>) -> Response {
    Json(routes::openapi(context.settings.version)).into_response()
}

/// What the contract names and this version cannot do yet.
pub(super) async fn not_supported(uri: Uri) -> OpError {
    OpError::not_supported(uri.path())
}
