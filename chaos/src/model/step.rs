//! The possible steps of a world and their effects.

use super::bounds::{LEAD, ModelBounds, TICKS, TTL};
use super::entry::{DEEDS, ModelEntry, OperatorCommand, number};
use super::guards::{Guards, ModelGuard};
use super::machine::{ModelActivity, ModelMachine};
use super::starts::{ModelGrant, counted_from, judge, may_start};
use super::world::{ModelProcess, ModelWorld};

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelStep {
    /// Time advances.
    Pass,
    /// A node makes a proposal.
    Propose { node: u8, entry: ModelEntry },
    /// A proposal or a registration is committed and accepted.
    Commit { entry: ModelEntry },
    /// A user command is accepted.
    Do { deed: OperatorCommand },
    /// A node applies its next entry.
    Apply { node: u8 },
    /// A node starts the attempt that an entry granted.
    Start { node: u8, fence: u8, tick: u8, session: u8 },
    /// The process of a node crashes, and a new one starts.
    Crash { node: u8 },
    /// A node discards the record of its first proposal for a tick.
    Forget { node: u8, tick: u8 },
}

/// The possible steps that have an effect.
pub(super) fn possible(
    world: &ModelWorld,
    bounds: ModelBounds,
    guards: Guards,
    steps: &mut Vec<ModelStep>,
) {
    let (seen, head) = world.views(guards);
    if world.now < bounds.time {
        steps.push(ModelStep::Pass);
    }
    for (node, seen) in seen.iter().enumerate() {
        of_node(world, node, seen, guards, steps);
        proposals(world, node, seen, (bounds, guards), steps);
    }
    let crashed = world.processes.first().map_or(0, |process| process.boot);
    if crashed < bounds.crashes {
        steps.push(ModelStep::Crash { node: 0 });
    }
    let next = number(world.log.as_slice().len());
    let accepted =
        |entry: ModelEntry| ModelMachine::clone(&head).apply(entry, next, guards).is_some();
    let under_way = world.soup.as_slice().iter().copied().filter(|entry| accepted(*entry));
    steps.extend(under_way.map(|entry| ModelStep::Commit { entry }));
    let ups = world.count(|entry| matches!(entry, ModelEntry::Up { .. }));
    if crashed > 0 && ups < usize::from(bounds.ups) {
        // The registration of the previous process may be late, and that of the current one may be
        // duplicated.
        let ups = (0..=crashed).map(|boot| ModelEntry::Up { node: 0, boot });
        let ups = ups.filter(|entry| accepted(*entry));
        steps.extend(ups.map(|entry| ModelStep::Commit { entry }));
    }
    if world.count(|entry| matches!(entry, ModelEntry::Done { .. })) < usize::from(bounds.deeds) {
        let stamp = world.now;
        let deeds =
            DEEDS.into_iter().filter(|deed| accepted(ModelEntry::Done { deed: *deed, stamp }));
        steps.extend(deeds.map(|deed| ModelStep::Do { deed }));
    }
}

fn of_node(
    world: &ModelWorld,
    node: usize,
    seen: &ModelMachine,
    guards: Guards,
    steps: &mut Vec<ModelStep>,
) {
    let Some(process) = world.processes.get(node) else { return };
    let name = node as u8;
    if usize::from(process.applied) < world.log.as_slice().len() {
        steps.push(ModelStep::Apply { node: name });
    }
    for (index, tick, session) in world.grants() {
        let grant = ModelGrant { index, tick, session };
        if may_start(world, node, seen, grant, guards) {
            steps.push(ModelStep::Start { node: name, fence: grant.fence(), tick, session });
        }
    }
    if !guards.has(ModelGuard::FirstKept) {
        for (tick, (claim, ask)) in (1..).zip(process.claims.iter().zip(&process.asks)) {
            if claim.is_some() || ask.is_some() {
                steps.push(ModelStep::Forget { node: name, tick });
            }
        }
    }
}

fn proposals(
    world: &ModelWorld,
    node: usize,
    seen: &ModelMachine,
    (bounds, guards): (ModelBounds, Guards),
    steps: &mut Vec<ModelStep>,
) {
    let Some(process) = world.processes.get(node) else { return };
    let Some((session, _)) = world.registration(node) else { return };
    // A repeated proposal is already pending and recorded.
    let idle = guards.has(ModelGuard::FirstNotLast) && guards.has(ModelGuard::FirstKept);
    let mut propose = |entry| {
        let again = world.soup.as_slice().contains(&entry);
        if if again { !idle } else { has_room(world, entry, bounds) } {
            steps.push(ModelStep::Propose { node: node as u8, entry });
        }
    };
    settles(world, seen, session, &mut propose);
    asks(world, process, seen, session, guards, &mut propose);
}

/// Whether another proposal may become pending.
fn has_room(world: &ModelWorld, entry: ModelEntry, bounds: ModelBounds) -> bool {
    let soup = world.soup.as_slice();
    let settle = |entry: &ModelEntry| matches!(entry, ModelEntry::Settle { .. });
    let settles = soup.iter().filter(|entry| settle(entry)).count();
    if settle(&entry) {
        settles < usize::from(bounds.settles)
    } else {
        soup.len() - settles < usize::from(bounds.asks)
    }
}

