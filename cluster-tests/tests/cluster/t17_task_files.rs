//! Tasks from files: three nodes read them, one changes, all change; and files with problems.

use std::fs;
use std::path::PathBuf;

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, field, items, run, text, until};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// The folder of tasks of a node.
fn folder(cluster: &ProcessCluster, node: u8) -> PathBuf {
    cluster.folder().join(format!("tasks-{node}"))
}

/// Puts a file in place as deployments do: under another name first.
fn write(cluster: &ProcessCluster, node: u8, name: &str, content: &str) -> TestResult<()> {
    let folder = folder(cluster, node);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(".new"), content)?;
    Ok(fs::rename(folder.join(".new"), folder.join(name))?)
}

/// Three nodes that read a folder each.
async fn start(prune: &str, content: &str) -> TestResult<ProcessCluster> {
    let mut cluster = ProcessCluster::prepare(3, ClusterOptions::default()).await?;
    for node in cluster.numbers() {
        let path = folder(&cluster, node);
        write(&cluster, node, "tasks.yaml", content)?;
        let more = format!("\n[tasks]\npath = {path:?}\nprune = \"{prune}\"\n");
        cluster.rewrite(node, |settings| settings + &more)?;
    }
    cluster.start_all()?;
    cluster.all_ready().await?;
    Ok(cluster)
}

async fn drift(cluster: &ProcessCluster, node: u8) -> TestResult<Value> {
    cluster.api(node).get("/api/v1/drift").await
}

/// Waits until the nodes whose definitions are in force are these.
async fn in_force(cluster: &ProcessCluster, wanted: &[&str]) -> TestResult<Value> {
    until(&format!("definitions of {wanted:?} in force"), async || {
        let told = drift(cluster, 1).await?;
        let nodes = field(&told, "nodes").as_array().cloned().unwrap_or_default();
        let with = nodes
            .iter()
            .filter(|node| field(node, "in_force") == true && field(node, "complete") == true);
        let with: Vec<&str> = with.map(|node| text(node, "node")).collect();
        let all = nodes.len() == 3;
        let own = field(&told, "in_force") == wanted.contains(&"n1");
        if with == wanted && all && own { Ok(told) } else { Err(told.to_string().into()) }
    })
    .await
}

async fn task(cluster: &ProcessCluster, name: &str) -> TestResult<Value> {
    cluster.api(2).get(&format!("/api/v1/tasks/{name}")).await
}

fn every(name: &str, interval: &str) -> String {
    format!(
        "- name: {name}\n  schedule: {{interval: {interval}}}\n  \
             action: {{shell: {{argv: [\"true\"]}}}}\n"
    )
}

async fn patch(cluster: &ProcessCluster, name: &str, change: &Value) -> TestResult<()> {
    let path = format!("/api/v1/tasks/{name}");
    let answer = cluster.api(3).send(Method::PATCH, &path, None, Some(change)).await?;
    if answer.good() { Ok(()) } else { Err(format!("{answer:?}").into()) }
}

#[tokio::test]
async fn nodes_with_other_files_are_told_and_take_no_turns() -> TestResult<()> {
    let first = every("a", "60s") + &every("b", "60s");
    let mut cluster = start("disable", &first).await?;
    in_force(&cluster, &["n1", "n2", "n3"]).await?;
    let (a, b) = (task(&cluster, "a").await?, task(&cluster, "b").await?);
    assert_eq!((text(&a, "origin"), text(&b, "state")), ("static", "active"));
    let revisions = cluster.api(1).get("/api/v1/tasks/a/revisions").await?;
    assert_eq!(items(&revisions).len(), 1, "three nodes proposed it once: {revisions}");

    // The files of one node change: they are in force, and the others are told.
    let second = every("a", "120s") + &every("c", "60s");
    write(&cluster, 2, "tasks.yaml", &second)?;
    in_force(&cluster, &["n2"]).await?;
    assert_eq!(field(field(&task(&cluster, "a").await?, "schedule"), "interval"), "2m");
    let gone = task(&cluster, "b").await?;
    assert_eq!(
        (field(&gone, "enabled"), field(field(&gone, "source"), "hash")),
        (&json!(false), &Value::Null)
    );
    until("a warning", async || match cluster.said(1).contains("define other tasks") {
        true => Ok(()),
        false => Err("not yet".into()),
    })
    .await?;

    // A restart with the former files changes nothing.
    let former = text(&task(&cluster, "a").await?, "updated_at").to_owned();
    assert!(cluster.stop(1).await?.success());
    cluster.start_node(1)?;
    cluster.all_ready().await?;
    until("a warning after the restart", async || {
        match cluster.said(1).contains("define other tasks") {
            true => Ok(()),
            false => Err("not yet".into()),
        }
    })
    .await?;
    in_force(&cluster, &["n2"]).await?;
    assert_eq!(text(&task(&cluster, "a").await?, "updated_at"), former);

    // All have the new files: nothing is proposed again.
    for node in [1, 3] {
        write(&cluster, node, "tasks.yaml", &second)?;
    }
    let told = in_force(&cluster, &["n1", "n2", "n3"]).await?;
    let gone = items_of(&told);
    assert_eq!(gone, [("b".to_owned(), "gone".to_owned())], "{told}");
    assert_eq!(text(&task(&cluster, "a").await?, "updated_at"), former);
    cluster.finish().await
}

