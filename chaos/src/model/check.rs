//! The interface to stateright, and the exploration of all states.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use super::bounds::ModelBounds;
use super::guards::Guards;
use super::property::ModelProperty;
use super::reached::ReachedCase;
use super::step::{self, ModelStep};
use super::world::ModelWorld;

/// The model with its bounds and active guards.
pub(super) struct TickModel {
    pub bounds: ModelBounds,
    pub guards: Guards,
    /// The properties that are checked.
    watched: u16,
    /// The findings: properties, then reached cases. stateright keeps the last path to a finding, so
    /// each finding is reported to it once. The first path is the shortest.
    found: AtomicU32,
}

impl TickModel {
    fn first(&self, place: usize) -> bool {
        let bit = 1 << place;
        self.found.load(Ordering::Relaxed) & bit == 0
            && self.found.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

impl Model for TickModel {
    type State = ModelWorld;
    type Action = ModelStep;

    fn init_states(&self) -> Vec<ModelWorld> {
        vec![ModelWorld::default()]
    }

    fn actions(&self, world: &ModelWorld, steps: &mut Vec<ModelStep>) {
        if world.broken == 0 {
            step::possible(world, self.bounds, self.guards, steps);
        }
    }

    fn next_state(&self, world: &ModelWorld, step: ModelStep) -> Option<ModelWorld> {
        step::next(world, step, self.guards, self.watched)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let holds = [
            holds::<0>,
            holds::<1>,
            holds::<2>,
            holds::<3>,
            holds::<4>,
            holds::<5>,
            holds::<6>,
            holds::<7>,
            holds::<8>,
            holds::<9>,
            holds::<10>,
            holds::<11>,
        ];
        let happens = [
            happens::<0>,
            happens::<1>,
            happens::<2>,
            happens::<3>,
            happens::<4>,
            happens::<5>,
            happens::<6>,
            happens::<7>,
            happens::<8>,
            happens::<9>,
            happens::<10>,
            happens::<11>,
        ];
        let always = ModelProperty::ALL.into_iter().zip(holds);
        let sometimes = ReachedCase::ALL.into_iter().zip(happens);
        always
            .map(|(promise, holds)| Property::always(promise.name(), holds))
            .chain(sometimes.map(|(seen, happens)| Property::sometimes(seen.name(), happens)))
            .collect()
    }
}

fn holds<const AT: usize>(model: &TickModel, world: &ModelWorld) -> bool {
    world.broken & ModelProperty::ALL[AT].bit() == 0 || !model.first(AT)
}

fn happens<const AT: usize>(model: &TickModel, world: &ModelWorld) -> bool {
    let place = ModelProperty::ALL.len() + AT;
    let known = model.found.load(Ordering::Relaxed) & (1 << place) != 0;
    !known && ReachedCase::ALL[AT].seen(world, model.guards) && model.first(place)
}

/// The path to a state.
pub(super) type ModelPath = Vec<(ModelWorld, Option<ModelStep>)>;

/// The result of an exploration.
pub(super) struct SearchOutcome {
    pub states: usize,
    pub unique: usize,
    pub depth: usize,
    pub seconds: f64,
    /// The violated properties, each with the path to it, shortest first.
    pub broken: Vec<(ModelProperty, ModelPath)>,
    /// The reached cases, each with the length of the path to it.
    pub seen: Vec<(ReachedCase, usize)>,
}

/// Options of an exploration.
#[derive(Clone, Copy)]
pub(super) struct SearchOptions<'a> {
    pub bounds: ModelBounds,
    pub guards: Guards,
    /// The properties to check. Violations of others do not end the exploration.
    pub watched: &'a [ModelProperty],
    /// With more than one thread, the paths are not necessarily the shortest.
    pub threads: usize,
    /// Whether to stop at the first violation.
    pub stop: bool,
}

/// Explores all states within the bounds.
pub(super) fn look(look: SearchOptions<'_>) -> SearchOutcome {
    let begun = Instant::now();
    let watched = look.watched.iter().fold(0, |all, promise| all | promise.bit());
    let SearchOptions { bounds, guards, .. } = look;
    let model = TickModel { bounds, guards, watched, found: AtomicU32::new(0) };
    let end = if look.stop { HasDiscoveries::AnyFailures } else { HasDiscoveries::All };
    let checker = model.checker().threads(look.threads).finish_when(end).spawn_bfs().join();
    let mut found = checker.discoveries();
    let mut broken: Vec<(ModelProperty, ModelPath)> = ModelProperty::ALL
        .into_iter()
        .filter_map(|promise| Some((promise, found.remove(promise.name()).map(Path::into_vec)?)))
        .collect();
    broken.sort_by_key(|(_, way)| way.len());
    let seen = ReachedCase::ALL
        .into_iter()
        .filter_map(|seen| Some((seen, found.remove(seen.name())?.into_vec().len() - 1)))
        .collect();
    SearchOutcome {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: begun.elapsed().as_secs_f64(),
        broken,
        seen,
    }
}
