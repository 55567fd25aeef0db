//! The program of the README of the Go library `task-scheduler`, with `punctual` in place of it and
//! of its Redis.
//!
//! ```text
//! cargo run --example task_scheduler
//! ```
//!
//! An executor of ten places, functions by id, tasks that run once, at once and by a cron
//! expression, with timeout and retry; cancel and resume; and three nodes, of which one executes
//! each tick. The program ends by itself.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use punctual::view::ExecutionView;
use punctual::{Backoff, FuncContext, FuncResult, Node, NodeBuilder, TaskBuilder};
use tokio::time::{Instant, sleep};

/// What is waited for has happened by then.
const LIMIT: Duration = Duration::from_secs(40);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let peers = peers()?;
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(node(id, &peers, folder.path()).start().await?);
    }
    for node in &nodes {
        node.ready().await?;
    }
    register_tasks(&nodes[0]).await?;
    for name in ["task-id", "immediate-task-id", "cron-task-id"] {
        let done = ended(&nodes[0], name, "success").await?;
        say(format_args!("{name} ran on {}", done.node.unwrap_or_default()));
    }
    timeout_of_task(&nodes[0]).await?;
    cancel_and_resume(&nodes[1]).await?;
    // The executor can be resized while it works.
    nodes[0].set_max_running(Some(20)).await?;
    // All nodes would execute the cron task; each tick has one execution.
    let all = nodes[2].executions("cron-task-id", 100).await?;
    let ticks: BTreeSet<_> = all.iter().filter_map(|one| one.tick).collect();
    say(format_args!("{} executions of {} ticks", all.len(), ticks.len()));
    if ticks.len() != all.len() {
        return Err("a tick was executed twice".into());
    }
    // All of it is kept: a node that stops and starts again knows it.
    nodes.remove(2).stop().await;
    let again = node(3, &peers, folder.path()).start().await?;
    again.ready().await?;
    say(format_args!("after a restart: {:?}", again.all_tasks().await?));
    again.stop().await;
    for node in &nodes {
        node.stop().await;
    }
    Ok(())
}

/// Ids and addresses of three nodes, on free ports of this machine.
fn peers() -> Result<Vec<(u16, String)>, Box<dyn Error>> {
    let mut held = Vec::new();
    for id in 1..=3 {
        held.push((id, TcpListener::bind("127.0.0.1:0")?));
    }
    let peer = |(id, listener): &(u16, TcpListener)| Ok((*id, listener.local_addr()?.to_string()));
    held.iter().map(peer).collect()
}

/// `NewExecutor(10)`, `NewScheduler`, `RegisterFunc`
fn node(id: u16, peers: &[(u16, String)], folder: &Path) -> NodeBuilder {
    Node::builder()
        .id(id)
        .peers(peers.to_vec())
        .data_dir(folder.join(format!("node-{id}")))
        .max_running(10)
        .function("example-func-1", example)
        .function("slow", |call: FuncContext| async move {
            call.cancelled().await;
            Err("it was asked to end".into())
        })
        .on_error(|failed| say(format_args!("{}: {}", failed.task, failed.reason)))
}

async fn example(call: FuncContext) -> FuncResult {
    let parameters = call.parameters();
    let name = parameters.get("name").and_then(|name| name.as_str()).ok_or("no name")?;
    let value = parameters.get("value").and_then(|value| value.as_i64()).ok_or("no value")?;
    say(format_args!("{}: {name} with the value {value}", call.task()));
    Ok(())
}

/// `NewOnceTask`, `NewImmediateTask`, `NewCronTask`, `Register`
async fn register_tasks(node: &Node) -> Result<(), punctual::Error> {
    let example = |task: TaskBuilder, value: i64| {
        task.function("example-func-1").parameter("name", "example").parameter("value", value)
    };
    let once = TaskBuilder::at("task-id", SystemTime::now() + SECOND);
    node.add_task(example(once, 1)).await?;
    node.add_task(example(TaskBuilder::now("immediate-task-id"), 2)).await?;
    let cron = TaskBuilder::cron("cron-task-id", "*/1 * * * * *");
    let cron = cron.timeout(SECOND).retry(3, SECOND, Backoff::Fixed);
    node.add_task(example(cron, 3)).await?;
    Ok(())
}

/// A task that takes longer than its timeout is ended.
async fn timeout_of_task(node: &Node) -> Result<(), Box<dyn Error>> {
    let slow = TaskBuilder::at("slow-task", SystemTime::now() + SECOND);
    node.add_task(slow.function("slow").timeout(Duration::from_millis(500))).await?;
    let ended = ended(node, "slow-task", "timeout").await?;
    say(format_args!("slow-task took {} ms", ended.duration_ms.unwrap_or_default()));
    Ok(())
}

/// A single run that is cancelled does not happen; resumed after its time, it happens at once.
async fn cancel_and_resume(node: &Node) -> Result<(), Box<dyn Error>> {
    let at = SystemTime::now() + SECOND;
    let task = TaskBuilder::at("cancelled-task", at).function("example-func-1");
    node.add_task(task.parameter("name", "late").parameter("value", 4)).await?;
    node.cancel("cancelled-task").await?;
    sleep(SECOND * 2).await;
    let none = node.executions("cancelled-task", 1).await?.is_empty();
    say(format_args!("while it was cancelled nothing ran: {none}"));
    node.resume("cancelled-task").await?;
    ended(node, "cancelled-task", "success").await?;
    Ok(())
}

/// Waits until the newest execution of a task has ended so.
async fn ended(node: &Node, task: &str, status: &str) -> Result<ExecutionView, Box<dyn Error>> {
    let until = Instant::now() + LIMIT;
    loop {
        let found = node.executions(task, 100).await?;
        if let Some(done) = found.into_iter().find(|one| *one.status == *status) {
            return Ok(done);
        }
        if Instant::now() > until {
            return Err(format!("no execution of {task} ended with {status}").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    // A reader who goes away does not end the program.
    let _gone = writeln!(std::io::stdout(), "{line}");
}
