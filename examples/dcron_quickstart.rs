//! The quick start of the Go library `dcron`, with `punctual` in place of it and of its registry.
//!
//! ```text
//! cargo run --example dcron_quickstart
//! ```
//!
//! Three nodes in one program form a cluster. Each node runs the same code, as each instance of a
//! service does: a static task with a function, tasks that are added by force, and a dynamic task,
//! which the common function carries out. The program ends when each task has fired.

use std::error::Error;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use punctual::{FuncContext, FuncResult, Node, Strategy, TaskBuilder, WatchOptions};
use tokio::time::timeout;

/// All tasks have fired by then.
const LIMIT: Duration = Duration::from_secs(40);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let nodes = start_nodes(folder.path()).await?;
    for node in &nodes {
        node.ready().await?;
    }
    nodes[0].set_strategy(Strategy::Consistent).await?;
    let mut executions = nodes[0].watch(WatchOptions::default().kind("execution.changed")).await?;
    add_tasks(&nodes).await?;
    say(format_args!("{} has the tasks {:?}", nodes[2].node_id(), nodes[2].all_tasks().await?));

    // Each execution is granted to one node, however many there are.
    let mut waiting = vec!["static-task", "force-task", "force-oneshot", "dynamic-task"];
    while !waiting.is_empty() {
        let event = timeout(LIMIT, executions.next()).await?.ok_or("the node has stopped")?.object;
        if event.status.as_deref() == Some("success") {
            waiting.retain(|name| event.task.as_deref() != Some(*name));
        }
    }

    // A deleted task stays deleted, on every node.
    nodes[0].mark_deleted("dynamic-task").await?;
    let refused = nodes[1].add_task(dynamic_task()).await.map(|_task| ());
    say(format_args!("added again: {}", refused.err().ok_or("it was added")?.code()));
    nodes[1].reuse("dynamic-task").await?;
    nodes[2].cleanup("dynamic-task").await?;
    say(format_args!("left: {:?}", nodes[0].all_tasks().await?));
    for node in &nodes {
        say(format_args!("{} runs {:?}", node.node_id(), node.running_on_me().await?));
    }
    for node in &nodes {
        node.stop().await;
    }
    Ok(())
}

/// `NewDcron`: three nodes on free ports of this machine.
async fn start_nodes(folder: &Path) -> Result<Vec<Node>, Box<dyn Error>> {
    let mut peers = Vec::new();
    let mut held = Vec::new();
    for id in 1..=3_u16 {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        peers.push((id, listener.local_addr()?.to_string()));
        held.push(listener);
    }
    drop(held);
    let mut nodes = Vec::new();
    for id in 1..=3 {
        let node = Node::builder()
            .id(id)
            .peers(peers.clone())
            .data_dir(folder.join(format!("n{id}")))
            // `WithTaskRunFunc`
            .default_function(|call: FuncContext| async move {
                say(format_args!("{}: dynamic task {}", call.node(), call.task()));
                say(format_args!("    payload: {}", call.payload()));
                Ok(())
            })
            // `WithErrHandler`
            .on_error(|failed| say(format_args!("task {}: {}", failed.task, failed.reason)))
            .start();
        nodes.push(node.await?);
    }
    Ok(nodes)
}

/// What each instance does when it starts.
async fn add_tasks(nodes: &[Node]) -> Result<(), Box<dyn Error>> {
    for node in nodes {
        // `AddFunc`: the first instance adds the task, the others find it.
        let task = TaskBuilder::cron("static-task", "*/5 * * * * *");
        match node.add_func(task, |call| async move { shown(&call, "every five seconds") }).await {
            Err(error) if error.code() != "task_exists" => return Err(error.into()),
            _ => {}
        }
        node.register("force-task", |call| async move { shown(&call, "every three seconds") })
            .await?;
        node.register("force-oneshot", |call| async move { shown(&call, "once") }).await?;
    }
    // `ForceAddFunc`, `ForceAddOneShotFunc`, `AddTaskMeta`
    nodes[0].force_add_task(TaskBuilder::cron("force-task", "*/3 * * * * *")).await?;
    nodes[1].force_add_one_shot(TaskBuilder::cron("force-oneshot", "*/10 * * * * *")).await?;
    nodes[2].add_task(dynamic_task()).await?;
    Ok(())
}

fn dynamic_task() -> TaskBuilder {
    TaskBuilder::cron("dynamic-task", "*/10 * * * * *").payload("hello from dynamic task")
}

fn shown(call: &FuncContext, what: &str) -> FuncResult {
    say(format_args!("{}: {}, {what}", call.node(), call.task()));
    Ok(())
}

fn say(line: std::fmt::Arguments<'_>) {
    // A reader who goes away does not end the program.
    let _gone = writeln!(std::io::stdout(), "{line}");
}
