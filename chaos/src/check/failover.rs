//! Failover time. If a leader stops communicating and there is no other fault, it is recorded as
//! down within a bounded time, regardless of the number of pending proposals. In a run without
//! faults no tick is settled late.

use super::history::HistoryEvent;
use super::judge::{Findings, Run};
use crate::sim::Focus;

const PROMPT: &str = "failover is prompt";
const ON_TIME: &str = "ticks are settled on time";
/// Time limit from the silence of a leader to the entry that records it as down, in microseconds:
/// the election timeout, the silence allowed by liveness, and the time for consensus.
const DOWN_WITHIN_US: u64 = 1_700_000;

/// Judges this property.
pub fn judge(run: &Run, findings: &mut Findings) {
    let healed = run.records.iter().find(|record| matches!(record.event, HistoryEvent::Healed));
    let healed = healed.map_or(run.ended, |record| record.at);
    // A leader that is healed before this limit was not silent for long enough.
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
