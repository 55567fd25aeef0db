//! Counts match the log: in the final state, the fired ticks and the ends by status of each task
//! equal those of the model, in its totals and in the sum of its days. The same holds for the
//! cluster, with the removed tasks included.

use std::collections::BTreeMap;

use punctual::domain::machine::record::{DayCounts, Statistics, Status, Totals};

use super::judge::{Findings, Run};

const COUNTS: &str = "counts match the log";
/// The statuses of ended executions.
const ENDS: [Status; 5] =
    [Status::Success, Status::Failed, Status::Timeout, Status::Cancelled, Status::Lost];

/// Judges this property.
pub fn judge(run: &Run, findings: &mut Findings) {
    let Some(state) = run.last_state() else { return };
    for known in run.model.tasks.values() {
        // Other judges find missing tasks.
        let Some(task) = state.named(&known.name) else { continue };
        let days = task.days().collect();
        let recent = task.recent();
        for what in wrong(known.fired, &known.ends, &task.progress.totals, recent, days) {
            let what = format!("{}: {what}", known.name);
            findings.complain(run.ended, COUNTS, Some(&known.name), what);
        }
        findings.judge(COUNTS, 1);
    }
    let all = state.statistics();
    let days = all.days().collect();
    let (fired, ends) = (run.model.fired, &run.model.ended_as);
    for what in wrong(fired, ends, &all.totals, Some(&all.recent), days) {
        findings.complain(run.ended, COUNTS, None, format!("the cluster: {what}"));
    }
    findings.judge(COUNTS, 1);
}

/// Differences between the counts and the model.
fn wrong(
    fired: u64,
    ends: &BTreeMap<Status, u64>,
    totals: &Totals,
    recent: Option<&Statistics>,
    days: Vec<DayCounts>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let wanted: Vec<u64> =
        ENDS.iter().map(|status| ends.get(status).copied().unwrap_or(0)).collect();
    let of = |counts: &Totals| {
        [counts.success, counts.failed, counts.timeout, counts.cancelled, counts.lost]
    };
    // No run is long enough to drop a day.
    let on_days = days.iter().fold(Totals::default(), |sum, day| sum.plus(&day.counts));
    for (what, counts) in [("in all", totals), ("on its days", &on_days)] {
        if counts.fired != fired {
            wrong.push(format!("{what} {} ticks fired, not {fired}", counts.fired));
        }
        if of(counts) != *wanted {
            wrong.push(format!("{what} ended {ENDS:?} {:?}, not {wanted:?}", of(counts)));
        }
    }
    let ended: u64 = wanted.iter().sum();
    let timed = recent.map_or(0, |recent| recent.durations.count());
    if timed > ended {
        wrong.push(format!("{timed} durations of {ended} executions that ended"));
    }
    wrong
}
