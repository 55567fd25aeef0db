//! `executor --name …`: a worker. It registers, takes executions, and carries them out with the
//! commands of its file, until it is asked to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use reqwest::Method;
use rustix::process::{Resource, getrlimit};
use rustix::system::uname;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::time::sleep;
use url::Url;

use super::file::WorkerFile;
use super::run::{RunParts, Runs};
use super::server;
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::signals::Signals;
use crate::client::{Client, ClientError, FieldProblem, Patience, path, plain};
use crate::config::{self, ExecutorSettings, OutputLimits};
use crate::domain::error_code::ErrorCode;
use crate::dto::{DeclaredTaskView, ExecutorHead, ExecutorRegistered};
use crate::exec::{Exec, ExecOptions, ShimProgram};
use crate::telemetry::log::{LogOptions, RunningLog};

/// What is said of the worker in its help.
pub(super) const EXAMPLE: &str = "\
Without a command it runs a worker, which carries executions out with the commands of a file:
  punctual executor --server http://127.0.0.1:8080 --name data --config worker.toml

  # worker.toml
  capacity = 4
  [tasks.daily_report]
  argv = [\"./report\", \"--full\"]
  cron = \"0 2 * * *\"
  timeout = \"10m\"
  [default]
  argv = [\"./any-task\"]";

/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Between two tries to register.
const AGAIN: Duration = Duration::from_secs(2);
/// Why a worker that drains is in maintenance.
const DRAINING: &str = "the worker ends";
/// How long a request to a server is repeated, and waited for.
const PATIENCE: Patience =
    Patience { repeat_for: Duration::from_secs(5), answer_within: Duration::from_secs(10) };

/// Options of a worker.
#[derive(Args, Debug, Clone)]
pub struct WorkerArgs {
    /// The name under which it registers; workers of one name share work
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The file with its commands
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its id, which no other worker has [default: name, host and port]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Where it takes requests
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// The URL under which the nodes reach it [default: the address of --listen]
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// A file with the secret of executors.secret: requests must be signed, and callbacks are
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Where it keeps what executions print [default: a folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// A worker that listens.
struct Worker {
    runs: Arc<Runs>,
    client: Client,
    /// Where it takes requests.
    url: String,
    /// What it registers with.
    registration: Value,
    /// Whether the record under its id is its own.
    registered: AtomicBool,
}

/// Runs a worker until it is asked to end.
///
/// # Errors
/// Options that cannot be used, or a registration that is refused.
pub(super) async fn run(args: WorkerArgs, context: &mut CliContext) -> CommandResult {
    let open_files = getrlimit(Resource::Nofile).current;
    let (Some(name), Some(file)) = (&args.name, &args.config) else {
        return Err(Failure::usage("a worker needs --name and --config"));
    };
    let file = WorkerFile::read(file).map_err(Failure::usage)?;
    let log =
        LogOptions { node: name.clone(), directives: "info".to_owned(), form: None, file: None };
    let _log = RunningLog::start(&log).map_err(|error| Failure::usage(error.to_string()))?;
    let listener = TcpListener::bind(args.listen).await;
    let listener =
        listener.map_err(|error| failed(format!("cannot listen on {}: {error}", args.listen)))?;
    let listen = listener.local_addr().map_err(|error| failed(error.to_string()))?;
    let worker = worker(&args, name, file, listen, open_files, context)?;
    let serving = axum::serve(listener, server::router(Arc::clone(&worker.runs)));
    let serving = tokio::spawn(async move { serving.await });
    let mut ends = Signals::receive(&[SignalKind::terminate(), SignalKind::interrupt()]);
    tracing::info!(id = worker.runs.id, %listen, "the worker takes requests");
    let ended = tokio::select! {
        ended = worker.stay_registered() => ended,
        () = ends.next() => {
            worker.drain(&mut ends).await;
            Ok(Exit::Ok)
        }
    };
    serving.abort();
    ended
}

fn worker(
    args: &WorkerArgs,
    name: &str,
    file: WorkerFile,
    listen: SocketAddr,
    open_files: Option<u64>,
    context: &CliContext,
) -> Result<Worker, Failure> {
    let url = match &args.url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None if listen.ip().is_unspecified() => {
            return Err(Failure::usage("--listen is no address that nodes can use: add --url"));
        }
        None => format!("http://{listen}"),
    };
    let host = uname().nodename().to_string_lossy().into_owned();
    let id = args.id.clone().unwrap_or_else(|| format!("{name}-{host}-{}", listen.port()));
    let secret = match &args.secret_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", path.display()))
            })?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    };
    let data = args.data.clone();
    let data = data.unwrap_or_else(|| std::env::temp_dir().join(format!("punctual-{id}")));
    let exec = exec(data, open_files).map_err(failed)?;
    let client = context.patient_client(PATIENCE)?;
    let http = plain(Some(PATIENCE.answer_within)).map_err(Failure::usage)?;
    let capacity = file.capacity.unwrap_or(0);
    let registration = json!({
        "name": name,
        "instance_id": id,
        "base_url": url,
        "health_check_url": format!("{url}/health"),
        "weight": file.weight.unwrap_or(1),
        "capacity": capacity,
        "metadata": {"host": host, "version": crate::node::VERSION},
        "tasks": file.declared(),
    });
    let servers = client.servers().to_vec();
    let runs = Runs::new(RunParts { id, secret, capacity, file, exec, http, servers });
    let registered = AtomicBool::new(false);
    Ok(Worker { runs: Arc::new(runs), client, url, registration, registered })
}

