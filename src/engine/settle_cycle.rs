//! The cycle of a task's actor: it proposes a settle, waits until the state shows it, and proposes
//! again if it does not. All times are parameters; the actor sets the alarms and proposes.
//!
//! There are two kinds of time. `now` is cluster time, which ticks are due by. `at` is monotonic
//! time since the start of the actor, which measures the age of a proposal.

use std::time::Duration;

use crate::domain::ids::{SessionId, TaskKey};
use crate::domain::machine::command::{Claim, Command, Settle};
use crate::domain::settling::{Decision, SettleStep};
use crate::domain::time::{Millis, Timestamp};

use super::limits::{GIVEN_UP, HELD_BACK, REPROPOSE, UNSURE};
use super::observed::ObservedTask;
use super::sleepers::may_sleep;
use super::slots::SlotTable;

/// The next action of a task's actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskDo {
    /// It ends, and is not needed before this instant; none: not before something changes.
    Sleep(Option<Timestamp>),
    /// It looks again at an instant.
    LookAt(Timestamp),
    /// It proposes these steps, decided for the instant `moment`, and looks again at `again`.
    Propose { steps: Vec<SettleStep>, moment: Timestamp, again: Timestamp },
}

/// The last proposal of an actor.
#[derive(Clone, Copy, Debug)]
struct LastProposal {
    /// The instant up to which the task was settled then.
    after: Timestamp,
    /// When it was made.
    at: Duration,
}

/// The proposals of an actor, as far as later decisions need them.
#[derive(Debug, Default)]
pub(super) struct SettleCycle {
    last: Option<LastProposal>,
}

/// Where a task's actor looks again while its node has no cluster time.
pub(super) fn without_time(now: Timestamp) -> TaskDo {
    TaskDo::LookAt(now.plus(UNSURE))
}

impl SettleCycle {
    /// The task is settled up to here. Gives how long the last proposal took, if this shows it.
    pub fn settled(&mut self, settled: Timestamp, at: Duration) -> Option<Duration> {
        let last = self.last.take_if(|last| settled > last.after)?;
        Some(at.saturating_sub(last.at))
    }

    /// How far the decision's instant is before now. A leader whose time is behind this node's
    /// refuses settles ahead of its stamp. After a proposal without effect the task is therefore
    /// decided for an instant that has passed on every clock of the cluster.
    pub fn held_back(&self, settled: Timestamp, at: Duration) -> Millis {
        let age = self.age(settled, at);
        let refused = age.is_some_and(|age| (REPROPOSE..GIVEN_UP).contains(&age));
        if refused { HELD_BACK } else { Millis(0) }
    }

    /// What a decision leads to that was made for the instant `now` less `held_back`.
    pub fn next(
        &self,
        decision: Decision,
        settled: Timestamp,
        (now, held_back): (Timestamp, Millis),
        at: Duration,
        horizon: Millis,
    ) -> TaskDo {
        match decision {
            Decision::Idle => TaskDo::Sleep(None),
            Decision::Wake(wake) if may_sleep(wake, horizon, now) => {
                TaskDo::Sleep(Some(wake.minus(horizon)))
            }
            Decision::Wake(wake) => TaskDo::LookAt(wake.plus(held_back)),
            Decision::Settle(steps) => {
                let (moment, again) = (now.minus(held_back), now.plus(millis(REPROPOSE)));
                match self.age(settled, at) {
                    Some(age) if age < REPROPOSE => TaskDo::LookAt(again),
                    _ => TaskDo::Propose { steps, moment, again },
                }
            }
        }
    }

    /// A proposal is made for a task that is settled up to here.
    pub fn proposed(&mut self, settled: Timestamp, at: Duration) {
        self.last = Some(LastProposal { after: settled, at });
    }

    /// How long ago the last proposal was made, if the state does not show it.
    fn age(&self, settled: Timestamp, at: Duration) -> Option<Duration> {
        let last = self.last.filter(|last| last.after == settled);
        last.map(|last| at.saturating_sub(last.at))
    }
}

/// Frees the slots of claims that are not made any more, because a task's ticks changed. What was
/// decided for an instant before now does not show which claims of this instant are made.
pub(super) fn release_claims(
    slots: &mut SlotTable,
    (task, settled): (TaskKey, Timestamp),
    decision: &Decision,
    held_back: Millis,
) {
    if held_back > Millis(0) {
        return;
    }
    slots.release_claims(task, settled, |tick| match decision {
        Decision::Settle(steps) => steps.iter().any(|step| claims(step, tick)),
        Decision::Idle | Decision::Wake(_) => false,
    });
}

fn claims(step: &SettleStep, tick: Timestamp) -> bool {
    step.claim.is_some_and(|firing| firing.tick == tick)
}

/// The commands of a proposal. `ask` requests the slot of a claim. A claim without a slot fires
/// too, but its execution waits; so do all later ones.
pub(super) fn commands(
    task: &ObservedTask,
    steps: Vec<SettleStep>,
    session: SessionId,
    moment: Timestamp,
    mut ask: impl FnMut(Timestamp) -> bool,
) -> Vec<Command> {
    // What stands in a line, or goes to an executor, is granted by a command of its own.
    let mut room = !task.task.lined() && !task.by_executors;
    let command = |step: SettleStep| {
        let claim = step.claim.map(|firing| {
            room = room && ask(firing.tick);
            Claim { tick: firing.tick, due: firing.due, trigger: firing.trigger, start: room }
        });
        Command::Settle(Settle {
            task: task.task.key,
            revision: task.task.live.revision,
            calendars: task.calendars_at,
            session,
            now: moment,
            after: step.after,
            spans: step.spans,
            claim,
            exhausted: step.exhausted,
        })
    };
    steps.into_iter().map(command).collect()
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
