//! Formats the history for people.

use punctual::domain::machine::{Command, Response, envelope};

use crate::check::history::{HistoryEvent, HistoryRecord};
use crate::check::judge::{Run, Violation};

/// Maximum number of lines before a violation.
const LINES_MAX: usize = 60;
/// How far back the lines go, in microseconds.
const BACK_US: u64 = 20_000_000;

/// Formats one record.
pub fn line(record: &HistoryRecord) -> String {
    let (ms, us) = (record.at / 1_000, record.at % 1_000);
    let node = record.node.map_or_else(|| "-".to_owned(), |node| format!("n{}", node + 1));
    let what = match &record.event {
        HistoryEvent::Committed { index, entry: None, .. } => format!("entry {index}"),
        HistoryEvent::Committed { index, entry: Some(entry), answers, .. } => {
            format!("entry {index} {}", commands(entry, answers, None).join("; "))
        }
        other => format!("{other:?}"),
    };
    format!("{}.{:03}.{us:03} {node} {what}", ms / 1_000, ms % 1_000)
}

/// The commands of an entry with their responses, optionally only those of one task.
fn commands(entry: &[u8], answers: &[Response], task: Option<(&str, u64)>) -> Vec<String> {
    let Ok((head, commands)) = envelope::open(entry) else { return Vec::new() };
    let stamp = head.stamp.0;
    let shown = commands.zip(answers).filter_map(|(packed, answer)| {
        let packed = packed.ok()?;
        let command = Command::decode(packed.kind, packed.body).ok()?;
        let text = format!("{command:?}");
        let about = task.is_none_or(|(name, key)| {
            text.contains(&format!("\"{name}\"")) || text.contains(&format!("TaskKey({key})"))
        });
        about.then(|| format!("[{stamp}] {text} -> {answer:?}"))
    });
    shown.collect()
}

/// The lines before a violation: events of its task, and faults.
pub fn around(run: &Run, violation: &Violation) -> Vec<String> {
    let task = violation.task.as_deref();
    let key = task.and_then(|task| run.model.names.get(task)).copied().unwrap_or(0);
    let about = |record: &HistoryRecord| match (&record.event, task) {
        (
            HistoryEvent::Trouble(_)
            | HistoryEvent::Boot { .. }
            | HistoryEvent::End { .. }
            | HistoryEvent::NewCluster { .. }
            | HistoryEvent::Succeeded { .. }
            | HistoryEvent::Healed,
            _,
        ) => Some(line(record)),
        (HistoryEvent::Loaded { .. }, _) => Some(line(record)),
        (HistoryEvent::Start(start), Some(task)) if start.task == task => Some(line(record)),
        (HistoryEvent::Call { task: of, .. }, Some(task)) if of == task => Some(line(record)),
        (HistoryEvent::Committed { index, entry: Some(entry), answers, .. }, Some(task)) => {
            let shown = commands(entry, answers, Some((task, key)));
            let head = line(&HistoryRecord { event: HistoryEvent::Healed, ..record.clone() });
            let head = head.trim_end_matches("Healed").to_owned();
            (!shown.is_empty()).then(|| format!("{head}entry {index} {}", shown.join("; ")))
        }
        (HistoryEvent::Committed { .. }, None) if violation.at.abs_diff(record.at) < 1_000 => {
            Some(line(record))
        }
        _ => None,
    };
    let near = run
        .records
        .iter()
        .filter(|record| record.at <= violation.at + 1_000 && record.at + BACK_US >= violation.at);
    let lines: Vec<String> = near.filter_map(about).collect();
    let skip = lines.len().saturating_sub(LINES_MAX);
    lines.into_iter().skip(skip).collect()
}
