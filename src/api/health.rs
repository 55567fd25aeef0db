//! Liveness and readiness.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::dto::{HealthView, LiveView, ReadyView};
use crate::ops::{Context, OpError, health};

/// `GET /livez`: the process responds.
pub(super) async fn livez() -> Json<LiveView> {
    Json(LiveView { status: "alive".into() })
}

/// `GET /readyz`: the node participates in the cluster.
pub(super) async fn readyz(
    State(context): State<Arc<Context>>,
) -> Result<Json<ReadyView>, OpError> {
    health::ready(&context).map(Json)
}

/// `GET /health`: the same in an older format.
pub(super) async fn health(State(context): State<Arc<Context>>) -> Response {
    let health = health::health(&context);
    let status = match health {
        HealthView::Healthy { .. } => StatusCode::OK,
        HealthView::Unhealthy { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(health)).into_response()
}
