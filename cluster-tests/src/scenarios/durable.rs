//! Writes while all nodes are killed together: every acknowledged write exists afterwards, once.
//!
//! Each client works on its own tasks, one request after the other, so it knows the expected state:
//! all acknowledged writes, and possibly the one request without an answer. It repeats that request
//! with the same key when the nodes are back.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use super::BrokenPromises;
use crate::{Api, ApiAnswer, ProcessCluster, TestResult, field, text, until};

/// Clients at the same time.
const CLIENTS: usize = 4;
/// What is done to each task; to every second one without the deletion.
const STEPS: [TaskStep; 5] =
    [TaskStep::Create, TaskStep::Update, TaskStep::Trigger, TaskStep::Update, TaskStep::Delete];
/// Between two looks at how far the clients are.
const LOOK: Duration = Duration::from_millis(5);

/// The size of the load.
#[derive(Clone, Copy, Debug)]
pub struct DurableLoad {
    /// Writes of all clients together.
    pub writes: usize,
    /// How often all nodes are killed.
    pub kills: usize,
}

/// The results.
#[derive(Clone, Debug, Default)]
pub struct DurableFigures {
    /// Acknowledged writes.
    pub acknowledged: usize,
    /// Writes that were under way when all nodes were killed.
    pub unanswered: usize,
    /// Of those, the ones that were found carried out after the start.
    pub carried_out: usize,
    /// The digest that all nodes have at the end.
    pub digest: String,
    /// Promises that did not hold.
    pub broken: BrokenPromises,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskStep {
    Create,
    Update,
    Trigger,
    Delete,
}

/// A client's knowledge of one of its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ClientTask {
    created: bool,
    version: usize,
    triggers: usize,
    deleted: bool,
    /// Of the last acknowledged change.
    revision: Option<u64>,
    /// Of acknowledged triggers.
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
    /// The nodes, the one it turns to first in front.
    nodes: Vec<Api>,
    tasks: Vec<ClientTask>,
    /// Place in its list of writes.
    next: usize,
    writes: usize,
    acknowledged: usize,
}

/// Why a client stopped.
enum ClientEnd {
    /// All is written.
    Done,
    /// No node answers.
    Alone,
}

impl TaskClient {
    fn task(&self, write: usize) -> (usize, TaskStep) {
        let task = write / STEPS.len();
        let step = STEPS[write % STEPS.len()];
        // Deletions of half of the tasks; the others are triggered once more.
        (task, if step == TaskStep::Delete && task % 2 == 1 { TaskStep::Trigger } else { step })
    }

    fn name(&self, task: usize) -> String {
        format!("client-{}-{task:04}", self.number)
    }

    /// Writes on until done, or until the nodes are gone.
    async fn work(&mut self, progress: &watch::Sender<usize>) -> TestResult<ClientEnd> {
        while self.next < self.writes {
            let Some(answer) = self.write().await? else { return Ok(ClientEnd::Alone) };
            self.acknowledge(&answer)?;
            progress.send_modify(|all| *all += 1);
        }
        Ok(ClientEnd::Done)
    }

    /// The next write, sent to one node after the other until one answers; none: none does.
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
                // No connection, or one that broke: the next node knows more.
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

    /// Holds all that was acknowledged against what is there. True: the write under way was
    /// carried out.
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

/// Whether what was found is what is known, as far as that is known.
fn same(known: &ClientTask, found: &ClientTask) -> bool {
    let executions = known.executions.iter().all(|id| found.executions.contains(id));
    let revision = known.revision.is_none_or(|revision| found.revision == Some(revision));
    let plain =
        |one: &ClientTask| ClientTask { revision: None, executions: Vec::new(), ..one.clone() };
    executions && revision && plain(known) == plain(found)
}

/// What is there of a task.
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
        // A tombstone's revision is that of the deletion; nothing else is compared then.
        revision: field(&task, "revision").as_u64().filter(|_| known.revision.is_some()),
        executions: executions.iter().map(|one| text(one, "id").to_owned()).collect(),
    })
}

/// Runs the load on a cluster that is ready.
///
/// # Errors
/// The load could not be carried out.
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

/// Lets all clients work; when so many writes were acknowledged, kills all nodes, but not in the
/// last round.
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
        // An error of a client is told below.
        let _all_stopped = seen.wait_for(|all| *all >= kill_at).await;
        cluster.kill9_all()?;
    }
    let mut clients = Vec::new();
    for client in running {
        clients.push(client.await??);
    }
    Ok(clients)
}
