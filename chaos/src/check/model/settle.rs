//! Settles: their decisions, which of them are late, and how far they move a task's cursor.

use punctual::domain::machine::Answer;
use punctual::domain::machine::command::Settle;
use punctual::domain::machine::record::{Reason, Trigger, Verdict};

use super::{ReferenceModel, ReplayedTask};
use crate::check::{oracle, settles};

const LABELS: &str = "settles and their labels";
const ONCE: &str = "one claim per tick";

impl ReferenceModel {
    pub(super) fn settle(&mut self, settle: &Settle, answer: &Answer) {
        self.session("sessions", settle.session.0, "a settle");
        let key = settle.task.0;
        let Some(task) = self.tasks.get(&key).cloned() else {
            return self.alive(LABELS, key, "a settle");
        };
        self.judge_settle(&task, settle, answer);
        self.note_late(&task, settle);
        if let Some(claim) = &settle.claim {
            let tick = claim.tick.0;
            self.claims += 1;
            self.judge(ONCE);
            if !self.claimed.insert((key, task.incarnation, tick)) {
                self.complain(ONCE, format!("{} was claimed twice at {tick}", task.name));
            }
            let by_caller = claim.trigger == Trigger::Claim;
            let refused = match answer {
                Answer::NotFired(refusal) => Some(refusal),
                _ => None,
            };
            self.admit(key, by_caller, refused, "a claim");
            self.judge_claimed(key, by_caller, answer);
            let (due, session) = (claim.due.0, Some(settle.session.0));
            self.execution(key, answer, Some(tick), due, session, by_caller);
        }
        self.advance(settle, answer);
    }

    fn judge_settle(&mut self, task: &ReplayedTask, settle: &Settle, answer: &Answer) {
        let seen = settles::SettleContext {
            task,
            settled: self.settled(task),
            scheduler: self.scheduler,
            stamp: self.stamp,
            calendars: &self.calendars,
        };
        let wrong = settles::judge(&seen, settle, matches!(answer, Answer::NotFired(_)));
        self.judge(LABELS);
        for what in wrong {
            self.complain(LABELS, format!("{}: {what}", task.name));
        }
        if settle.spans.iter().any(|span| span.reason == Reason::Excluded) {
            self.judge("calendars leave out their ticks");
        }
        let crosses = |spec| oracle::crosses(spec, settle.after.0, settled_to(settle));
        if task.spec.as_ref().is_some_and(|spec| crosses(&spec.schedule)) {
            self.judge("clocks change as the schedule says");
        }
    }

    /// Records a settle of late ticks, unless the task had to catch up after a pause.
    fn note_late(&mut self, task: &ReplayedTask, settle: &Settle) {
        let late = |verdict| matches!(verdict, Verdict::Missed | Verdict::Coalesced);
        let behind = settle.spans.iter().any(|span| late(span.verdict));
        let caught_up = settle.claim.is_some_and(|claim| claim.trigger == Trigger::CatchUp);
        if (behind || caught_up) && !self.catches_up(settle.task.0) {
            self.late.push((self.index, task.name.clone()));
        }
    }

    /// Moves the cursor, and ends a pause that is over.
    fn advance(&mut self, settle: &Settle, answer: &Answer) {
        let (key, to) = (settle.task.0, settled_to(settle));
        let catch_up = self.catches_up(key);
        self.judge("cursors");
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let back = (to < task.cursor).then(|| format!("the cursor of {} went back", task.name));
        task.cursor = to;
        let fired = u64::from(settle.claim.is_some() && !matches!(answer, Answer::NotFired(_)));
        task.fired += fired;
        self.fired += fired;
        let over = |until: i64| until <= to || (catch_up && until <= settle.now.0);
        if task.paused.flatten().is_some_and(over) {
            task.paused = None;
        }
        if let Some(what) = back {
            self.complain("cursors", what);
        }
        self.complete(settle);
    }
}

/// The instant up to which every tick is settled by this command.
fn settled_to(settle: &Settle) -> i64 {
    let covered = settle.spans.last().map_or(settle.after.0, |span| span.to.0);
    settle.claim.map_or(covered, |claim| claim.tick.0)
}
