//! The model in worlds small enough for unoptimised code.

use super::bounds::Bounds;
use super::check::{Look, look};
use super::guards::{Guard, Guards};
use super::property::Promise;
use super::report;
use super::sighting::Sighting;
use super::story::tell;

fn without(guards: &[Guard], bounds: Bounds, stop: bool) -> super::check::Outcome {
    let guards = Guards::without(guards);
    look(Look { bounds, guards, watched: &Promise::ALL, threads: 1, stop })
}

#[test]
fn a_tiny_world_holds() {
    let outcome = without(&[], Bounds::TINY, false);
    let (text, _) = report::whole(Bounds::TINY, &outcome);
    assert!(outcome.broken.is_empty(), "{text}");
    assert!(outcome.unique > 10_000, "{text}");
    for seen in [Sighting::AllStarted, Sighting::Replay, Sighting::PendingGrant] {
        assert!(outcome.seen.iter().any(|(found, _)| *found == seen), "{text}");
    }
}

#[test]
fn the_ttl_counts_from_the_first_proposal() {
    for guard in [Guard::FirstNotLast, Guard::FirstNotApply, Guard::Ttl, Guard::Wait] {
        let outcome = without(&[guard], Bounds::TINY, true);
        let found = outcome.broken.first().map(|(promise, _)| *promise);
        assert_eq!(found, Some(Promise::Acknowledged), "{}", guard.words());
    }
}

#[test]
fn a_story_tells_every_step() {
    let outcome = without(&[Guard::Cursor], Bounds::TINY, true);
    let (promise, way) = outcome.broken.first().expect("a settle taken twice breaks promises");
    let lines = tell(way, *promise, Guards::without(&[Guard::Cursor]));
    assert_eq!(lines.len(), way.len());
    assert!(lines[0].contains("proposes: settle of session"), "{lines:?}");
    assert!(lines.last().is_some_and(|line| line.starts_with("broken: ")), "{lines:?}");
}
