//! Terms and votes never decrease: on one disk, each durable vote is at least as high as the
//! previous one.

use std::collections::BTreeMap;

use super::history::HistoryEvent;
use super::judge::{Findings, Run};

const VOTES: &str = "terms and votes never go back";

/// Judges this property.
pub fn judge(run: &Run, findings: &mut Findings) {
    let mut last: BTreeMap<usize, (u64, u64, u8)> = BTreeMap::new();
    for record in &run.records {
        let Some(node) = record.node else { continue };
        let vote = match &record.event {
            HistoryEvent::Voted { vote } => vote,
            HistoryEvent::EmptyDisk => {
                last.remove(&node);
                continue;
            }
            _ => continue,
        };
        // Version, term, node, committed: the product's byte format.
        let number = |at: usize| {
            let bytes = vote.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_le_bytes)
        };
        let vote = (number(1), number(9), vote.get(17).copied().unwrap_or(0));
        findings.judge(VOTES, 1);
        let former = last.insert(node, vote);
        if former.is_some_and(|former| former > vote) {
            let what = format!("node {} voted {vote:?} after {former:?}", node + 1);
            findings.complain(record.at, VOTES, None, what);
        }
    }
}
