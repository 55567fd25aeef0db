//! The requests that a worker answers: `/execute`, `/stop`, `/health`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::run::{Accepted, ExecuteRequest, Runs, StopRequest};
use crate::exec::executor::{SIGNATURE_HEADER, unix_seconds, verify};

/// The routes of a worker.
pub(super) fn router(runs: Arc<Runs>) -> Router {
    Router::new()
        .route("/execute", post(execute))
        .route("/stop", post(stop))
        .route("/health", get(health))
        .with_state(runs)
}

async fn execute(State(runs): State<Arc<Runs>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = unsigned(&runs, &headers, &body) {
        return refused;
    }
    let request = match serde_json::from_slice::<ExecuteRequest>(&body) {
        Ok(request) => request,
        Err(error) => return told(StatusCode::BAD_REQUEST, &format!("the body: {error}")),
    };
    match runs.accept(request) {
        Accepted::Yes => told(StatusCode::ACCEPTED, "accepted"),
        Accepted::NoCommand => {
            told(StatusCode::NOT_FOUND, "this worker has no command for the task")
        }
        Accepted::Full => told(StatusCode::SERVICE_UNAVAILABLE, "this worker is at its capacity"),
        Accepted::Draining => told(StatusCode::SERVICE_UNAVAILABLE, "this worker is draining"),
    }
}

async fn stop(State(runs): State<Arc<Runs>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = unsigned(&runs, &headers, &body) {
        return refused;
    }
    let Ok(request) = serde_json::from_slice::<StopRequest>(&body) else {
        return told(StatusCode::BAD_REQUEST, "the body names no execution_id");
    };
    if runs.stop(&request) {
        told(StatusCode::ACCEPTED, "is being stopped")
    } else {
        told(StatusCode::NOT_FOUND, "the execution does not run here")
    }
}

/// A worker that drains is healthy: what it has goes on.
async fn health(State(runs): State<Arc<Runs>>) -> Response {
    told(StatusCode::OK, if runs.draining() { "draining" } else { "healthy" })
}

/// The refusal of a request that is not signed as it should be; none: it may be carried out.
fn unsigned(runs: &Runs, headers: &HeaderMap, body: &[u8]) -> Option<Response> {
    let secret = runs.secret.as_ref()?;
    let signature = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
    let checked = verify(secret, signature, body, unix_seconds());
    checked.err().map(|why| told(StatusCode::FORBIDDEN, &why.to_string()))
}

fn told(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({ "message": message }))).into_response()
}
