//! How stories put answers and records into words.

use std::collections::BTreeMap;

use super::super::task::record::{
    Code, Execution, Intent, Liveness, Reason, Status, Trigger, Verdict,
};
use super::super::{
    Answer, Effects, Event, EventObject, Hint, LineKey, Refusal, Response, State, Task,
};
use super::executors;
use crate::domain::ids::SessionId;
use crate::domain::settling::SettleStep;
use crate::domain::spec;
use crate::domain::task::Strategy;
use crate::domain::time::Timestamp;

/// Hints, and events, of one command that are told one by one.
const TOLD_MAX: usize = 6;

/// Sessions by the name of their node.
pub(super) struct Names<'a>(pub &'a BTreeMap<String, SessionId>);

/// Time of day, with the date in front where it is not the day of the tests.
pub(super) fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    let text = text.trim_end_matches('Z');
    match text.strip_prefix("2026-03-02T") {
        Some(time) => time.to_owned(),
        None => text.replace('T', " "),
    }
}

fn reason(reason: Reason) -> String {
    let mut out = String::new();
    for c in format!("{reason:?}").chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn verdict(verdict: Verdict) -> String {
    format!("{verdict:?}").to_lowercase()
}

fn status(status: Status) -> String {
    format!("{status:?}").to_lowercase()
}

fn count(count: Option<u64>) -> String {
    count.map_or("?".to_owned(), |count| count.to_string())
}

impl Names<'_> {
    /// What runs and waits in the line of a task or of a group, in its order.
    pub fn line(&self, state: &State, name: &str) -> Vec<String> {
        let key = match state.named(name) {
            Some(task) => LineKey::Task(task.key),
            None => LineKey::Group(name.into()),
        };
        let Some(line) = state.lines().get(&key) else { return vec!["empty".to_owned()] };
        let waiting = line.waiting().keys().map(|one| {
            let task = state.task(one.task).map_or("", |task| &task.live.name);
            format!("{task} e{} since {}", one.execution, clock(one.at))
        });
        [format!("{} running", line.running())].into_iter().chain(waiting).collect()
    }
}

/// An answer and what it means for those who act.
pub(super) fn answer(names: &Names<'_>, response: &Response, effects: &Effects) -> String {
    let mut parts = vec![match response {
        Ok(Answer::Done) => "done".to_owned(),
        Ok(Answer::Task { task, revision, created }) => {
            format!("{}t{task} r{revision}", if *created { "new " } else { "" })
        }
        Ok(Answer::Execution { execution, fence: Some(fence), .. }) => {
            format!("e{execution} f{fence}")
        }
        Ok(Answer::Execution { execution, fence: None, .. }) => format!("e{execution}"),
        Ok(Answer::Running(ids)) if ids.is_empty() => "done, nothing runs".to_owned(),
        Ok(Answer::Running(ids)) => {
            let ids: Vec<String> = ids.iter().map(|id| format!("e{id}")).collect();
            format!("done, still running: {}", ids.join(" "))
        }
        Ok(Answer::Session(session)) => format!("s{session}"),
        Ok(Answer::NotFired(_)) => "does not fire".to_owned(),
        Ok(Answer::Calendar { revision, created }) => {
            format!("{}calendar r{revision}", if *created { "new " } else { "" })
        }
        Ok(Answer::Executor { revision, created }) => {
            format!("{}executor r{revision}", if *created { "new " } else { "" })
        }
        Ok(Answer::Resumed { task, revision, execution }) => {
            format!("t{task} r{revision}, made up for by e{execution}")
        }
        Ok(Answer::Backfilled { executions, .. }) => {
            let ids: Vec<String> = executions.iter().map(|id| format!("e{id}")).collect();
            format!("created [{}]", ids.join(" "))
        }
        Ok(Answer::Swept { upto, next }) => {
            let next = next.map_or("done".to_owned(), |slot| format!("on from slot {slot}"));
            format!("{next}, up to r{upto}")
        }
        Err(refusal) => refused(refusal),
    }];
    few(&mut parts, effects.hints.iter().filter_map(|found| hint(names, found)).collect());
    few(&mut parts, effects.events.iter().map(event).collect());
    parts.join("; ")
}

/// The first of what is told, and how many more there are.
fn few(parts: &mut Vec<String>, told: Vec<String>) {
    let more = told.len().saturating_sub(TOLD_MAX);
    parts.extend(told.into_iter().take(TOLD_MAX));
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
}

fn event(event: &Event) -> String {
    let object = match &event.object {
        EventObject::Task(name)
        | EventObject::Calendar(name)
        | EventObject::Executor { id: name, .. } => format!(" {name}"),
        EventObject::Execution { execution, status: now, .. } => {
            format!(" e{execution} {}", status(*now))
        }
        EventObject::Node { node, .. } => format!(" n{}", node.configured()),
        EventObject::Scheduler { .. } => String::new(),
    };
    format!("#{} {}{object}", event.id, event.kind.word())
}

