//! Tasks end as they say: where the log completes a task, marks it deleted or removes it, be it by a
//! command or by what the definition says of the end of a run, the events of that entry tell it, and
//! nowhere else; and in the end the states have as completed, cancelled, deleted and gone what the
//! model has.

use std::collections::BTreeMap;

use punctual::domain::machine::{EventKind, EventObject, State};

use super::history::HistoryEvent;
use super::judge::{Findings, Run};
use super::model::TaskEnd;

const ENDINGS: &str = "tasks end as they say";
/// Events that tell the end of a task.
const KINDS: [EventKind; 3] =
    [EventKind::TaskCompleted, EventKind::TaskDeleted, EventKind::TaskCleaned];

/// See the module.
pub fn judge(run: &Run, findings: &mut Findings) {
    told(run, findings);
    if let Some(state) = run.last_state() {
        kept(run, findings, state);
    }
}

fn told(run: &Run, findings: &mut Findings) {
    let mut told: BTreeMap<TaskEnd, i64> = BTreeMap::new();
    for record in &run.records {
        let HistoryEvent::Committed { index, events, .. } = &record.event else { continue };
        for event in events.iter().filter(|event| KINDS.contains(&event.kind)) {
            let EventObject::Task(name) = &event.object else { continue };
            let end = TaskEnd { index: *index, kind: event.kind, name: name.to_string() };
            *told.entry(end).or_insert(0) += 1;
        }
    }
    for end in &run.model.endings {
        findings.judge(ENDINGS, 1);
        *told.entry(end.clone()).or_insert(0) -= 1;
    }
    for (TaskEnd { index, kind, name }, more) in told.into_iter().filter(|(_, more)| *more != 0) {
        let tells = if more > 0 { "tells, wrongly," } else { "does not tell" };
        let what = format!("entry {index} {tells} {} of {name}", kind.word());
        findings.complain(run.at(index), ENDINGS, Some(&name), what);
    }
}

fn kept(run: &Run, findings: &mut Findings, state: &State) {
    for known in run.model.tasks.values() {
        findings.judge(ENDINGS, 1);
        let wanted = (known.exhausted, known.cancelled.is_some(), known.deleted);
        let found = state.named(&known.name).map(|task| {
            let live = &task.live;
            (task.progress.exhausted, live.cancelled.is_some(), live.deleted.is_some())
        });
        if found != Some(wanted) {
            let name = &known.name;
            let what = format!("{name}: completed, cancelled, deleted {found:?}, not {wanted:?}");
            findings.complain(run.ended, ENDINGS, Some(name), what);
        }
    }
    let unknown = |name: &str| !run.model.names.contains_key(name);
    for task in state.tasks().filter(|task| unknown(&task.live.name)) {
        let name = &*task.live.name;
        findings.complain(run.ended, ENDINGS, Some(name), format!("{name} is there, and went"));
    }
}
