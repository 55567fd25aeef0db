//! The prepared parts of an attempt that missed its time to start. The owner requests a new grant,
//! and the next attempt reuses these parts. Otherwise a connection that takes longer than a grant
//! is valid could never be used.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::http::HttpConnection;
use crate::domain::ids::ExecutionId;
use crate::domain::task::Action;

/// Time after which prepared parts are dropped. Servers close idle connections.
const HOLD: Duration = Duration::from_secs(10);

/// Identifies an attempt independent of its fence.
type PreparedKey = (ExecutionId, u32);

/// The prepared parts of one attempt.
#[derive(Default)]
pub(super) struct PreparedAttempt {
    /// Its action with the references resolved.
    pub(super) action: Option<Action>,
    /// An open connection on which nothing was sent.
    pub(super) connection: Option<HttpConnection>,
    /// How often it could not start because of a shortage of the machine.
    pub(super) shortages: u32,
}

/// The prepared attempts that wait for a new grant.
#[derive(Clone, Default)]
pub(super) struct PreparedAttempts {
    by_attempt: Arc<Mutex<HashMap<PreparedKey, (u64, PreparedAttempt)>>>,
    next: Arc<AtomicU64>,
}

impl PreparedAttempts {
    /// Takes the prepared parts of an attempt.
    pub(super) fn take(&self, key: PreparedKey) -> PreparedAttempt {
        self.by_attempt.lock().remove(&key).map(|(_number, ready)| ready).unwrap_or_default()
    }

    /// Keeps the prepared parts for [`HOLD`].
    pub(super) fn keep(&self, key: PreparedKey, ready: PreparedAttempt) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.by_attempt.lock().insert(key, (number, ready));
        let held = Arc::downgrade(&self.by_attempt);
        tokio::spawn(async move {
            tokio::time::sleep(HOLD).await;
            let Some(held) = held.upgrade() else { return };
            let mut held = held.lock();
            if held.get(&key).is_some_and(|(same, _)| *same == number) {
                held.remove(&key);
            }
        });
    }
}