/// What carries the commands out.
fn exec(data: PathBuf, open_files: Option<u64>) -> Result<Exec, String> {
    let work_dir = data.join("work");
    std::fs::create_dir_all(&work_dir)
        .map_err(|error| format!("cannot make {}: {error}", work_dir.display()))?;
    let options = ExecOptions {
        shell: Some(ShimProgram::this()),
        http_allow: Vec::new(),
        refs: config::RefSettings::default(),
        own: Vec::new(),
        loopback_only: true,
        executors: ExecutorSettings::default(),
        output_dir: data.join("output"),
        output: OutputLimits::default(),
        data_dir: data,
        work_dir,
        open_files,
    };
    Exec::new(options).map_err(|error| format!("the folder of outputs: {error}"))
}

impl Worker {
    /// Registers, and says from time to time that it works; returns if it is refused for good.
    async fn stay_registered(&self) -> CommandResult {
        let heartbeat = path(["executors", &self.runs.id, "heartbeat"]);
        let mut told = String::new();
        loop {
            let registered = self.registered.load(Ordering::Relaxed);
            let sent = if registered {
                self.client.send(Method::POST, &heartbeat, &[], None, &[]).await
            } else {
                self.client.post(&path(["executors", "register"]), &self.registration).await
            };
            match sent {
                Ok(reply) if !registered => {
                    self.registered.store(true, Ordering::Relaxed);
                    told.clear();
                    tracing::info!(id = self.runs.id, tasks = tasks(&reply.body), "registered");
                    self.end_former_drain(&reply.body).await;
                }
                Ok(reply) if self.is_anothers(&reply.body) => {
                    tracing::warn!(id = self.runs.id, "another worker has registered with its id");
                    self.registered.store(false, Ordering::Relaxed);
                }
                Ok(_) => told.clear(),
                Err(ClientError::Refused(refusal))
                    if refusal.known() == Some(ErrorCode::ExecutorNotFound) =>
                {
                    self.registered.store(false, Ordering::Relaxed);
                }
                // The one that has the id may be about to end.
                Err(ClientError::Refused(mut refusal))
                    if !registered
                        && matches!(refusal.status, 400..500)
                        && refusal.known() != Some(ErrorCode::ExecutorOnline) =>
                {
                    let named = |problem: &mut _| name_task(&self.registration, problem);
                    refusal.errors.iter_mut().for_each(named);
                    return Err(ClientError::Refused(refusal).into());
                }
                Err(error) => {
                    let error = error.to_string();
                    if told != error {
                        tracing::warn!(error, "no server takes its registration or heartbeat");
                        told = error;
                    }
                }
            }
            let well = self.registered.load(Ordering::Relaxed) && told.is_empty();
            sleep(if well { HEARTBEAT } else { AGAIN }).await;
        }
    }

