//! Tests of the model with bounds small enough for unoptimized code.

use super::bounds::ModelBounds;
use super::check::{SearchOptions, look};
use super::guards::{Guards, ModelGuard};
use super::property::ModelProperty;
use super::reached::ReachedCase;
use super::report;
use super::story::tell;

fn without(guards: &[ModelGuard], bounds: ModelBounds, stop: bool) -> super::check::SearchOutcome {
    let guards = Guards::without(guards);
    look(SearchOptions { bounds, guards, watched: &ModelProperty::ALL, threads: 1, stop })
}

#[test]
fn a_tiny_world_holds() {
    let outcome = without(&[], ModelBounds::TINY, false);
    let (text, _) = report::whole(ModelBounds::TINY, &outcome);
    assert!(outcome.broken.is_empty(), "{text}");
    assert!(outcome.unique > 10_000, "{text}");
    for seen in [ReachedCase::AllStarted, ReachedCase::Replay, ReachedCase::PendingGrant] {
        assert!(outcome.seen.iter().any(|(found, _)| *found == seen), "{text}");
    }
}

#[test]
fn the_ttl_counts_from_the_first_proposal() {
    for guard in
        [ModelGuard::FirstNotLast, ModelGuard::FirstNotApply, ModelGuard::Ttl, ModelGuard::Wait]
    {
        let outcome = without(&[guard], ModelBounds::TINY, true);
        let found = outcome.broken.first().map(|(promise, _)| *promise);
        assert_eq!(found, Some(ModelProperty::Acknowledged), "{}", guard.words());
    }
}

#[test]
fn a_story_tells_every_step() {
    let outcome = without(&[ModelGuard::Cursor], ModelBounds::TINY, true);
    let (promise, way) = outcome.broken.first().expect("a settle taken twice breaks promises");
    let lines = tell(way, *promise, Guards::without(&[ModelGuard::Cursor]));
    assert_eq!(lines.len(), way.len());
    assert!(lines[0].contains("proposes: settle of session"), "{lines:?}");
    assert!(lines.last().is_some_and(|line| line.starts_with("broken: ")), "{lines:?}");
}
