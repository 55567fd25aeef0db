//! The prepared parts of an attempt that missed its time to start. The owner requests a new grant,
//! and the next attempt continues with these parts. Otherwise a connection that takes longer than a
//! grant is valid could never be used.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::http::HttpConnection;
use crate::domain::ids::ExecutionId;
use crate::domain::task::Action;

/// A grant that has not come by then begins anew: servers close connections that say nothing.
const HOLD: Duration = Duration::from_secs(10);

/// Names an attempt, whatever its fence.
type PreparedKey = (ExecutionId, u32);

/// The prepared parts of one attempt.
#[derive(Default)]
pub(super) struct PreparedAttempt {
    /// Its action with the references resolved.
    pub(super) action: Option<Action>,
    /// Made, and nothing sent on it.
    pub(super) connection: Option<HttpConnection>,
    /// How often it could not start because the machine had nothing left to start it with.
    pub(super) shortages: u32,
}

/// The prepared attempts without a grant.
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

    /// Keeps it for a while.
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
