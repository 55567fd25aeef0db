//! A rolling restart, as of an upgrade, while lines are full and triggers go on: nodes are asked to
//! end, one after the other, and start again.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cluster_tests::lines::{most_at_once, started};
use cluster_tests::scenarios::rolling;
use cluster_tests::{
    Api, ClusterOptions, ProcessCluster, TestResult, field, items, skipped, text, until, with,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

/// So many executions of a task wait at a time.
const WAITING: usize = 4;
/// Between two rounds of triggers.
const PACE: Duration = Duration::from_millis(200);
/// The tasks of the group, beside those that are held up.
const PARTS: [&str; 3] = ["part-1", "part-2", "part-3"];
/// What all work does: it holds one of the locks in the folder, and notes when it has and gives it
/// back, or that none was free. A lock is free again when the last process that has it is gone.
const WORK: &str = r#"
notes=$1/notes pause=$2 locks=$3
note() { echo "$PUNCTUAL_TASK $PUNCTUAL_EXECUTION_ID $1" >> "$notes"; }
case $PUNCTUAL_PARAMETERS in *held*) pause=600 ;; esac
for lock in $locks; do
    exec 9> "$1/$lock"
    if flock --nonblock 9; then
        note begins
        sleep "$pause"
        note ends
        exit 0
    fi
done
note overlaps
exit 99
"#;

/// A task whose work takes so long, under one of these locks.
fn task(folder: &Path, name: &str, pause: &str, locks: &str, more: Value) -> Value {
    let task = json!({"name": name, "schedule": {"manual": true}, "kill_grace": "1s",
        "keep": {"executions": 10_000},
        "action": {"shell": {"argv": ["sh", "-c", WORK, "sh", folder, pause, locks]}}});
    with(task, more)
}

fn tasks(folder: &Path) -> Vec<Value> {
    let group = |more: Value| {
        let mut policy = json!({"concurrency": {"group": "db", "limit": 2}});
        policy["assignment"] = more;
        policy
    };
    let mut tasks = vec![
        task(folder, "queue", "0.5", "queue", json!({"execution_mode": "sequential"})),
        task(folder, "swap", "0.3", "swap", json!({"execution_mode": "replace"})),
    ];
    for name in PARTS {
        tasks.push(task(folder, name, "0.5", "db-1 db-2", group(json!({}))));
    }
    // One for each node, which it holds up until it is interrupted.
    for node in ["n1", "n2", "n3"] {
        let there = group(json!({"selector": {"node": node}}));
        tasks.push(task(folder, &format!("held-{node}"), "600", "db-1 db-2", there));
    }
    tasks
}

/// The nodes, and what they have accepted.
#[derive(Clone)]
struct RollingLoad {
    apis: Vec<Api>,
    /// Triggers so far, each with a key of its own.
    name: &'static str,
    /// Execution to task.
    accepted: BTreeMap<String, String>,
}

