//! Durability: an acknowledged command is in the log with the response that the client received. A
//! successful one was applied and accepted. A refused one was refused there too, or is not in the
//! log. One that no node accepted is not in the log. A call that is repeated under its key is never
//! confused with another.

use std::collections::BTreeMap;

use super::history::{HistoryEvent, Returned};
use super::judge::{Findings, Run};
use super::model::Keyed;

const DURABLE: &str = "acknowledged writes are durable";
const ONCE: &str = "one effect per idempotency key";

/// A client's command in the log.
pub fn keyed<'a>(run: &'a Run, key: &str) -> Option<&'a Keyed> {
    run.model.keyed.get(key)
}

/// Judges this property.
pub fn judge(run: &Run, findings: &mut Findings) {
    let mut asked = BTreeMap::new();
    for record in &run.records {
        match &record.event {
            HistoryEvent::Call { call, task, key: Some(key), asked: what, .. } => {
                asked.insert(*call, (key.as_str(), task.as_str(), *what));
            }
            HistoryEvent::Return { call, returned } => {
                let Some((key, task, what)) = asked.get(call) else { continue };
                let known = keyed(run, key);
                let wrong = match returned {
                    Returned::Answer { status: 200..300, .. } => {
                        known.is_none_or(|keyed| keyed.answer.is_err())
                    }
                    // An earlier transmission of the same call may be accepted later.
                    Returned::Answer { status: 400..500, index: Some(at), .. } => {
                        known.is_some_and(|keyed| keyed.answer.is_ok() && keyed.index <= *at)
                    }
                    Returned::Never => known.is_some(),
                    Returned::Answer { .. } | Returned::Unknown => continue,
                };
                if let Returned::Answer { code, .. } = returned {
                    findings.judge(ONCE, 1);
                    if code == "idempotency_key_reused" {
                        let what = format!("{what:?} of {task} ({key}), repeated, is another");
                        findings.complain(record.at, ONCE, Some(task), what);
                    }
                }
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
