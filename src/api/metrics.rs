//! `GET /metrics`: the counters of the node and metrics from the applied state.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse, Response};

use crate::ops::{Context, OpError, metrics};
use crate::telemetry::exposition::MetricsFormat;

/// `GET /metrics` for Prometheus.
pub(super) async fn page(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
) -> Result<Response, OpError> {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = MetricsFormat::accepted(&accepts.collect::<Vec<_>>().join(","));
    let page = metrics::page(&context, format).await?;
    Ok(([(CONTENT_TYPE, format.content_type())], page).into_response())
}
