//! `GET /openapi.json`, and the response of routes that are not implemented yet.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use super::routes;
use crate::ops::{Context, OpError};

/// `GET /openapi.json`: the OpenAPI document.
pub(super) async fn document(State(context): State<Arc<Context>>) -> Response {
    Json(routes::openapi(context.settings.version)).into_response()
}

/// The response of routes that the contract contains but this version does not implement.
pub(super) async fn not_supported(uri: Uri) -> OpError {
    OpError::not_supported(uri.path())
}
