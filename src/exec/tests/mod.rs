//! Attempts with real effects: processes under a real shim, requests to a real server.

pub(crate) mod connect;
mod descriptors;
mod executor;
mod func;
mod http;
mod machine;
mod shell;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::*;
use crate::domain::ids::Fence;
use crate::domain::time::{Millis, Timestamp};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Makes this test program a shim, when it stands among its filters.
const AS_SHIM: &str = "this-process-is-a-shim";

/// Not a test of its own: the shim of the others, which start this very program for it.
#[test]
fn shim_process() {
    if std::env::args().any(|argument| argument == AS_SHIM) {
        let _code = shim::serve().unwrap();
    }
}

pub(super) fn shim_program() -> ShimProgram {
    let args = ["exec::tests::shim_process", AS_SHIM, "--exact", "--quiet"].map(str::to_owned);
    ShimProgram { path: std::env::current_exe().unwrap(), args: args.to_vec() }
}

/// An `Exec` with a folder of its own.
struct TestExec {
    folder: tempfile::TempDir,
    exec: Arc<Exec>,
}

impl TestExec {
    fn new() -> Self {
        Self::with(|_options| {})
    }

    fn with(change: impl FnOnce(&mut ExecOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = ExecOptions {
            shell: Some(shim_program()),
            http_allow: Vec::new(),
            refs: config::RefSettings::default(),
            open_files: None,
            own: Vec::new(),
            loopback_only: true,
            executors: config::ExecutorSettings::default(),
            output_dir: folder.path().join("output"),
            output: OutputLimits::default(),
            data_dir: folder.path().join("data"),
            work_dir: folder.path().join("work"),
        };
        std::fs::create_dir(&options.work_dir).unwrap();
        change(&mut options);
        let exec = Arc::new(Exec::new(options).unwrap());
        Self { folder, exec }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Takes an attempt to its end, with nobody interfering.
    async fn run(&self, action: &Action, attempt: &GrantedAttempt) -> AttemptOutcome {
        let (control, strings) = control();
        let run = self.exec.run(action, attempt, control);
        let outcome = tokio::time::timeout(PATIENCE, run).await.expect("it ends");
        assert_eq!(outcome.started, strings.started.await.ok(), "{outcome:?}");
        outcome
    }

    /// Starts an attempt and goes on.
    fn start(&self, action: Action, attempt: GrantedAttempt) -> StartedAttempt {
        let (control, ControlHandles { stop, started }) = control();
        let exec = Arc::clone(&self.exec);
        let task = tokio::spawn(async move { exec.run(&action, &attempt, control).await });
        StartedAttempt { task, stop, started }
    }
}

/// The other ends of a `AttemptControl`.
struct ControlHandles {
    stop: watch::Sender<Stop>,
    started: oneshot::Receiver<BootInstant>,
}

/// An attempt under way.
struct StartedAttempt {
    task: tokio::task::JoinHandle<AttemptOutcome>,
    stop: watch::Sender<Stop>,
    started: oneshot::Receiver<BootInstant>,
}

impl StartedAttempt {
    async fn started(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.started).await.unwrap().unwrap();
    }

    async fn ended(self) -> AttemptOutcome {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }
}

fn control() -> (AttemptControl, ControlHandles) {
    let (stop, stopped) = watch::channel(Stop::No);
    let (tell, started) = oneshot::channel();
    let gate: StartGate = Arc::new(|| true);
    (AttemptControl { gate, stop: stopped, started: tell }, ControlHandles { stop, started })
}

fn closed() -> AttemptControl {
    AttemptControl { gate: Arc::new(|| false), ..control().0 }
}

/// An attempt with an execution id of its own, which may start within ten seconds.
pub(super) fn attempt() -> GrantedAttempt {
    static NEXT: AtomicU64 = AtomicU64::new(100);
    let execution = ExecutionId(NEXT.fetch_add(10, Ordering::Relaxed));
    GrantedAttempt {
        execution,
        fence: Fence(execution.0 + 1),
        attempt: 2,
        node: "n3".to_owned(),
        task: "nächtlich".to_owned(),
        tick: Some(Timestamp(1_800_000_000_000)),
        parent: Some(ParentOfAttempt {
            task: "extract".to_owned(),
            execution: ExecutionId(7),
            status: "failed",
            exit_code: Some(3),
            reason: "exit 3".to_owned(),
            tail: "no rows\n".to_owned(),
        }),
        idempotency_key: "nächtlich/7@2027-01-15T08:00:00.000Z".to_owned(),
        parameters: r#"{"a":1}"#.to_owned(),
        payload: "load".to_owned(),
        executor: None,
        timeout: Millis(0),
        kill_grace: Millis(5_000),
        start_by: BootInstant::now().plus(Millis(10_000)),
    }
}

/// Looks again and again until it holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Variables that references may name.
fn names(names: &[&str]) -> Vec<config::actions::RefNames> {
    names.iter().map(|name| config::actions::RefNames::parse(name).unwrap()).collect()
}
