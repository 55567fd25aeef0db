//! Imports a real crontab and waits until it fires. It is first, because it waits for the next
//! minute.

use std::path::Path;

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, items, run, text, until};

#[tokio::test]
async fn an_imported_crontab_fires_at_the_next_minute() -> TestResult<()> {
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("crontabs/every-minute.cron");
    let file = file.to_str().ok_or("the path is not UTF-8")?;
    let server = cluster.api(2).base().to_owned();
    let options = ["--anywhere", "--prefix", "cron", "--tz", "UTC"];
    let import = [&["--server", &server, "import", "crontab", file], &options[..]].concat();
    let imported = run(&import).await?;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(imported.stderr.contains("2 of 2 tasks created"), "{imported:?}");
    // A second import finds the existing tasks, and does not change them.
    let again = run(&import).await?;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stderr.contains("0 of 2 tasks created, 2 unchanged"), "{again:?}");

    let api = cluster.api(3);
    for (name, printed) in [("cron-echo", "on time\n"), ("cron-cat", "first line\nsecond line")] {
        // The limit of `until` is a minute, and so is the wait for the next tick. Therefore two
        // waits.
        let path = format!("/api/v1/tasks/{name}/executions");
        let ended = async || {
            let executions = api.get(&path).await?;
            let ended = items(&executions).iter().find(|one| text(one, "status") == "success");
            ended.cloned().ok_or_else(|| format!("{name}: {executions}").into())
        };
        let execution = match until("the next minute", ended).await {
            Ok(execution) => execution,
            Err(_not_yet) => until("the next minute to be over", ended).await?,
        };
        assert_eq!(text(&execution, "trigger"), "schedule", "{execution}");
        assert!(text(&execution, "tick").ends_with(":00.000Z"), "{execution}");
        assert_eq!(text(&execution, "output_tail").trim_end(), printed.trim_end(), "{execution}");
    }
    cluster.finish().await
}
