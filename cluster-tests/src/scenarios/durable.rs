//! Writes while all nodes are killed together: afterwards every acknowledged write exists, once.
//!
//! Each client works on its own tasks, one request after the other, so it knows the expected state:
//! all acknowledged writes, and possibly the one request without an answer. It repeats that request
//! with the same key after the restart.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use super::BrokenPromises;
use crate::{Api, ApiAnswer, ProcessCluster, TestResult, field, text, until};

/// Number of concurrent clients.
const CLIENTS: usize = 4;
/// The steps for each task. Every second task is triggered again instead of deleted.
const STEPS: [TaskStep; 5] =
    [TaskStep::Create, TaskStep::Update, TaskStep::Trigger, TaskStep::Update, TaskStep::Delete];
/// Polling interval for the progress of the clients.
const LOOK: Duration = Duration::from_millis(5);

/// The size of the load.
#[derive(Clone, Copy, Debug)]
pub struct DurableLoad {
    /// Number of writes of all clients together.
    pub writes: usize,
    /// Number of kills of all nodes.
    pub kills: usize,
}

/// The results.
#[derive(Clone, Debug, Default)]
pub struct DurableFigures {
    /// Number of acknowledged writes.
    pub acknowledged: usize,
    /// Number of writes without an answer when all nodes were killed.
    pub unanswered: usize,
    /// Number of those that had taken effect after the restart.
    pub carried_out: usize,
    /// The digest of all nodes at the end.
    pub digest: String,
    /// Broken promises.
    pub broken: BrokenPromises,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskStep {
    Create,
    Update,
    Trigger,
    Delete,
}

/// The expected state of a task, as its client knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ClientTask {
    created: bool,
    version: usize,
    triggers: usize,
    deleted: bool,
    /// The revision of the last acknowledged change.
    revision: Option<u64>,
    /// The executions of acknowledged triggers.
    executions: Vec<String>,
}

impl ClientTask {
    fn after(&self, step: TaskStep) -> Self {
        let mut known = Self { revision: None, ..self.clone() };
        match step {
            TaskStep::Create => known.created = true,
            TaskStep::Update => known.version += 1,
            TaskStep::Trigger => known.triggers += 1,
            TaskStep::Delete => known.deleted = true,
        }
        known
    }
}

/// One client with its tasks.
struct TaskClient {
    number: usize,
    /// The nodes, in the order in which the client tries them.
    nodes: Vec<Api>,
    tasks: Vec<ClientTask>,
    /// The index of the next write.
    next: usize,
    writes: usize,
    acknowledged: usize,
}

/// Why a client stopped.
enum ClientEnd {
    /// All writes are done.
    Done,
    /// No node responds.
    Alone,
}

impl TaskClient {
    fn task(&self, write: usize) -> (usize, TaskStep) {
        let task = write / STEPS.len();
        let step = STEPS[write % STEPS.len()];
        // Half of the tasks are deleted. The others are triggered again.
        (task, if step == TaskStep::Delete && task % 2 == 1 { TaskStep::Trigger } else { step })
    }

    fn name(&self, task: usize) -> String {
        format!("client-{}-{task:04}", self.number)
    }

    /// Writes until all is done, or until no node responds.
    async fn work(&mut self, progress: &watch::Sender<usize>) -> TestResult<ClientEnd> {
        while self.next < self.writes {
            let Some(answer) = self.write().await? else { return Ok(ClientEnd::Alone) };
            self.acknowledge(&answer)?;
            progress.send_modify(|all| *all += 1);
        }
        Ok(ClientEnd::Done)
    }

    /// Sends the next write to one node after the other until one answers. None: no node answers.
    async fn write(&self) -> TestResult<Option<ApiAnswer>> {
        let (task, step) = self.task(self.next);
        let name = self.name(task);
        let known = self.tasks.get(task).cloned().unwrap_or_default();
        let path = format!("/api/v1/tasks/{name}");
        let (method, path, body) = match step {
            TaskStep::Create => {
                let action = json!({"shell": {"argv": ["true"]}});
                let body = json!({"name": name, "schedule": {"manual": true}, "action": action});
                (Method::POST, "/api/v1/tasks".to_owned(), Some(body))
            }
            TaskStep::Update => {
                let body = json!({"description": format!("version {}", known.version + 1)});
                (Method::PATCH, path, Some(body))
            }
            TaskStep::Trigger => (Method::POST, format!("{path}/trigger"), None),
            TaskStep::Delete => (Method::DELETE, path, None),
        };
        let key = format!("{name}-{}", self.next);
        for node in &self.nodes {
            let sent = node.send(method.clone(), &path, Some(&key), body.as_ref()).await;
            match sent {
                Ok(answer) if answer.good() => return Ok(Some(answer)),
                Ok(answer) if answer.come_again() => {}
                Ok(answer) => return Err(format!("{method} {path}: {answer:?}").into()),
                // There is no connection, or it broke. Try the next node.
                Err(_broken) => {}
            }
        }
        Ok(None)
    }

    fn acknowledge(&mut self, answer: &ApiAnswer) -> TestResult<()> {
        let (task, step) = self.task(self.next);
        if self.tasks.len() <= task {
            self.tasks.resize(task + 1, ClientTask::default());
        }
        let before = &self.tasks[task];
        let mut known = before.after(step);
        if step == TaskStep::Trigger {
            known.revision = before.revision;
            known.executions.push(text(&answer.body, "id").to_owned());
        } else {
            let revision = field(&answer.body, "revision").as_u64();
            known.revision = Some(revision.ok_or("a change was answered without a revision")?);
        }
        self.tasks[task] = known;
        self.next += 1;
        self.acknowledged += 1;
        Ok(())
    }