impl RollingLoad {
    /// The first good answer of the nodes in turn. A node that is stopped or begins to answers
    /// nothing, or that another one may be asked.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> TestResult<Value> {
        let mut nodes = self.apis.iter().cycle();
        until(&format!("an answer to {path}"), async || {
            let api = nodes.next().ok_or("no node")?;
            let answer = api.send(method.clone(), path, key, body).await?;
            assert!(answer.good() || answer.come_again(), "{path}: {answer:?}");
            if answer.good() { Ok(answer.body) } else { Err(answer.body.to_string().into()) }
        })
        .await
    }

    async fn trigger(&mut self, task: &str, parameters: Value) -> TestResult<String> {
        let key = format!("{}-{}", self.name, self.accepted.len());
        let path = format!("/api/v1/tasks/{task}/trigger");
        let body = json!({ "parameters": parameters });
        let made = self.ask(Method::POST, &path, Some(&key), Some(&body)).await?;
        let id = text(&made, "id").to_owned();
        let before = self.accepted.insert(id.clone(), task.to_owned());
        assert_eq!(before, None, "two triggers made one execution: {made}");
        Ok(id)
    }

    async fn waiting(&self, task: &str) -> TestResult<usize> {
        let path = format!("/api/v1/executions?task_id={task}&status=pending&limit=10");
        Ok(items(&self.ask(Method::GET, &path, None, None).await?).len())
    }

    /// Keeps the lines full until it is asked to end.
    async fn run(mut self, ends: &Cell<bool>) -> TestResult<BTreeMap<String, String>> {
        while !ends.get() {
            for task in PARTS.into_iter().chain(["queue"]) {
                for _ in self.waiting(task).await?..WAITING {
                    self.trigger(task, json!({})).await?;
                }
            }
            // What runs is stopped; of those that wait behind it all but the last are displaced.
            for _ in 0..3 {
                self.trigger("swap", json!({})).await?;
            }
            sleep(PACE).await;
        }
        Ok(self.accepted)
    }

    /// Waits until the lines are full.
    async fn full(&self) -> TestResult<()> {
        until("full lines", async || {
            let mut group = 0;
            for part in PARTS {
                group += self.waiting(part).await?;
            }
            let queue = self.waiting("queue").await?;
            if group >= 6 && queue >= 3 { Ok(()) } else { Err(format!("{group} {queue}").into()) }
        })
        .await
    }

    /// Waits until an execution runs, and tells the number of its node.
    async fn runs(&self, id: &str) -> TestResult<u8> {
        let path = format!("/api/v1/executions/{id}");
        let node = until(&format!("execution {id} to run"), async || {
            let one = self.ask(Method::GET, &path, None, None).await?;
            let runs = text(&one, "status") == "running" && !field(&one, "start_time").is_null();
            if runs { Ok(text(&one, "node").to_owned()) } else { Err(one.to_string().into()) }
        })
        .await?;
        Ok(node.trim_start_matches('n').parse()?)
    }
}

/// What the work wrote about each execution, in the order of its first note.
fn noted(folder: &Path) -> TestResult<Vec<(String, Vec<String>)>> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for line in fs::read_to_string(folder.join("notes"))?.lines() {
        let [task, id, what] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("no note: {line}").into());
        };
        assert_ne!(what, "overlaps", "more than the limit ran at once: {task} {id}");
        match all.iter_mut().find(|(known, _)| known == id) {
            Some((_, notes)) => notes.push(what.to_owned()),
            None => all.push((id.to_owned(), vec![what.to_owned()])),
        }
    }
    Ok(all)
}

/// Whether an execution ended in a way that it may, with the notes of its work; how it ended.
fn end(one: &Value, notes: Option<&[String]>) -> TestResult<&'static str> {
    let attempts = field(one, "attempts").as_array().map_or(&[][..], Vec::as_slice);
    let detail = attempts.first().map(|attempt| text(attempt, "detail")).unwrap_or_default();
    let notes: Vec<&str> = notes.unwrap_or_default().iter().map(String::as_str).collect();
    let known = match (text(one, "status"), attempts.len(), &notes[..]) {
        ("success", 1, ["begins", "ends"]) => "success",
        ("failed", 1, [] | ["begins"]) if detail.starts_with("interrupted by its node: ") => {
            "interrupted"
        }
        // One that waited was displaced; one that ran was stopped, perhaps at its very end.
        ("cancelled", 0, []) if text(one, "reason") == "replaced" => "displaced",
        ("cancelled", 1, [] | ["begins"] | ["begins", "ends"]) if text(one, "task") == "swap" => {
            "replaced"
        }
        _ => return Err(format!("{notes:?}, but {one}").into()),
    };
    Ok(known)
}

/// Every trigger that was accepted has one execution, which ended in a known way; how many did how.
async fn ends(
    api: &Api,
    accepted: &BTreeMap<String, String>,
    folder: &Path,
) -> TestResult<BTreeMap<(String, &'static str), usize>> {
    let notes: BTreeMap<String, Vec<String>> = noted(folder)?.into_iter().collect();
    let mut counts = BTreeMap::new();
    let mut found = BTreeMap::new();
    for one in api.all("/api/v1/executions").await? {
        let (id, task) = (text(&one, "id").to_owned(), text(&one, "task").to_owned());
        let how = end(&one, notes.get(&id).map(Vec::as_slice))?;
        *counts.entry((task.clone(), how)).or_default() += 1;
        assert_eq!(found.insert(id, task), None, "told twice: {one}");
    }
    assert_eq!(&found, accepted, "what the cluster has is not what it accepted");
    Ok(counts)
}

