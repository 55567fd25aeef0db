//! Lines, looked at state by state: two nodes and one line of limit 1 with two executions, of which
//! the second comes later and goes first.
//!
//! Both nodes ask, whoever owns the tasks; requests and reports come late, twice or never. The first
//! node falls silent, is declared down, loses its attempt and is heard again, or crashes and goes on
//! from a checkpoint. What was lost is attempted again, so that old reports meet new attempts.
//!
//! - `machine.rs`: the entries, and what they do to the state. `world.rs`: one moment of everything,
//!   and what can happen next. `promise.rs`: what must hold, and what must be seen.
//! - `guards.rs`: the rules. Each is taken out in turn, and a promise must break.

mod guards;
mod machine;
mod promise;
#[cfg(test)]
mod tests;
mod world;

use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use self::guards::{LineGuard, LineGuards};
use self::promise::{LinePromise, LineReachedCase};
use self::world::{LineStep, LineWorldState};

/// The model as stateright sees it.
struct LineModel {
    guards: LineGuards,
    /// What was found: promises, then reached cases. Each is shown to stateright once, so that the way to
    /// it is the first one.
    found: AtomicU32,
}

impl LineModel {
    fn first(&self, place: usize) -> bool {
        let bit = 1 << place;
        self.found.load(Ordering::Relaxed) & bit == 0
            && self.found.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

impl Model for LineModel {
    type State = LineWorldState;
    type Action = LineStep;

    fn init_states(&self) -> Vec<LineWorldState> {
        vec![LineWorldState::default()]
    }

    fn actions(&self, world: &LineWorldState, steps: &mut Vec<LineStep>) {
        if world.broken == 0 {
            world.possible(self.guards, steps);
        }
    }

    fn next_state(&self, world: &LineWorldState, step: LineStep) -> Option<LineWorldState> {
        world.next(step, self.guards)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let holds = [
            holds::<0>, holds::<1>, holds::<2>, holds::<3>, holds::<4>, holds::<5>, holds::<6>,
            holds::<7>,
        ];
        let happens = [
            happens::<0>,
            happens::<1>,
            happens::<2>,
            happens::<3>,
            happens::<4>,
            happens::<5>,
            happens::<6>,
        ];
        let always = LinePromise::ALL.into_iter().zip(holds);
        let sometimes = LineReachedCase::ALL.into_iter().zip(happens);
        always
            .map(|(promise, holds)| Property::always(promise.words(), holds))
            .chain(sometimes.map(|(seen, happens)| Property::sometimes(seen.words(), happens)))
            .collect()
    }
}

fn holds<const AT: usize>(model: &LineModel, world: &LineWorldState) -> bool {
    world.broken & LinePromise::ALL[AT].bit() == 0 || !model.first(AT)
}

fn happens<const AT: usize>(model: &LineModel, world: &LineWorldState) -> bool {
    let place = LinePromise::ALL.len() + AT;
    let known = model.found.load(Ordering::Relaxed) & (1 << place) != 0;
    !known && LineReachedCase::ALL[AT].seen(world, &world.head(model.guards)) && model.first(place)
}

/// What a look through the states showed.
struct LineOutcome {
    unique: usize,
    /// The broken promises, each with the steps to it; the shortest first.
    broken: Vec<(LinePromise, Vec<LineStep>)>,
    seen: Vec<(LineReachedCase, usize)>,
}

fn look(guards: LineGuards, threads: usize, stop: bool) -> LineOutcome {
    let model = LineModel { guards, found: AtomicU32::new(0) };
    let end = if stop { HasDiscoveries::AnyFailures } else { HasDiscoveries::All };
    let checker = model.checker().threads(threads).finish_when(end).spawn_bfs().join();
    let mut found = checker.discoveries();
    let mut way = |name| found.remove(name).map(Path::into_actions);
    let broken = LinePromise::ALL.into_iter();
    let mut broken: Vec<(LinePromise, Vec<LineStep>)> =
        broken.filter_map(|promise| Some((promise, way(promise.words())?))).collect();
    broken.sort_by_key(|(_, way)| way.len());
    let seen = LineReachedCase::ALL.into_iter();
    let seen = seen.filter_map(|seen| Some((seen, way(seen.words())?.len()))).collect();
    LineOutcome { unique: checker.unique_state_count(), broken, seen }
}

/// The look through the whole model, and whether it shows what it should.
pub(super) fn whole(threads: usize) -> (String, bool) {
    let outcome = look(LineGuards::ALL, threads, false);
    let mut text = format!("\none line of limit 1, unique states {}\n\n", outcome.unique);
    for promise in LinePromise::ALL {
        let broken = outcome.broken.iter().any(|(found, _)| *found == promise);
        let result = if broken { "BROKEN" } else { "holds" };
        let _ = writeln!(text, "{result:<7} {}", promise.words());
    }
    text.push('\n');
    for case in LineReachedCase::ALL {
        let result = match outcome.seen.iter().find(|(seen, _)| *seen == case) {
            Some((_, steps)) => format!("seen after {steps} steps"),
            None => "NEVER SEEN".to_owned(),
        };
        let _ = writeln!(text, "{result:<20} {}", case.words());
    }
    if let Some((promise, way)) = outcome.broken.first() {
        let _ = writeln!(text, "\n{}", tell(*promise, way));
    }
    let valid = outcome.broken.is_empty() && outcome.seen.len() == LineReachedCase::ALL.len();
    (text, valid)
}

/// Each guard taken out in turn, and whether that is found each time.
pub(super) fn removals(stories: bool) -> (String, bool) {
    let mut text = format!("{:<57} result\n", "guard of lines removed");
    let mut valid = true;
    for guard in LineGuard::ALL {
        let outcome = look(LineGuards::without(guard), 1, true);
        let result = match outcome.broken.first() {
            Some((promise, way)) => {
                let told =
                    if stories { format!("\n{}", tell(*promise, way)) } else { String::new() };
                format!("caught: {} ({} steps){told}", promise.words(), way.len())
            }
            None => {
                valid = false;
                format!("NOT CAUGHT in {} states", outcome.unique)
            }
        };
        let _ = writeln!(text, "{:<57} {result}", guard.words());
    }
    (text, valid)
}

fn tell(promise: LinePromise, way: &[LineStep]) -> String {
    let mut text = String::new();
    for step in way {
        let _ = writeln!(text, "  {step:?}");
    }
    let _ = write!(text, "  broken: {}", promise.words());
    text
}
