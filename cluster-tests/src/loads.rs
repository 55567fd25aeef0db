//! Judges the choice of the least loaded executor by what the cluster reports afterwards.
//!
//! When exactly an executor was chosen, and what the node that chose had applied then, is not to be
//! seen from outside. So each executor has a least and a most number of attempts that it can have had
//! in the eyes of that node, and a choice is wrong if even the least of the chosen one, for its
//! weight, is more than the most of another one.

use std::collections::BTreeMap;

use punctual::Timestamp;
use serde_json::Value;

use crate::{TestResult, field, text};

/// A node that works has applied what is older than this, in milliseconds.
pub const APPLIED_MS: i64 = 500;
/// Each node reports start and end by its own view of cluster time. Two views differ by less than
/// this, in milliseconds.
pub const VIEWS_MS: i64 = 200;

/// An attempt on an executor, as the cluster reports it; times in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLoad {
    /// The task.
    pub task: String,
    /// The executor that was chosen.
    pub executor: String,
    /// Before this it was not chosen.
    pub from: i64,
    /// When it was called. None: nobody reported that it was.
    pub started: Option<i64>,
    /// None: it has not ended.
    pub ended: Option<i64>,
}

impl ObservedLoad {
    /// The attempts of an execution, as the API shows it.
    ///
    /// # Errors
    /// A time that is none.
    pub fn all_of(execution: &Value) -> TestResult<Vec<Self>> {
        let time = |value: &Value, name: &str| -> TestResult<Option<i64>> {
            let written = field(value, name).as_str();
            Ok(written.map(Timestamp::parse).transpose()?.map(|time| time.millis()))
        };
        let mut from = time(execution, "due")?.ok_or("an execution without a due time")?;
        let mut attempts = Vec::new();
        for one in field(execution, "attempts").as_array().into_iter().flatten() {
            let (started, ended) = (time(one, "started_at")?, time(one, "ended_at")?);
            let (task, executor) = (text(execution, "task"), text(one, "executor_id"));
            if !executor.is_empty() {
                let (task, executor) = (task.to_owned(), executor.to_owned());
                attempts.push(Self { task, executor, from, started, ended });
            }
            from = ended.unwrap_or(from);
        }
        Ok(attempts)
    }

    /// Whether it was surely in flight all the time between these two.
    fn surely(&self, from: i64, to: i64) -> bool {
        self.started.is_some_and(|started| started < from)
            && self.ended.is_none_or(|ended| ended > to + VIEWS_MS)
    }

    /// Whether it may have been in flight at some time between these two.
    fn perhaps(&self, from: i64, to: i64) -> bool {
        self.from <= to + VIEWS_MS && self.ended.is_none_or(|ended| ended >= from - VIEWS_MS)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadFigures {
    /// Choices that were judged.
    pub judged: usize,
    /// Choices of an executor that had more than another one, as sentences.
    pub wrong: Vec<String>,
}

/// Judges each choice of the executors with these weights. `applied` tells how long before an instant
/// what was older had been applied; none: an executor of them was not online then.
pub fn least_loaded(
    attempts: &[ObservedLoad],
    weights: &BTreeMap<&str, i64>,
    applied: impl Fn(i64, i64) -> Option<i64>,
) -> LoadFigures {
    let mut figures = LoadFigures::default();
    for one in attempts {
        let Some((own, to)) = weights.get(&*one.executor).copied().zip(one.started) else {
            continue;
        };
        let Some(applied) = applied(one.from, to) else { continue };
        let from = one.from - applied;
        let others = || attempts.iter().filter(|other| !std::ptr::eq(*other, one));
        let least = |id: &str| {
            let surely = |other: &&ObservedLoad| other.executor == id && other.surely(from, to);
            i64::try_from(others().filter(surely).count()).unwrap_or(i64::MAX)
        };
        let most = |id: &str| {
            let perhaps = |other: &&ObservedLoad| other.executor == id && other.perhaps(from, to);
            i64::try_from(others().filter(perhaps).count()).unwrap_or(i64::MAX)
        };
        figures.judged += 1;
        let least_own = least(&one.executor);
        for (id, weight) in weights.iter().filter(|(id, _)| **id != one.executor) {
            let most = most(id);
            if least_own * weight > most * own {
                figures.wrong.push(format!(
                    "{} had at least {least_own}, {id} at most {most}: {one:?}",
                    one.executor
                ));
            }
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(executor: &str, from: i64, ended: i64) -> ObservedLoad {
        let (task, executor) = ("task".to_owned(), executor.to_owned());
        ObservedLoad { task, executor, from, started: Some(from + 10), ended: Some(ended) }
    }

    fn judged(weights: [(&str, i64); 2], attempts: &[ObservedLoad]) -> (usize, usize) {
        let seen = least_loaded(attempts, &weights.into(), |_, _| Some(APPLIED_MS));
        (seen.judged, seen.wrong.len())
    }

    #[test]
    fn the_choice_of_the_busier_one_is_wrong() {
        let busy = [attempt("a", 0, 9_000), attempt("a", 1_000, 9_000)];
        let even = [("a", 1), ("b", 1)];
        let right = [&busy[..1], &[attempt("b", 5_000, 9_000)]].concat();
        assert_eq!(judged(even, &right), (2, 0));
        let wrong = [&busy[..], &[attempt("a", 5_000, 9_000)]].concat();
        // The second choice was wrong too.
        assert_eq!(judged(even, &wrong), (3, 2));
        // One of an executor of weight 4 is less than one of another.
        let other = [attempt("b", 2_000, 9_000), attempt("a", 5_000, 9_000)];
        let weighed = [&busy[..1], &other].concat();
        assert_eq!(judged([("a", 1), ("b", 1)], &weighed), (3, 0));
        assert_eq!(judged([("a", 1), ("b", 4)], &weighed), (3, 1));
    }

    #[test]
    fn what_has_just_started_or_ended_may_count_or_not() {
        let even = [("a", 1), ("b", 1)];
        for (from, ended) in [(4_700, 9_000), (0, 5_150)] {
            let new = [attempt("a", from, ended), attempt("a", 5_000, 9_000)];
            assert_eq!(judged(even, &new), (2, 0), "{from} {ended}");
        }
        // Nobody knows when it was given; its place was taken at the latest when it ended.
        let mut lost = attempt("b", 0, 9_000);
        lost.started = None;
        let choice = [lost, attempt("a", 1_000, 9_000), attempt("a", 5_000, 9_000)];
        assert_eq!(judged(even, &choice), (2, 0));
        let offline = least_loaded(&choice, &even.into(), |_, _| None);
        assert_eq!(offline, LoadFigures::default());
    }
}