fn items_of(drift: &Value) -> Vec<(String, String)> {
    let items = field(drift, "items").as_array().cloned().unwrap_or_default();
    let one = |item: &Value| (text(item, "name").to_owned(), text(item, "standing").to_owned());
    items.iter().map(one).collect()
}

/// Writes the same file on all nodes, and waits until it is in force.
async fn roll_out(cluster: &ProcessCluster, content: &str) -> TestResult<Value> {
    let before = drift(cluster, 1).await?;
    for node in cluster.numbers() {
        write(cluster, node, "tasks.yaml", content)?;
    }
    until("another set", async || {
        let now = drift(cluster, 1).await?;
        match field(&now, "hash") != field(&before, "hash") {
            true => Ok(()),
            false => Err(now.to_string().into()),
        }
    })
    .await?;
    in_force(cluster, &["n1", "n2", "n3"]).await
}

#[tokio::test]
async fn what_operators_did_stays() -> TestResult<()> {
    let names = ["changed", "paused", "deleted", "plain"];
    let all = |interval: &str| -> String { names.map(|name| every(name, interval)).concat() };
    let cluster = start("delete", &all("60s")).await?;
    in_force(&cluster, &["n1", "n2", "n3"]).await?;
    let own = json!({"name": "own", "schedule": {"interval": "90s"}, "action": {"shell": {"argv": ["true"]}}});
    cluster.api(1).post("/api/v1/tasks", &own).await?;
    patch(&cluster, "changed", &json!({"priority": 9})).await?;
    cluster.api(1).post("/api/v1/tasks/paused/pause", &json!({"reason": "mine"})).await?;
    let path = "/api/v1/tasks/deleted";
    assert!(cluster.api(1).send(Method::DELETE, path, None, None).await?.good());

    let told = roll_out(&cluster, &(all("120s") + &every("own", "10s"))).await?;
    let mut items = items_of(&told);
    items.sort();
    let told = |name: &str, how: &str| (name.to_owned(), how.to_owned());
    assert_eq!(
        items,
        [told("changed", "drifted"), told("deleted", "deleted"), told("own", "foreign")]
    );
    let interval = async |name| -> TestResult<Value> {
        Ok(field(field(&task(&cluster, name).await?, "schedule"), "interval").clone())
    };
    assert_eq!(interval("changed").await?, "1m");
    assert_eq!((interval("paused").await?, interval("plain").await?), (json!("2m"), json!("2m")));
    assert_eq!(interval("own").await?, "1m30s");
    assert_eq!(text(&task(&cluster, "paused").await?, "state"), "paused");
    assert_eq!(text(&task(&cluster, "deleted").await?, "state"), "deleted");

    // Back to what the files had said, and a new set: the files change it again. With `delete` what
    // they have no more is marked deleted, unless an operator changed it.
    patch(&cluster, "changed", &json!({"priority": 5})).await?;
    patch(&cluster, "plain", &json!({"priority": 8})).await?;
    roll_out(&cluster, &every("changed", "180s")).await?;
    assert_eq!(interval("changed").await?, "3m");
    assert_eq!(text(&task(&cluster, "paused").await?, "state"), "deleted");
    assert_eq!(text(&task(&cluster, "plain").await?, "state"), "active");
    cluster.finish().await
}

