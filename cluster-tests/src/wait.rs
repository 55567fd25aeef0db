//! Waits for conditions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

use crate::TestResult;

/// Time limit of every wait. It is sufficient for a busy machine and a build without optimisation.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Polling interval.
const LOOK: Duration = Duration::from_millis(20);

/// Polls until there is a result.
///
/// # Errors
/// There is none within [`LIMIT`]. The message has the error of the last poll.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> TestResult<T>) -> TestResult<T> {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(why) if begun.elapsed() > LIMIT => {
                return Err(format!("waited {} s for {what}: {why}", LIMIT.as_secs()).into());
            }
            Err(_not_yet) => sleep(LOOK).await,
        }
    }
}

/// This machine's wall clock in milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
