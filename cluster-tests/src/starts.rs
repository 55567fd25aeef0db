//! Compares the observed starts with the reports of the cluster.
//!
//! The action of the tasks under test is the witness, which appends a line to a file, independent
//! of the nodes. This module uses only the contract, not the implementation.

use std::collections::BTreeMap;
use std::path::Path;

use punctual::Timestamp;
use serde_json::Value;

use crate::{Api, TestError, TestResult, field, text};

/// Maximum time by which a start may precede its tick, in milliseconds.
const EARLY_MS: i64 = 50;

/// One line of the witness file: one start of the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessLine {
    /// The task.
    pub task: String,
    /// The tick in milliseconds. None: a trigger.
    pub tick: Option<i64>,
    /// When the action ran, by its own clock.
    pub nanos: i128,
    /// The attempt's fence.
    pub fence: u64,
    /// The execution.
    pub execution: String,
}

fn millis(text: &str) -> TestResult<i64> {
    Ok(Timestamp::parse(text)?.millis())
}

/// Reads a witness file. A missing file has no lines.
///
/// # Errors
/// A line that the witness does not write.
pub fn read(file: &Path) -> TestResult<Vec<WitnessLine>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file)?;
    text.lines().map(line).collect()
}

fn line(text: &str) -> TestResult<WitnessLine> {
    let fields: Vec<&str> = text.split(' ').collect();
    let [task, tick, nanos, fence, execution] = fields[..] else {
        return Err(format!("the witness does not write `{text}`").into());
    };
    let tick = match tick {
        "-" => None,
        tick => Some(millis(tick)?),
    };
    let (nanos, fence) = (nanos.parse()?, fence.parse()?);
    Ok(WitnessLine { task: task.to_owned(), tick, nanos, fence, execution: execution.to_owned() })
}

/// A verdict on one tick or on a span of ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerdictRecord {
    /// A fired tick.
    Fired {
        /// When it was due, in milliseconds.
        tick: i64,
        /// Its execution.
        execution: String,
        /// The log index of its claim.
        index: u64,
    },
    /// All ticks after `from` up to `to`.
    Span {
        /// Exclusive, in milliseconds.
        from: i64,
        /// Inclusive, in milliseconds.
        to: i64,
        /// The verdict and its reason.
        verdict: String,
    },
}

/// The cluster's report of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedExecution {
    /// The node that ran it last.
    pub node: String,
    /// The fence of the newest attempt.
    pub fence: u64,
    /// Its status.
    pub status: String,
}

/// The cluster's report of a task whose ticks are `step` apart.
#[derive(Clone, Debug)]
pub struct TaskReport {
    /// Its name.
    pub name: String,
    /// The time from which its ticks have verdicts, in milliseconds.
    pub begin: i64,
    /// The time up to which its ticks have verdicts, in milliseconds.
    pub cursor: i64,
    /// Interval of the task in milliseconds. The first tick is one step after `begin`.
    pub step: i64,
    /// The verdicts, oldest first.
    pub pieces: Vec<VerdictRecord>,
    /// The executions by id.
    pub executions: BTreeMap<String, ReportedExecution>,
}

impl TaskReport {
    /// Fetches the report of an interval task from a node.
    ///
    /// # Errors
    /// An error response, or one that does not conform to the contract.
    pub async fn ask(api: &Api, name: &str, step: i64) -> TestResult<Self> {
        let task = api.get(&format!("/api/v1/tasks/{name}")).await?;
        let ticks = api.all(&format!("/api/v1/tasks/{name}/ticks?empty=true")).await?;
        let executions = api.all(&format!("/api/v1/tasks/{name}/executions")).await?;
        let executions = executions.iter().map(|one| {
            let execution = ReportedExecution {
                node: text(one, "node").to_owned(),
                fence: field(one, "fence").as_u64().unwrap_or(0),
                status: text(one, "status").to_owned(),
            };
            (text(one, "id").to_owned(), execution)
        });
        Ok(Self {
            name: name.to_owned(),
            begin: millis(text(&task, "created_at"))?,
            cursor: millis(text(&task, "cursor"))?,
            step,
            pieces: ticks.iter().rev().map(piece).collect::<TestResult<_>>()?,
            executions: executions.collect(),
        })
    }

