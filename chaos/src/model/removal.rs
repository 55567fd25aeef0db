//! Each guard taken out in turn: what then breaks, or which other guard stands in its place.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bounds::ModelBounds;
use super::check::{ModelPath, SearchOptions, SearchOutcome, look};
use super::guards::{Guards, ModelGuard};
use super::property::ModelProperty;

/// Guards without which nothing breaks, since others stand in their place; and the promise that is
/// broken when both are gone.
const COVERED: [(ModelGuard, &[ModelGuard], ModelProperty); 7] = [
    // A delete or pause is a new revision, and nobody proposes a claim on what it sees inactive.
    (ModelGuard::Activity, &[ModelGuard::Revision], ModelProperty::Inactive),
    (ModelGuard::AskSession, &[ModelGuard::AskOwn], ModelProperty::OneStart),
    (ModelGuard::AskOwn, &[ModelGuard::AskSession], ModelProperty::OneStart),
    // The only grant without a noted proposal is one whose note was forgotten.
    (ModelGuard::Remember, &[ModelGuard::FirstKept], ModelProperty::Acknowledged),
    // The gate reads applied state in any case.
    (ModelGuard::Applied, &[ModelGuard::GateFence], ModelProperty::Granted),
    // What was proposed before a delete or pause is over by its acknowledgement; what is proposed
    // after it is not granted.
    (ModelGuard::GateActivity, &[ModelGuard::AskActivity], ModelProperty::Acknowledged),
    // What stands before the NodeUp was granted to other sessions.
    (ModelGuard::Replay, &[ModelGuard::OwnSession], ModelProperty::Replay),
];

/// What a removal showed.
pub(super) enum RemovalFinding {
    /// A promise breaks.
    Caught { promise: ModelProperty, way: ModelPath },
    /// Nothing breaks in so many states: other guards stand in its place, as is proved by the
    /// promise that breaks without them too. Where that promise holds with this guard in their
    /// place, in `alone` states, either is enough for it.
    Redundant {
        unique: usize,
        covers: &'static [ModelGuard],
        promise: ModelProperty,
        way: ModelPath,
        alone: Option<usize>,
    },
    /// Nothing breaks, and nobody knows why.
    Unexplained { unique: usize },
}

/// A guard and what its removal showed.
pub(super) struct RemovalRow {
    pub guard: ModelGuard,
    pub finding: RemovalFinding,
    pub seconds: f64,
}

/// Removes guard after guard, two at a time; each look has one thread, so that the ways it finds
/// are the shortest.
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
