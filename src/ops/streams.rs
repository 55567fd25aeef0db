//! Streams of events, which are bounded in number because each lasts as long as its reader likes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::OpError;
use super::context::Context;
use crate::domain::error_code::ErrorCode;
use crate::telemetry::metrics::Metrics;

/// The places for the streams of a node.
#[derive(Debug)]
pub struct Streams {
    places: Arc<Semaphore>,
    max: usize,
}

impl Streams {
    /// So many places.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max)), max }
    }
}

/// A place among the streams of a node; it is free again when this is dropped.
pub(crate) struct StreamPlace {
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

impl StreamPlace {
    /// A place.
    ///
    /// # Errors
    /// `too_many_streams`.
    pub fn take(context: &Context) -> Result<Self, OpError> {
        let Streams { places, max } = &context.streams;
        let permit = Arc::clone(places).try_acquire_owned().map_err(|_none| {
            let why =
                format!("{max} streams are open, as many as http.streams of this node allows");
            OpError::new(ErrorCode::TooManyStreams, why)
        })?;
        context.metrics.http_streams.inc();
        Ok(Self { metrics: context.metrics.clone(), _permit: permit })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.metrics.http_streams.dec();
    }
}
