//! Every metric changes when its event happens, and an event of the cluster is counted once.

use std::collections::{BTreeMap, BTreeSet};

use cluster_tests::{Api, ClusterOptions, ProcessCluster, TestResult, field, now_ms, text, until};
use futures_util::future::{join_all, try_join_all};
use reqwest::Method;
use serde_json::{Value, json};

/// As small as the settings allow, so that a node that was away soon needs a snapshot.
const SETTINGS: &str =
    "[raft]\nsnapshot_every = 200\nretained_log = 1000\n\n[metrics]\ntasks = 3\n";
/// Changes that are written at once.
const WRITES: usize = 50;

/// What was seen of the metrics: all names, and those with a value other than 0.
#[derive(Default)]
struct SeenMetrics {
    all: BTreeSet<String>,
    moved: BTreeSet<String>,
}

impl SeenMetrics {
    /// Reads the pages of all nodes that answer.
    async fn look(&mut self, cluster: &ProcessCluster) {
        for node in cluster.numbers() {
            let Ok(page) = cluster.api(node).metrics_page().await else { continue };
            self.read(&page);
        }
    }

    fn read(&mut self, page: &str) {
        let mut name = "";
        for line in page.lines() {
            if let Some(about) = line.strip_prefix("# TYPE ") {
                name = about.split(' ').next().unwrap_or_default();
                self.all.insert(name.to_owned());
            } else if !line.starts_with('#') && !line.ends_with(" 0") && !line.ends_with(" 0.0") {
                self.moved.insert(name.to_owned());
            }
        }
    }

    fn missing(&self) -> Vec<&String> {
        self.all.difference(&self.moved).collect()
    }
}

fn task(name: &str, schedule: Value, argv: &[&str]) -> Value {
    json!({"name": name, "schedule": schedule, "action": {"shell": {"argv": argv}}})
}

#[tokio::test]
async fn every_metric_moves_and_what_happens_once_is_counted_once() -> TestResult<()> {
    let options = ClusterOptions { settings: SETTINGS.to_owned(), ..ClusterOptions::default() };
    let mut cluster = ProcessCluster::prepare(3, options).await?;
    for node in cluster.numbers() {
        // Executions have to wait for each other.
        cluster.rewrite(node, |text| text.replace("[node]\n", "[node]\nslots = 1\n"))?;
    }
    cluster.start_all()?;
    cluster.all_ready().await?;
    let mut moved = SeenMetrics::default();
    moved.look(&cluster).await;

    let second = json!({"interval": "1s"});
    let mut again = task("again", json!({"manual": true}), &["false"]);
    again["retry"] = json!({"max_retry": 1, "delay": "100ms"});
    let tasks = [
        task("bad", second.clone(), &["false"]),
        task("good", second.clone(), &["true"]),
        again,
        task("race", json!({"manual": true}), &["true"]),
        task("slow", second, &["sleep", "0.7"]),
        task("twin", json!({"interval": "500ms"}), &["sleep", "0.3"]),
    ];
    cluster.add(1, &tasks).await?;
    cluster.api(1).post("/api/v1/tasks/again/trigger", &json!({})).await?;
    let waits = ["punctual_executions_pending", "punctual_oldest_pending_execution_age_seconds"];
    until("ticks to fire and executions to wait", async || {
        moved.look(&cluster).await;
        let wanted = [
            "punctual_tick_lateness_seconds",
            "punctual_executions_running",
            "punctual_attempts_repeated_total",
        ];
        let missing = [&waits[..], &wanted[..]].concat();
        match missing.iter().find(|name| !moved.moved.contains(**name)) {
            None => Ok(()),
            Some(name) => Err((*name).into()),
        }
    })
    .await?;
    rival_claims(&cluster).await?;
    stand_still(&cluster).await?;
    moved.look(&cluster).await;
    counted_once(&cluster).await?;

    // A node that was away needs a snapshot, and counts nothing that it applies again.
    let leader = cluster.leader().await?;
    let away = cluster.numbers().find(|node| *node != leader).ok_or("no follower")?;
    let applied = cluster.api(away).applied().await?;
    cluster.kill9(away)?;
    write_until_purged(&cluster, leader, applied).await?;
    cluster.start_node(away)?;
    cluster.ready(away).await?;
    let api = cluster.api(away);
    for counted in ["punctual_ticks_total", "punctual_executions_total"] {
        assert_eq!(api.metrics(counted).await?, 0.0, "{counted} after a restart");
    }
    let _stream = api.follow("/api/v1/tasks/good/executions/new", None).await?;
    let _reader = api.follow("/api/v1/events", None).await?;
    until("every metric to move", async || {
        moved.look(&cluster).await;
        match moved.missing() {
            missing if missing.is_empty() => Ok(()),
            missing => Err(format!("{missing:?}").into()),
        }
    })
    .await?;
    cluster.agreed().await?;
    cluster.finish().await
}

