//! The lifecycle of a cluster: it forms, keeps its data, and refuses foreign nodes and folders.

use std::fs;
use std::net::TcpListener;

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, field, text, until};
use reqwest::Method;
use serde_json::{Value, json};

fn beat() -> Value {
    json!({"name": "beat", "schedule": {"interval": "500ms"},
        "action": {"shell": {"argv": ["echo", "hi"]}}})
}

fn paper() -> Value {
    json!({"name": "paper", "schedule": {"cron": "0 3 * * MON"}, "labels": {"of": "archive"},
        "payload": "x".repeat(10_000), "action": {"shell": {"argv": ["true"]}}})
}

/// Waits until a node reports more than this number of fired ticks.
async fn fires(cluster: &ProcessCluster, node: u8, before: u64) -> TestResult<u64> {
    until("ticks to fire", async || {
        let task = cluster.api(node).get("/api/v1/tasks/beat").await?;
        let fired = field(field(&task, "totals"), "fired").as_u64().unwrap_or(0);
        if fired > before { Ok(fired) } else { Err(format!("{fired} fired").into()) }
    })
    .await
}

/// The parts of a task that must survive every restart.
fn lasting(task: &Value) -> Value {
    let mut task = task.clone();
    let Some(fields) = task.as_object_mut() else { return task };
    for changing in
        ["owner", "cursor", "next_tick", "last_execution", "last_ended", "live", "totals"]
    {
        fields.shift_remove(changing);
    }
    task
}

#[tokio::test]
async fn three_nodes_keep_what_they_were_given() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let made = cluster.api(1).post("/api/v1/tasks", &beat()).await?;
    cluster.api(2).post("/api/v1/tasks", &paper()).await?;
    // It was acknowledged by one node, and can be read on every other node immediately.
    for node in [2, 3] {
        let read = cluster.api(node).get("/api/v1/tasks/beat").await?;
        assert_eq!(lasting(&read), lasting(&made));
    }
    let fired = fires(&cluster, 3, 1).await?;
    let old = cluster.api(3).get("/api/v1/tasks/beat/ticks?limit=1").await?;
    let old = text(&field(&old, "items")[0], "execution_id").to_owned();

    // One node stops normally, and the others take over its tasks.
    let status = cluster.stop(1).await?;
    assert!(status.success(), "{status}");
    let fired = fires(&cluster, 2, fired + 1).await?;
    cluster.start_node(1)?;
    cluster.ready(1).await?;

    // All nodes stop, and restart.
    let paper = cluster.api(1).get("/api/v1/tasks/paper").await?;
    for node in cluster.numbers() {
        let status = cluster.stop(node).await?;
        assert!(status.success(), "n{node}: {status}");
    }
    cluster.start_all()?;
    cluster.all_ready().await?;
    for node in cluster.numbers() {
        let api = cluster.api(node);
        assert_eq!(lasting(&api.get("/api/v1/tasks/beat").await?), lasting(&made));
        assert_eq!(api.get("/api/v1/tasks/paper").await?["revision"], paper["revision"]);
        let execution = api.get(&format!("/api/v1/executions/{old}")).await?;
        assert_eq!(text(&execution, "task"), "beat");
    }
    fires(&cluster, 1, fired + 1).await?;
    cluster.api(1).post("/api/v1/tasks/beat/pause", &json!({})).await?;
    cluster.agreed().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_folder_has_one_user_and_one_cluster() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let pid = cluster.pid(1).ok_or("no process")?;

    // A second process cannot use the same folder. The first one continues.
    let settings = cluster.settings(1);
    let settings = settings.to_str().ok_or("the path is not UTF-8")?;
    let second = cluster_tests::run(&["serve", "--config", settings]).await?;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains(&format!("process {pid} uses this data folder")), "{second:?}");
    cluster.api(1).ready().await?;
    assert!(cluster.stop(1).await?.success());

    // The folder of another cluster, and that of another node.
    let refused = |from: &'static str, to: &'static str| move |text: String| text.replace(from, to);
    cluster.rewrite(1, refused("name = \"test\"", "name = \"other\""))?;
    let ended = cluster.refused(1).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = "it belongs to cluster test, this node is of cluster other";
    assert!(ended.stderr.contains(said), "{ended:?}");
    cluster.rewrite(1, refused("name = \"other\"", "name = \"test\""))?;
    cluster.rewrite(1, refused("id = 1", "id = 2"))?;
    let ended = cluster.refused(1).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("it belongs to node 1, this node is of node 2"), "{ended:?}");
    cluster.rewrite(1, refused("id = 2", "id = 1"))?;

    // Addresses that are in use.
    for address in cluster.listens(1) {
        let held = TcpListener::bind(address)?;
        let ended = cluster.refused(1).await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&address.to_string()), "{ended:?}");
        drop(held);
    }

    // A damaged identity is not treated as a missing one.
    let identity = cluster.data(1).join("identity");
    let whole = fs::read_to_string(&identity)?;
    fs::write(&identity, whole.replacen("cluster_id ", "cluster_id f", 1))?;
    let ended = cluster.refused(1).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("identity: it is damaged"), "{ended:?}");
    fs::write(&identity, whole)?;

    // Invalid settings.
    cluster.rewrite(1, refused("[peer]\nlisten", "[peer]\nlisen"))?;
    let ended = cluster.refused(1).await?;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("did you mean `listen`?"), "{ended:?}");
    assert!(ended.stderr.contains("n1.toml:"), "{ended:?}");
    cluster.rewrite(1, refused("[peer]\nlisen", "[peer]\nlisten"))?;

    // After all that, nothing has changed.
    cluster.start_node(1)?;
    cluster.ready(1).await?;
    cluster.finish().await
}

