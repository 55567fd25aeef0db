//! Each guard taken out in turn: what then breaks, or which other guard stands in its place.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bounds::Bounds;
use super::check::{Look, Outcome, Way, look};
use super::guards::{Guard, Guards};
use super::property::Promise;

/// Guards without which nothing breaks, since others stand in their place; and the promise that is
/// broken when both are gone.
const COVERED: [(Guard, &[Guard], Promise); 7] = [
    // A delete or pause is a new revision, and nobody proposes a claim on what it sees inactive.
    (Guard::Activity, &[Guard::Revision], Promise::Inactive),
    (Guard::AskSession, &[Guard::AskOwn], Promise::OneStart),
    (Guard::AskOwn, &[Guard::AskSession], Promise::OneStart),
    // The only grant without a noted proposal is one whose note was forgotten.
    (Guard::Remember, &[Guard::FirstKept], Promise::Acknowledged),
    // The gate reads applied state in any case.
    (Guard::Applied, &[Guard::GateFence], Promise::Granted),
    // What was proposed before a delete or pause is over by its acknowledgement; what is proposed
    // after it is not granted.
    (Guard::GateActivity, &[Guard::AskActivity], Promise::Acknowledged),
    // What stands before the NodeUp was granted to other sessions.
    (Guard::Replay, &[Guard::OwnSession], Promise::Replay),
];

/// What a removal showed.
pub(super) enum Finding {
    /// A promise breaks.
    Caught { promise: Promise, way: Way },
    /// Nothing breaks in so many states: other guards stand in its place, as is proved by the
    /// promise that breaks without them too. Where that promise holds with this guard in their
    /// place, in `alone` states, either is enough for it.
    Redundant {
        unique: usize,
        covers: &'static [Guard],
        promise: Promise,
        way: Way,
        alone: Option<usize>,
    },
    /// Nothing breaks, and nobody knows why.
    Unexplained { unique: usize },
}

/// A guard and what its removal showed.
pub(super) struct Row {
    pub guard: Guard,
    pub finding: Finding,
    pub seconds: f64,
}

/// Removes guard after guard, two at a time; each look has one thread, so that the ways it finds
/// are the shortest.
pub(super) fn remove_each(bounds: Bounds) -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    let work = || {
        while let Some(guard) = Guard::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
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

fn remove(guard: Guard, bounds: Bounds) -> Row {
    let mut outcome = without(&[guard], &Promise::ALL, bounds);
    let (unique, mut seconds) = (outcome.unique, outcome.seconds);
    if !outcome.broken.is_empty() {
        let (promise, way) = outcome.broken.swap_remove(0);
        return Row { guard, finding: Finding::Caught { promise, way }, seconds };
    }
    let mut finding = Finding::Unexplained { unique };
    if let Some((_, covers, promise)) = COVERED.iter().find(|(covered, _, _)| *covered == guard) {
        let both: Vec<Guard> = covers.iter().copied().chain([guard]).collect();
        let mut proof = without(&both, &[*promise], bounds);
        seconds += proof.seconds;
        if !proof.broken.is_empty() {
            let (promise, way) = proof.broken.swap_remove(0);
            let place = without(covers, &[promise], bounds);
            seconds += place.seconds;
            let alone = place.broken.is_empty().then_some(place.unique);
            finding = Finding::Redundant { unique, covers, promise, way, alone };
        }
    }
    Row { guard, finding, seconds }
}

fn without(guards: &[Guard], watched: &[Promise], bounds: Bounds) -> Outcome {
    look(Look { bounds, guards: Guards::without(guards), watched, threads: 1, stop: true })
}