/// The settles that a node may decide based on its state. All of them are explored.
fn settles(
    world: &ModelWorld,
    seen: &ModelMachine,
    session: u8,
    propose: &mut impl FnMut(ModelEntry),
) {
    if seen.activity != ModelActivity::Active {
        return;
    }
    let (revision, after) = (seen.revision, seen.cursor);
    for to in after + 1..=TICKS as u8 {
        if to <= seen.last && world.now + LEAD >= to {
            propose(ModelEntry::Settle { session, revision, after, to, claim: true });
        }
    }
    if after < TICKS as u8 && world.now > after {
        propose(ModelEntry::Settle { session, revision, after, to: after + 1, claim: false });
    }
}

/// The requests for a new fence that a node may make.
fn asks(
    world: &ModelWorld,
    process: &ModelProcess,
    seen: &ModelMachine,
    session: u8,
    guards: Guards,
    propose: &mut impl FnMut(ModelEntry),
) {
    for (tick, attempt) in (1..).zip(&seen.attempts) {
        let Some(attempt) = attempt.filter(|attempt| attempt.running) else { continue };
        let fence = attempt.fence;
        let mine = attempt.session == session || !guards.has(ModelGuard::AskOwn);
        let from = counted_from(world, process, fence, tick);
        let over =
            from.is_none_or(|from| world.now > from + TTL) || !guards.has(ModelGuard::AskLate);
        if mine && over && !process.has_started(fence) {
            propose(ModelEntry::Again { session, tick, fence });
        }
    }
}

/// The world after a step. `None` if the step is not possible.
pub(super) fn next(
    world: &ModelWorld,
    step: ModelStep,
    guards: Guards,
    watched: u16,
) -> Option<ModelWorld> {
    let mut next = world.clone();
    match step {
        ModelStep::Pass => next.now += 1,
        ModelStep::Propose { node, entry } => {
            let process = next.processes.get_mut(usize::from(node))?;
            note(process, entry, world.now, !guards.has(ModelGuard::FirstNotLast));
            if !world.soup.as_slice().contains(&entry) && !next.soup.insert(entry) {
                return None;
            }
        }
        ModelStep::Commit { entry } => commit(&mut next, entry, guards, watched)?,
        ModelStep::Do { deed } => {
            commit(&mut next, ModelEntry::Done { deed, stamp: world.now }, guards, watched)?;
        }
        ModelStep::Apply { node } => apply(&mut next, usize::from(node), guards)?,
        ModelStep::Start { node, fence, tick, session } => {
            let node = usize::from(node);
            let index = usize::from(fence - number(0));
            let seen = world.seen(node, guards);
            let grant = ModelGrant { index, tick, session };
            next.broken |= judge(world, node, &seen, grant, guards) & watched;
            next.processes.get_mut(node)?.started |= 1 << index;
            let count = next.starts.get_mut(usize::from(tick) - 1)?;
            *count = 2.min(*count + 1);
        }
        ModelStep::Crash { node } => {
            let process = next.processes.get_mut(usize::from(node))?;
            *process = ModelProcess { boot: process.boot + 1, ..ModelProcess::default() };
        }
        ModelStep::Forget { node, tick } => {
            let process = next.processes.get_mut(usize::from(node))?;
            *process.claims.get_mut(usize::from(tick) - 1)? = None;
            *process.asks.get_mut(usize::from(tick) - 1)? = None;
        }
    }
    Some(next)
}

fn commit(world: &mut ModelWorld, entry: ModelEntry, guards: Guards, watched: u16) -> Option<()> {
    let number = number(world.log.as_slice().len());
    let broken = world.head(guards).apply(entry, number, guards)?;
    world.broken |= broken & watched;
    world.log.push(entry).then_some(())
}

fn apply(world: &mut ModelWorld, node: usize, guards: Guards) -> Option<()> {
    let now = world.now;
    let session = world.registration(node).map(|(own, _)| own);
    let process = world.processes.get_mut(node)?;
    let entry = world.log.as_slice().get(usize::from(process.applied))?;
    process.applied += 1;
    let granted = entry.grant().map(|(_, session)| session);
    if !guards.has(ModelGuard::FirstNotApply) && granted.is_some() && granted == session {
        note(process, *entry, now, true);
    }
    Some(())
}

/// Records the time from which a grant counts: its first proposal, or `now` if `anew` is set.
fn note(process: &mut ModelProcess, entry: ModelEntry, now: u8, anew: bool) {
    let slot = |tick: u8| usize::from(tick).wrapping_sub(1);
    match entry {
        ModelEntry::Settle { to, claim: true, .. } => {
            if let Some(claim) = process.claims.get_mut(slot(to)) {
                *claim = Some(claim.filter(|_| !anew).unwrap_or(now));
            }
        }
        ModelEntry::Again { tick, fence, .. } => {
            if let Some(ask) = process.asks.get_mut(slot(tick)) {
                let known = ask.filter(|(asked, _)| *asked == fence && !anew);
                *ask = Some(known.unwrap_or((fence, now)));
            }
        }
        _ => {}
    }
}
