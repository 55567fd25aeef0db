//! The HTTP interface for machines: the canonical routes, their bodies, their errors.
//!
//! Connections are held by [`server`]. A request is read by [`extract`], answered by the handler that
//! the table below names, and completed by [`frame`]: request id, `Punctual-Index`, problems in one form. Handlers read a
//! frozen state ([`View`](crate::ops::context::View)) and change it only by proposing commands; how an error is
//! written is known to [`error`] alone.
//!
//! Architecture invariant: nobody holds the replica's lock across an await or a scan.

pub(crate) mod bench;
mod calendars;
mod cluster;
mod error;
mod executions;
mod extract;
mod fields;
mod frame;
mod health;
mod lists;
mod metrics;
mod nodes;
mod output;
mod params;
mod preview;
mod reply;
mod server;
mod tasks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use tokio::sync::watch;

pub use self::output::{OUTPUT_KIND, serve_output};
pub use self::server::{HttpLimits, serve};
use crate::ops::OpError;
pub use crate::ops::{ApiSettings, Context, Running};

#[cfg(test)]
pub(crate) use self::params::Params;
#[cfg(test)]
pub(crate) use self::tasks::about::tick_range;

use self::frame::Frame;
use self::tasks::{about, claim, create, edit, lifecycle, list};

/// All routes.
pub fn router(context: Arc<Context>) -> Router {
    let measured = context.settings.bench.as_ref().map(|_| bench::router()).unwrap_or_default();
    Router::new()
        .merge(measured)
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/health", get(health::health))
        .route("/metrics", get(metrics::page))
        .nest("/api/v1", canonical())
        .route("/openapi.json", any(not_supported))
        .fallback(frame::not_found)
        .layer(from_fn_with_state(Frame::of(&context, error::PROBLEM), frame::frame))
        .with_state(context)
}

#[rustfmt::skip]
fn canonical() -> Router<Arc<Context>> {
    Router::new()
        .route("/tasks", get(list::list).post(create::create))
        .route("/tasks/{name}", get(tasks::get).put(edit::put).patch(edit::patch))
        .route("/tasks/{name}", post(tasks::many).delete(lifecycle::delete).fallback(tasks::other))
        .route("/tasks/{name}/trigger", post(lifecycle::trigger))
        .route("/tasks/{name}/pause", post(lifecycle::pause))
        .route("/tasks/{name}/resume", post(lifecycle::resume))
        .route("/tasks/{name}/cancel", post(not_supported))
        .route("/tasks/{name}/reuse", post(lifecycle::reuse))
        .route("/tasks/{name}/cleanup", post(lifecycle::cleanup))
        .route("/tasks/{name}/claim", post(claim::claim))
        .route("/tasks/{name}/next", get(about::next))
        .route("/tasks/{name}/ticks", get(about::ticks))
        .route("/tasks/{name}/executions", get(about::executions))
        .route("/tasks/{name}/stats", get(about::stats))
        .route("/tasks/{name}/revisions", get(about::revisions))
        .route("/tasks/{name}/assignment", get(about::assignment))
        .route("/tasks/{name}/why", get(about::why))
        .route("/schedules/preview", post(preview::show))
        .route("/calendars", get(calendars::list))
        .route("/calendars/{name}", get(calendars::get).put(calendars::put).delete(calendars::delete))
        .route("/executions", get(executions::list))
        .route("/executions/stats", get(executions::stats))
        .route("/executions/{id}", get(executions::get).delete(executions::dismiss))
        .route("/executions/{id}/output", get(output::output))
        .route("/executions/{id}/callback", post(executions::callback))
        .route("/executions/{id}/stop", post(executions::stop))
        .route("/executions/{id}/retry", post(executions::retry))
        .route("/nodes", get(nodes::list))
        .route("/nodes/{id}", get(nodes::get).patch(nodes::patch))
        .route("/nodes/{id}/drain", post(nodes::drain))
        .route("/nodes/{id}/undrain", post(nodes::undrain))
        .route("/cluster", get(cluster::get))
        .route("/cluster/transfer-leader", post(cluster::transfer_leader))
        .route("/cluster/members/{id}/replace", post(cluster::replace))
        .route("/scheduler/status", get(cluster::scheduler))
        .route("/scheduler/start", post(cluster::start))
        .route("/scheduler/stop", post(cluster::stop))
        .route("/admin/cleanup-all", post(cluster::cleanup_all))
        .merge(later())
}

/// Routes that the contract names and a later version builds.
fn later() -> Router<Arc<Context>> {
    const ROUTES: [&str; 14] = [
        "/executors",
        "/executors/register",
        "/executors/{id}",
        "/executors/{id}/status",
        "/executors/{id}/heartbeat",
        "/functions",
        "/cluster/members",
        "/cluster/members/{id}",
        "/cluster/what-if",
        "/scheduler/jobs",
        "/scheduler/strategy",
        "/audit",
        "/tokens",
        "/events",
    ];
    ROUTES.iter().fold(Router::new(), |router, route| router.route(route, any(not_supported)))
}

async fn not_supported(uri: axum::http::Uri) -> OpError {
    OpError::not_supported(uri.path())
}

/// Says that the node stops, to answers that would go on for ever.
#[derive(Clone)]
pub(crate) struct Stopping(pub watch::Receiver<bool>);
