//! What was acknowledged is in the log, with the answer that the client got: a command whose answer
//! was a success was applied and accepted; one that was refused was refused there too, or never came;
//! and one that no node took is not in the log.

use std::collections::BTreeMap;

use super::history::{Event, Returned};
use super::judge::{Findings, Run};
use super::model::Keyed;

const DURABLE: &str = "acknowledged writes are durable";

/// A client's command as the log has it; the log knows a key behind its route.
pub fn keyed<'a>(run: &'a Run, key: &str) -> Option<&'a Keyed> {
    let found = run.model.keyed.iter().find(|(known, _)| known.rsplit(' ').next() == Some(key));
    found.map(|(_, keyed)| keyed)
}

/// See the module.
pub fn judge(run: &Run, findings: &mut Findings) {
    let by_key: BTreeMap<&str, &Keyed> = run
        .model
        .keyed
        .iter()
        .filter_map(|(known, keyed)| Some((known.rsplit(' ').next()?, keyed)))
        .collect();
    let mut asked = BTreeMap::new();
    for record in &run.records {
        match &record.event {
            Event::Call { call, task, key: Some(key), asked: what, .. } => {
                asked.insert(*call, (key.as_str(), task.as_str(), *what));
            }
            Event::Return { call, returned } => {
                let Some((key, task, what)) = asked.get(call) else { continue };
                let known = by_key.get(key);
                let wrong = match returned {
                    Returned::Answer { status: 200..300, .. } => {
                        known.is_none_or(|keyed| keyed.answer.is_err())
                    }
                    // An earlier sending of the same call may be accepted later.
                    Returned::Answer { status: 400..500, index: Some(at), .. } => {
                        known.is_some_and(|keyed| keyed.answer.is_ok() && keyed.index <= *at)
                    }
                    Returned::Never => known.is_some(),
                    Returned::Answer { .. } | Returned::Unknown => continue,
                };
                findings.judge(DURABLE, 1);
                if wrong {
                    let log = known.map(|keyed| (keyed.index, &keyed.answer));
                    let what = format!("{what:?} of {task} ({key}): {returned:?}, log {log:?}");
                    findings.complain(record.at, DURABLE, Some(task), what);
                }
            }
            _ => {}
        }
    }
}