fn refused(refusal: &Refusal) -> String {
    let more = match refusal {
        Refusal::RevisionMismatch { current } => format!(", it is r{current}"),
        Refusal::Cursor { at } => format!(" up to {}", clock(*at)),
        _ => String::new(),
    };
    format!("refused, {}{more}", refusal.code())
}

fn hint(names: &Names<'_>, hint: &Hint) -> Option<String> {
    Some(match hint {
        Hint::Task(_)
        | Hint::Settled(_)
        | Hint::Line(_)
        | Hint::Node(_)
        | Hint::Executors
        | Hint::Scheduler
        | Hint::Strategy
        | Hint::AttemptEnded(..) => return None,
        Hint::Accepted(_, execution) => format!("e{execution} accepted"),
        Hint::Verdict(found, None, _) => verdict(*found),
        Hint::Verdict(found, Some(why), times) => {
            let times = if *times == 0 { "?".to_owned() } else { times.to_string() };
            format!("{} {} ×{times}", verdict(*found), reason(*why))
        }
        Hint::Pending(_, execution) => format!("e{execution} waits"),
        Hint::Granted { execution, session, .. } => {
            format!("e{execution} granted to {}", names.of(*session))
        }
        Hint::Stop(_, execution) => format!("e{execution} is to stop"),
        Hint::Ended(_, execution, end) => format!("e{execution} {}", status(*end)),
    })
}

/// One settle before it is proposed.
pub(super) fn step(step: &SettleStep) -> String {
    let mut parts: Vec<String> = step
        .spans
        .iter()
        .map(|span| {
            let (verdict, reason) = (verdict(span.verdict), reason(span.reason));
            format!("{verdict} {reason} ×{} to {}", count(span.count), clock(span.to))
        })
        .collect();
    if let Some(claim) = step.claim {
        let late = if claim.trigger == Trigger::CatchUp { "late " } else { "" };
        parts.push(format!("claim {late}{}", clock(claim.tick)));
    }
    if step.exhausted {
        parts.push("no tick left".to_owned());
    }
    parts.join(", ")
}

