//! States that must be reachable. Otherwise the model proves nothing.

use super::bounds::TICKS;
use super::entry::{ModelEntry, OperatorCommand, number};
use super::guards::Guards;
use super::machine::ModelMachine;
use super::starts::{ModelGrant, acknowledged, counted_from, may_start};
use super::world::ModelWorld;

/// A state that must be reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReachedCase {
    Start,
    AllStarted,
    Contest,
    Again,
    RefusedAgain,
    PendingGrant,
    NarrowStart,
    LateSettle,
    Replay,
    Usurped,
    Resumed,
    Reborn,
}

impl ReachedCase {
    /// All of them.
    pub(super) const ALL: [Self; 12] = [
        Self::Start,
        Self::AllStarted,
        Self::Contest,
        Self::Again,
        Self::RefusedAgain,
        Self::PendingGrant,
        Self::NarrowStart,
        Self::LateSettle,
        Self::Replay,
        Self::Usurped,
        Self::Resumed,
        Self::Reborn,
    ];

    /// Its description.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Start => "a tick is started",
            Self::AllStarted => "every tick is started",
            Self::Contest => "both nodes propose one tick, the log takes one",
            Self::Again => "a start under a fence that was asked for again",
            Self::RefusedAgain => "a node asks again for what is deleted or paused",
            Self::PendingGrant => "an acknowledged wait with a granted, unstarted attempt",
            Self::NarrowStart => "a start after the delete or pause, before its acknowledgement",
            Self::LateSettle => "a settle of an ended session is under way at the cursor",
            Self::Replay => "a restarted process replays a grant to its former self",
            Self::Usurped => "a late NodeUp of the former process ends the live one's session",
            Self::Resumed => "a start after a resume or reuse",
            Self::Reborn => "a start in a new incarnation",
        }
    }

    /// Whether a world is such a state.
    pub(super) fn seen(self, world: &ModelWorld, guards: Guards) -> bool {
        let started = |which: &dyn Fn(usize) -> bool| {
            let mut fences = world.processes.iter().map(|process| process.started);
            fences.any(|all| (0..16).any(|index| all & (1 << index) != 0 && which(index)))
        };
        let head = || world.head(guards);
        let log = world.log.as_slice();
        let after = |deed: OperatorCommand| {
            let done = |entry: &ModelEntry| matches!(entry, ModelEntry::Done { deed: d, .. } if *d == deed);
            log.iter().position(done)
        };
        match self {
            Self::Start => world.starts.contains(&1),
            Self::AllStarted => world.starts == [1; TICKS],
            Self::Contest => contest(world),
            Self::Again => {
                started(&|index| matches!(log.get(index), Some(ModelEntry::Again { .. })))
            }
            Self::RefusedAgain => {
                let asks = |entry: &ModelEntry| matches!(entry, ModelEntry::Again { .. });
                head().inactive() && world.soup.as_slice().iter().any(asks)
            }
            Self::PendingGrant => {
                let head = head();
                acknowledged(world, &head, guards) && unstarted(world, &head)
            }
            Self::NarrowStart => narrow(world, &head(), guards),
            Self::LateSettle => {
                let head = head();
                world.soup.as_slice().iter().any(|entry| late(entry, &head))
            }
            Self::Replay => replays(world),
            Self::Usurped => {
                let head = head();
                let ended = |own| !head.sessions.iter().any(|(session, _)| *session == own);
                world.registration(0).is_some_and(|(own, up)| up > 0 && ended(own))
            }
            Self::Resumed => {
                let since = after(OperatorCommand::Resume);
                since.is_some_and(|since| started(&|index| index > since))
            }
            Self::Reborn => {
                let since = after(OperatorCommand::Replace);
                since.is_some_and(|since| started(&|index| index > since))
            }
        }
    }
}

fn contest(world: &ModelWorld) -> bool {
    let soup = world.soup.as_slice();
    let claims = soup.iter().filter_map(|entry| match entry {
        ModelEntry::Settle { session, to, claim: true, .. } => Some((*session, *to)),
        _ => None,
    });
    claims.clone().any(|(one, tick)| {
        let taken = world.grants().any(|(_, fired, session)| fired == tick && session == one);
        taken && claims.clone().any(|(other, wanted)| wanted == tick && other != one)
    })
}

fn unstarted(world: &ModelWorld, head: &ModelMachine) -> bool {
    (1..).zip(&head.attempts).any(|(tick, attempt)| {
        attempt.is_some_and(|attempt| {
            let remembers = |process| counted_from(world, process, attempt.fence, tick).is_some();
            let carried = world.processes.iter().any(|p| p.has_started(attempt.fence));
            attempt.running && !carried && world.processes.iter().any(remembers)
        })
    })
}

/// Whether a node may start something that the head of the log no longer permits.
fn narrow(world: &ModelWorld, head: &ModelMachine, guards: Guards) -> bool {
    head.inactive()
        && (0..world.processes.len()).any(|node| {
            let seen = world.seen(node, guards);
            world.grants().any(|(index, tick, session)| {
                may_start(world, node, &seen, ModelGrant { index, tick, session }, guards)
            })
        })
}

fn late(entry: &ModelEntry, head: &ModelMachine) -> bool {
    match entry {
        ModelEntry::Settle { session, revision, after, .. } => {
            let live = head.sessions.iter().any(|(live, _)| live == session);
            !live && *after == head.cursor && *revision == head.revision
        }
        _ => false,
    }
}

fn replays(world: &ModelWorld) -> bool {
    let Some(process) = world.processes.first().filter(|process| process.boot > 0) else {
        return false;
    };
    let last = usize::from(process.applied).checked_sub(1);
    let entry = last.and_then(|last| world.log.as_slice().get(last));
    let former = |up: usize| last.is_some_and(|last| number(last) < number(up));
    let before = world.registration(0).is_none_or(|(_, up)| former(up));
    before && entry.and_then(|entry| entry.grant()).is_some_and(|(_, session)| session == 1)
}
