//! Members: a cluster grows and shrinks under load, and a member moves.

use std::collections::{BTreeMap, BTreeSet};

use cluster_tests::starts::TaskReport;
use cluster_tests::{
    ClusterOptions, ProcessCluster, TestResult, field, items, noted, now_ms, shell, text, until,
};
use reqwest::Method;
use serde_json::{Value, json};

/// The tasks of the load. Each has a tick every second.
const TASKS: usize = 100;
const STEP: i64 = 1_000;

/// The settings without these members.
fn without(settings: &str, members: &[u8]) -> String {
    let heads: Vec<String> =
        members.iter().map(|id| format!("[[cluster.member]]\nid = {id}\n")).collect();
    let stays = |part: &&str| !heads.iter().any(|head| part.starts_with(head));
    settings.split_inclusive("\n\n").filter(stays).collect()
}

/// Three nodes that know nothing of two others, which are ready to be started.
async fn three_of_five() -> TestResult<ProcessCluster> {
    let mut cluster = ProcessCluster::prepare(5, ClusterOptions::default()).await?;
    for node in 1..=3 {
        cluster.rewrite(node, |settings| without(&settings, &[4, 5]))?;
        cluster.start_node(node)?;
    }
    for node in 1..=3 {
        cluster.ready(node).await?;
    }
    Ok(cluster)
}

/// Starts a node and types what it says.
async fn join(cluster: &mut ProcessCluster, node: u8, asked: u8) -> TestResult<()> {
    cluster.start_node(node)?;
    let [http, peer] = cluster.listens(node);
    let typed = format!("cluster members add {node} --peer {peer} --http http://{http}");
    let api = cluster.api(node);
    until("the new node to report how it is added", async || {
        let answer = api.send(Method::GET, "/readyz", None, None).await?;
        let said = text(&answer.body, "detail").contains(&format!("add it with: punctual {typed}"));
        if said { Ok(()) } else { Err(format!("{answer:?}").into()) }
    })
    .await?;
    let server = cluster.api(asked).base().to_owned();
    let words: Vec<&str> = typed.split(' ').chain(["--server", &server]).collect();
    let ended = cluster_tests::run(&words).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(&format!("member {node} added")), "{ended:?}");
    cluster.ready(node).await
}

/// Removes a node, which ends.
async fn leave(cluster: &mut ProcessCluster, node: u8, asked: u8) -> TestResult<()> {
    let server = cluster.api(asked).base().to_owned();
    let name = format!("n{node}");
    let ended =
        cluster_tests::run(&["cluster", "members", "remove", &name, "--server", &server]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = cluster.ended(node).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("this node was removed from the cluster"), "{ended:?}");
    Ok(())
}

/// Waits until exactly these nodes are there, work, and have a vote.
async fn members(cluster: &ProcessCluster, asked: u8, wanted: &[u8]) -> TestResult<()> {
    let wanted: BTreeSet<String> = wanted.iter().map(|node| format!("n{node}")).collect();
    until("the members", async || {
        let nodes = cluster.api(asked).get("/api/v1/nodes").await?;
        let good = |node: &&Value| {
            text(node, "state") == "working"
                && text(node, "intent") == "none"
                && ["leader", "follower"].contains(&text(node, "role"))
        };
        let names = |of: Vec<&Value>| -> BTreeSet<String> {
            of.into_iter().map(|node| text(node, "name").to_owned()).collect()
        };
        let all = items(&nodes);
        let found = names(all.iter().filter(good).collect());
        let same = found == wanted && all.len() == wanted.len();
        if same { Ok(()) } else { Err(nodes.to_string().into()) }
    })
    .await
}

/// Waits until a node has run something.
async fn runs_on(cluster: &ProcessCluster, node: u8) -> TestResult<()> {
    until(&format!("an execution on n{node}"), async || {
        let path = format!("/api/v1/executions?node=n{node}&limit=1");
        let found = cluster.api(1).get(&path).await?;
        if items(&found).is_empty() { Err("none".into()) } else { Ok(()) }
    })
    .await
}

