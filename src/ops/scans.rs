//! Scans of the state: work that is too slow for the threads that process requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::OpError;
use super::limits::SCAN_LIMIT;
use crate::domain::error_code::ErrorCode;
use crate::life;

/// Maximum number of concurrent scans on a node. Others wait, so that threads remain for other
/// work.
const SCANS_MAX: usize = 32;

/// Limits the number of concurrent scans on a node.
pub struct Scans(Arc<Semaphore>);

impl Default for Scans {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SCANS_MAX)))
    }
}

impl Scans {
    /// Runs a scan on a thread for blocking work.
    ///
    /// # Errors
    /// `too_busy` if no running scan ends in time; `internal` if the scan panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        scan: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OpError> {
        self.run_within(SCAN_LIMIT, scan).await
    }

    async fn run_within<T: Send + 'static>(
        &self,
        limit: Duration,
        scan: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OpError> {
        let permit = timeout(limit, Arc::clone(&self.0).acquire_owned()).await;
        let Some(permit) = permit.ok().and_then(Result::ok) else {
            let why =
                "too many requests look through the state at once; come again, or ask another node";
            return Err(OpError::new(ErrorCode::TooBusy, why));
        };
        // A scan goes on when the client has gone, and keeps its permit until it ends.
        let done = life::blocking(move || {
            let _permit = permit;
            scan()
        });
        let done = done.await;
        done.map_err(|_panicked| OpError::internal("a computation failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scan_without_a_turn_is_refused_and_keeps_no_thread() {
        let scans = Scans(Arc::new(Semaphore::new(1)));
        let (begun, begins) = std::sync::mpsc::channel();
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let first = scans.run(move || {
            begun.send(()).unwrap();
            goes.recv().unwrap();
            "done"
        });
        let limit = Duration::from_millis(10);
        let second = async {
            tokio::task::spawn_blocking(move || begins.recv()).await.unwrap().unwrap();
            let refused = scans.run_within(limit, || panic!("it has no turn")).await;
            go.send(()).unwrap();
            refused
        };
        let (first, second): (Result<_, OpError>, Result<(), OpError>) =
            tokio::join!(first, second);
        assert_eq!(first.unwrap(), "done");
        assert_eq!(second.unwrap_err().code(), ErrorCode::TooBusy);
        // Of a scan whose client has gone too, but only when it has ended.
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let left = scans.run(move || goes.recv().unwrap());
        assert!(timeout(limit, left).await.is_err());
        let second = scans.run_within(limit, || ()).await;
        assert_eq!(second.unwrap_err().code(), ErrorCode::TooBusy);
        go.send(()).unwrap();
        scans.run_within(SCAN_LIMIT, || ()).await.unwrap();
        // The permit is released, even after a panic.
        let panicked = scans.run_within(limit, || -> () { panic!("as it must") }).await;
        assert_eq!(panicked.unwrap_err().code(), ErrorCode::Internal);
        assert_eq!(scans.run_within(limit, || 7).await.unwrap(), 7);
    }
}
