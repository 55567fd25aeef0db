//! From a grant to a start: the checks of a node before a start, and the judgement of a start with
//! global knowledge.

use super::bounds::{TTL, WAIT};
use super::entry::{ModelEntry, number};
use super::guards::{Guards, ModelGuard};
use super::machine::{ModelMachine, bit};
use super::property::ModelProperty;
use super::world::{ModelProcess, ModelWorld};

/// A grant as seen by a node.
#[derive(Clone, Copy)]
pub(super) struct ModelGrant {
    /// The index of its log entry.
    pub index: usize,
    pub tick: u8,
    pub session: u8,
}

impl ModelGrant {
    pub(super) fn fence(self) -> u8 {
        number(self.index)
    }
}

/// The time from which a grant counts. `None` if the process has no record of a proposal for it.
pub(super) fn counted_from(
    world: &ModelWorld,
    process: &ModelProcess,
    fence: u8,
    tick: u8,
) -> Option<u8> {
    let at = usize::from(tick).wrapping_sub(1);
    let index = usize::from(fence).checked_sub(usize::from(number(0)))?;
    match world.log.as_slice().get(index)? {
        ModelEntry::Again { fence, .. } => {
            let (asked, from) = process.asks.get(at).copied().flatten()?;
            (asked == *fence).then_some(from)
        }
        _ => process.claims.get(at).copied().flatten(),
    }
}

/// Whether a node with the state `seen` may start a grant.
pub(super) fn may_start(
    world: &ModelWorld,
    node: usize,
    seen: &ModelMachine,
    grant: ModelGrant,
    guards: Guards,
) -> bool {
    let Some(process) = world.processes.get(node) else { return false };
    let removed = |guard| !guards.has(guard);
    let registration = world.registration(node);
    let (fence, tick) = (grant.fence(), grant.tick);
    let from = counted_from(world, process, fence, tick);
    let in_time = match from {
        Some(from) => world.now <= from + TTL || removed(ModelGuard::Ttl),
        None => removed(ModelGuard::Remember),
    };
    in_time
        && world.now >= tick
        && (grant.index < usize::from(process.applied) || removed(ModelGuard::Applied))
        && (registration.is_some_and(|(own, _)| own == grant.session)
            || removed(ModelGuard::OwnSession))
        && (registration.is_some_and(|(_, up)| up <= grant.index) || removed(ModelGuard::Replay))
        && (!process.has_started(fence) || removed(ModelGuard::Once))
        && (seen.current(tick, fence) || removed(ModelGuard::GateFence))
        && (!seen.inactive() || removed(ModelGuard::GateActivity))
}

/// The properties that a start violates.
pub(super) fn judge(
    world: &ModelWorld,
    node: usize,
    seen: &ModelMachine,
    grant: ModelGrant,
    guards: Guards,
) -> u16 {
    let applied = world.processes.get(node).map_or(0, |process| usize::from(process.applied));
    let registration = world.registration(node);
    let own = registration.is_some_and(|(own, _)| own == grant.session);
    let after_up = registration.is_some_and(|(_, up)| up <= grant.index);
    let before = world.starts.get(usize::from(grant.tick).wrapping_sub(1)).copied().unwrap_or(0);
    bit(grant.index >= applied || !own, ModelProperty::Granted)
        | bit(!seen.current(grant.tick, grant.fence()), ModelProperty::Fence)
        | bit(acknowledged(world, &world.head(guards), guards), ModelProperty::Acknowledged)
        | bit(!after_up, ModelProperty::Replay)
        | bit(before > 0, ModelProperty::OneStart)
}

/// Whether a delete or pause with wait has been acknowledged and not been reverted.
pub(super) fn acknowledged(world: &ModelWorld, head: &ModelMachine, guards: Guards) -> bool {
    let wait = if guards.has(ModelGuard::Wait) { WAIT } else { 0 };
    head.inactive() && world.now >= head.since + wait
}
