//! One verdict per tick: in every final replica, the fired ticks of a task (each with the time
//! since the previously settled instant) and its spans cover the time from the creation, or from
//! the truncation of the history, to the cursor, without gap or overlap.

use super::judge::{Findings, Run};

const COVER: &str = "one verdict per tick";

/// Judges this property.
pub fn judge(run: &Run, findings: &mut Findings) {
    for (node, state) in &run.states {
        for task in state.tasks() {
            if task.live.definition.is_none() {
                continue;
            }
            let ticks = task.history.ticks.iter().map(|tick| (tick.from.0, tick.tick.0));
            let spans = task.history.spans.iter().map(|span| (span.from.0, span.to.0));
            let mut pieces: Vec<(i64, i64)> = ticks.chain(spans).collect();
            pieces.sort_unstable();
            let begin = task.progress.truncated_before.0;
            let mut at: Option<i64> = None;
            findings.judge(COVER, 1);
            for (from, to) in pieces {
                // Entries before the truncation may or may not be kept. They are not judged.
                if to <= begin {
                    continue;
                }
                let expected = at.unwrap_or(begin.max(from));
                if from != expected || to <= from {
                    let what = format!(
                        "{} on node {}: ({from}, {to}] follows {expected}",
                        task.live.name,
                        node + 1
                    );
                    findings.complain(run.ended, COVER, Some(&task.live.name), what);
                }
                at = Some(to);
            }
            if at.is_some_and(|at| at != task.progress.cursor.0) {
                let what = format!(
                    "{} on node {}: the last verdict ends at {at:?}, the cursor is {}",
                    task.live.name,
                    node + 1,
                    task.progress.cursor.0
                );
                findings.complain(run.ended, COVER, Some(&task.live.name), what);
            }
        }
    }
}
