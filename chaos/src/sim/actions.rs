//! The actions of attempts. Their behavior depends on the seed and the fence only, so it is the
//! same on every node.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use punctual::exec::{Func, FuncContext};
use tokio::time::sleep;

use super::random::SeededRandom;
use crate::check::agreement::ReplicaAgreement;
use crate::check::history::{FaultKind, HistoryEvent, ObservedStart, RunHistory};

/// The behavior of an attempt.
enum ActionOutcome {
    /// It succeeds after this time.
    Well(Duration),
    /// It fails after this time.
    Fail(Duration),
    /// It runs until it is asked to stop.
    Hang,
    /// It ignores the request to stop.
    Deaf,
}

/// An attempt that may run this long often uses all of it, unless it is stopped.
const LONG: Duration = Duration::from_secs(30);

const SLOTS: &str = "slots bound attempts";

/// The payload of a task whose attempts run for this time and succeed.
pub fn payload(call: u64, time: Duration) -> String {
    format!("{call} works {}", time.as_millis())
}

/// The running time given in a payload, if any.
fn asked(payload: &str) -> Option<Duration> {
    let (_, time) = payload.split_once(" works ")?;
    time.parse().ok().map(Duration::from_millis)
}

/// The running attempts of a process: the execution of each fence.
pub type RunningAttempts = Arc<Mutex<BTreeMap<u64, u64>>>;

/// Removes an attempt from the running ones when its work ends, for any reason.
struct RunningMark(RunningAttempts, u64);

impl Drop for RunningMark {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// The context of an action.
#[derive(Clone)]
pub struct ActionContext {
    /// The seed.
    pub seed: u64,
    /// The history of the run.
    pub history: Arc<RunHistory>,
    /// The applied entries of its process.
    pub agreement: Arc<ReplicaAgreement>,
    /// Maximum number of concurrent attempts of the node; 0 means no limit.
    pub slots: u32,
    /// The running attempts.
    pub running: RunningAttempts,
}

impl ActionContext {
    /// Records a running attempt and checks the limit.
    fn begin(&self, node: usize, fence: u64, execution: u64) -> RunningMark {
        let count = {
            let mut running = self.running.lock();
            running.insert(fence, execution);
            running.len()
        };
        if self.slots > 0 {
            self.history.checked(SLOTS);
            if count > usize::try_from(self.slots).unwrap_or(usize::MAX) {
                let what = format!("node {} runs {count}, its slots are {}", node + 1, self.slots);
                self.history.violated(SLOTS, what);
            }
        }
        RunningMark(Arc::clone(&self.running), fence)
    }

    fn fate(&self, fence: u64, timeout: Duration, payload: &str) -> ActionOutcome {
        if let Some(time) = asked(payload) {
            return ActionOutcome::Well(time);
        }
        let mut random = SeededRandom::of(self.seed ^ fence.rotate_left(17), "fate");
        if timeout >= LONG && random.chance(500) {
            self.history.fault(FaultKind::ActionHangs);
            return ActionOutcome::Hang;
        }
        match random.below(100) {
            0..80 => ActionOutcome::Well(
                random.log_time(Duration::from_micros(200), Duration::from_secs(1)),
            ),
            80..90 => {
                self.history.fault(FaultKind::ActionFails);
                ActionOutcome::Fail(
                    random.log_time(Duration::from_micros(200), Duration::from_secs(1)),
                )
            }
            90..94 if !timeout.is_zero() => {
                self.history.fault(FaultKind::ActionLate);
                ActionOutcome::Well(timeout + Duration::from_millis(random.range(1, 500)))
            }
            94..97 if !timeout.is_zero() => {
                self.history.fault(FaultKind::ActionHangs);
                ActionOutcome::Hang
            }
            97..100 if !timeout.is_zero() => {
                self.history.fault(FaultKind::ActionHangs);
                ActionOutcome::Deaf
            }
            _ => ActionOutcome::Well(Duration::from_millis(5)),
        }
    }

    /// The function that every task of this process calls.
    pub fn function(self, node: usize, process: u64) -> Func {
        Arc::new(move |context: FuncContext| {
            let fence = context.fence().0;
            let start = ObservedStart {
                process,
                fence,
                execution: context.execution().0,
                attempt: context.attempt(),
                task: context.task().to_owned(),
                tick: context.tick().map(|tick| tick.0),
                applied: self.agreement.at(process),
            };
            let work = self.begin(node, fence, start.execution);
            self.history.note(Some(node), HistoryEvent::Start(start));
            let fate = self.fate(fence, context.timeout(), context.payload());
            let history = Arc::clone(&self.history);
            Box::pin(async move {
                let _work = work;
                let well = match fate {
                    ActionOutcome::Well(after) => {
                        sleep(after).await;
                        true
                    }
                    ActionOutcome::Fail(after) => {
                        sleep(after).await;
                        false
                    }
                    ActionOutcome::Hang => {
                        context.cancelled().await;
                        false
                    }
                    ActionOutcome::Deaf => pending().await,
                };
                history.note(Some(node), HistoryEvent::Done { fence, well });
                if well { Ok("well".to_owned()) } else { Err("not well".to_owned()) }
            })
        })
    }
}