/// Never more than the limit ran, and those of the queue in their order.
async fn limits(api: &Api, folder: &Path) -> TestResult<()> {
    let group = PARTS.into_iter().chain(["held-n1", "held-n2", "held-n3"]);
    for (tasks, limit) in [
        (vec!["queue".to_owned()], 1),
        (vec!["swap".to_owned()], 1),
        (group.map(str::to_owned).collect(), 2),
    ] {
        let all = started(api, &tasks).await?;
        assert!((1..=limit).contains(&most_at_once(&all)), "{tasks:?}: {all:#?}");
        if tasks[0] == "queue" {
            let number = |id: &str| id.parse::<u64>().unwrap_or_default();
            assert!(all.is_sorted_by_key(|one| number(&one.id)), "{all:#?}");
            let ids: BTreeSet<&str> = all.iter().map(|one| &*one.id).collect();
            let noted = noted(folder)?;
            let begun = noted.iter().filter(|(id, _)| ids.contains(&**id));
            assert!(begun.is_sorted_by_key(|(id, _)| number(id)), "{noted:#?}");
        }
    }
    Ok(())
}

/// Stops and starts each node, with full lines.
async fn roll(cluster: &mut ProcessCluster, load: &mut RollingLoad) -> TestResult<()> {
    // What the queue waits for is interrupted too, by the first node.
    load.full().await?;
    let held = load.trigger("queue", json!({"held": true})).await?;
    let first = load.runs(&held).await?;
    for node in cluster.numbers().map(|turn| (first + turn - 2) % 3 + 1) {
        let held = load.trigger(&format!("held-n{node}"), json!({})).await?;
        assert_eq!(load.runs(&held).await?, node);
        load.full().await?;
        assert!(cluster.stop(node).await?.success());
        cluster.start_node(node)?;
        cluster.ready(node).await?;
    }
    load.full().await
}

#[tokio::test]
async fn a_rolling_restart_with_full_lines_keeps_limits_and_order_and_loses_nothing()
-> TestResult<()> {
    if !Command::new("flock").arg("--version").output().is_ok_and(|ended| ended.status.success()) {
        return skipped("flock is not installed");
    }
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let folder = cluster.folder().to_owned();
    cluster.add(1, &tasks(&folder)).await?;
    let apis: Vec<Api> = cluster.numbers().map(|node| cluster.api(node)).collect();
    let load = RollingLoad { apis, name: "load", accepted: BTreeMap::new() };
    let mut own = RollingLoad { name: "held", ..load.clone() };
    let ended = Cell::new(false);
    let rolling = async {
        roll(&mut cluster, &mut own).await?;
        ended.set(true);
        Ok(())
    };
    let (mut accepted, ()) = tokio::try_join!(load.run(&ended), rolling)?;
    accepted.append(&mut own.accepted);
    let api = cluster.api(1);
    api.all_ended().await?;

    let counts = ends(&api, &accepted, &folder).await?;
    println!("{counts:?}");
    let count = |task: &str, how| counts.get(&(task.to_owned(), how)).copied().unwrap_or(0);
    for held in ["queue", "held-n1", "held-n2", "held-n3"] {
        assert_eq!(count(held, "interrupted"), 1, "{held}: {counts:?}");
    }
    for (task, how) in [("queue", "success"), ("part-1", "success"), ("swap", "displaced")] {
        assert!(count(task, how) > 5, "{task}: {counts:?}");
    }
    limits(&api, &folder).await?;
    cluster.agreed().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_rolling_restart_misses_no_tick() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let seen = rolling::run(&mut cluster, 30).await?;
    println!("{:?}, latest start after {:?} ms", seen.verdicts, seen.late_ms.last());
    assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
    cluster.finish().await
}
