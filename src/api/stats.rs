//! How executions ended, how long they took, how late they began.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::domain::machine::record::{Execution, Status};

use super::views::{duration_ms, lateness_ms};
use super::words;

/// What executions came to.
#[derive(Debug, Default)]
pub(super) struct Ends {
    counts: BTreeMap<Status, u64>,
    durations: Vec<i64>,
    latenesses: Vec<i64>,
}

impl Ends {
    /// Counts one.
    pub fn count(&mut self, execution: &Execution) {
        *self.counts.entry(execution.status).or_default() += 1;
        let duration = duration_ms(execution).and_then(|length| i64::try_from(length).ok());
        self.durations.extend(duration);
        // Only what had an instant to be late for.
        self.latenesses.extend(execution.tick.and_then(|_| lateness_ms(execution)));
    }

    /// The answer: counts of the kept executions, success rate of the ended ones, percentiles.
    pub fn show(mut self) -> Value {
        let of = |status| self.counts.get(&status).copied().unwrap_or(0);
        let mut body = Map::new();
        let all = [
            Status::Pending,
            Status::Running,
            Status::Success,
            Status::Failed,
            Status::Timeout,
            Status::Cancelled,
            Status::Lost,
        ];
        let total: u64 = all.into_iter().map(of).sum();
        body.insert("total".to_owned(), total.into());
        for status in all {
            body.insert(words::status(status).to_owned(), of(status).into());
        }
        let judged = [Status::Success, Status::Failed, Status::Timeout, Status::Lost];
        let judged: u64 = judged.into_iter().map(of).sum();
        let rate = (judged > 0).then(|| of(Status::Success) as f64 / judged as f64);
        body.insert("success_rate".to_owned(), rate.into());
        body.insert("duration_ms".to_owned(), percentiles(&mut self.durations));
        body.insert("lateness_ms".to_owned(), percentiles(&mut self.latenesses));
        Value::Object(body)
    }
}

/// Nearest-rank percentiles.
fn percentiles(values: &mut [i64]) -> Value {
    values.sort_unstable();
    let rank = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100).max(1);
        values.get(rank - 1).copied()
    };
    json!({"p50": rank(50), "p95": rank(95), "max": values.last()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values: Vec<i64> = (1..=100).rev().collect();
        assert_eq!(percentiles(&mut values), json!({"p50": 50, "p95": 95, "max": 100}));
        assert_eq!(percentiles(&mut [7]), json!({"p50": 7, "p95": 7, "max": 7}));
        assert_eq!(percentiles(&mut []), json!({"p50": null, "p95": null, "max": null}));
    }
}
