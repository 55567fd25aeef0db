//! Frozen leaders, nodes that are cut off, and single nodes.

use std::fs;
use std::time::Duration;

use cluster_tests::scenarios::silence::{LeaderLoss, SilenceRun};
use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, field, text, until};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Time limit for a node to report that it is cut off. It applies to the median of several rounds,
/// because a busy machine may be late in one of them.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// The factor for time limits of an idle machine on a busy one.
const BUSY: i64 = 2;

/// The loss of a frozen leader takes as long as that of a killed one, and a node that resumes
/// settles its earlier grants. Kills and freezes alternate, so that a busy machine affects both. A
/// busy machine may be slow in any round, so the medians count, with more rounds if they are too
/// long.
#[tokio::test]
async fn a_silent_leader_costs_no_more_than_a_killed_one() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let mut load = SilenceRun::begin(&mut cluster, 90).await?;
    for round in 1..=7 {
        load.lose_leader(LeaderLoss::Killed).await?;
        load.lose_leader(LeaderLoss::Frozen).await?;
        if round >= 3 && load.seen()?.slow(BUSY).is_empty() {
            break;
        }
    }
    let seen = load.end().await?;
    println!("{seen:#?}");
    assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
    assert_eq!(seen.slow(BUSY), Vec::<String>::new());
    cluster.finish().await
}

#[tokio::test]
async fn a_lone_node_is_ready_and_stays_ready() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let begun = tokio::time::Instant::now();
    // Longer than any silence after which a node reports that it has no leader.
    while begun.elapsed().as_secs() < 4 {
        cluster.api(1).ready().await?;
        let health = cluster.api(1).get("/health").await?;
        assert_eq!(text(&health, "status"), "healthy");
    }
    cluster.finish().await
}

/// Waits until a node reports that it is not ready, with all these words.
async fn unready(
    cluster: &ProcessCluster,
    node: u8,
    words: &[&str],
    unreachable: usize,
) -> TestResult<Value> {
    until("the reason", async || {
        let answer = cluster.api(node).send(Method::GET, "/readyz", None, None).await?;
        let detail = text(&answer.body, "detail");
        // Each member is detected as unreachable by a separate call.
        let named = answer.body.get("unreachable").and_then(Value::as_array).map_or(0, Vec::len);
        let said = answer.status == 503
            && words.iter().all(|word| detail.contains(word))
            && named >= unreachable;
        if said { Ok(answer.body) } else { Err(format!("{answer:?}").into()) }
    })
    .await
}

