//! A node with a full or unresponsive disk ends and names the file; the other nodes continue.

use cluster_tests::{
    Api, ClusterOptions, ProcessCluster, SmallDisk, TestError, TestResult, skipped, until,
};
use reqwest::Method;
use serde_json::{Value, json};

/// The node with a separate disk.
const NODE: u8 = 3;
/// The size of that disk.
const DISK_MIB: u64 = 64;
/// Free space on a full disk. Some entries still fit.
const LEFT_BYTES: u64 = 512 << 10;
/// Size in bytes of a task that fills a disk.
const HEAVY: usize = 40_000;
/// Size in bytes of a task that does not, however many are added while a disk hangs.
const LIGHT: usize = 40;

/// A cluster whose last node has a small disk. None: not possible on this machine, with a message.
async fn with_small_disk() -> TestResult<Option<(ProcessCluster, SmallDisk)>> {
    let mut cluster = ProcessCluster::prepare(3, ClusterOptions::default()).await?;
    let image = cluster.folder().join("disk.image");
    let disk = match SmallDisk::mount(&image, &cluster.data(NODE), DISK_MIB) {
        Ok(disk) => disk,
        Err(why) => {
            cluster.finish().await?;
            skipped(&why.to_string())?;
            return Ok(None);
        }
    };
    cluster.start_all()?;
    cluster.all_ready().await?;
    Ok(Some((cluster, disk)))
}

fn task(number: usize, bytes: usize) -> Value {
    json!({"name": format!("task-{number}"), "schedule": {"manual": true},
        "payload": "x".repeat(bytes), "action": {"shell": {"argv": ["true"]}}})
}

/// Adds one task, with retries during leader changes.
async fn add(api: &Api, number: usize, bytes: usize) -> TestResult<()> {
    until("a write", async || {
        let answer =
            api.send(Method::POST, "/api/v1/tasks", None, Some(&task(number, bytes))).await?;
        let there = answer.good() || answer.status == 409;
        if there { Ok(()) } else { Err(format!("{answer:?}").into()) }
    })
    .await
}

/// Adds tasks forever.
async fn load(api: &Api, from: usize, bytes: usize) -> TestError {
    for number in from.. {
        if let Err(fault) = add(api, number, bytes).await {
            return fault;
        }
    }
    unreachable!("numbers do not end")
}

#[tokio::test]
async fn a_full_disk_ends_the_node_and_with_room_again_it_catches_up() -> TestResult<()> {
    let Some((mut cluster, disk)) = with_small_disk().await? else { return Ok(()) };
    let (one, two) = (cluster.api(1), cluster.api(2));
    disk.fill(LEFT_BYTES)?;
    let ended = tokio::select! {
        ended = cluster.ended(NODE) => ended?,
        fault = load(&one, 0, HEAVY) => return Err(fault),
    };
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let place = cluster.data(NODE).display().to_string();
    let said = ended.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(said.contains(&place) && said.contains("No space left"), "{said:?} in {ended:?}");

    // The other nodes have a majority.
    for number in 10_000..10_010 {
        add(&two, number, HEAVY).await?;
    }
    disk.free()?;
    cluster.start_node(NODE)?;
    cluster.ready(NODE).await?;
    cluster.agreed().await?;
    assert!(cluster.stop(NODE).await?.success());
    drop(disk);
    cluster.finish().await
}

#[tokio::test]
async fn a_disk_that_answers_no_more_ends_the_node() -> TestResult<()> {
    let Some((mut cluster, mut disk)) = with_small_disk().await? else { return Ok(()) };
    let (one, two) = (cluster.api(1), cluster.api(2));
    add(&one, 0, LIGHT).await?;
    disk.freeze()?;
    let named = format!("error: cannot write {}: ", cluster.data(NODE).join("log").display());
    let says = until("the node to report that its disk hangs", async || {
        let said = cluster.said(NODE);
        if said.contains(&named) { Ok(()) } else { Err("no such message".into()) }
    });
    // It may have been the leader. The other nodes continue.
    tokio::select! {
        says = says => says?,
        fault = load(&two, 1, LIGHT) => return Err(fault),
    }
    // The node cannot end completely: the system keeps a process with a thread that is blocked by a
    // disk, and its parent is notified only when that thread returns.
    disk.thaw()?;
    let ended = cluster.ended(NODE).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    cluster.start_node(NODE)?;
    cluster.ready(NODE).await?;
    cluster.agreed().await?;
    assert!(cluster.stop(NODE).await?.success());
    drop(disk);
    cluster.finish().await
}
