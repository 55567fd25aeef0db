//! What is noted for measurements.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::{AttemptStart, Observer};

/// The starts that a node saw since they were taken last; clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct Starts(Arc<Mutex<Vec<AttemptStart>>>);

impl Starts {
    /// Notes each start of a node.
    #[must_use]
    pub fn observer(&self) -> Observer {
        let starts = Arc::clone(&self.0);
        Arc::new(move |started| starts.lock().push(started))
    }

    /// Takes what was noted.
    #[must_use]
    pub fn take(&self) -> Vec<AttemptStart> {
        std::mem::take(&mut *self.0.lock())
    }
}