/// Cuts a node off repeatedly, and checks the time until it reports this. It is cut off at the end.
async fn told_in_time(cluster: &mut ProcessCluster, node: u8) -> TestResult<Value> {
    let mut took = Vec::new();
    loop {
        let begun = Instant::now();
        cluster.cut_off(node)?;
        let problem = unready(cluster, node, &["no leader for", "unreachable"], 2).await?;
        took.push(begun.elapsed());
        took.sort_unstable();
        let median = took[took.len() / 2];
        if took.len() >= 3 && median <= TOLD_WITHIN {
            return Ok(problem);
        }
        if took.len() >= 7 {
            return Err(format!("it reports this after {took:?}").into());
        }
        cluster.heal()?;
        cluster.ready(node).await?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_says_why_and_whom_to_ask() -> TestResult<()> {
    let mut cluster =
        ProcessCluster::start(3, ClusterOptions { proxied: true, ..ClusterOptions::default() })
            .await?;
    let leader = cluster.leader().await?;
    let node = cluster.numbers().find(|node| *node != leader).ok_or("no follower")?;
    let problem = told_in_time(&mut cluster, node).await?;
    assert!(!text(&problem, "detail").contains("clock"), "{problem}");
    // The older endpoint reports the same, with the same number of seconds.
    until("/health and /readyz to report the same", async || {
        let ready = cluster.api(node).send(Method::GET, "/readyz", None, None).await?;
        let health = cluster.api(node).send(Method::GET, "/health", None, None).await?;
        let said = (health.status, text(&health.body, "status"), text(&health.body, "error"));
        let same = said == (503, "unhealthy", text(&ready.body, "detail"));
        if same { Ok(()) } else { Err(format!("{ready:?} {health:?}").into()) }
    })
    .await?;
    let answer = cluster.api(node).send(Method::GET, "/api/v1/tasks", None, None).await?;
    assert_eq!((answer.status, text(&answer.body, "code")), (503, "no_leader"));
    let ask = field(&answer.body, "ask").as_array().cloned().unwrap_or_default();
    let others = cluster.numbers().filter(|other| *other != node);
    let others: Vec<Value> = others.map(|other| cluster.api(other).base().into()).collect();
    assert_eq!(ask, others);
    // It still answers from its own state.
    let stale = cluster.api(node).get("/api/v1/tasks?consistency=stale").await?;
    assert!(field(&stale, "items").is_array(), "{stale}");
    cluster.heal()?;
    cluster.ready(node).await?;
    // Without a majority, the last node reports this too, whether it is leader or not.
    let others: Vec<u8> = cluster.numbers().filter(|other| *other != node).collect();
    for other in &others {
        cluster.kill9(*other)?;
    }
    unready(&cluster, node, &[" for ", "unreachable"], 2).await?;
    for other in others {
        cluster.start_node(other)?;
    }
    cluster.all_ready().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_wrong_secret_and_another_member_list_are_named() -> TestResult<()> {
    let secret = |of: &'static str| {
        move |text: String| {
            text.replace("name = \"test\"", &format!("name = \"test\"\nsecret = \"{of}\""))
        }
    };
    let mut cluster = ProcessCluster::prepare(3, ClusterOptions::default()).await?;
    for node in 1..=3 {
        cluster.rewrite(node, secret("a secret of the whole cluster"))?;
    }
    cluster.start_all()?;
    cluster.all_ready().await?;
    cluster.stop(3).await?;
    let of_all = fs::read_to_string(cluster.settings(3))?;
    cluster.rewrite(3, |text| text.replace("of the whole cluster", "of somebody else"))?;
    cluster.start_node(3)?;
    unready(&cluster, 3, &["cluster.secret of this node and of member 1", "differ"], 0).await?;
    until("the log message", async || {
        let said = cluster.said(3).contains("cluster.secret of this node and of member 1");
        if said { Ok(()) } else { Err("no such message".into()) }
    })
    .await?;
    cluster.stop(3).await?;

    let warned = async |cluster: &ProcessCluster, node: u8, words: &str| {
        until("the warning", async || {
            let answer = cluster.api(node).send(Method::GET, "/readyz", None, None).await?;
            let said = field(&answer.body, "warnings").to_string().contains(words);
            if said { Ok(()) } else { Err(format!("n{node}: {answer:?}").into()) }
        })
        .await
    };
    for (list, words) in other_lists(&of_all)? {
        cluster.rewrite(3, |_| list)?;
        cluster.start_node(3)?;
        warned(&cluster, 3, words).await?;
        warned(&cluster, 2, "has another cluster.member list than this node").await?;
        until("the log message", async || {
            if cluster.said(3).contains(words) { Ok(()) } else { Err("no such message".into()) }
        })
        .await?;
        cluster.stop(3).await?;
    }
    cluster.rewrite(3, |_| of_all)?;
    cluster.start_node(3)?;
    cluster.all_ready().await?;
    cluster.finish().await
}

/// A node's settings with a shorter list of members, with a longer one, and with another address,
/// each with the message that the node must report.
fn other_lists(of_all: &str) -> TestResult<[(String, &'static str); 3]> {
    const MEMBER: &str = "[[cluster.member]]\n";
    let first = of_all.find(MEMBER).ok_or("no members")?;
    let second = of_all[first + 1..].find(MEMBER).ok_or("one member")? + first + 1;
    let shorter = format!("{}{}", &of_all[..first], &of_all[second..]);
    let fourth =
        format!("{MEMBER}id = 4\npeer = \"127.0.0.1:9\"\nhttp = \"http://127.0.0.1:8\"\n\n");
    let longer = format!("{}{fourth}{}", &of_all[..first], &of_all[first..]);
    let peer = of_all[first..second].lines().find(|line| line.starts_with("peer"));
    let moved = of_all.replacen(peer.ok_or("no address")?, "peer = \"127.0.0.1:9\"", 1);
    Ok([
        (shorter, "cluster.member lacks member 1, which the cluster has"),
        (longer, "cluster.member lists member 4, which the cluster does not have"),
        (moved, "has another cluster.member list than this node"),
    ])
}

/// A follower, and the files of its log.
async fn follower_log(cluster: &ProcessCluster) -> TestResult<(u8, Vec<std::path::PathBuf>)> {
    let leader = cluster.leader().await?;
    let node = cluster.numbers().find(|node| *node != leader).ok_or("no follower")?;
    let files = fs::read_dir(cluster.data(node).join("log"))?;
    let files = files.map(|file| Ok(file?.path())).collect::<TestResult<Vec<_>>>()?;
    let mut files: Vec<_> =
        files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "wal")).collect();
    files.sort();
    Ok((node, files))
}

#[tokio::test]
async fn a_follower_whose_log_was_cut_refuses_and_is_readmitted() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let paper = |number: usize| {
        json!({"name": format!("paper-{number}"), "schedule": {"manual": true},
            "action": {"shell": {"argv": ["true"]}}})
    };
    let papers: Vec<Value> = (0..50).map(paper).collect();
    for paper in &papers {
        cluster.add(1, std::slice::from_ref(paper)).await?;
    }
    cluster.agreed().await?;
    let (node, files) = follower_log(&cluster).await?;
    cluster.kill9(node)?;
    let last = files.last().ok_or("no log")?;
    let length = fs::metadata(last)?.len();
    fs::OpenOptions::new().write(true).open(last)?.set_len(length.saturating_sub(3_000))?;
    let ended = cluster.refused(node).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cluster members replace"), "{ended:?}");
    fs::remove_dir_all(cluster.data(node))?;
    cluster.start_node(node)?;
    // A follower accepts the request, with the name of the node.
    let leader = cluster.leader().await?;
    let other = cluster.numbers().find(|other| *other != leader && *other != node);
    let api = cluster.api(other.ok_or("no follower")?);
    let path = format!("/api/v1/cluster/members/n{node}/replace");
    until("the member to be readmitted", async || api.post(&path, &json!({})).await).await?;
    cluster.ready(node).await?;
    cluster.agreed().await?;
    let answer = api.post("/api/v1/cluster/transfer-leader", &json!({})).await?;
    assert_ne!(text(&answer, "leader"), format!("n{leader}"), "{answer}");
    cluster.finish().await
}
