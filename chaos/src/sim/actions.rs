//! What attempts do: their fate is drawn from the seed and their fence, so that it is the same
//! whichever node starts them.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use punctual::exec::{Func, FuncContext};
use tokio::time::sleep;

use super::random::Random;
use crate::check::agreement::Agreement;
use crate::check::history::{Event, Fault, History, Start};

/// What becomes of an attempt.
enum Fate {
    /// It ends well after so long.
    Well(Duration),
    /// It fails after so long.
    Fail(Duration),
    /// It works until it is asked to end.
    Hang,
    /// It does not even hear that.
    Deaf,
}

/// Where an action finds what it needs.
#[derive(Clone)]
pub struct Stage {
    /// The seed.
    pub seed: u64,
    /// Where it is noted.
    pub history: Arc<History>,
    /// What its process has applied.
    pub agreement: Arc<Agreement>,
}

impl Stage {
    fn fate(&self, fence: u64, timeout: Duration) -> Fate {
        let mut random = Random::of(self.seed ^ fence.rotate_left(17), "fate");
        match random.below(100) {
            0..80 => {
                Fate::Well(random.log_time(Duration::from_micros(200), Duration::from_secs(1)))
            }
            80..90 => {
                self.history.fault(Fault::ActionFails);
                Fate::Fail(random.log_time(Duration::from_micros(200), Duration::from_secs(1)))
            }
            90..94 if !timeout.is_zero() => {
                self.history.fault(Fault::ActionLate);
                Fate::Well(timeout + Duration::from_millis(random.range(1, 500)))
            }
            94..97 if !timeout.is_zero() => {
                self.history.fault(Fault::ActionHangs);
                Fate::Hang
            }
            97..100 if !timeout.is_zero() => {
                self.history.fault(Fault::ActionHangs);
                Fate::Deaf
            }
            _ => Fate::Well(Duration::from_millis(5)),
        }
    }

    /// The function that every task of this process calls.
    pub fn function(self, node: usize, process: u64) -> Func {
        Arc::new(move |context: FuncContext| {
            let attempt = &context.attempt;
            let fence = attempt.fence.0;
            let start = Start {
                process,
                fence,
                execution: attempt.execution.0,
                attempt: attempt.attempt,
                task: attempt.task.clone(),
                tick: attempt.tick.map(|tick| tick.0),
                applied: self.agreement.at(process),
            };
            self.history.note(Some(node), Event::Start(start));
            let fate = self.fate(fence, attempt.timeout.std());
            let history = Arc::clone(&self.history);
            Box::pin(async move {
                let well = match fate {
                    Fate::Well(after) => {
                        sleep(after).await;
                        true
                    }
                    Fate::Fail(after) => {
                        sleep(after).await;
                        false
                    }
                    Fate::Hang => {
                        let mut cancel = context.cancel;
                        let _gone = cancel.wait_for(|cancel| *cancel).await;
                        false
                    }
                    Fate::Deaf => pending().await,
                };
                history.note(Some(node), Event::Done { fence, well });
                if well { Ok("well".to_owned()) } else { Err("not well".to_owned()) }
            })
        })
    }
}
