//! Fresh starts: nodes without data, all started at the same moment.

use crate::{ClusterOptions, ProcessCluster, TestResult, now_ms};

/// Starts this number of new nodes together. Returns the time until all were ready, in
/// milliseconds.
///
/// # Errors
/// They are not ready in time, or there is no leader then.
pub async fn run(nodes: u8) -> TestResult<i64> {
    let mut cluster = ProcessCluster::prepare(nodes, ClusterOptions::default()).await?;
    let begun = now_ms();
    cluster.start_all()?;
    cluster.all_ready().await?;
    let took = now_ms() - begun;
    cluster.leader().await?;
    cluster.finish().await?;
    Ok(took)
}
