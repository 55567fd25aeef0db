//! The HTTP interface for machines: the canonical routes, their bodies, their errors.
//!
//! A request is read by [`extract`], answered by the handler that the table below names, and
//! completed by [`frame`]: request id, `Punctual-Index`, problems in one form. Handlers read a
//! frozen state ([`context::View`]) and change it only by proposing commands; what a reason means
//! in HTTP is known to [`error`] alone.

mod context;
mod error;
mod extract;
mod fields;
mod frame;
mod health;
mod params;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use self::context::{ApiSettings, Context, Running};

/// All routes.
pub fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/health", get(health::health))
        .route("/metrics", get(health::page))
        .fallback(frame::not_found)
        .layer(from_fn_with_state(Arc::clone(&context), frame::frame))
        .with_state(context)
}

/// Says that the node stops, to answers that would go on for ever.
#[derive(Clone)]
pub(crate) struct Stopping(pub watch::Receiver<bool>);

/// Serves until `stop`: then no more connections, open streams end, requests under way are
/// answered.
pub async fn serve(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    let router = router.layer(axum::Extension(Stopping(stop.clone())));
    let listener = listener.tap_io(|stream| {
        // Answers are small and whole: waiting for more of them helps nobody.
        let _as_it_is = stream.set_nodelay(true);
    });
    let mut stop = stop;
    let stopped = async move {
        let _gone = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the API ended");
    }
}
