//! Starts: no fence starts twice, and no attempt of an execution starts twice. A start follows its
//! grant, on a process that has applied the grant, in the session to which it was granted. In true
//! time, it is at most 50 ms before its due time, and at most `dispatch_ttl` after its process
//! first proposed the claim.

use std::collections::{BTreeMap, BTreeSet};

use super::history::HistoryEvent;
use super::judge::{Findings, Run};

const DOUBLE: &str = "no double start";
const GRANTED: &str = "grant before act";
const PROMPT: &str = "no start long after its proposal";
const EARLY: &str = "no early start";
/// How early a start may be before its due time, in microseconds.
const EARLY_MAX_US: u64 = 50_000;
/// `dispatch_ttl` of the runs plus rounding, in microseconds.
const TTL_US: u64 = 1_002_000;

/// Judges these properties.
pub fn judge(run: &Run, findings: &mut Findings) {
    let mut fences = BTreeSet::new();
    let mut executions = BTreeSet::new();
    // The grants to a process identify its session.
    let mut sessions: BTreeMap<u64, u64> = BTreeMap::new();
    let mut proposed: BTreeMap<(u64, u64, i64), u64> = BTreeMap::new();
    for record in &run.records {
        if let HistoryEvent::Claiming { process, task, tick, .. } = record.event {
            proposed.entry((process, task, tick)).or_insert(record.at);
        }
        let HistoryEvent::Start(start) = &record.event else { continue };
        let task = Some(start.task.as_str());
        findings.judge(DOUBLE, 1);
        if !fences.insert(start.fence) {
            let what = format!("fence {} of {} started twice", start.fence, start.task);
            findings.complain(record.at, DOUBLE, task, what);
        } else if !executions.insert((start.execution, start.attempt)) {
            let what = format!(
                "attempt {} of execution {} of {} started twice",
                start.attempt, start.execution, start.task
            );
            findings.complain(record.at, DOUBLE, task, what);
        }
        findings.judge(GRANTED, 1);
        let Some(grant) = run.model.grants.get(&start.fence) else {
            let what = format!("fence {} of {} was never granted", start.fence, start.task);
            findings.complain(record.at, GRANTED, task, what);
            continue;
        };
        let session = *sessions.entry(start.process).or_insert(grant.session);
        if grant.index > start.applied || run.at(grant.index) > record.at {
            let what = format!(
                "fence {} of {} started with entry {} applied, its grant is {}",
                start.fence, start.task, start.applied, grant.index
            );
            findings.complain(record.at, GRANTED, task, what);
        }
        let same = (grant.execution, grant.tick) == (start.execution, start.tick)
            && (grant.task == start.task || grant.task.is_empty());
        if session != grant.session || !same {
            let what = format!("fence {} of {} was another's", start.fence, start.task);
            findings.complain(record.at, GRANTED, task, what);
        }
        if let (true, Some(tick)) = (grant.claimed, grant.tick) {
            findings.judge(PROMPT, 1);
            let first = proposed.get(&(start.process, grant.key, tick));
            if first.is_none_or(|first| record.at > first + TTL_US) {
                let after = first.map(|first| (record.at - first) / 1_000);
                let what = format!("{} started {after:?} ms after its proposal", start.task);
                findings.complain(record.at, PROMPT, task, what);
            }
        }
        findings.judge(EARLY, 1);
        if !run.wild_clocks && record.at + EARLY_MAX_US < run.true_time(grant.due) {
            let early = run.true_time(grant.due) - record.at;
            let what = format!("{} started {} ms early", start.task, early / 1_000);
            findings.complain(record.at, EARLY, task, what);
        }
    }
}
