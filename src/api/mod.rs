//! The HTTP interface for machines: the canonical routes, their bodies, their errors.
//!
//! Connections are held by [`server`]. A request is read by [`extract`], answered by the handler that
//! the table of [`routes`] names, and completed by [`frame`]: request id, `Punctual-Index`, problems in one form. Handlers read a
//! frozen state ([`StateView`](crate::ops::context::StateView)) and change it only by proposing commands; how an error is
//! written is known to [`error`] alone.
//!
//! Architecture invariant: nobody holds the replica's lock across an await or a scan.

mod bench;
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
mod routes;
mod server;
mod spec;
mod tasks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::sync::watch;

pub use self::server::{HttpLimits, serve};
pub use crate::ops::output::{OUTPUT_KIND, serve_output};
pub use crate::ops::{ApiSettings, Context, RunningParts, Scans};

#[cfg(test)]
pub(crate) use self::params::Params;
#[cfg(test)]
pub(crate) use self::tasks::about::tick_range;

use self::frame::RequestFrame;

/// All routes.
pub fn router(context: Arc<Context>) -> Router {
    let measured = context.settings.bench.as_ref().map(|_| bench::router()).unwrap_or_default();
    routes::router()
        .merge(measured)
        .fallback(frame::not_found)
        .layer(from_fn_with_state(RequestFrame::of(&context, error::PROBLEM), frame::frame))
        .with_state(context)
}

/// Says that the node stops, to answers that would go on for ever.
#[derive(Clone)]
pub(crate) struct Stopping(pub watch::Receiver<bool>);
