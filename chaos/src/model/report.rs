//! The output of `chaos model`.

use std::fmt::Write;

use super::bounds::{ModelBounds, NODES, TICKS};
use super::check::SearchOutcome;
use super::guards::{Guards, ModelGuard};
use super::property::ModelProperty;
use super::reached::ReachedCase;
use super::removal::{RemovalFinding, RemovalRow};
use super::story::tell;

/// The report of the whole model, and whether it is valid.
pub(super) fn whole(bounds: ModelBounds, outcome: &SearchOutcome) -> (String, bool) {
    let mut text = String::new();
    let ModelBounds { time, settles, asks, deeds, crashes, ups } = bounds;
    let _ = writeln!(
        text,
        "{NODES} nodes, {TICKS} ticks, time 0..{time} in units of dispatch_ttl; at most {settles} \
         settles and {asks} asks\nunder way, {deeds} deeds of people, {crashes} crash, {ups} NodeUps \
         after it\n\nstates {}, unique {}, depth {}, seconds {:.1}\n",
        outcome.states, outcome.unique, outcome.depth, outcome.seconds
    );
    for promise in ModelProperty::ALL {
        let broken = outcome.broken.iter().any(|(found, _)| *found == promise);
        let result = if broken { "BROKEN" } else { "holds" };
        let _ = writeln!(text, "{result:<7} {}: {}", promise.name(), promise.definition());
    }
    text.push('\n');
    for case in ReachedCase::ALL {
        let found = outcome.seen.iter().find(|(seen, _)| *seen == case);
        let result = match found {
            Some((_, steps)) => format!("seen after {steps} steps"),
            None => "NEVER SEEN".to_owned(),
        };
        let _ = writeln!(text, "{result:<20} {}", case.name());
    }
    if let Some((promise, way)) = outcome.broken.first() {
        let _ = writeln!(text, "\n{}", tell(way, *promise, Guards::ALL).join("\n"));
    }
    let valid = outcome.broken.is_empty() && outcome.seen.len() == ReachedCase::ALL.len();
    (text, valid)
}

/// The table of removed guards, and whether each removal is detected or explained.
pub(super) fn removals(rows: &[RemovalRow]) -> (String, bool) {
    let mut text = format!("{:<57} {:>8}  result\n", "guard removed", "seconds");
    let mut valid = true;
    for RemovalRow { guard, finding, seconds } in rows {
        let result = match finding {
            RemovalFinding::Caught { promise, way } => {
                format!("caught: {} ({} steps)", promise.name(), way.len() - 1)
            }
            RemovalFinding::Redundant { unique, covers, promise, way, alone } => {
                let names: Vec<String> =
                    covers.iter().map(|cover| format!("\"{}\"", cover.words())).collect();
                let either = match alone {
                    Some(states) => format!("; either is enough for that: {states} states"),
                    None => String::new(),
                };
                format!(
                    "redundant: {unique} states hold, covered by {}\n{:>67}  without both: {} \
                     ({} steps){either}",
                    names.join(" and "),
                    "",
                    promise.name(),
                    way.len() - 1
                )
            }
            RemovalFinding::Unexplained { unique } => {
                valid = false;
                format!("NOT CAUGHT in {unique} states")
            }
        };
        let _ = writeln!(text, "{:<57} {seconds:>8.1}  {result}", guard.words());
    }
    (text, valid)
}

/// The paths to the violations after removing guards.
pub(super) fn stories(rows: &[RemovalRow]) -> String {
    let mut text = String::new();
    for RemovalRow { guard, finding, .. } in rows {
        let (covers, promise, way): (&[ModelGuard], _, _) = match finding {
            RemovalFinding::Caught { promise, way } => (&[], *promise, way),
            RemovalFinding::Redundant { covers, promise, way, .. } => (covers, *promise, way),
            RemovalFinding::Unexplained { .. } => continue,
        };
        let removed: Vec<ModelGuard> = [*guard].into_iter().chain(covers.iter().copied()).collect();
        let names: Vec<&str> = removed.iter().map(|guard| guard.words()).collect();
        let lines = tell(way, promise, Guards::without(&removed));
        let _ = writeln!(text, "\nwithout {}\n  {}", names.join(" + "), lines.join("\n  "));
    }
    text
}