/// Waits until every node lists each member once as a node and once as a member of the cluster,
/// with its addresses, one as leader and the others as followers.
async fn listed_alike(cluster: &ProcessCluster) -> TestResult<()> {
    let wanted: Vec<[String; 3]> = cluster
        .numbers()
        .map(|node| {
            let [http, peer] = cluster.listens(node);
            [format!("n{node}"), format!("http://{http}"), peer.to_string()]
        })
        .collect();
    for asked in cluster.numbers() {
        for (path, list) in [("/api/v1/nodes", "items"), ("/api/v1/cluster", "members")] {
            until("a list of all members", async || {
                let answer = cluster.api(asked).get(path).await?;
                let items = field(&answer, list).as_array().cloned().unwrap_or_default();
                let of =
                    |item: &Value| ["name", "http", "peer"].map(|key| text(item, key).to_owned());
                let mut listed: Vec<[String; 3]> = items.iter().map(of).collect();
                listed.sort_unstable();
                let roles = |role| items.iter().filter(|item| text(item, "role") == role).count();
                let alike = listed == wanted && (roles("leader"), roles("follower")) == (1, 2);
                if alike { Ok(()) } else { Err(format!("n{asked}, {path}: {answer}").into()) }
            })
            .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wiped_node_stays_out_and_comes_back_as_it_says() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    cluster.api(1).post("/api/v1/tasks", &beat()).await?;
    cluster.kill9(3)?;
    fs::remove_dir_all(cluster.data(3))?;
    cluster.start_node(3)?;
    let away = cluster.api(3);
    let sentence = "readmit this node with: punctual cluster members replace 3";
    until("the emptied node to report how it can be readmitted", async || {
        let answer = away.send(Method::GET, "/readyz", None, None).await?;
        let said = answer.status == 503 && text(&answer.body, "detail").contains(sentence);
        if said { Ok(()) } else { Err(format!("{answer:?}").into()) }
    })
    .await?;
    let listed = cluster_tests::run(&["node", "list", "--server", away.base()]).await?;
    assert_eq!(listed.code, Some(3), "{listed:?}");
    assert!(listed.stderr.contains(sentence), "{listed:?}");
    // The two other nodes do not need it, and it accepts no write.
    let fired = fires(&cluster, 1, 0).await?;
    fires(&cluster, 2, fired + 2).await?;
    let answer = away.send(Method::POST, "/api/v1/tasks", None, Some(&paper())).await?;
    assert_eq!((answer.status, text(&answer.body, "code")), (503, "no_leader"));

    let server = cluster.api(1).base().to_owned();
    let readmit = ["cluster", "members", "replace", "n3", "--server", &server];
    let ended = cluster_tests::run(&readmit).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("n3 readmitted"), "{ended:?}");
    cluster.ready(3).await?;
    // The node that lost its data is removed from the list, and its replacement works.
    until("one working node for each member", async || {
        let nodes = cluster.api(3).get("/api/v1/nodes").await?;
        let items = field(&nodes, "items").as_array().cloned().unwrap_or_default();
        let working = items.iter().filter(|node| text(node, "state") == "working").count();
        if (working, items.len()) == (3, 3) { Ok(()) } else { Err(format!("{items:?}").into()) }
    })
    .await?;
    listed_alike(&cluster).await?;
    cluster.agreed().await?;
    let again = cluster_tests::run(&readmit).await?;
    assert_eq!(again.code, Some(5), "{again:?}");
    assert!(again.stderr.contains("only an empty one is readmitted"), "{again:?}");
    cluster.finish().await
}

#[tokio::test]
async fn a_peer_of_another_cluster_is_refused_with_the_reason() -> TestResult<()> {
    let mut cluster = ProcessCluster::prepare(3, ClusterOptions::default()).await?;
    cluster.rewrite(3, |text| text.replace("name = \"test\"", "name = \"other\""))?;
    cluster.start_all()?;
    // No node forms a cluster without a listed member, and each side reports what it waits for.
    for (node, reason) in [(1, "\"other\""), (2, "\"other\""), (3, "\"test\"")] {
        until("the reason", async || {
            let answer = cluster.api(node).send(Method::GET, "/readyz", None, None).await?;
            let detail = text(&answer.body, "detail");
            let said = answer.status == 503 && detail.contains(reason);
            if said { Ok(()) } else { Err(format!("n{node}: {answer:?}").into()) }
        })
        .await?;
    }
    // With correct settings they form a cluster.
    cluster.stop(3).await?;
    cluster.rewrite(3, |text| text.replace("name = \"other\"", "name = \"test\""))?;
    cluster.start_node(3)?;
    cluster.all_ready().await?;
    cluster.finish().await
}