impl Names<'_> {
    fn of(&self, session: SessionId) -> String {
        let found = self.0.iter().find(|(_, live)| **live == session);
        found.map_or(format!("s{session}"), |(name, _)| name.clone())
    }

    pub fn task(&self, task: &Task) -> Vec<String> {
        let live = &task.live;
        let state = match task.inactive() {
            Some(why) => reason(why),
            None if task.over() => "over".to_owned(),
            None if task.progress.exhausted => "without a tick left".to_owned(),
            None => "active".to_owned(),
        };
        let mut first = format!("{state}, r{}, incarnation r{}", live.revision, live.incarnation);
        if let Some(pause) = &live.paused {
            let until =
                pause.until.map_or(String::new(), |until| format!(" until {}", clock(until)));
            first.push_str(&format!(", paused{until} {:?}", pause.reason));
        }
        if let Some(mark) = &live.deleted {
            first.push_str(&format!(", deleted by {:?} at {}", mark.by, clock(mark.at)));
        }
        if let Some(spec) = task.spec().filter(|spec| !spec.description.is_empty()) {
            first.push_str(&format!(", {:?}", spec.description));
        }
        let settled =
            format!("settled to {}, {} live", clock(task.progress.cursor), task.progress.live);
        let totals = task.progress.totals;
        let numbers = [
            ("fired", totals.fired),
            ("skipped", totals.skipped),
            ("missed", totals.missed),
            ("coalesced", totals.coalesced),
            ("uncounted spans", totals.uncounted_spans),
            ("success", totals.success),
            ("failed", totals.failed),
            ("timeout", totals.timeout),
            ("cancelled", totals.cancelled),
            ("lost", totals.lost),
        ];
        let numbers: Vec<String> = numbers
            .iter()
            .filter(|(_, number)| *number > 0)
            .map(|(word, number)| format!("{word} {number}"))
            .collect();
        let numbers = if numbers.is_empty() { "no totals".to_owned() } else { numbers.join(", ") };
        vec![first, settled, numbers]
    }

    /// Fired ticks and spans, by time.
    pub fn ticks(&self, task: &Task) -> Vec<String> {
        let from = task.progress.truncated_before;
        let mut told: Vec<(Timestamp, String)> = Vec::new();
        for tick in task.history.ticks.iter().filter(|tick| tick.tick > from) {
            let mut line =
                format!("{} … {} fired e{}", clock(tick.from), clock(tick.tick), tick.execution);
            if let Some(ended) = &tick.ended {
                line.push_str(&format!(", {}", status(ended.status)));
                match ended.code {
                    Code::None => {}
                    Code::Exit(code) => line.push_str(&format!(" exit {code}")),
                    Code::Http(status) => line.push_str(&format!(" status {status}")),
                }
                if let Some(node) = ended.node() {
                    line.push_str(&format!(" on n{}", node.configured()));
                }
                if let Some(reason) = &ended.reason {
                    line.push_str(&format!(" ({reason})"));
                }
            }
            told.push((tick.tick, line));
        }
        for span in task.history.spans.iter().filter(|span| span.to > from) {
            let (from, to) = (clock(span.from), clock(span.to));
            let (verdict, why) = (verdict(span.verdict), reason(span.reason));
            told.push((span.to, format!("{from} … {to} {verdict} {why} ×{}", count(span.count))));
        }
        told.sort();
        let begin = format!("history begins {}", clock(from));
        [begin].into_iter().chain(told.into_iter().map(|(_, line)| line)).collect()
    }

    pub fn executions(&self, task: &Task) -> Vec<String> {
        let told: Vec<String> =
            task.history.executions.iter().map(|execution| self.execution(execution)).collect();
        if told.is_empty() { vec!["none".to_owned()] } else { told }
    }

    fn execution(&self, execution: &Execution) -> String {
        let mut out = format!("e{}", execution.id);
        match execution.tick {
            Some(tick) => out.push_str(&format!(" tick {}", clock(tick))),
            None => out.push_str(&format!(" {:?}", execution.trigger).to_lowercase()),
        }
        if execution.trigger == Trigger::Backfill {
            out.push_str(" backfill");
        }
        if let Some(old) = execution.retry_of() {
            out.push_str(&format!(" of e{old}"));
        }
        out.push_str(&format!(" {}", status(execution.status)));
        if execution.stopping {
            out.push_str(" stopping");
        }
        if execution.dismissed() {
            out.push_str(" dismissed");
        }
        for attempt in execution.attempts() {
            let session = self.of(attempt.session);
            out.push_str(&format!(", attempt {} f{} {session}", attempt.number, attempt.fence));
            out.push_str(&executors::told(attempt));
            let Some(report) = &attempt.report else { continue };
            let further = execution.attempts().count() > 1 || execution.status == Status::Pending;
            if further {
                let unknown = if report.unknown { " unknown" } else { "" };
                out.push_str(&format!(" {}{unknown}", status(report.status)));
            }
            if !report.detail.is_empty() {
                out.push_str(&format!(" ({})", report.detail));
            }
        }
        if let Some(parent) = execution.parent() {
            let (id, task, depth) = (parent.execution, &parent.task, parent.depth);
            let status = status(parent.status);
            out.push_str(&format!(", after e{id} of {task} {status}, depth {depth}"));
        }
        for chained in execution.chained() {
            let outcome = match chained.outcome {
                Ok(id) => format!("e{id}"),
                Err(why) => why.word().to_owned(),
            };
            let (on, task) = (chained.condition.word(), &chained.task);
            out.push_str(&format!(", on {on} {task}: {outcome}"));
        }
        if let Some(at) = execution.next_attempt_at() {
            out.push_str(&format!(", again at {}", clock(at)));
        }
        if let Some(reason) = execution.reason() {
            out.push_str(&format!(" ({reason})"));
        }
        if let Some(parameters) = execution.parameters() {
            out.push_str(&format!(", {parameters}"));
        }
        out
    }

    pub fn nodes(&self, state: &State) -> Vec<String> {
        let told = state.nodes().map(|node| {
            let liveness = match node.liveness {
                Liveness::Starting => "starting",
                Liveness::Working => "working",
                Liveness::Down => "down",
            };
            let intent = match node.intent {
                Intent::None => "",
                Intent::Draining => ", draining",
                Intent::Leaving => ", leaving",
                Intent::Removing => ", removing",
            };
            let since = node.down_since.map_or(String::new(), |at| format!(" since {}", clock(at)));
            let weight = node.weight();
            let set = &node.overrides;
            let set = match (set.weight, set.slots) {
                (None, None) => String::new(),
                (weight, slots) => format!(", set: weight {weight:?}, slots {slots:?}"),
            };
            format!(
                "{} s{} {liveness}{since}{intent}, weight {weight}{set}",
                node.info.name, node.session
            )
        });
        told.collect()
    }

    pub fn cluster(&self, state: &State) -> Vec<String> {
        let cluster = state.cluster();
        let scheduler = if cluster.scheduler { "started" } else { "stopped" };
        let floor =
            if cluster.floor == Timestamp(0) { "none".to_owned() } else { clock(cluster.floor) };
        let tasks = state.task_count();
        let strategy = match cluster.strategy {
            Strategy::Consistent => String::new(),
            other => format!(", strategy {}", spec::strategy_word(other)),
        };
        vec![format!(
            "scheduler {scheduler}, floor {floor}, {tasks} tasks, counter {}{strategy}",
            cluster.counter
        )]
    }
}
