//! Counts the results of entries. Only the process that proposed an entry counts it, once, so that
//! totals over the cluster are correct.

use std::collections::BTreeMap;

use crate::domain::machine::{Command, Hint, Refusal, Response, envelope};
use crate::telemetry::metrics::Metrics;

/// Counts the results of the commands of an applied entry.
pub(super) fn count(metrics: &Metrics, entry: &[u8], responses: &[Response], hints: &[Hint]) {
    let kinds = envelope::open(entry).into_iter().flat_map(|(_, commands)| commands.flatten());
    let mut committed = 0;
    for (packed, response) in kinds.zip(responses) {
        let Err(refusal) = response else {
            committed += 1;
            continue;
        };
        metrics.proposals.inc("refused");
        match packed.kind {
            Command::SETTLE => metrics.settle_refused.inc(refusal.code().as_str()),
            Command::FINISH if *refusal == Refusal::StaleFence => {
                metrics.reports_refused.inc();
            }
            _ => {}
        }
    }
    metrics.proposals.add("committed", committed);
    let mut ticks: BTreeMap<&'static str, u64> = BTreeMap::new();
    for hint in hints {
        match hint {
            Hint::Verdict(verdict, _, count) => *ticks.entry(verdict.word()).or_default() += count,
            Hint::Ended(_, _, status) => metrics.executions.inc(status.word()),
            Hint::AttemptEnded(..) => drop(metrics.attempts_repeated.inc()),
            _ => {}
        }
    }
    for (verdict, count) in ticks {
        metrics.ticks.add(verdict, count);
    }
}
