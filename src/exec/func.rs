//! Functions of the embedding program, called by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use super::attempt::GrantedAttempt;
use super::boot::BootInstant;
use super::call::{FuncContext, FuncOutput};
use super::control::{AttemptControl, STOPPED_EARLY, Stop, after, may_start_by, stop_above};
use super::outcome::{AttemptOutcome, AttemptStatus};
use super::output::LiveOutput;
use crate::life;

/// The result of a function: the attempt's output, or the reason of its failure.
pub type FuncFuture = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;
/// A function of the embedding program.
pub type Func = Arc<dyn Fn(FuncContext) -> FuncFuture + Send + Sync>;

/// The name that serves all names without a function of their own.
const DEFAULT: &str = "*";
/// How long a dropped function may take to end before its outcome counts as unknown.
const DROP_WAIT: Duration = Duration::from_secs(1);

/// Reads the clock that starts are measured by.
type Boot = Box<dyn Fn() -> BootInstant + Send + Sync>;

/// The registered functions of one node.
pub(super) struct Functions {
    by_name: RwLock<BTreeMap<String, Func>>,
    /// Rises when a name is added.
    added: watch::Sender<u64>,
    boot: Boot,
}

/// A call's task, which ends with its owner.
struct FunctionCall(JoinHandle<Result<String, String>>);

impl Drop for FunctionCall {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Functions {
    pub(super) fn new(boot: impl Fn() -> BootInstant + Send + Sync + 'static) -> Self {
        let added = watch::Sender::new(0);
        Self { by_name: RwLock::default(), added, boot: Box::new(boot) }
    }

    pub(super) fn register(&self, name: String, func: Func) {
        if self.by_name.write().insert(name, func).is_none() {
            self.added.send_modify(|added| *added += 1);
        }
    }

    /// Changes when there are more names.
    pub(super) fn added(&self) -> watch::Receiver<u64> {
        self.added.subscribe()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.by_name.read().keys().cloned().collect()
    }

    /// The clock that starts are measured by.
    #[cfg(feature = "simulation")]
    pub(super) fn boot(&self) -> &(dyn Fn() -> BootInstant + Send + Sync) {
        &*self.boot
    }

    fn find(&self, name: &str) -> Option<Func> {
        let by_name = self.by_name.read();
        by_name.get(name).or_else(|| by_name.get(DEFAULT)).cloned()
    }

    /// Calls the function and waits for its end, its time-out or a stop.
    pub(super) async fn attempt(
        &self,
        name: &str,
        attempt: &GrantedAttempt,
        control: AttemptControl,
        live: &Arc<LiveOutput>,
    ) -> AttemptOutcome {
        let Some(func) = self.find(name) else {
            return AttemptOutcome::failed(format!("this node has no function `{name}`"));
        };
        if *control.stop.borrow() > Stop::No {
            return AttemptOutcome::cancelled(STOPPED_EARLY);
        }
        let (cancel, cancelled) = watch::channel(false);
        let output = FuncOutput::of(live);
        let context = FuncContext { attempt: attempt.clone(), cancel: cancelled, output };
        let started = match may_start_by(&control.gate, attempt.start_by, || (self.boot)()) {
            Ok(now) => now,
            Err(why) => return AttemptOutcome::not_started(why),
        };
        // A task of its own, so that a panic stays with the function.
        let mut call = FunctionCall(life::spawn(async move { func(context).await }));
        let _ = control.started.send(started);
        let mut stop = control.stop;
        let outcome = tokio::select! {
            // An end that has come is told, whatever else is wanted.
            biased;
            ended = &mut call.0 => judge(ended, live),
            (status, asked) = end_wanted(&mut stop, attempt) => {
                let _ = cancel.send(true);
                give_up(&mut call, status, asked, &mut stop, attempt).await
            }
        };
        outcome.timed(started, (self.boot)())
    }
}

/// Waits for the time-out or a request to stop.
async fn end_wanted(
    stop: &mut watch::Receiver<Stop>,
    attempt: &GrantedAttempt,
) -> (AttemptStatus, Stop) {
    let bounded = attempt.timeout.0 > 0;
    let deadline = after(attempt.timeout);
    tokio::select! {
        biased;
        asked = stop_above(stop, Stop::No) => (AttemptStatus::Cancelled, asked),
        () = sleep_until(deadline), if bounded => (AttemptStatus::Timeout, Stop::Ask),
    }
}

/// Lets the function end by itself within the grace, then drops it.
async fn give_up(
    call: &mut FunctionCall,
    status: AttemptStatus,
    asked: Stop,
    stop: &mut watch::Receiver<Stop>,
    attempt: &GrantedAttempt,
) -> AttemptOutcome {
    let grace = after(attempt.kill_grace);
    if asked < Stop::Kill {
        tokio::select! {
            biased;
            _ended = &mut call.0 => return AttemptOutcome::new(status, "the function ended on request"),
            _asked = stop_above(stop, Stop::Ask) => {}
            () = sleep_until(grace) => {}
        }
    }
    call.0.abort();
    let let_go = timeout(DROP_WAIT, &mut call.0).await.is_ok();
    let detail = if let_go { "the function was dropped" } else { "the function does not let go" };
    AttemptOutcome { unknown: !let_go, ..AttemptOutcome::new(status, detail) }
}

fn judge(
    ended: Result<Result<String, String>, tokio::task::JoinError>,
    live: &LiveOutput,
) -> AttemptOutcome {
    match ended {
        Ok(Ok(text)) => {
            live.push(text.as_bytes());
            AttemptOutcome::new(AttemptStatus::Success, "")
        }
        Ok(Err(why)) => {
            live.push(why.as_bytes());
            AttemptOutcome::failed(why)
        }
        Err(error) => {
            let why = match error.try_into_panic() {
                Ok(panic) => panicked(&*panic),
                Err(_aborted) => "the function was dropped".to_owned(),
            };
            live.push(why.as_bytes());
            AttemptOutcome::failed(why)
        }
    }
}

/// What a panic said, where it said something.
fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    match text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)) {
        Some(text) => format!("the function panicked: {text}"),
        None => "the function panicked".to_owned(),
    }
}