/// Claims one tick of a task through all nodes at once, until one of them is refused at the cursor;
/// then reports with a wrong fence, and with the right one.
async fn rival_claims(cluster: &ProcessCluster) -> TestResult<()> {
    until("a claim to be refused", async || {
        let at = punctual::Timestamp(now_ms()).to_string();
        let claims =
            cluster.numbers().map(|node| {
                let (api, body) = (cluster.api(node), json!({"tick": at}));
                async move {
                    api.send(Method::POST, "/api/v1/tasks/race/claim", None, Some(&body)).await
                }
            });
        for answer in join_all(claims).await {
            let answer = answer?;
            if answer.status == 201 {
                let id = text(&answer.body, "execution_id");
                let path = format!("/api/v1/executions/{id}/callback");
                let told = |fence: &Value| json!({"status": "success", "fence": fence});
                let api = cluster.api(1);
                let wrong = api.send(Method::POST, &path, None, Some(&told(&json!(1)))).await?;
                assert_eq!(text(&wrong.body, "code"), "stale_fence", "{wrong:?}");
                api.post(&path, &told(field(&answer.body, "fence"))).await?;
            }
        }
        let settles = "punctual_settle_refused_total{reason=\"settled\"}";
        for counted in [settles, "punctual_reports_refused_total"] {
            if sum(cluster, counted).await? == 0.0 {
                return Err(counted.into());
            }
        }
        Ok(())
    })
    .await
}

async fn sum(cluster: &ProcessCluster, begin: &str) -> TestResult<f64> {
    let values = cluster.numbers().map(|node| {
        let api = cluster.api(node);
        async move { api.metrics(begin).await }
    });
    Ok(try_join_all(values).await?.iter().sum())
}

/// Pauses all tasks and waits until nothing runs or waits.
async fn stand_still(cluster: &ProcessCluster) -> TestResult<()> {
    let names = ["again", "bad", "good", "race", "slow", "twin"];
    cluster.api(1).post("/api/v1/tasks/bulk", &json!({"op": "pause", "names": names})).await?;
    let tasks = cluster.api(1).get("/api/v1/executions?status=pending&limit=1000").await?;
    for waiting in cluster_tests::items(&tasks) {
        let path = format!("/api/v1/executions/{}/stop", text(waiting, "id"));
        cluster.api(1).send(Method::POST, &path, None, None).await?;
    }
    until("nothing to run", async || {
        let running = sum(cluster, "punctual_executions_running").await?;
        let pending = sum(cluster, "punctual_executions_pending").await?;
        if running + pending == 0.0 { Ok(()) } else { Err(format!("{running} {pending}").into()) }
    })
    .await?;
    cluster.agreed().await?;
    Ok(())
}

/// The sums over all nodes are what the state says.
async fn counted_once(cluster: &ProcessCluster) -> TestResult<()> {
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    for task in cluster.api(1).all("/api/v1/tasks").await? {
        let of = field(&task, "totals");
        for name in ["fired", "success", "failed", "timeout", "cancelled", "lost"] {
            *totals.entry(name).or_default() += field(of, name).as_f64().unwrap_or(f64::NAN);
        }
    }
    for (name, total) in totals {
        let series = match name {
            "fired" => "punctual_ticks_total{verdict=\"fired\"}".to_owned(),
            status => format!("punctual_executions_total{{status=\"{status}\"}}"),
        };
        assert_eq!(sum(cluster, &series).await?, total, "{series}");
    }
    Ok(())
}

/// Writes until the leader's log no longer holds what comes after an entry.
async fn write_until_purged(cluster: &ProcessCluster, leader: u8, entry: u64) -> TestResult<()> {
    let api = cluster.api(leader);
    let mut number = 0;
    until("the log to be purged", async || {
        number += 1;
        // One entry for each writer's request: they go through one node one after the other.
        try_join_all((0..4).map(|writer| write(&api, writer, number))).await?;
        let held = api.metric("punctual_raft_log_entries").await?;
        let purged = api.metric("punctual_raft_applied_index").await? - held;
        if purged > entry as f64 { Ok(()) } else { Err(format!("{purged} of {entry}").into()) }
    })
    .await
}

async fn write(api: &Api, writer: usize, number: usize) -> TestResult<()> {
    let name = ["bad", "good", "slow", "twin"][writer];
    for at in 0..WRITES {
        let body = json!({"description": format!("change {number} {at}")});
        let answer =
            api.send(Method::PATCH, &format!("/api/v1/tasks/{name}"), None, Some(&body)).await?;
        if !answer.good() {
            return Err(format!("{answer:?}").into());
        }
    }
    Ok(())
}
