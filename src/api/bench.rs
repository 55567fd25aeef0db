//! Benchmark routes. They are only enabled on nodes that were started for benchmarks.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::dto::{
    BenchClaims, BenchClaimsReport, BenchPrefix, BenchStart, BenchState, BenchTasks, BenchUncovered,
};
use crate::ops::{Context, OpError, bench};

/// The result of a handler.
type Measured<T> = Result<Json<T>, OpError>;

pub(super) fn router() -> Router<Arc<Context>> {
    Router::new()
        .route("/bench/setup", post(setup))
        .route("/bench/claims", post(claims))
        .route("/bench/state", get(state))
        .route("/bench/starts", get(starts))
        .route("/bench/fired", get(fired))
        .route("/bench/uncovered", get(uncovered))
}

async fn setup(
    State(context): State<Arc<Context>>,
    Json(wanted): Json<BenchTasks>,
) -> Measured<BenchTasks> {
    bench::setup(&context, &wanted).await.map(Json)
}

async fn claims(
    State(context): State<Arc<Context>>,
    Json(load): Json<BenchClaims>,
) -> Measured<BenchClaimsReport> {
    bench::claims(&context, &load).await.map(Json)
}

async fn state(State(context): State<Arc<Context>>) -> Measured<BenchState> {
    bench::state(&context).map(Json)
}

async fn starts(State(context): State<Arc<Context>>) -> Json<Vec<BenchStart>> {
    Json(bench::starts(&context))
}

async fn fired(
    State(context): State<Arc<Context>>,
    Query(query): Query<BenchPrefix>,
) -> Measured<Vec<u64>> {
    bench::fired(&context, &query.prefix).map(Json)
}

async fn uncovered(
    State(context): State<Arc<Context>>,
    Query(query): Query<BenchPrefix>,
) -> Measured<BenchUncovered> {
    bench::uncovered(&context, &query.prefix).map(Json)
}
