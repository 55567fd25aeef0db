//! How executions ended, how long they took, how late they began.

use std::collections::BTreeMap;

use crate::domain::machine::record::{Execution, Status};
use crate::dto::{Percentiles, StatsView};

use super::views::{duration_ms, lateness_ms};

/// What executions came to.
#[derive(Debug, Default)]
pub(crate) struct EndCounts {
    counts: BTreeMap<Status, u64>,
    durations: Vec<i64>,
    latenesses: Vec<i64>,
}

impl EndCounts {
    /// Counts one.
    pub fn count(&mut self, execution: &Execution) {
        *self.counts.entry(execution.status).or_default() += 1;
        let duration = duration_ms(execution).and_then(|length| i64::try_from(length).ok());
        self.durations.extend(duration);
        // Only what had an instant to be late for.
        self.latenesses.extend(execution.tick.and_then(|_| lateness_ms(execution)));
    }

    /// The answer: counts of the kept executions, success rate of the ended ones, percentiles.
    pub fn show(mut self) -> StatsView {
        let of = |status| self.counts.get(&status).copied().unwrap_or(0);
        let judged = [Status::Success, Status::Failed, Status::Timeout, Status::Lost];
        let judged: u64 = judged.into_iter().map(of).sum();
        let success = of(Status::Success);
        StatsView {
            total: self.counts.values().sum(),
            pending: of(Status::Pending),
            running: of(Status::Running),
            success,
            failed: of(Status::Failed),
            timeout: of(Status::Timeout),
            cancelled: of(Status::Cancelled),
            lost: of(Status::Lost),
            success_rate: (judged > 0).then(|| success as f64 / judged as f64),
            duration_ms: percentiles(&mut self.durations),
            lateness_ms: percentiles(&mut self.latenesses),
        }
    }
}

/// Nearest-rank percentiles.
fn percentiles(values: &mut [i64]) -> Percentiles {
    values.sort_unstable();
    let rank = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100).max(1);
        values.get(rank - 1).copied()
    };
    Percentiles { p50: rank(50), p95: rank(95), max: values.last().copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let of = |p50, p95, max| Percentiles { p50, p95, max };
        let mut values: Vec<i64> = (1..=100).rev().collect();
        assert_eq!(percentiles(&mut values), of(Some(50), Some(95), Some(100)));
        assert_eq!(percentiles(&mut [7]), of(Some(7), Some(7), Some(7)));
        assert_eq!(percentiles(&mut []), of(None, None, None));
    }
}
