//! Nodes with incomplete data folders, and a leader without followers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, until};
use serde_json::json;

/// A member that voted and lost its log could undo acknowledged writes, so it must not restart.
#[tokio::test]
async fn a_node_without_its_log_or_its_identity_is_refused() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    cluster.add(1, &[json!({"name": "kept", "schedule": {"manual": true}})]).await?;
    for (lost, said) in [("log", "were synced are gone"), ("identity", "its identity is gone")] {
        cluster.kill9(3)?;
        let (lost, aside) = (cluster.data(3).join(lost), cluster.folder().join("aside"));
        std::fs::rename(&lost, &aside)?;
        let ended = cluster.refused(3).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
        assert!(ended.stderr.contains("members replace 3"), "{}", ended.stderr);
        if lost.exists() {
            std::fs::remove_dir_all(&lost)?;
        }
        std::fs::rename(&aside, &lost)?;
        cluster.start_node(3)?;
        cluster.ready(3).await?;
    }
    cluster.agreed().await?;
    cluster.finish().await
}

/// The newest of the log's files.
fn newest(log: &Path) -> TestResult<std::path::PathBuf> {
    let names =
        fs::read_dir(log)?.map(|entry| Ok(entry?.path())).collect::<TestResult<Vec<_>>>()?;
    let newest = names.into_iter().filter(|path| path.extension().is_some_and(|it| it == "wal"));
    newest.max().ok_or_else(|| "the log has no files".into())
}

/// No other node has a copy of a single node's data. The node reports the loss, and starts again
/// when its log is complete.
#[tokio::test]
async fn a_lone_node_that_lost_acknowledged_writes_is_refused() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    for number in 0..40 {
        let task = json!({"name": format!("task-{number}"), "schedule": {"manual": true}});
        cluster.add(1, &[task]).await?;
    }
    cluster.kill9(1)?;
    let path = newest(&cluster.data(1).join("log"))?;
    let whole = fs::read(&path)?;
    let mut holed = whole.clone();
    // Whole sectors before the end.
    let at = (whole.len() / 2).next_multiple_of(512);
    holed[at..at + 512].fill(0);
    for damaged in [&whole[..whole.len() / 4 * 3], &whole[..whole.len() / 2], &holed[..]] {
        fs::write(&path, damaged)?;
        let ended = cluster.refused(1).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("only copy"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("members replace"), "{}", ended.stderr);
        assert_eq!(fs::read(&path)?, *damaged, "the refusal changed the log");
    }
    fs::write(&path, whole)?;
    cluster.start_node(1)?;
    until("the last write to be readable", async || {
        cluster.api(1).get("/api/v1/tasks/task-39?consistency=stale").await.map(drop)
    })
    .await?;
    cluster.finish().await
}

/// Tasks may write to the data folder, and log files may be in it.
#[tokio::test]
async fn files_of_others_in_the_data_folder_stop_no_start() -> TestResult<()> {
    let mut cluster = ProcessCluster::prepare(1, ClusterOptions::default()).await?;
    let data = cluster.data(1);
    let log = data.join("node.log");
    cluster.rewrite(1, |text| format!("{text}\n[log]\nfile = {log:?}\n"))?;
    let mut names = Vec::new();
    for start in 0..3 {
        cluster.start_node(1)?;
        until("an answer", async || {
            cluster.api(1).get("/api/v1/tasks?consistency=stale").await.map(drop)
        })
        .await?;
        // From the second start on, the files exist, and each start has one warning about them.
        until("the warnings of foreign files", async || match warnings(&data)? {
            said if said.len() == start => Ok(()),
            said => Err(format!("{said:?}").into()),
        })
        .await?;
        for name in ["last.txt", "half.tmp", "node.log.1"] {
            fs::write(data.join(name), "theirs")?;
        }
        cluster.kill9(1)?;
        names =
            fs::read_dir(&data)?.map(|entry| Ok(entry?.file_name())).collect::<TestResult<_>>()?;
    }
    for name in ["last.txt", "half.tmp", "node.log.1", "work", "log"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing: {names:?}");
    }
    let mode = fs::metadata(&data)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "other users can read the data folder");
    // The access rights of the log file follow the umask, because other programs collect it.
    let others = ["last.txt", "half.tmp", "node.log"];
    for path in files_below(&data)? {
        let name =
            path.file_name().and_then(|name| name.to_str()).ok_or("the name is not UTF-8")?;
        let mode = fs::metadata(&path)?.permissions().mode();
        let private = mode & 0o077 == 0 || others.iter().any(|other| name.starts_with(other));
        assert!(private, "{}: {mode:o}", path.display());
    }
    cluster.finish().await
}

/// The lines of the log file that warn of unknown files.
fn warnings(data: &Path) -> TestResult<Vec<String>> {
    let mut said = Vec::new();
    for path in files_below(data)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("node.log") && name != "node.log.1" {
            let text = fs::read_to_string(&path)?;
            let of_others = text.lines().filter(|line| line.contains("holds files of others"));
            said.extend(of_others.map(str::to_owned));
        }
    }
    let named = |line: &String| line.contains("WARN") && line.contains("half.tmp");
    match said.iter().find(|line| !named(line)) {
        Some(other) => Err(other.clone().into()),
        None => Ok(said),
    }
}

fn files_below(folder: &Path) -> TestResult<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[tokio::test]
async fn a_leader_without_a_majority_is_not_ready() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let leader = cluster.leader().await?;
    let others: Vec<u8> = cluster.numbers().filter(|node| *node != leader).collect();
    for node in &others {
        cluster.kill9(*node)?;
    }
    let api = cluster.api(leader);
    until("the leader to report that it has no followers", async || match api.ready().await {
        Ok(()) => Err("it reports that it is ready".into()),
        Err(_) => Ok(()),
    })
    .await?;
    for node in others {
        cluster.start_node(node)?;
    }
    cluster.all_ready().await?;
    cluster.finish().await
}
