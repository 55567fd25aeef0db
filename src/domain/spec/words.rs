//! The words of the body for the values of the definition.

use crate::domain::balance;
use crate::domain::schedule::{Fold, Gap};
use crate::domain::task::{AfterRun, Backoff, CatchUpPolicy, Delivery, ExecutionMode, Strategy};

/// Words and their meanings.
pub(super) type Words<T> = [(&'static str, T)];

pub(super) const GAPS: &Words<Gap> = &[("shift", Gap::Shift), ("skip", Gap::Skip)];
pub(super) const FOLDS: &Words<Fold> =
    &[("first", Fold::First), ("second", Fold::Second), ("both", Fold::Both)];
pub(super) const EXECUTION_MODES: &Words<ExecutionMode> = &[
    ("parallel", ExecutionMode::Parallel),
    ("skip", ExecutionMode::Skip),
    ("sequential", ExecutionMode::Sequential),
    ("replace", ExecutionMode::Replace),
];
pub(super) const CATCH_UP_POLICIES: &Words<CatchUpPolicy> =
    &[("last", CatchUpPolicy::Last), ("all", CatchUpPolicy::All), ("none", CatchUpPolicy::None)];
pub(super) const DELIVERIES: &Words<Delivery> =
    &[("at_most_once", Delivery::AtMostOnce), ("at_least_once", Delivery::AtLeastOnce)];
pub(super) const BACKOFFS: &Words<Backoff> =
    &[("fixed", Backoff::Fixed), ("exponential", Backoff::Exponential)];
pub(super) const STRATEGIES: &Words<Strategy> = &[
    ("consistent", Strategy::Consistent),
    ("hash_sharding", Strategy::HashSharding),
    ("hash_slot", Strategy::HashSlot),
    ("range", Strategy::Range),
    ("weighted", Strategy::Weighted),
    ("round_robin", Strategy::RoundRobin),
    ("custom", Strategy::Custom),
];
pub(super) const AFTER_RUNS: &Words<AfterRun> = &[
    ("keep", AfterRun::Keep),
    ("mark_deleted", AfterRun::MarkDeleted),
    ("cleanup", AfterRun::Cleanup),
];
/// How an executor is chosen; the definition keeps the word.
pub(super) const BALANCES: &Words<&str> = &{
    let mut words = [("", ""); balance::WORDS.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = (balance::WORDS[at], balance::WORDS[at]);
        at += 1;
    }
    words
};
/// The word for a value; every value has one, as the round-trip test proves.
pub(super) fn word<T: PartialEq>(words: &'static Words<T>, value: &T) -> &'static str {
    words.iter().find(|(_, meaning)| meaning == value).map_or("", |(word, _)| *word)
}
