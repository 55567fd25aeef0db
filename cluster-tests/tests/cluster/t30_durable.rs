//! Writes while all nodes are killed together: the short form of `show durable`.

use cluster_tests::scenarios::durable::{Load, run};
use cluster_tests::{Cluster, Options, Outcome};

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill_of_all_nodes() -> Outcome<()> {
    let mut cluster = Cluster::start(3, Options::default()).await?;
    let seen = run(&mut cluster, Load { writes: 600, kills: 2 }).await?;
    println!("{seen:#?}");
    assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
    assert_eq!(seen.acknowledged, 600);
    cluster.finish().await
}
