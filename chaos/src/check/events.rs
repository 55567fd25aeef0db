//! Events tell every change: the ids of all events rise, each stands at the stamp of its entry; where
//! the log ends an execution, the events of that entry say so, and nowhere else; and what the events
//! said last of an execution is what the states say of it.
//!
//! Events reach those who watch: who reads them, from whichever node, gets all that entries told
//! after what it has, in order, or is told that some are missing.

use std::collections::{BTreeMap, BTreeSet};

use punctual::consensus::EventsAfter;
use punctual::domain::ids::{EventId, ExecutionId};
use punctual::domain::machine::record::Status;
use punctual::domain::machine::{Event, EventObject, State, envelope};

use super::agreement::ReplicaAgreement;
use super::history::HistoryEvent;
use super::judge::{Findings, Run};

const TOLD: &str = "events tell every change";
/// The property of readers.
pub const READ: &str = "events reach those who watch";

/// One who reads the events of nodes.
#[derive(Debug, Default)]
pub struct EventReader {
    /// The last event that it knows of.
    pub last: EventId,
}

impl EventReader {
    /// Takes what a node gave after `last`.
    ///
    /// # Errors
    /// It is not what the entries told.
    pub fn take(&mut self, given: EventsAfter, agreement: &ReplicaAgreement) -> Result<(), String> {
        match given {
            EventsAfter::Events { events, next } => {
                let last = std::mem::replace(&mut self.last, next);
                same(last, &events, &agreement.events_after(last, events.len()))
            }
            EventsAfter::Reset { next } => {
                self.last = next;
                Ok(())
            }
            EventsAfter::Ahead => Ok(()),
        }
    }
}

/// Whether a reader got the events that were told.
fn same(last: EventId, given: &[Event], told: &[Event]) -> Result<(), String> {
    let first = given.iter().zip(told).find(|(given, told)| given != told);
    match first {
        Some((given, told)) => {
            Err(format!("after event {last}, {given:?} was given where {told:?} was told"))
        }
        None if given.len() > told.len() => {
            Err(format!("after event {last}, {} were given, {} told", given.len(), told.len()))
        }
        None => Ok(()),
    }
}

/// See the module.
pub fn judge(run: &Run, findings: &mut Findings) {
    let mut newest = EventId(0);
    let mut statuses: BTreeMap<ExecutionId, (u64, Status)> = Default::default();
    let mut ends: BTreeSet<(u64, u64)> = Default::default();
    for record in &run.records {
        let HistoryEvent::Committed { index, entry: Some(entry), events, .. } = &record.event
        else {
            continue;
        };
        let stamp = envelope::open(entry).map(|(head, _)| head.stamp).ok();
        for event in events {
            findings.judge(TOLD, 1);
            if event.id <= newest || Some(event.at) != stamp {
                let what = format!("entry {index}: {event:?} after event {newest}");
                findings.complain(record.at, TOLD, None, what);
            }
            newest = event.id;
            if let EventObject::Execution { execution, status, .. } = event.object {
                statuses.insert(execution, (*index, status));
                if status.ended() {
                    ends.insert((*index, execution.0));
                }
            }
        }
    }
    let ended: BTreeSet<(u64, u64)> = run.model.ends.iter().copied().collect();
    for (index, execution) in ends.difference(&ended) {
        let what = format!("entry {index} tells the end of execution {execution}, which goes on");
        findings.complain(run.at(*index), TOLD, None, what);
    }
    for end in &run.model.ends {
        findings.judge(TOLD, 1);
        if !ends.contains(end) {
            let (index, execution) = end;
            let what = format!("entry {index} ends execution {execution} and does not tell it");
            findings.complain(run.at(*index), TOLD, None, what);
        }
    }
    let kept = run.newest_state().into_iter().flat_map(State::tasks);
    for execution in kept.flat_map(|task| &task.history.executions) {
        let told = statuses.get(&execution.id);
        // The first events of a new cluster are those of its first entry.
        let untold = run.model.untold.get(&execution.id.0);
        if untold.is_some_and(|begun| told.is_none_or(|(index, _)| index <= begun)) {
            continue;
        }
        findings.judge(TOLD, 1);
        let told = told.map(|(_, status)| status);
        if told != Some(&execution.status) {
            let what =
                format!("execution {} is {:?}, told {told:?}", execution.id, execution.status);
            findings.complain(run.ended, TOLD, None, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use punctual::domain::machine::EventKind;
    use punctual::domain::task::Strategy;
    use punctual::domain::time::Timestamp;

    use super::*;

    fn events(ids: &[u64]) -> Vec<Event> {
        let (kind, object) = (
            EventKind::SchedulerChanged,
            EventObject::Scheduler { started: true, strategy: Strategy::Consistent },
        );
        let event =
            |id: &u64| Event { id: EventId(*id), at: Timestamp(0), kind, object: object.clone() };
        ids.iter().map(event).collect()
    }

    #[test]
    fn a_reader_complains_of_gaps_and_inventions() {
        let told = events(&[3, 5, 8]);
        for (given, right) in [
            (&[3, 5, 8][..], true),
            (&[3, 5], true),
            (&[], true),
            (&[3, 8], false),
            (&[5], false),
            (&[3, 5, 8, 9], false),
        ] {
            assert_eq!(same(EventId(2), &events(given), &told).is_ok(), right, "{given:?}");
        }
    }
}