    /// Compares all acknowledged writes with the actual state. True: the write without an answer
    /// has taken effect.
    async fn check(&self, api: &Api, broken: &mut BrokenPromises) -> TestResult<bool> {
        let mut carried_out = false;
        let under_way = (self.next < self.writes).then(|| self.task(self.next));
        let last = under_way.map_or(0, |(task, _)| task + 1).max(self.tasks.len());
        for task in 0..last {
            let known = self.tasks.get(task).cloned().unwrap_or_default();
            let found = find(api, &self.name(task), &known).await?;
            let next = under_way.filter(|(which, _)| *which == task);
            let next = next.map(|(_, step)| known.after(step));
            if same(&known, &found) {
                continue;
            }
            if next.is_some_and(|next| same(&next, &found)) {
                carried_out = true;
            } else {
                broken.push(format!("{}: {found:?}, acknowledged: {known:?}", self.name(task)));
            }
        }
        Ok(carried_out)
    }
}

/// Whether the actual state matches the known parts of the expected state.
fn same(known: &ClientTask, found: &ClientTask) -> bool {
    let executions = known.executions.iter().all(|id| found.executions.contains(id));
    let revision = known.revision.is_none_or(|revision| found.revision == Some(revision));
    let plain =
        |one: &ClientTask| ClientTask { revision: None, executions: Vec::new(), ..one.clone() };
    executions && revision && plain(known) == plain(found)
}

/// The actual state of a task.
async fn find(api: &Api, name: &str, known: &ClientTask) -> TestResult<ClientTask> {
    let path = format!("/api/v1/tasks/{name}");
    let answer = api.send(Method::GET, &path, None, None).await?;
    if answer.status == 404 && text(&answer.body, "code") == "task_not_found" {
        return Ok(ClientTask::default());
    }
    let task = if answer.good() { answer.body } else { return Err(format!("{answer:?}").into()) };
    let executions = api.all(&format!("{path}/executions")).await?;
    let version = text(&task, "description").strip_prefix("version ").unwrap_or("0").parse()?;
    Ok(ClientTask {
        created: true,
        version,
        triggers: executions.len(),
        deleted: text(&task, "state") == "deleted",
        // The revision of a deleted task is that of the deletion. It is compared only if it is
        // known.
        revision: field(&task, "revision").as_u64().filter(|_| known.revision.is_some()),
        executions: executions.iter().map(|one| text(one, "id").to_owned()).collect(),
    })
}

/// Runs the load on a cluster, which must be ready.
///
/// # Errors
/// The load could not be run.
pub async fn run(cluster: &mut ProcessCluster, load: DurableLoad) -> TestResult<DurableFigures> {
    let mut figures = DurableFigures::default();
    let mut clients: Vec<TaskClient> =
        (0..CLIENTS).map(|number| client(cluster, number, load)).collect();
    for round in 0..=load.kills {
        let kill_at = load.writes * (round + 1) / (load.kills + 1);
        let last = round == load.kills;
        clients = work(cluster, clients, kill_at, last).await?;
        if !last {
            cluster.start_all()?;
        }
        cluster.all_ready().await?;
        for client in &clients {
            figures.unanswered += usize::from(client.next < client.writes);
            let api = cluster.api(1);
            if client.check(&api, &mut figures.broken).await? {
                figures.carried_out += 1;
            }
        }
    }
    figures.acknowledged = clients.iter().map(|client| client.acknowledged).sum();
    if figures.acknowledged < load.writes {
        figures.broken.push(format!("only {} writes went through", figures.acknowledged));
    }
    let quiet = async || {
        let running = cluster.api(1).get("/api/v1/executions?status=running&limit=1").await?;
        match field(&running, "items").as_array().is_some_and(Vec::is_empty) {
            true => Ok(()),
            false => Err(format!("{running}").into()),
        }
    };
    until("all executions to end", quiet).await?;
    figures.digest = cluster.agreed().await?;
    Ok(figures)
}

fn client(cluster: &ProcessCluster, number: usize, load: DurableLoad) -> TaskClient {
    let mut nodes: Vec<Api> = cluster.numbers().map(|node| cluster.api(node)).collect();
    let first = number % nodes.len();
    nodes.rotate_left(first);
    let writes = load.writes / CLIENTS + usize::from(number < load.writes % CLIENTS);
    TaskClient { number, nodes, tasks: Vec::new(), next: 0, writes, acknowledged: 0 }
}

/// Runs all clients. Kills all nodes after this number of acknowledged writes, except in the last
/// round.
async fn work(
    cluster: &mut ProcessCluster,
    clients: Vec<TaskClient>,
    kill_at: usize,
    last: bool,
) -> TestResult<Vec<TaskClient>> {
    let before: usize = clients.iter().map(|client| client.acknowledged).sum();
    let progress = std::sync::Arc::new(watch::Sender::new(before));
    let mut seen = progress.subscribe();
    let running: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let progress = std::sync::Arc::clone(&progress);
            tokio::spawn(async move {
                loop {
                    match client.work(&progress).await? {
                        ClientEnd::Alone if last => sleep(LOOK).await,
                        ClientEnd::Done | ClientEnd::Alone => return TestResult::Ok(client),
                    }
                }
            })
        })
        .collect();
    drop(progress);
    if !last {
        // An error of a client is reported below.
        let _all_stopped = seen.wait_for(|all| *all >= kill_at).await;
        cluster.kill9_all()?;
    }
    let mut clients = Vec::new();
    for client in running {
        clients.push(client.await??);
    }
    Ok(clients)
}