    /// Ends the maintenance of a process before this one that was killed while it drained.
    async fn end_former_drain(&self, registered: &Value) {
        let head = ExecutorRegistered::deserialize(registered).map(|registered| registered.head);
        if head.is_ok_and(|head| head.status == "maintenance" && head.reason == DRAINING) {
            self.set_status("online", "").await;
        }
    }

    /// Whether an executor that the cluster shows listens elsewhere.
    fn is_anothers(&self, executor: &Value) -> bool {
        let head = ExecutorHead::deserialize(executor);
        head.is_ok_and(|head| head.base_url != self.url)
    }

    /// Sets the status under its id, if that is its own.
    async fn set_status(&self, status: &str, reason: &str) {
        if !self.registered.load(Ordering::Relaxed) {
            return;
        }
        let body = json!({"status": status, "reason": reason});
        let path = path(["executors", &self.runs.id, "status"]);
        if let Err(error) = self.client.send(Method::PUT, &path, &[], Some(&body), &[]).await {
            tracing::warn!(%error, status, "no server takes its status");
        }
    }

    /// Takes no more work, finishes what runs, and reports the ends. Until then it is in
    /// maintenance and sends heartbeats, so that nothing that it has counts as lost. A second
    /// request to end kills what runs.
    async fn drain(&self, ends: &mut Signals) {
        self.runs.drain();
        tracing::info!("asked to end: takes no more work");
        let idle = async {
            self.set_status("maintenance", DRAINING).await;
            let heartbeat = path(["executors", &self.runs.id, "heartbeat"]);
            let beats = async {
                loop {
                    sleep(HEARTBEAT).await;
                    let sent = self.client.send(Method::POST, &heartbeat, &[], None, &[]).await;
                    if let Err(error) = sent {
                        tracing::warn!(%error, "no server takes its heartbeat");
                    }
                }
            };
            tokio::select! {
                () = self.runs.idle() => {}
                () = beats => {}
            }
        };
        tokio::select! {
            () = idle => {}
            () = ends.next() => {
                tracing::warn!("asked again: kills what runs");
                self.runs.kill_all();
                self.runs.idle().await;
            }
        }
        self.set_status("offline", "the worker has ended").await;
    }
}

/// Names the field of a problem as the file of the worker does: `[tasks.report] cron`.
fn name_task(registration: &Value, problem: &mut FieldProblem) {
    let Some(rest) = problem.pointer.strip_prefix("/tasks/") else { return };
    let (at, field) = rest.split_once('/').unwrap_or((rest, ""));
    let name = registration.pointer(&format!("/tasks/{at}/task_name"));
    let Some(name) = name.and_then(Value::as_str) else { return };
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let key = if name.chars().all(bare) { name.to_owned() } else { format!("\"{name}\"") };
    let place = match field {
        // In the file, the name of a task is that of its table.
        "" | "task_name" => format!("[tasks.{key}]"),
        field => format!("[tasks.{key}] {}", field.replace('/', ".")),
    };
    problem.message = format!("{place}: {}", problem.message);
    problem.pointer.clear();
}

/// What became of the declared tasks, in one line.
fn tasks(reply: &Value) -> String {
    let tasks = ExecutorRegistered::deserialize(reply).map(|registered| registered.tasks);
    let one = |task: DeclaredTaskView| format!("{} {}", task.name, task.result);
    tasks.unwrap_or_default().into_iter().map(one).collect::<Vec<_>>().join(", ")
}

