//! Deleted, paused and cancelled tasks stay so: after the acknowledgement no start of the task
//! follows until a command revives it. With `wait=true` this holds from the response on, otherwise
//! from `dispatch_ttl` after it. On a node that has applied the command it holds immediately,
//! because the applied state is checked before each start. A pause does not prevent starts of
//! triggers.

use std::collections::BTreeMap;

use super::history::{ClientRequest, HistoryEvent, Returned};
use super::judge::{Findings, Run};

const HALTS: &str = "no start after delete or pause";
/// `dispatch_ttl` of the runs, in microseconds.
const TTL_US: u64 = 1_000_000;

/// An acknowledged command that prevents starts.
struct Halt {
    /// The time from which no start may follow, in microseconds.
    from: u64,
    /// Its log index.
    index: u64,
    /// Whether it only prevents starts of ticks.
    ticks: bool,
}

/// Judges this property.
pub fn judge(run: &Run, findings: &mut Findings) {
    let mut asked = BTreeMap::new();
    let mut halts: BTreeMap<&str, Vec<Halt>> = BTreeMap::new();
    for record in &run.records {
        match &record.event {
            HistoryEvent::Call { call, asked: what, task, key: Some(key), .. } => {
                asked.insert(*call, (*what, task.as_str(), key.as_str()));
            }
            HistoryEvent::Return { call, returned: Returned::Answer { status: 200, .. } } => {
                let Some((what, task, key)) = asked.get(call) else { continue };
                let (wait, ticks) = match what {
                    ClientRequest::Delete { wait } => (*wait, false),
                    ClientRequest::Pause { wait } | ClientRequest::Cancel { wait } => (*wait, true),
                    _ => continue,
                };
                let Some(index) = index_of(run, key) else { continue };
                let from = record.at + if wait { 0 } else { TTL_US };
                halts.entry(task).or_default().push(Halt { from, index, ticks });
            }
            _ => {}
        }
    }
    for record in &run.records {
        let HistoryEvent::Start(start) = &record.event else { continue };
        for halt in halts.get(start.task.as_str()).into_iter().flatten() {
            let known = start.applied >= halt.index;
            if (record.at <= halt.from && !known) || (halt.ticks && start.tick.is_none()) {
                continue;
            }
            findings.judge(HALTS, 1);
            let changes = run.model.changes.get(&start.task);
            let revived = changes.into_iter().flatten().any(|change| {
                // This includes a change in the same entry, and a pause that ends by itself.
                change.index >= halt.index && change.revives && run.at(change.index) <= record.at
            });
            if !revived {
                let what = format!(
                    "{} started (fence {}) after the halt of entry {}, with {} applied",
                    start.task, start.fence, halt.index, start.applied
                );
                findings.complain(record.at, HALTS, Some(&start.task), what);
            }
        }
    }
}

/// The log index of a client's command.
fn index_of(run: &Run, key: &str) -> Option<u64> {
    super::durability::keyed(run, key).map(|keyed| keyed.index)
}
