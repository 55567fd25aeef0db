//! Recording for benchmarks.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::{AttemptStart, Observer};

/// The attempt starts recorded on a node since the last call of [`Starts::take`]. Clones share the
/// record.
#[derive(Clone, Debug, Default)]
pub struct Starts(Arc<Mutex<Vec<AttemptStart>>>);

impl Starts {
    /// An observer that records each start on a node.
    #[must_use]
    pub fn observer(&self) -> Observer {
        let starts = Arc::clone(&self.0);
        Arc::new(move |started| starts.lock().push(started))
    }

    /// Removes and returns the recorded starts.
    #[must_use]
    pub fn take(&self) -> Vec<AttemptStart> {
        std::mem::take(&mut *self.0.lock())
    }
}
