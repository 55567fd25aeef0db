//! Ticks while nodes are killed: the short form of `show kills`.

use cluster_tests::scenarios::kills::{KillsLoad, run};
use cluster_tests::{ClusterOptions, ProcessCluster, TestResult};

#[tokio::test]
async fn no_tick_is_started_twice_or_forgotten_while_nodes_are_killed() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let seen = run(&mut cluster, KillsLoad { tasks: 60, seconds: 20, kills: 4 }).await?;
    println!("{seen:#?}");
    assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
    assert_eq!(seen.kills, (4, 1));
    cluster.finish().await
}
