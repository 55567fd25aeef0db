//! A cluster that takes the place of another, after a restore from a backup or the loss of a majority.
//! What it knows of the former one is judged with it, as its own past; what the former one did beyond
//! that is judged of the former one only, since the contract says that it is not known to the new one.
//! So no tick that a backup has decided is claimed again, no attempt starts twice of which it knows,
//! and acknowledged deletes and pauses in it hold.
//!
//! - A new cluster issues nothing twice: no number that it issues is one that the former one issued,
//!   whether the new one knows of it or not. This includes the fences of all starts.

use std::collections::BTreeMap;

use punctual::domain::machine::{Answer, Response};

use super::history::{HistoryEvent, HistoryRecord, Returned};
use super::judge::{Findings, Run};
use super::model::ReferenceModel;

const ISSUED: &str = "a new cluster issues nothing twice";

/// The numbers in a response.
fn numbers(answer: &Response) -> Vec<u64> {
    match answer {
        Ok(Answer::Task { revision, .. }) => vec![revision.0],
        Ok(Answer::Execution { execution, fence, .. }) => {
            fence.iter().map(|fence| fence.0).chain([execution.0]).collect()
        }
        Ok(Answer::Session(session)) => vec![session.0],
        Ok(Answer::Calendar { revision, .. } | Answer::Executor { revision, .. }) => {
            vec![revision.0]
        }
        Ok(Answer::Resumed { revision, execution, .. }) => vec![revision.0, execution.0],
        _ => Vec::new(),
    }
}

/// The numbers that an entry issued, and those of others in its responses.
fn of_entry(record: &HistoryRecord) -> Vec<u64> {
    let HistoryEvent::Committed { answers, marks, events, .. } = &record.event else {
        return Vec::new();
    };
    let answered = answers.iter().flat_map(numbers);
    let marked = marks.iter().map(|(_, revision)| *revision);
    answered.chain(marked).chain(events.iter().map(|event| event.id.0)).collect()
}

/// The highest number that was issued.
pub fn issued(records: &[HistoryRecord]) -> u64 {
    records.iter().flat_map(of_entry).max().unwrap_or(0)
}

/// Judges this property.
pub fn judge(run: &Run, findings: &mut Findings) {
    let Some(highest) = run.former_issued else { return };
    let mut known = None;
    for record in &run.records {
        if let HistoryEvent::Succeeded { counter, .. } = record.event {
            known = Some(counter);
        }
        let Some(known) = known else { continue };
        let numbers = of_entry(record);
        findings.judge(ISSUED, numbers.len() as u64);
        for number in numbers.into_iter().filter(|number| (known + 1..=highest).contains(number)) {
            let what =
                format!("{number} was issued, which the former cluster issued after {known}");
            findings.complain(record.at, ISSUED, None, what);
        }
        let HistoryEvent::Start(start) = &record.event else { continue };
        findings.judge(ISSUED, 1);
        if start.fence <= highest {
            let what = format!("{} started with the former fence {}", start.task, start.fence);
            findings.complain(record.at, ISSUED, Some(&start.task), what);
        }
    }
}

/// What a cluster knows of the one before, up to this index: its entries, and the starts and calls that
/// belong to them. Calls that were not answered may be carried out by either.
pub fn known(records: &[HistoryRecord], upto: u64) -> Vec<HistoryRecord> {
    let mut model = ReferenceModel::default();
    let mut calls: BTreeMap<u64, Option<&str>> = BTreeMap::new();
    let mut returned: BTreeMap<u64, &Returned> = BTreeMap::new();
    for record in records {
        match &record.event {
            HistoryEvent::Committed { index, entry: Some(entry), answers, marks, events }
                if *index <= upto =>
            {
                model.entry(*index, entry, answers, marks, events);
            }
            HistoryEvent::Call { call, key, .. } => drop(calls.insert(*call, key.as_deref())),
            HistoryEvent::Return { call, returned: what } => drop(returned.insert(*call, what)),
            _ => {}
        }
    }
    let belongs = |call: &u64| match (returned.get(call), calls.get(call)) {
        (None, _) => true,
        (Some(_), Some(Some(key))) => model.keyed.contains_key(*key),
        (Some(Returned::Answer { index: Some(index), .. }), _) => *index <= upto,
        _ => false,
    };
    let kept = records.iter().filter(|record| match &record.event {
        HistoryEvent::Committed { index, .. } => *index <= upto,
        HistoryEvent::Start(start) => model.grants.contains_key(&start.fence),
        HistoryEvent::Call { call, .. } | HistoryEvent::Return { call, .. } => belongs(call),
        _ => true,
    });
    kept.cloned().collect()
}

#[cfg(test)]
mod tests {
    use punctual::domain::ids::{ExecutionId, Fence, TaskKey};

    use super::*;

    fn record(at: u64, event: HistoryEvent) -> HistoryRecord {
        HistoryRecord { at, node: None, event }
    }

    fn grant(index: u64, execution: u64, fence: u64) -> HistoryRecord {
        let (task, execution) = (TaskKey(1), ExecutionId(execution));
        let answers = [Ok(Answer::Execution { task, execution, fence: Some(Fence(fence)) })];
        let (marks, events) = (Vec::new(), Vec::new());
        let answers = answers.into();
        record(index, HistoryEvent::Committed { index, entry: None, answers, marks, events })
    }

    /// How many complaints there are of a cluster that knows of entry 1, execution 7 and fence 8, and
    /// issues this; the one before went on to 20.
    fn complaints(execution: u64, fence: u64) -> usize {
        let begun = HistoryEvent::Succeeded { index: 1, counter: 8, begun: Vec::new() };
        let records = vec![grant(1, 7, 8), record(2, begun), grant(2, execution, fence)];
        let mut run = Run::new(records, Vec::new(), 3);
        run.former_issued = Some(20);
        let mut findings = Findings::default();
        judge(&run, &mut findings);
        findings.violations.len()
    }

    #[test]
    fn what_the_former_cluster_issued_is_not_issued_again() {
        assert_eq!(complaints(7, 21), 0, "a further attempt of what is known");
        assert_eq!(complaints(22, 21), 0);
        assert_eq!(complaints(9, 21), 1);
        assert_eq!(complaints(7, 20), 1);
        assert_eq!(complaints(10, 11), 2);
    }

    #[test]
    fn a_new_cluster_knows_the_entries_up_to_its_beginning_and_the_calls_in_them() {
        let read = |call| {
            let (asked, task) = (super::super::history::ClientRequest::Read, "t".to_owned());
            record(call, HistoryEvent::Call { call, asked, task, key: None })
        };
        let returned = |call, index| {
            let code = String::new();
            let returned =
                Returned::Answer { status: 200, code, revision: None, index: Some(index) };
            record(call, HistoryEvent::Return { call, returned })
        };
        let records = [
            grant(1, 7, 8),
            read(1),
            returned(1, 1),
            read(2),
            grant(2, 9, 10),
            returned(2, 2),
            read(3),
        ];
        assert_eq!(issued(&records), 10);
        let calls = known(&records, 1).into_iter().filter_map(|record| match record.event {
            HistoryEvent::Call { call, .. } => Some(call),
            HistoryEvent::Committed { index, .. } => Some(index + 100),
            _ => None,
        });
        assert_eq!(calls.collect::<Vec<u64>>(), [101, 1, 3]);
    }
}
