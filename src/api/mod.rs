//! The HTTP API for programs: the canonical routes with their bodies and errors, and the routes of
//! other schedulers in [`compat`].
//!
//! [`server`] handles the connections. [`extract`] reads a request, the handler from the table in
//! [`routes`] processes it, and [`frame`] completes the response: request id, `Punctual-Index`,
//! errors in one format. Handlers read a frozen state
//! ([`StateView`](crate::ops::context::StateView)) and change it only by proposing commands. Only
//! [`error`] contains the format of errors.
//!
//! Architecture invariant: the replica's lock is never held across an await or a scan.

mod bench;
mod calendars;
mod cluster;
mod compat;
mod error;
mod events;
mod executions;
mod executors;
mod extract;
mod fields;
mod frame;
mod health;
mod lists;
mod members;
mod metrics;
mod nodes;
mod output;
mod params;
mod preview;
mod reply;
mod routes;
mod server;
mod spec;
mod tasks;
#[cfg(test)]
mod tests;
mod what_if;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;

pub use self::server::{HttpLimits, serve};
pub use crate::ops::output::{OUTPUT_KIND, serve_output};
pub use crate::ops::{
    ApiSettings, Context, KeptOverview, KeptTasks, NodeFiles, RunningParts, Scans, Streams,
};

#[cfg(feature = "cli")]
pub(crate) use self::frame::is_loopback;
#[cfg(test)]
pub(crate) use self::params::Params;
#[cfg(test)]
pub(crate) use self::tasks::about::tick_range;

use crate::ui;

use self::error::{CRON, ENVELOPE, ErrorForm, PROBLEM};
use self::frame::RequestFrame;

/// All routes. Each error format has a router with its own frame.
pub fn router(context: Arc<Context>) -> Router {
    let framed = |router: Router<Arc<Context>>, form: ErrorForm| {
        router.layer(from_fn_with_state(RequestFrame::of(&context, form), frame::frame))
    };
    let measured = context.settings.bench.as_ref().map(|_| bench::router()).unwrap_or_default();
    let own = routes::router(PROBLEM).merge(measured).merge(ui::router()).fallback(no_route);
    let mut cron = routes::router(CRON);
    for rest in ["/api/cron", "/api/cron/", "/api/cron/{*rest}"] {
        cron = cron.route(rest, any(frame::not_found));
    }
    framed(own, PROBLEM)
        .merge(framed(cron, CRON))
        .merge(framed(routes::router(ENVELOPE), ENVELOPE))
        .with_state(context)
}

/// The answer where there is no route: a page for browsers, and an error for programs.
async fn no_route(visit: ui::Visit, uri: Uri) -> Response {
    if visit.wants_page {
        return ui::not_found(visit);
    }
    frame::not_found(uri).await.into_response()
}
