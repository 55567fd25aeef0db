//! Writes while all nodes are killed together: the short form of `show durable`.

use cluster_tests::scenarios::durable::{DurableLoad, run};
use cluster_tests::{ClusterOptions, ProcessCluster, TestResult};

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill_of_all_nodes() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let seen = run(&mut cluster, DurableLoad { writes: 600, kills: 2 }).await?;
    println!("{seen:#?}");
    assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
    assert_eq!(seen.acknowledged, 600);
    cluster.finish().await
}