#[tokio::test]
async fn a_cluster_grows_to_five_and_shrinks_again_and_no_tick_is_missed_or_doubled()
-> TestResult<()> {
    let mut cluster = three_of_five().await?;
    let notes = cluster.folder().join("notes");
    let script = format!("echo \"$PUNCTUAL_TASK $PUNCTUAL_TICK\" >> {}", notes.display());
    let tasks: Vec<Value> = (0..TASKS)
        .map(|number| {
            json!({"name": format!("t{number}"), "schedule": {"interval": "1s"},
                "action": shell(&script)})
        })
        .collect();
    cluster.add(1, &tasks).await?;

    join(&mut cluster, 4, 2).await?;
    join(&mut cluster, 5, 4).await?;
    members(&cluster, 5, &[1, 2, 3, 4, 5]).await?;
    runs_on(&cluster, 4).await?;
    runs_on(&cluster, 5).await?;
    // The leader goes first, whichever it is, then one more.
    let leader = cluster.leader().await?;
    let mut stay: Vec<u8> = cluster.numbers().filter(|node| *node != leader).collect();
    leave(&mut cluster, leader, stay[0]).await?;
    let second = stay.pop().ok_or("four nodes")?;
    leave(&mut cluster, second, stay[0]).await?;
    members(&cluster, stay[0], &stay).await?;
    // It does not come back with its data.
    let refused = cluster.refused(second).await?;
    assert!(refused.stderr.contains(&format!("members add {second}")), "{refused:?}");

    let api = cluster.api(stay[0]);
    until("five ticks of each task, and one more", async || match noted(&notes).len() {
        starts if starts > TASKS * 6 => Ok(()),
        starts => Err(format!("{starts} starts").into()),
    })
    .await?;
    let until_now = now_ms();
    until("every tick up to now to be decided", async || {
        for task in &tasks {
            let report = TaskReport::ask(&api, text(task, "name"), STEP).await?;
            if report.cursor < until_now {
                return Err(format!("{}: {}", report.name, report.cursor).into());
            }
        }
        Ok(())
    })
    .await?;
    // Nothing changes while it is read.
    api.post("/api/v1/scheduler/stop", &json!({})).await?;
    api.all_ended().await?;
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    for task in &tasks {
        let report = TaskReport::ask(&api, text(task, "name"), STEP).await?;
        wrong.extend(report.uncovered());
        report.count(until_now, &mut counts);
    }
    assert_eq!(wrong, Vec::<String>::new());
    let fired = counts.remove("fired").unwrap_or(0);
    assert!(fired > i64::try_from(TASKS * 5)?, "{fired}");
    assert_eq!(counts, BTreeMap::new(), "{fired} ticks fired");
    let started = noted(&notes);
    let once: BTreeSet<&Vec<String>> = started.iter().collect();
    assert_eq!(once.len(), started.len(), "a tick started twice");
    let executions = api.all("/api/v1/executions").await?;
    let late = executions.iter().filter_map(|one| field(one, "lateness_ms").as_i64()).max();
    println!("{fired} ticks fired, none missed, none doubled, the latest {late:?} ms late");
    cluster.finish().await
}

#[tokio::test]
async fn a_member_moves_to_another_port_and_only_its_own_settings_say_so() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let [_, former] = cluster.listens(3);
    let mut moved = former;
    moved.set_port(former.port() + 1);
    assert!(cluster.stop(3).await?.success());
    cluster.rewrite(3, |settings| settings.replace(&former.to_string(), &moved.to_string()))?;
    cluster.start_node(3)?;
    cluster.all_ready().await?;
    members(&cluster, 1, &[1, 2, 3]).await?;
    let nodes = cluster.api(1).get("/api/v1/nodes/n3").await?;
    assert_eq!(text(&nodes, "peer"), moved.to_string());
    // Another one starts again with its former settings, and the two do without the third.
    assert!(cluster.stop(1).await?.success());
    cluster.start_node(1)?;
    cluster.ready(1).await?;
    cluster.kill9(2)?;
    let task = json!({"name": "later", "schedule": {"interval": "1s"}, "action": shell("true")});
    until("the two to take a task", async || {
        cluster.api(1).post("/api/v1/tasks?force=true", &task).await
    })
    .await?;
    until("a tick to fire", async || {
        let found = cluster.api(3).get("/api/v1/executions?task_id=later&limit=1").await?;
        if items(&found).is_empty() {
            Err(field(&found, "items").to_string().into())
        } else {
            Ok(())
        }
    })
    .await?;
    cluster.start_node(2)?;
    cluster.all_ready().await?;
    cluster.agreed().await?;
    cluster.finish().await
}
