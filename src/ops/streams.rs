//! Streams, which are bounded in number because each lasts as long as its reader likes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::OpError;
use super::context::Context;
use crate::domain::error_code::ErrorCode;
use crate::telemetry::metrics::GaugeGuard;

/// The places for the streams of a node.
#[derive(Debug)]
pub struct Streams {
    outputs: StreamPlaces,
    events: StreamPlaces,
}

/// The places for streams of one kind.
#[derive(Debug)]
struct StreamPlaces {
    free: Arc<Semaphore>,
    max: usize,
    /// What those who take them are.
    what: &'static str,
    /// The setting with their number.
    key: &'static str,
}

impl StreamPlaces {
    fn new(max: usize, what: &'static str, key: &'static str) -> Self {
        Self { free: Arc::new(Semaphore::new(max)), max, what, key }
    }

    fn take(&self, open: impl FnOnce() -> GaugeGuard) -> Result<StreamPlace, OpError> {
        let Self { free, max, what, key } = self;
        let permit = Arc::clone(free).try_acquire_owned().map_err(|_none| {
            let why = format!("{max} {what} are open, as many as {key} of this node allows");
            let advice = format!("Ask another node, come again later, or raise {key} of the node.");
            OpError::new(ErrorCode::TooManyStreams, why).advise(advice)
        })?;
        Ok(StreamPlace { _open: open(), _permit: permit })
    }
}

impl Streams {
    /// So many places for streams of output, and so many for readers of events.
    #[must_use]
    pub fn new(outputs: usize, events: usize) -> Self {
        Self {
            outputs: StreamPlaces::new(outputs, "streams", "http.streams"),
            events: StreamPlaces::new(events, "readers of events", "http.event_readers"),
        }
    }
}

/// A place among the streams of a node; it is free again when this is dropped.
pub(crate) struct StreamPlace {
    _open: GaugeGuard,
    _permit: OwnedSemaphorePermit,
}

impl StreamPlace {
    /// A place for a stream of output.
    ///
    /// # Errors
    /// `too_many_streams`.
    pub fn take(context: &Context) -> Result<Self, OpError> {
        context.streams.outputs.take(|| context.metrics.output_stream())
    }

    /// A place for a reader of events.
    ///
    /// # Errors
    /// `too_many_streams`.
    pub fn of_events(context: &Context) -> Result<Self, OpError> {
        context.streams.events.take(|| context.metrics.event_reader())
    }
}

/// Tells streams, which have no end of their own, that the node stops.
#[derive(Clone)]
pub(crate) struct Stopping(pub watch::Receiver<bool>);

impl Stopping {
    /// Waits until the node stops.
    pub async fn stopped(mut self) {
        let _gone = self.0.wait_for(|stop| *stop).await;
    }
}
