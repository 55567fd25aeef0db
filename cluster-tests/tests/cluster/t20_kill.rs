//! Ticks while nodes are killed: the short form of `show kills`.

use cluster_tests::scenarios::kills::{Load, run};
use cluster_tests::{Cluster, Options, Outcome};

#[tokio::test]
async fn no_tick_is_started_twice_or_forgotten_while_nodes_are_killed() -> Outcome<()> {
    let mut cluster = Cluster::start(3, Options::default()).await?;
    let seen = run(&mut cluster, Load { tasks: 60, seconds: 20, kills: 4 }).await?;
    println!("{seen:#?}");
    assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
    assert_eq!(seen.kills, (4, 1));
    cluster.finish().await
}