#[tokio::test]
async fn files_with_problems_change_nothing_and_a_hangup_reads_them_again() -> TestResult<()> {
    let jobs = "scheduler:\n  jobs:\n    - {name: cleanup, type: cron, schedule: \"0 2 * * *\", \
                enabled: true, action: {shell: {argv: [\"true\"]}}}\n";
    let holidays = "calendars:\n  - {name: holidays, rules: [{yearly: [\"12-25\"]}]}\n\
                    tasks:\n  - {name: quiet, schedule: {daily: \"02:00\", exclude: [holidays]}, \
                    action: {shell: {argv: [\"true\"]}}}\n";
    let mut cluster = ProcessCluster::prepare(1, ClusterOptions::default()).await?;
    write(&cluster, 1, "jobs.yaml", jobs)?;
    write(&cluster, 1, "more.yaml", holidays)?;
    let path = folder(&cluster, 1);
    cluster.rewrite(1, |settings| settings + &format!("\n[tasks]\npath = {path:?}\n"))?;
    cluster.start_all()?;
    cluster.all_ready().await?;
    let api = cluster.api(1);
    settled(&cluster, "cleanup quiet").await?;
    let calendar = api.get("/api/v1/calendars/holidays").await?;
    assert_eq!((text(&calendar, "origin"), field(&calendar, "task_count")), ("static", &json!(1)));

    // A file with problems, all of them told with their lines; nothing is changed.
    write(
        &cluster,
        1,
        "bad.yaml",
        "- name: x\n  schedule: {cron: \"61 * * * *\"}\n- name: y\n  schedule: {interval: 1ms}\n",
    )?;
    until("problems", async || {
        let told = drift(&cluster, 1).await?;
        let problems = field(&told, "problems").to_string();
        let good = problems.contains("bad.yaml:2: x") && problems.contains("bad.yaml:4: y");
        if good { Ok(()) } else { Err(told.to_string().into()) }
    })
    .await?;
    settled(&cluster, "cleanup quiet").await?;
    let shown = run(&["task", "drift", "--exit-code", "--server", api.base()]).await?;
    assert_eq!(shown.code, Some(1), "{shown:?}");

    // A restart with these files keeps what was there, and says so.
    cluster.kill9(1)?;
    cluster.start_node(1)?;
    cluster.all_ready().await?;
    until("problems after a restart", async || match cluster.said(1).contains("bad.yaml:2: x") {
        true => Ok(()),
        false => Err("not yet".into()),
    })
    .await?;
    let kept = api.all("/api/v1/tasks").await?;
    assert_eq!(kept.len(), 2, "{kept:?}");
    fs::remove_file(folder(&cluster, 1).join("bad.yaml"))?;
    write(&cluster, 1, "more.yaml", &every("later", "60s"))?;
    let pid = cluster.pid(1).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    kill_process(pid.ok_or("no process")?, Signal::HUP)?;
    settled(&cluster, "cleanup later quiet").await?;
    let quiet = task_of(&cluster, "quiet").await?;
    assert_eq!(field(&quiet, "enabled"), false, "the files have it no more");
    cluster.finish().await
}

/// Waits until the files are in force, and these are all tasks.
async fn settled(cluster: &ProcessCluster, wanted: &str) -> TestResult<()> {
    until(&format!("{wanted:?} in force"), async || {
        let told = drift(cluster, 1).await?;
        let names = cluster.api(1).all("/api/v1/tasks").await?;
        let names: Vec<&str> = names.iter().map(|task| text(task, "name")).collect();
        let good = field(&told, "in_force") == true && names.join(" ") == wanted;
        if good { Ok(()) } else { Err(format!("{names:?}, {told}").into()) }
    })
    .await
}

async fn task_of(cluster: &ProcessCluster, name: &str) -> TestResult<Value> {
    cluster.api(1).get(&format!("/api/v1/tasks/{name}")).await
}

/// A node that stopped reading files while it was the only one tells so when the cluster grows.
#[tokio::test]
async fn a_node_without_files_shows_none_to_those_that_join_later() -> TestResult<()> {
    let mut cluster = ProcessCluster::prepare(2, ClusterOptions::default()).await?;
    let path = folder(&cluster, 1);
    write(&cluster, 1, "tasks.yaml", &every("a", "60s"))?;
    let more = format!("\n[tasks]\npath = {path:?}\n");
    let mut alone = String::new();
    cluster.rewrite(1, |settings| {
        let other = |part: &&str| !part.starts_with("[[cluster.member]]\nid = 2\n");
        alone = settings.split_inclusive("\n\n").filter(other).collect();
        alone.clone() + &more
    })?;
    cluster.start_node(1)?;
    cluster.ready(1).await?;
    let nodes = async |cluster: &ProcessCluster, asked: u8| -> TestResult<Vec<String>> {
        let told = drift(cluster, asked).await?;
        let nodes = field(&told, "nodes").as_array().cloned().unwrap_or_default();
        let with = nodes.iter().filter(|node| *field(node, "hash") != Value::Null);
        Ok(with.map(|node| text(node, "node").to_owned()).collect())
    };
    until("the files to be read", async || match nodes(&cluster, 1).await? {
        with if with == ["n1"] => Ok(()),
        with => Err(format!("{with:?}").into()),
    })
    .await?;

    assert!(cluster.stop(1).await?.success());
    cluster.rewrite(1, |_settings| alone.clone())?;
    cluster.start_node(1)?;
    cluster.ready(1).await?;

    cluster.start_node(2)?;
    let [http, peer] = cluster.listens(2);
    let (peer, http) = (peer.to_string(), format!("http://{http}"));
    let server = cluster.api(1).base().to_owned();
    let add = ["cluster", "members", "add", "2", "--peer", &peer, "--http", &http];
    let typed = [&add[..], &["--server", &server]].concat();
    until("the second node to be added", async || {
        let ended = run(&typed).await?;
        if ended.code == Some(0) { Ok(()) } else { Err(format!("{ended:?}").into()) }
    })
    .await?;
    cluster.ready(2).await?;
    until("no files of the first node", async || match nodes(&cluster, 2).await? {
        with if with.is_empty() => Ok(()),
        with => Err(format!("{with:?}").into()),
    })
    .await?;
    cluster.finish().await
}