    /// The first tick after a time.
    fn tick_after(&self, at: i64) -> i64 {
        self.begin + ((at - self.begin).div_euclid(self.step) + 1).max(1) * self.step
    }

    /// The number of ticks after `from` up to `to`.
    fn ticks_between(&self, from: i64, to: i64) -> i64 {
        let before = |at: i64| (at - self.begin).div_euclid(self.step).max(0);
        before(to) - before(from)
    }

    /// All ticks that have a verdict.
    pub fn ticks(&self) -> impl Iterator<Item = i64> {
        (1..=self.ticks_between(self.begin, self.cursor)).map(|k| self.begin + k * self.step)
    }

    /// The fired ticks.
    pub fn fired(&self) -> impl Iterator<Item = (i64, &str, u64)> {
        self.pieces.iter().filter_map(|piece| match piece {
            VerdictRecord::Fired { tick, execution, index } => {
                Some((*tick, execution.as_str(), *index))
            }
            VerdictRecord::Span { .. } => None,
        })
    }

    /// Errors in the verdicts. Fired ticks, each with the time back to the previous verdict, and
    /// spans must cover the time from the start to the cursor without gap or overlap.
    #[must_use]
    pub fn uncovered(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut at = self.begin;
        for piece in &self.pieces {
            match piece {
                VerdictRecord::Fired { tick, .. } => {
                    if *tick != self.tick_after(at) {
                        wrong.push(format!("after {at} the next tick told is {tick}"));
                    }
                    at = *tick;
                }
                VerdictRecord::Span { from, to, verdict } => {
                    if *from != at || to < from {
                        wrong.push(format!("after {at} comes the {verdict} span {from}–{to}"));
                    }
                    at = *to;
                }
            }
        }
        if at != self.cursor {
            wrong.push(format!("the verdicts end at {at}, the cursor is {}", self.cursor));
        }
        wrong.iter().map(|what| format!("{}: {what}", self.name)).collect()
    }

    /// Counts ticks up to a time by verdict.
    pub fn count(&self, upto: i64, counts: &mut BTreeMap<String, i64>) {
        let mut add = |verdict: &str, count: i64| match counts.get_mut(verdict) {
            _ if count == 0 => {}
            Some(all) => *all += count,
            None => drop(counts.insert(verdict.to_owned(), count)),
        };
        for piece in &self.pieces {
            match piece {
                VerdictRecord::Fired { tick, .. } => add("fired", i64::from(*tick <= upto)),
                VerdictRecord::Span { from, to, verdict } => {
                    add(verdict, self.ticks_between(*from.min(&upto), *to.min(&upto)));
                }
            }
        }
    }
}

fn piece(value: &Value) -> TestResult<VerdictRecord> {
    if text(value, "verdict") == "fired" {
        let index = field(value, "index").as_u64().ok_or("a fired tick without an index")?;
        let execution = text(value, "execution_id").to_owned();
        return Ok(VerdictRecord::Fired { tick: millis(text(value, "tick"))?, execution, index });
    }
    let verdict = [text(value, "verdict"), text(value, "reason")].join(" ").trim_end().to_owned();
    let (from, to) = (millis(text(value, "from"))?, millis(text(value, "to"))?);
    Ok::<VerdictRecord, TestError>(VerdictRecord::Span { from, to, verdict })
}