fn failed(message: impl Into<String>) -> Failure {
    Failure { exit: Exit::No, message: message.into() }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::Uri;
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn a_refused_registration_names_fields_as_the_file_does() {
        let registration = json!({"tasks": [{"task_name": "report"}, {"task_name": "a.b"}]});
        for (pointer, told) in [
            ("/tasks/0/cron", "[tasks.report] cron: must be so"),
            ("/tasks/1/parameters/a", "[tasks.\"a.b\"] parameters.a: must be so"),
            ("/tasks/1/task_name", "[tasks.\"a.b\"]: must be so"),
        ] {
            let (pointer, message) = (pointer.to_owned(), "must be so".to_owned());
            let mut problem = FieldProblem { pointer, message };
            name_task(&registration, &mut problem);
            assert_eq!((problem.pointer.as_str(), problem.message.as_str()), ("", told));
        }
        let kept = FieldProblem { pointer: "/base_url".to_owned(), message: "no".to_owned() };
        let mut problem = kept.clone();
        name_task(&registration, &mut problem);
        assert_eq!(problem, kept);
    }

    /// A worker, and the requests that its server got. This answers that the executor of its id
    /// listens at `url`.
    async fn connected(url: &'static str, folder: PathBuf) -> (Worker, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&asked);
        let answer = async move |method: Method, uri: Uri| {
            noted.lock().push(format!("{method} {}", uri.path()));
            let body = json!({
                "id": "e-1", "name": "data", "base_url": url, "health_check_url": null,
                "status": "online", "reason": "", "weight": 1, "capacity": 0, "in_flight": 0,
                "metadata": {}, "offline_since": null,
                "registered_at": "2026-12-01T11:00:00.000Z",
                "last_heartbeat": "2026-12-01T12:00:00.000Z", "revision": 7,
            });
            ([("punctual-version", crate::node::VERSION)], body.to_string())
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("worker.toml");
        std::fs::write(&file, "[default]\nargv = [\"true\"]\n").unwrap();
        let file = WorkerFile::read(&file).unwrap();
        let exec = exec(folder, None).unwrap();
        let servers = vec![server];
        let client = Client::new(servers.clone(), PATIENCE).unwrap();
        let http = plain(Some(PATIENCE.answer_within)).unwrap();
        let (id, secret, capacity) = ("e-1".to_owned(), None, 0);
        let runs = Runs::new(RunParts { id, secret, capacity, file, exec, http, servers });
        let (url, registered) = ("http://10.0.0.9:9090".to_owned(), AtomicBool::new(true));
        let registration = json!({});
        (Worker { runs: Arc::new(runs), client, url, registration, registered }, asked)
    }

    #[tokio::test]
    async fn a_worker_that_ends_changes_the_status_of_its_own_record_only() {
        const STATUS: &str = "PUT /api/v1/executors/e-1/status";
        let folder = tempfile::tempdir().unwrap();
        let (own, asked) = connected("http://10.0.0.9:9090", folder.path().join("own")).await;
        own.drain(&mut Signals::receive(&[])).await;
        assert_eq!(*asked.lock(), [STATUS, STATUS], "maintenance, then offline");

        // It was never registered.
        asked.lock().clear();
        own.registered.store(false, Ordering::Relaxed);
        own.drain(&mut Signals::receive(&[])).await;
        assert_eq!(*asked.lock(), [""; 0]);

        // Another worker has registered with its id since.
        let (replaced, asked) = connected("http://10.0.0.8:9090", folder.path().join("two")).await;
        let noticed = async {
            while replaced.registered.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = replaced.stay_registered() => panic!("it gave up"),
            () = noticed => {}
        }
        replaced.drain(&mut Signals::receive(&[])).await;
        assert_eq!(*asked.lock(), ["POST /api/v1/executors/e-1/heartbeat"]);
    }
}
