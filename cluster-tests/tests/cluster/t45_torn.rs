//! Nodes whose data folder is not whole, and a leader that is alone.

use cluster_tests::{Cluster, Options, Outcome, until};
use serde_json::json;

/// A member that voted and lost its log could undo what was acknowledged: it must not come back.
#[tokio::test]
async fn a_node_without_its_log_or_its_identity_is_refused() -> Outcome<()> {
    let mut cluster = Cluster::start(3, Options::default()).await?;
    cluster.add(1, &[json!({"name": "kept", "schedule": {"manual": true}})]).await?;
    for (lost, said) in [("log", "has voted"), ("identity", "its identity is gone")] {
        cluster.kill9(3)?;
        let (lost, aside) = (cluster.data(3).join(lost), cluster.folder().join("aside"));
        std::fs::rename(&lost, &aside)?;
        let ended = cluster.refused(3).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
        assert!(ended.stderr.contains("members replace 3"), "{}", ended.stderr);
        if lost.exists() {
            std::fs::remove_dir_all(&lost)?;
        }
        std::fs::rename(&aside, &lost)?;
        cluster.start_node(3)?;
        cluster.ready(3).await?;
    }
    cluster.agreed().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_leader_without_a_majority_is_not_ready() -> Outcome<()> {
    let mut cluster = Cluster::start(3, Options::default()).await?;
    let leader = cluster.leader().await?;
    let others: Vec<u8> = cluster.numbers().filter(|node| *node != leader).collect();
    for node in &others {
        cluster.kill9(*node)?;
    }
    let api = cluster.api(leader);
    until("the leader to say that it is alone", async || match api.ready().await {
        Ok(()) => Err("it says that it is ready".into()),
        Err(_) => Ok(()),
    })
    .await?;
    for node in others {
        cluster.start_node(node)?;
    }
    cluster.all_ready().await?;
    cluster.finish().await
}
