//! Members: a cluster grows and shrinks under load, and a member moves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cluster_tests::starts::TaskReport;
use cluster_tests::{
    ClusterOptions, ProcessCluster, ProcessExit, TestResult, field, items, noted, now_ms, shell,
    text, until,
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

/// Types a command until it succeeds. It may find no leader for a moment, and the same command then
/// goes on.
async fn typed_until_done(words: &[&str]) -> TestResult<ProcessExit> {
    until(&words.join(" "), async || {
        let ended = cluster_tests::run(words).await?;
        if ended.code == Some(0) { Ok(ended) } else { Err(format!("{ended:?}").into()) }
    })
    .await
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
    let ended = typed_until_done(&words).await?;
    assert!(ended.stdout.contains(&format!("member {node} added")), "{ended:?}");
    cluster.ready(node).await
}

/// Removes a node, which ends.
async fn leave(cluster: &mut ProcessCluster, node: u8, asked: u8) -> TestResult<()> {
    let server = cluster.api(asked).base().to_owned();
    let name = format!("n{node}");
    typed_until_done(&["cluster", "members", "remove", &name, "--server", &server]).await?;
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

/// Tasks with a tick every second. Each start is noted.
struct Load {
    tasks: Vec<Value>,
    notes: PathBuf,
}

impl Load {
    async fn start(cluster: &ProcessCluster, count: usize) -> TestResult<Self> {
        let notes = cluster.folder().join("notes");
        let script = format!("echo \"$PUNCTUAL_TASK $PUNCTUAL_TICK\" >> {}", notes.display());
        let task = |number: usize| {
            // A machine that stalls for long fires late, and leaves no tick out for that.
            json!({"name": format!("t{number}"), "schedule": {"interval": "1s"},
                "catch_up": {"policy": "all"}, "action": shell(&script)})
        };
        let tasks: Vec<Value> = (0..count).map(task).collect();
        cluster.add(1, &tasks).await?;
        Ok(Self { tasks, notes })
    }

    /// Waits for five ticks of each task, and checks that every tick started once.
    async fn nothing_missed(&self, cluster: &ProcessCluster, asked: u8) -> TestResult<()> {
        let (api, count) = (cluster.api(asked), self.tasks.len());
        until("five ticks of each task, and one more", async || match noted(&self.notes).len() {
            starts if starts > count * 6 => Ok(()),
            starts => Err(format!("{starts} starts").into()),
        })
        .await?;
        let until_now = now_ms();
        until("every tick up to now to be decided", async || {
            for task in &self.tasks {
                let report = TaskReport::ask(&api, text(task, "name"), STEP).await?;
                if report.cursor < until_now {
                    return Err(format!("{}: {}", report.name, report.cursor).into());
                }
            }
            Ok(())
        })
        .await?;
        // Nothing changes while it is read. What fired and did not start yet stays pending.
        // A node without a leader for a moment answers later.
        until("the scheduler to stop", async || {
            api.post("/api/v1/scheduler/stop", &json!({})).await
        })
        .await?;
        api.none_runs().await?;
        let mut counts = BTreeMap::new();
        let mut wrong = Vec::new();
        for task in &self.tasks {
            let report = until("the report of a task", async || {
                TaskReport::ask(&api, text(task, "name"), STEP).await
            })
            .await?;
            wrong.extend(report.uncovered());
            report.count(until_now, &mut counts);
        }
        assert_eq!(wrong, Vec::<String>::new());
        let fired = counts.remove("fired").unwrap_or(0);
        assert!(fired > i64::try_from(count * 5)?, "{fired}");
        assert_eq!(counts, BTreeMap::new(), "{fired} ticks fired");
        let started = noted(&self.notes);
        let once: BTreeSet<&Vec<String>> = started.iter().collect();
        assert_eq!(once.len(), started.len(), "a tick started twice");
        let executions =
            until("the executions", async || api.all("/api/v1/executions").await).await?;
        let late = executions.iter().filter_map(|one| field(one, "lateness_ms").as_i64()).max();
        println!("{fired} ticks fired, none missed, none doubled, the latest {late:?} ms late");
        Ok(())
    }
}

/// Waits until nodes know the peer address of another one.
async fn known_at(cluster: &ProcessCluster, asked: &[u8], node: u8, peer: &str) -> TestResult<()> {
    for asked in asked {
        let path = format!("/api/v1/nodes/n{node}");
        until(&format!("n{asked} to know n{node} at {peer}"), async || {
            let shown = cluster.api(*asked).get(&path).await?;
            if text(&shown, "peer") == peer { Ok(()) } else { Err(shown.to_string().into()) }
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_cluster_grows_to_five_and_shrinks_again_and_no_tick_is_missed_or_doubled()
-> TestResult<()> {
    let mut cluster = three_of_five().await?;
    let load = Load::start(&cluster, TASKS).await?;
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

    load.nothing_missed(&cluster, stay[0]).await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_member_moves_to_another_port_and_only_its_own_settings_say_so() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let load = Load::start(&cluster, TASKS / 4).await?;
    let [_, former] = cluster.listens(3);
    let mut moved = former;
    moved.set_port(former.port() + 1);
    assert!(cluster.stop(3).await?.success());
    cluster.rewrite(3, |settings| settings.replace(&former.to_string(), &moved.to_string()))?;
    cluster.start_node(3)?;
    cluster.all_ready().await?;
    members(&cluster, 1, &[1, 2, 3]).await?;
    // Each learns it by itself, and may be ready before.
    known_at(&cluster, &[1, 2, 3], 3, &moved.to_string()).await?;
    load.nothing_missed(&cluster, 1).await?;
    until("the scheduler to start", async || {
        cluster.api(1).post("/api/v1/scheduler/start", &json!({})).await
    })
    .await?;
    // Another one starts again with its former settings, and the two do without the third.
    assert!(cluster.stop(1).await?.success());
    cluster.start_node(1)?;
    cluster.ready(1).await?;
    cluster.kill9(2)?;
    let task = json!({"name": "later", "schedule": {"interval": "1s"}, "action": shell("true")});
    until("the two to take a task", async || {
        match cluster.api(1).post("/api/v1/tasks?force=true", &task).await {
            // It may have been taken, and its answer lost.
            Err(_) => cluster.api(1).get("/api/v1/tasks/later").await,
            taken => taken,
        }
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

/// Copies the files of a data folder. Sockets and the like are not data.
fn copy_folder(from: &Path, to: &Path) -> TestResult<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// The peer address of a member in settings.
fn peer_in(settings: &str, member: u8) -> TestResult<String> {
    let head = format!("[[cluster.member]]\nid = {member}\npeer = \"");
    let rest = settings.split_once(&head).ok_or("the member is not listed")?.1;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// Waits until a node is not ready and says all this.
async fn says(cluster: &ProcessCluster, node: u8, parts: &[&str]) -> TestResult<()> {
    let api = cluster.api(node);
    until(&format!("n{node} to say {parts:?}"), async || {
        let answer = api.send(Method::GET, "/readyz", None, None).await?;
        let said = answer.body.to_string();
        let told = answer.status == 503 && parts.iter().all(|part| said.contains(part));
        if told { Ok(()) } else { Err(format!("{answer:?}").into()) }
    })
    .await
}

/// The fourth process has a copy of the data folder of member 3 and another address.
#[tokio::test]
async fn a_copy_of_a_data_folder_does_not_take_the_place_of_the_node_that_runs() -> TestResult<()> {
    let options = ClusterOptions { proxied: true, ..ClusterOptions::default() };
    let mut cluster = ProcessCluster::prepare(4, options).await?;
    let settings = fs::read_to_string(cluster.settings(4))?;
    let (peer, copied) = (peer_in(&settings, 3)?, peer_in(&settings, 4)?);
    for node in 1..=3 {
        cluster.rewrite(node, |settings| without(&settings, &[4]))?;
        cluster.start_node(node)?;
    }
    for node in 1..=3 {
        cluster.ready(node).await?;
    }
    let ([http, _], [copy_http, _]) = (cluster.listens(3), cluster.listens(4));
    cluster.rewrite(4, |settings| {
        without(&settings, &[4])
            .replace("[node]\nid = 4\n", "[node]\nid = 3\n")
            .replace(&format!("peer = \"{peer}\""), &format!("peer = \"{copied}\""))
            .replace(&format!("\"http://{http}\""), &format!("\"http://{copy_http}\""))
    })?;
    cluster.pause(3)?;
    let done = copy_folder(&cluster.data(3), &cluster.data(4));
    cluster.resume(3)?;
    done?;
    // At its start it hears nobody who knows what member 3 has acknowledged since.
    cluster.cut_off(4)?;
    cluster.start_node(4)?;
    says(&cluster, 4, &["no leader for"]).await?;
    cluster.heal()?;
    for node in [1, 2] {
        until(&format!("n{node} to name both addresses"), async || {
            let said = cluster.said(node);
            let told = said.lines().any(|line| line.contains(&peer) && line.contains(&copied));
            if told { Ok(()) } else { Err(said.into()) }
        })
        .await?;
    }
    // The copy learns it too, and the node that runs keeps its place.
    says(&cluster, 4, &[peer.as_str(), &copied, "Stop one of the two"]).await?;
    members(&cluster, 1, &[1, 2, 3]).await?;
    for node in 1..=3 {
        let api = cluster.api(node);
        let shown =
            until("n3 as a node has it", async || api.get("/api/v1/nodes/n3").await).await?;
        assert_eq!(text(&shown, "peer"), peer);
    }
    cluster.kill9(4)?;
    cluster.finish().await
}
