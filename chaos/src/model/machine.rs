//! The replicated state machine for one task: the effect of an entry on the state, and the
//! properties that it violates. It does not know owners, so the settles of any node are judged by
//! their numbers only.

use super::bounds::{NODES, TICKS};
use super::entry::{CREATED, ModelEntry, OperatorCommand};
use super::guards::{Guards, ModelGuard};
use super::property::ModelProperty;

/// Whether the task's ticks may fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelActivity {
    Active,
    Paused,
    Deleted,
}

/// The verdict of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelVerdict {
    /// No verdict yet.
    None,
    Fired,
    /// Skipped, missed or coalesced.
    Passed,
    /// It is before the task's incarnation.
    Before,
}

/// The attempt of a fired tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ModelAttempt {
    pub fence: u8,
    pub session: u8,
    /// Whether it has not ended.
    pub running: bool,
}

/// The state after a number of entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelMachine {
    pub cursor: u8,
    pub revision: u8,
    pub activity: ModelActivity,
    /// The time since which the task is inactive.
    pub since: u8,
    /// The last tick of the current schedule.
    pub last: u8,
    /// The last tick that occurred while the task was inactive.
    quiet: u8,
    /// Session and boot number of each node.
    pub sessions: [(u8, u8); NODES],
    pub attempts: [Option<ModelAttempt>; TICKS],
    verdicts: [ModelVerdict; TICKS],
}

impl ModelMachine {
    /// The initial state: two registered nodes and the task.
    pub(super) fn new() -> Self {
        Self {
            cursor: 0,
            revision: CREATED,
            activity: ModelActivity::Active,
            since: 0,
            last: TICKS as u8,
            quiet: 0,
            sessions: std::array::from_fn(|node| (node as u8 + 1, 0)),
            attempts: [None; TICKS],
            verdicts: [ModelVerdict::None; TICKS],
        }
    }

    /// Applies an entry and returns the set of violated properties. `None` if the entry is refused.
    pub(super) fn apply(&mut self, entry: ModelEntry, number: u8, guards: Guards) -> Option<u16> {
        let before = self.cursor;
        let mut broken = match entry {
            ModelEntry::Settle { session, revision, after, to, claim } => {
                let current = revision == self.revision || !guards.has(ModelGuard::Revision);
                let placed = after == self.cursor || !guards.has(ModelGuard::Cursor);
                let held = claim && self.inactive() && guards.has(ModelGuard::Activity);
                if !self.live(session, guards) || !current || !placed || held {
                    return None;
                }
                self.settle(
                    after,
                    to,
                    claim.then_some(ModelAttempt { fence: number, session, running: true }),
                )
            }
            ModelEntry::Again { session, tick, fence } => self.again(
                ModelAttempt { fence: number, session, running: true },
                tick,
                fence,
                guards,
            )?,
            ModelEntry::Up { node, boot } => self.up(node, boot, number, guards)?,
            ModelEntry::Done { deed, stamp } => self.deed(deed, stamp, number, guards)?,
        };
        broken |= bit(self.cursor < before, ModelProperty::Forward);
        broken |= bit(!self.covered(), ModelProperty::OneVerdict);
        broken |= bit(self.strays(), ModelProperty::LiveSession);
        Some(broken)
    }

    /// Whether the task's ticks do not fire.
    pub(super) fn inactive(&self) -> bool {
        self.activity != ModelActivity::Active
    }

    /// The attempt of a tick.
    pub(super) fn attempt(&self, tick: u8) -> Option<ModelAttempt> {
        self.attempts.get(usize::from(tick).wrapping_sub(1)).copied().flatten()
    }

    /// Whether the running attempt of a tick has this fence.
    pub(super) fn current(&self, tick: u8, fence: u8) -> bool {
        self.attempt(tick).is_some_and(|attempt| attempt.fence == fence && attempt.running)
    }

    fn live(&self, session: u8, guards: Guards) -> bool {
        !guards.has(ModelGuard::Session) || self.sessions.iter().any(|(live, _)| *live == session)
    }

    fn settle(&mut self, after: u8, to: u8, claim: Option<ModelAttempt>) -> u16 {
        let last = if claim.is_some() { to.saturating_sub(1) } else { to };
        let mut broken = 0;
        for tick in after + 1..=last {
            broken |= self.give(tick, ModelVerdict::Passed);
        }
        if let Some(attempt) = claim {
            broken |= bit(self.attempt(to).is_some(), ModelProperty::OneExecution);
            broken |= bit(to > self.last, ModelProperty::InForce);
            broken |= bit(self.inactive(), ModelProperty::Inactive);
            broken |= bit(to <= self.quiet, ModelProperty::Quiet);
            broken |= self.give(to, ModelVerdict::Fired);
            self.hold(to, attempt);
        }
        self.cursor = to;
        broken
    }

