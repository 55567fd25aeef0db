//! The picture of the README. It is drawn again, after twelve minutes, with
//! `PUNCTUAL_PICTURE=1 cargo test -p cluster-tests --test page picture`; otherwise this only shows that
//! it can be.

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, items, shell, until};
use serde_json::{Value, json};

use super::browser::{Driver, USUAL};

/// Set: it is kept.
const DRAW: &str = "PUNCTUAL_PICTURE";
/// Where it is kept.
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/overview.png");
/// The README promises that it is smaller, in bytes.
const LARGEST: usize = 200 << 10;

/// Executions that end before it is drawn, so that the chart shows some minutes.
const ENDED: u64 = 170;

/// Some tasks as a company may have them.
fn tasks() -> Vec<Value> {
    let sh = |name: &str, every: &str, script: &str| json!({"name": name, "schedule": {"interval": every}, "action": shell(script)});
    vec![
        sh("fetch-orders", "20s", "sleep 0.3"),
        sh("rotate-logs", "45s", "true"),
        sh("sync-warehouse", "15s", "sleep 14"),
        sh("send-invoices", "30s", "sleep 12"),
        sh("check-certificates", "25s", "test $(($(date +%s) / 25 % 4)) -ne 0"),
        json!({"name": "nightly-backup", "schedule": {"cron": "30 2 * * *",
            "timezone": "Europe/Berlin"}, "action": shell("true")}),
        json!({"name": "month-end-report", "schedule": {"cron": "0 6 L * *",
            "timezone": "Asia/Shanghai"}, "action": shell("true")}),
        json!({"name": "refresh-prices", "schedule": {"interval": "40s"},
            "action": shell("echo no answer from the exchange >&2; exit 3")}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn picture() -> TestResult<()> {
    let Some(driver) = Driver::start().await? else {
        return cluster_tests::skipped("chromium and its driver are not installed");
    };
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    cluster.add(1, &tasks()).await?;
    let api = cluster.api(1);
    let draws = std::env::var_os(DRAW).is_some();
    if draws {
        until_ended(&cluster, ENDED).await?;
    }
    let window = driver.open(USUAL).await?;
    window.driver.set_window_rect(0, 0, 1280, 1000).await?;
    window.go(&cluster, 1, "/").await?;
    window.shows("h1", "All 3 nodes work").await?;
    until("the chart", async || {
        window.driver.find(thirtyfour::By::Css(".hours .bar")).await?;
        Ok(())
    })
    .await?;
    let drawn = window.driver.screenshot_as_png().await?;
    assert!(drawn.len() < LARGEST, "it has {} bytes", drawn.len());
    if draws {
        std::fs::write(PICTURE, drawn)?;
    }
    let nodes = api.get("/api/v1/nodes").await?;
    assert_eq!(items(&nodes).len(), 3);
    window.close().await?;
    cluster.finish().await
}

/// Waits until so many executions have ended.
async fn until_ended(cluster: &ProcessCluster, count: u64) -> TestResult<()> {
    let api = cluster.api(1);
    loop {
        let stats = api.get("/api/v1/executions/stats").await?;
        let ended = stats["success"].as_u64().unwrap_or(0) + stats["failed"].as_u64().unwrap_or(0);
        if ended >= count {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}
