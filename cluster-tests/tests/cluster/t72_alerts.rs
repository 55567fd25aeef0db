//! The alerts of `configs/prometheus` against a real Prometheus that scrapes a cluster, and the
//! metrics page against `promtool`. Skipped with a message if these programs are missing.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use cluster_tests::{Api, ClusterOptions, ProcessCluster, TestResult, field, skipped, text, until};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

/// Time for which all nodes are frozen, so that ticks are missed. Longer than `failover_timeout`.
const FROZEN: Duration = Duration::from_secs(7);

fn configs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/prometheus"))
}

/// Whether a program exists. If not, prints that its part of the test is skipped.
fn there(program: &str) -> TestResult<bool> {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skipped(&format!("{program} is not installed (Debian: apt-get install prometheus)"))?;
    }
    Ok(found)
}

fn shown(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn the_rules_do_what_their_tests_say() -> TestResult<()> {
    if !there("promtool")? {
        return Ok(());
    }
    for arguments in [
        &["check", "rules", "alerts.yaml"][..],
        &["check", "config", "prometheus.yaml"],
        &["test", "rules", "alerts_test.yaml"],
    ] {
        let output = Command::new("promtool").args(arguments).current_dir(configs()).output()?;
        assert!(output.status.success(), "{arguments:?}: {}", shown(&output));
    }
    Ok(())
}

/// Checks that `promtool check metrics` reports nothing about a page.
fn check_page(page: &str) -> TestResult<()> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    assert!(output.status.success(), "{}\n{page}", shown(&output));
    assert_eq!(shown(&output), "", "\n{page}");
    Ok(())
}

/// A separate Prometheus, which ends when this is dropped.
struct Prometheus {
    child: Child,
    api: Api,
}

impl Prometheus {
    /// Starts it with the project's alerts, but with shorter wait times.
    fn start(cluster: &ProcessCluster) -> TestResult<Self> {
        let folder = cluster.folder();
        let alerts = std::fs::read_to_string(configs().join("alerts.yaml"))?;
        let quick = alerts.replace("> 3600", "> 1").replace("for: 1m", "for: 0s");
        assert_eq!(quick.matches("> 1\n").count() + quick.matches("for: 0s").count(), 4);
        std::fs::write(folder.join("alerts.yaml"), quick)?;
        let targets: Vec<String> =
            cluster.numbers().map(|node| cluster.listens(node)[0].to_string()).collect();
        let settings = json!({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms",
                "evaluation_interval": "500ms"},
            "rule_files": ["alerts.yaml"],
            "scrape_configs": [
                {"job_name": "punctual", "static_configs": [{"targets": targets}]}],
        });
        // JSON is valid YAML.
        std::fs::write(folder.join("prometheus.yaml"), settings.to_string())?;
        let listen = SocketAddr::new(cluster.listens(1)[0].ip(), 9090);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={listen}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, api: Api::new(format!("http://{listen}"))? })
    }

    /// The results of a query.
    async fn query(&self, query: &str) -> TestResult<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.api.get(&format!("/api/v1/query?query={encoded}")).await?;
        let result = field(field(&answer, "data"), "result");
        Ok(result.as_array().cloned().unwrap_or_default())
    }

    /// Waits until a query has a result.
    async fn has(&self, query: &str) -> TestResult<Vec<Value>> {
        until(query, async || {
            let found = self.query(query).await?;
            if found.is_empty() { Err("nothing".into()) } else { Ok(found) }
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn firing(name: &str) -> String {
    format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}")
}

#[tokio::test]
async fn the_alerts_fire_when_they_should() -> TestResult<()> {
    if !there("promtool")? || !there("prometheus")? {
        return Ok(());
    }
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let task = |name: &str, argv: &[&str]| {
        json!({"name": name, "schedule": {"interval": "1s"}, "catch_up": {"policy": "none"},
            "action": {"shell": {"argv": argv}}})
    };
    cluster.add(1, &[task("good", &["true"]), task("bad", &["false"])]).await?;
    let prometheus = Prometheus::start(&cluster)?;
    let late = firing("PunctualTaskNotSucceeding");
    for alert in prometheus.has(&late).await? {
        assert_eq!(text(field(&alert, "metric"), "task"), "bad", "{alert}");
    }
    prometheus.has("punctual_task_last_success_timestamp_seconds{task=\"good\"}").await?;
    prometheus.has("punctual_task_next_tick_timestamp_seconds{task=\"good\"} > time()").await?;
    prometheus.has("min(punctual_node_up) == 1").await?;
    for quiet in ["PunctualNodeDown", "PunctualTicksMissed", "PunctualNoLeader"] {
        assert!(prometheus.query(&firing(quiet)).await?.is_empty(), "{quiet}");
    }
    for node in cluster.numbers() {
        check_page(&cluster.api(node).metrics_page().await?)?;
    }

    // No node decides ticks in time.
    for node in cluster.numbers() {
        cluster.pause(node)?;
    }
    sleep(FROZEN).await;
    for node in cluster.numbers() {
        cluster.resume(node)?;
    }
    prometheus.has(&firing("PunctualTicksMissed")).await?;
    cluster.all_ready().await?;
    // Nodes that were all frozen at the same time may have been considered down.
    prometheus.has(&format!("absent({})", firing("PunctualNodeDown"))).await?;

    cluster.kill9(3)?;
    for alert in prometheus.has(&firing("PunctualNodeDown")).await? {
        assert_eq!(text(field(&alert, "metric"), "node"), "n3", "{alert}");
    }
    cluster.kill9(2)?;
    prometheus.has(&firing("PunctualNoLeader")).await?;
    cluster.start_node(2)?;
    cluster.start_node(3)?;
    cluster.all_ready().await?;
    drop(prometheus);
    cluster.finish().await
}