    fn hold(&mut self, tick: u8, attempt: ModelAttempt) {
        if let Some(slot) = self.attempts.get_mut(usize::from(tick).wrapping_sub(1)) {
            *slot = Some(attempt);
        }
    }

    fn again(&mut self, wanted: ModelAttempt, tick: u8, fence: u8, guards: Guards) -> Option<u16> {
        let held = self.attempt(tick)?;
        let stale = held.fence != fence && guards.has(ModelGuard::AskFence);
        let foreign = held.session != wanted.session && guards.has(ModelGuard::AskSession);
        let inactive = self.inactive() && guards.has(ModelGuard::AskActivity);
        if !self.live(wanted.session, guards) || !held.running || stale || foreign || inactive {
            return None;
        }
        self.hold(tick, wanted);
        Some(bit(self.inactive(), ModelProperty::Inactive))
    }

    fn up(&mut self, node: u8, boot: u8, number: u8, guards: Guards) -> Option<u16> {
        let slot = self.sessions.get_mut(usize::from(node))?;
        // Each process has exactly one session.
        let (former, _) = (slot.1 != boot).then(|| std::mem::replace(slot, (number, boot)))?;
        if guards.has(ModelGuard::EndSession) {
            self.end(|attempt| attempt.session == former);
        }
        Some(0)
    }

    fn deed(
        &mut self,
        deed: OperatorCommand,
        stamp: u8,
        number: u8,
        guards: Guards,
    ) -> Option<u16> {
        let possible = match deed {
            OperatorCommand::Delete => self.activity != ModelActivity::Deleted,
            OperatorCommand::Pause => self.activity == ModelActivity::Active,
            OperatorCommand::Resume => self.inactive(),
            // One replacement is sufficient.
            OperatorCommand::Replace => self.last == TICKS as u8,
        };
        if !possible {
            return None;
        }
        self.revision = number;
        let broken = match deed {
            OperatorCommand::Replace => {
                self.reborn(stamp, guards);
                0
            }
            _ if guards.has(ModelGuard::Close) => self.close(stamp),
            _ => 0,
        };
        if matches!(deed, OperatorCommand::Delete | OperatorCommand::Pause) && !self.inactive() {
            self.since = stamp;
        }
        self.activity = match deed {
            OperatorCommand::Delete => ModelActivity::Deleted,
            OperatorCommand::Pause => ModelActivity::Paused,
            OperatorCommand::Resume => {
                self.quiet = stamp;
                ModelActivity::Active
            }
            OperatorCommand::Replace => ModelActivity::Active,
        };
        Some(broken)
    }

    /// Unsettled ticks up to the timestamp will never fire.
    fn close(&mut self, stamp: u8) -> u16 {
        let to = stamp.min(TICKS as u8);
        if to > self.cursor { self.settle(self.cursor, to, None) } else { 0 }
    }

    /// A new incarnation, without the last tick.
    fn reborn(&mut self, stamp: u8, guards: Guards) {
        self.end(|_| true);
        let begin = stamp.min(TICKS as u8);
        let carried = if guards.has(ModelGuard::Carry) { self.cursor.max(begin) } else { begin };
        self.cursor = carried;
        self.last = TICKS as u8 - 1;
        for (index, verdict) in self.verdicts.iter_mut().enumerate() {
            let before = index < usize::from(carried);
            *verdict = if before { ModelVerdict::Before } else { ModelVerdict::None };
        }
    }

    fn end(&mut self, which: impl Fn(&ModelAttempt) -> bool) {
        for attempt in self.attempts.iter_mut().flatten() {
            attempt.running &= !which(attempt);
        }
    }

    fn give(&mut self, tick: u8, verdict: ModelVerdict) -> u16 {
        let Some(slot) = self.verdicts.get_mut(usize::from(tick).wrapping_sub(1)) else { return 0 };
        let former = std::mem::replace(slot, verdict);
        bit(former != ModelVerdict::None, ModelProperty::OneVerdict)
    }

    /// Whether exactly the ticks up to the cursor have verdicts.
    fn covered(&self) -> bool {
        let settled = |index| index < usize::from(self.cursor);
        self.verdicts
            .iter()
            .enumerate()
            .all(|(at, given)| settled(at) == (*given != ModelVerdict::None))
    }

    /// Whether an attempt is running for a session that has ended.
    fn strays(&self) -> bool {
        let live = |session| self.sessions.iter().any(|(live, _)| *live == session);
        self.attempts.iter().flatten().any(|attempt| attempt.running && !live(attempt.session))
    }
}

/// The bit of a property if it is violated.
pub(super) const fn bit(broken: bool, promise: ModelProperty) -> u16 {
    if broken { promise.bit() } else { 0 }
}
