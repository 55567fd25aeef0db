//! What attempts do: their fate is drawn from the seed and their fence, so that it is the same
//! whichever node starts them.

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

/// What becomes of an attempt.
enum ActionOutcome {
    /// It ends well after so long.
    Well(Duration),
    /// It fails after so long.
    Fail(Duration),
    /// It works until it is asked to end.
    Hang,
    /// It does not even hear that.
    Deaf,
}

/// What is given so long often takes it, unless somebody stops it.
const LONG: Duration = Duration::from_secs(30);

const SLOTS: &str = "slots bound attempts";

/// The payload of a task whose attempts work so long and end well.
pub fn payload(call: u64, time: Duration) -> String {
    format!("{call} works {}", time.as_millis())
}

/// How long a payload lets an attempt work, if it says so.
fn asked(payload: &str) -> Option<Duration> {
    let (_, time) = payload.split_once(" works ")?;
    time.parse().ok().map(Duration::from_millis)
}

/// The attempts that a process carries out now: the fence of each, with its execution.
pub type RunningAttempts = Arc<Mutex<BTreeMap<u64, u64>>>;

/// Takes an attempt out of those that run when its work is over, however it ends.
struct RunningMark(RunningAttempts, u64);

impl Drop for RunningMark {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// Where an action finds what it needs.
#[derive(Clone)]
pub struct ActionContext {
    /// The seed.
    pub seed: u64,
    /// Where it is noted.
    pub history: Arc<RunHistory>,
    /// What its process has applied.
    pub agreement: Arc<ReplicaAgreement>,
    /// Attempts that the node may run at once; 0: any number.
    pub slots: u32,
    /// Those that run.
    pub running: RunningAttempts,
}

impl ActionContext {
    /// Notes that an attempt runs, and looks at the bound.
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
            let attempt = &context.attempt;
            let fence = attempt.fence.0;
            let start = ObservedStart {
                process,
                fence,
                execution: attempt.execution.0,
                attempt: attempt.attempt,
                task: attempt.task.clone(),
                tick: attempt.tick.map(|tick| tick.0),
                applied: self.agreement.at(process),
            };
            let work = self.begin(node, fence, start.execution);
            self.history.note(Some(node), HistoryEvent::Start(start));
            let fate = self.fate(fence, attempt.timeout.std(), &attempt.payload);
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
                        let mut cancel = context.cancel;
                        let _gone = cancel.wait_for(|cancel| *cancel).await;
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
