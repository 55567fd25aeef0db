//! The examples that embed the library: each runs three nodes, and ends by itself.

use cluster_tests::{LIMIT, TestResult, example_program};
use tokio::process::Command;
use tokio::time::timeout;

/// Runs an example, and looks for these texts in what it prints.
async fn runs(name: &str, texts: &[&str]) -> TestResult<()> {
    let program = Command::new(example_program(name)?).kill_on_drop(true).output();
    let ended = timeout(LIMIT, program).await??;
    let said = String::from_utf8_lossy(&ended.stdout);
    let all =
        format!("{name}: {}\n{said}\n{}", ended.status, String::from_utf8_lossy(&ended.stderr));
    if !ended.status.success() {
        return Err(all.into());
    }
    match texts.iter().find(|text| !said.contains(**text)) {
        None => Ok(()),
        Some(text) => Err(format!("it does not say {text:?}: {all}").into()),
    }
}

#[tokio::test]
async fn the_quick_start_of_dcron_runs() -> TestResult<()> {
    let texts = [
        r#"n3 has the tasks ["dynamic-task", "force-oneshot", "force-task", "static-task"]"#,
        "static-task, every five seconds",
        "force-task, every three seconds",
        "force-oneshot, once",
        "payload: hello from dynamic task",
        "added again: task_deleted",
        r#"left: ["force-oneshot", "force-task", "static-task"]"#,
    ];
    runs("dcron_quickstart", &texts).await
}

#[tokio::test]
async fn the_program_of_task_scheduler_runs() -> TestResult<()> {
    let texts = [
        "task-id: example with the value 1",
        "immediate-task-id: example with the value 2",
        "cron-task-id: example with the value 3",
        "slow-task took ",
        "while it was cancelled nothing ran: true",
        "cancelled-task: late with the value 4",
        "after a restart: [",
    ];
    runs("task_scheduler", &texts).await
}

#[tokio::test]
async fn a_service_embeds_nodes() -> TestResult<()> {
    let texts =
        ["asked for: {", "the report of the schedule, by n", "the report of a-customer, by n"];
    runs("embedded_axum", &texts).await
}
