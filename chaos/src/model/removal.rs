//! Removes each guard in turn and determines the violation, or the guard that compensates for it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bounds::ModelBounds;
use super::check::{ModelPath, SearchOptions, SearchOutcome, look};
use super::guards::{Guards, ModelGuard};
use super::property::ModelProperty;

/// Guards whose removal violates nothing because other guards compensate, and the property that is
/// violated if all of them are removed.
const COVERED: [(ModelGuard, &[ModelGuard], ModelProperty); 7] = [
    // A delete or pause creates a new revision, and no node proposes a claim for a task that it
    // sees as inactive.
    (ModelGuard::Activity, &[ModelGuard::Revision], ModelProperty::Inactive),
    (ModelGuard::AskSession, &[ModelGuard::AskOwn], ModelProperty::OneStart),
    (ModelGuard::AskOwn, &[ModelGuard::AskSession], ModelProperty::OneStart),
    // The only grant without a recorded proposal is one whose record was discarded.
    (ModelGuard::Remember, &[ModelGuard::FirstKept], ModelProperty::Acknowledged),
    // The gate always reads the applied state.
    (ModelGuard::Applied, &[ModelGuard::GateFence], ModelProperty::Granted),
    // Proposals made before a delete or pause have expired by its acknowledgement. Later proposals
    // are not granted.
    (ModelGuard::GateActivity, &[ModelGuard::AskActivity], ModelProperty::Acknowledged),
    // Entries before the `NodeUp` were granted to other sessions.
    (ModelGuard::Replay, &[ModelGuard::OwnSession], ModelProperty::Replay),
];

/// The result of removing a guard.
pub(super) enum RemovalFinding {
    /// A property is violated.
    Caught { promise: ModelProperty, way: ModelPath },
    /// Nothing is violated in this number of states: other guards compensate. Proof: the property
    /// is violated if they are removed too. If that property still holds with this guard active and
    /// the others removed, in `alone` states, either is sufficient.
    Redundant {
        unique: usize,
        covers: &'static [ModelGuard],
        promise: ModelProperty,
        way: ModelPath,
        alone: Option<usize>,
    },
    /// Nothing is violated, without an explanation.
    Unexplained { unique: usize },
}

/// A guard and the result of its removal.
pub(super) struct RemovalRow {
    pub guard: ModelGuard,
    pub finding: RemovalFinding,
    pub seconds: f64,
}

/// Removes one guard after another, in two parallel explorations. Each exploration has one thread,
/// so that its paths are the shortest.
pub(super) fn remove_each(bounds: ModelBounds) -> Vec<RemovalRow> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    let work = || {
        while let Some(guard) = ModelGuard::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = remove(*guard, bounds);
            if let Ok(mut rows) = rows.lock() {
                rows.push(row);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let mut rows = rows.into_inner().unwrap_or_default();
    rows.sort_by_key(|row| row.guard as u8);
    rows
}

fn remove(guard: ModelGuard, bounds: ModelBounds) -> RemovalRow {
    let mut outcome = without(&[guard], &ModelProperty::ALL, bounds);
    let (unique, mut seconds) = (outcome.unique, outcome.seconds);
    if !outcome.broken.is_empty() {
        let (promise, way) = outcome.broken.swap_remove(0);
        return RemovalRow { guard, finding: RemovalFinding::Caught { promise, way }, seconds };
    }
    let mut finding = RemovalFinding::Unexplained { unique };
    if let Some((_, covers, promise)) = COVERED.iter().find(|(covered, _, _)| *covered == guard) {
        let both: Vec<ModelGuard> = covers.iter().copied().chain([guard]).collect();
        let mut proof = without(&both, &[*promise], bounds);
        seconds += proof.seconds;
        if !proof.broken.is_empty() {
            let (promise, way) = proof.broken.swap_remove(0);
            let place = without(covers, &[promise], bounds);
            seconds += place.seconds;
            let alone = place.broken.is_empty().then_some(place.unique);
            finding = RemovalFinding::Redundant { unique, covers, promise, way, alone };
        }
    }
    RemovalRow { guard, finding, seconds }
}

fn without(guards: &[ModelGuard], watched: &[ModelProperty], bounds: ModelBounds) -> SearchOutcome {
    look(SearchOptions { bounds, guards: Guards::without(guards), watched, threads: 1, stop: true })
}