/// Errors in the starts: a tick that started twice, one that did not fire, one with another fence
/// than the granted one, one that is too early.
#[must_use]
pub fn wrong_starts(lines: &[WitnessLine], stories: &BTreeMap<String, TaskReport>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<(&str, i64), &WitnessLine> = BTreeMap::new();
    for line in lines {
        let Some(tick) = line.tick else { continue };
        if let Some(first) = seen.insert((&line.task, tick), line) {
            wrong.push(format!("started twice: {first:?} and {line:?}"));
        }
        let story = stories.get(&line.task);
        let fired = story.and_then(|story| story.fired().find(|(fired, _, _)| *fired == tick));
        if fired.is_none_or(|(_, execution, _)| execution != line.execution) {
            wrong.push(format!("started, but the cluster says {fired:?}: {line:?}"));
        }
        let execution = story.and_then(|story| story.executions.get(&line.execution));
        if execution.is_none_or(|execution| execution.fence != line.fence) {
            wrong.push(format!("started, but the cluster says {execution:?}: {line:?}"));
        }
        if line.nanos < i128::from(tick - EARLY_MS) * 1_000_000 {
            wrong.push(format!("started too early: {line:?}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(tick: i64) -> VerdictRecord {
        VerdictRecord::Fired { tick, execution: format!("e{tick}"), index: 1 }
    }

    fn span(from: i64, to: i64) -> VerdictRecord {
        VerdictRecord::Span { from, to, verdict: "missed window".to_owned() }
    }

    fn story(pieces: Vec<VerdictRecord>) -> TaskReport {
        let executions = pieces.iter().filter_map(|piece| match piece {
            VerdictRecord::Fired { execution, .. } => {
                let (node, status) = ("n1".to_owned(), "success".to_owned());
                Some((execution.clone(), ReportedExecution { node, fence: 7, status }))
            }
            VerdictRecord::Span { .. } => None,
        });
        let executions = executions.collect();
        TaskReport { name: "a".to_owned(), begin: 50, cursor: 450, step: 100, pieces, executions }
    }

    #[test]
    fn only_a_cover_without_gap_and_overlap_is_one() {
        let whole = story(vec![fired(150), span(150, 320), fired(350), span(350, 450)]);
        assert_eq!(whole.uncovered(), Vec::<String>::new());
        let mut counts = BTreeMap::new();
        whole.count(i64::MAX, &mut counts);
        let words = |count: (&str, i64)| (count.0.to_owned(), count.1);
        assert_eq!(counts, BTreeMap::from([("fired", 2), ("missed window", 2)].map(words)));
        counts.clear();
        whole.count(349, &mut counts);
        assert_eq!(counts, BTreeMap::from([("fired", 1), ("missed window", 1)].map(words)));
        assert_eq!(whole.ticks().collect::<Vec<_>>(), [150, 250, 350, 450]);
        for broken in [
            vec![fired(250), fired(350), fired(450)],
            vec![fired(150), fired(150), span(150, 450)],
            vec![fired(150), span(160, 450)],
            vec![fired(150), span(140, 450)],
            vec![fired(150), span(150, 350)],
            vec![fired(150), span(150, 440)],
            vec![fired(160), span(160, 450)],
        ] {
            assert_ne!(story(broken.clone()).uncovered(), Vec::<String>::new(), "{broken:?}");
        }
    }

    #[test]
    fn wrong_starts_are_found() {
        let good = line("a 1970-01-01T00:00:00.150Z 150000000 7 e150").unwrap();
        assert_eq!((good.tick, good.fence, good.execution.as_str()), (Some(150), 7, "e150"));
        let stories = BTreeMap::from([("a".to_owned(), story(vec![fired(150), span(150, 450)]))]);
        let wrong = |lines: &[WitnessLine]| wrong_starts(lines, &stories).len();
        assert_eq!(wrong(std::slice::from_ref(&good)), 0);
        assert_eq!(wrong(&[good.clone(), good.clone()]), 1);
        assert_eq!(wrong(&[WitnessLine { nanos: 99_000_000, ..good.clone() }]), 1);
        assert_eq!(wrong(&[WitnessLine { fence: 6, ..good.clone() }]), 1);
        // It is also too early for that tick.
        assert_eq!(wrong(&[WitnessLine { tick: Some(250), ..good.clone() }]), 2);
        assert_eq!(wrong(&[WitnessLine { execution: "e9".to_owned(), ..good.clone() }]), 2);
        assert_eq!(wrong(&[WitnessLine { task: "b".to_owned(), ..good }]), 2);
        assert!(line("a b").is_err());
    }
}
