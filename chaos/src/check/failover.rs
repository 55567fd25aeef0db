//! How soon a cluster goes on. A leader that falls silent while nothing else is wrong is noted as down
//! within a bounded time, however many proposals were under way; and in a run without any trouble no
//! tick is settled late.

use super::history::HistoryEvent;
use super::judge::{Findings, Run};
use crate::sim::Focus;

const PROMPT: &str = "failover is prompt";
const ON_TIME: &str = "ticks are settled on time";
/// From the silence of a leader to the entry that notes it as down: the time-out of an election, the
/// silence that liveness allows, and what agreement takes; in microseconds.
const DOWN_WITHIN_US: u64 = 1_700_000;

/// See the module.
pub fn judge(run: &Run, findings: &mut Findings) {
    let healed = run.records.iter().find(|record| matches!(record.event, HistoryEvent::Healed));
    let healed = healed.map_or(run.ended, |record| record.at);
    // One that is healed before it must be noted was not silent for long.
    for record in run.records.iter().filter(|record| record.at + DOWN_WITHIN_US < healed) {
        let (HistoryEvent::LeaderSilent, Some(node)) = (&record.event, record.node) else {
            continue;
        };
        findings.judge(PROMPT, 1);
        let member = node as u64 + 1;
        let downs = run.model.downs.iter().filter(|(_, down)| down >> 16 == member);
        let first = downs.map(|(index, _)| run.at(*index)).find(|at| *at > record.at);
        let took = first.map(|at| (at - record.at) / 1_000);
        if first.is_none_or(|at| at > record.at + DOWN_WITHIN_US) {
            let what =
                format!("leader {member} fell silent and was noted as down after {took:?} ms");
            findings.complain(record.at, PROMPT, None, what);
        }
    }
    if run.focus == Focus::Calm {
        findings.judge(ON_TIME, run.model.claims);
        for (index, name) in &run.model.late {
            let what = format!("{name} was settled late by entry {index}, without any trouble");
            findings.complain(run.at(*index), ON_TIME, Some(name), what);
        }
    }
}
