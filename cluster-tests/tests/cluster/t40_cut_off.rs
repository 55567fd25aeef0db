//! Nodes that are cut off and reconnected: the short form of `show cut-off`.

use cluster_tests::scenarios::cut_off::{CutOffLoad, run};
use cluster_tests::{ClusterOptions, ProcessCluster, TestResult};

// The proxies use a different thread than the writers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_is_replaced_and_follows_when_healed() -> TestResult<()> {
    let options = ClusterOptions { proxied: true, ..ClusterOptions::default() };
    let mut cluster = ProcessCluster::start(3, options).await?;
    let seen = run(&mut cluster, CutOffLoad { seconds: 5, commands: 100, leader: true }).await?;
    println!("{seen:#?}");
    assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
    assert_eq!(seen.snapshots, 0.0, "a snapshot was needed, although the log was long enough");
    cluster.finish().await
}

// The proxies use a different thread than the writers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_for_longer_than_the_log_gets_a_snapshot() -> TestResult<()> {
    let settings = "[raft]\nretained_log = 1000\nsnapshot_every = 200\n".to_owned();
    let mut cluster = ProcessCluster::start(
        3,
        ClusterOptions { proxied: true, settings, ..ClusterOptions::default() },
    )
    .await?;
    let seen = run(&mut cluster, CutOffLoad { seconds: 5, commands: 2_200, leader: false }).await?;
    println!("{seen:#?}");
    assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
    assert!(seen.entries > 1_500, "too few entries were written");
    assert!(seen.snapshots >= 1.0, "it caught up without a snapshot");
    cluster.finish().await
}
