//! Parts that several pages have: marks of a status, links, buttons, tables, pages of a list.

use maud::{Markup, html};
use url::form_urlencoded;

use super::clock::{ZoneClock, rough};
use super::text::{self, Text};
use super::visit::Visit;
use crate::domain::time::Millis;
use crate::dto::{ExecutionView, LastExecution, ListPlace, NextTick, QueueView};
use crate::ops::lists::{SearchedPage, encode};

/// The address of a task's page.
pub(super) fn task_path(name: &str) -> String {
    format!("/tasks/{}", segment(name))
}

/// The address of an execution's page.
pub(super) fn execution_path(id: &str) -> String {
    format!("/executions/{}", segment(id))
}

/// One segment of a path.
pub(super) fn segment(text: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    encoded.replace('+', "%20")
}

/// A link to a task.
pub(super) fn task(name: &str) -> Markup {
    html! { a.name href=(task_path(name)) { (name) } }
}

/// A link to an execution.
pub(super) fn execution(id: &str) -> Markup {
    html! { a.id href=(execution_path(id)) { (id) } }
}

/// The class of a status, a verdict or a state: one of few kinds.
pub(super) fn class(word: &str) -> &'static str {
    match word {
        "success" | "working" | "online" | "active" | "fired" => "ok",
        "failed" | "timeout" | "lost" | "down" | "missed" => "bad",
        "running" | "live" | "starting" => "run",
        "pending" | "draining" | "maintenance" | "paused" | "leaving" | "removing" => "wait",
        _ => "off",
    }
}

/// The sign of a kind, so that colour is not all that tells it.
fn sign(class: &str) -> &'static str {
    match class {
        "ok" => "✓",
        "bad" => "✗",
        "run" => "▶",
        "wait" => "⏸",
        _ => "–",
    }
}

/// A small mark of a status.
pub(super) fn dot(word: &str) -> Markup {
    let class = class(word);
    html! { span.dot.(class) aria-hidden="true" { (sign(class)) } }
}

/// A status as a badge.
pub(super) fn badge(visit: &Visit, word: &str) -> Markup {
    html! { span.badge.(class(word)) { (dot(word)) (visit.lang.word(word)) } }
}

/// A button that does one thing: a form of its own. `fields` are hidden.
pub(super) fn action(
    visit: &Visit,
    path: &str,
    name: Text,
    fields: &[(&str, &str)],
    kind: &str,
) -> Markup {
    if visit.read_only {
        return html! {};
    }
    html! {
        form.action method="post" action=(path) {
            (visit.form_fields())
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            @let asked = visit.lang.fill(text::ARE_YOU_SURE, &[visit.say(name), path]);
            button.(kind) data-confirm=[(kind == "danger").then_some(asked)] { (visit.say(name)) }
        }
    }
}

/// A key under which a form is done once.
pub(super) fn once() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The links below a part of a list.
pub(super) fn pages(visit: &Visit, place: &ListPlace) -> Markup {
    let next = match place {
        ListPlace::Cursor { next_cursor } => next_cursor.as_deref(),
        ListPlace::Numbered { .. } => None,
    };
    let first = visit.get("cursor").is_some();
    html! {
        @if first || next.is_some() {
            p.pages {
                @if first { a.button href=(visit.with(&[("cursor", "")])) { (visit.say(text::FIRST)) } }
                @if let Some(next) = next {
                    a.button rel="next" href=(visit.with(&[("cursor", next)])) { (visit.say(text::MORE)) }
                }
            }
        }
    }
}

/// What is below a page of what was searched for: how far the search has come, and the links.
pub(super) fn searched<T>(visit: &Visit, page: &SearchedPage<T>, seen: Text) -> Markup {
    let place = ListPlace::Cursor { next_cursor: page.next.as_deref().map(encode) };
    html! {
        @if let Some(count) = page.unfinished {
            p.notice #unfinished { (visit.lang.fill(seen, &[&count.to_string()])) }
        }
        (pages(visit, &place))
    }
}

/// What stands where a list is empty.
pub(super) fn empty(text: &str) -> Markup {
    html! { p.empty { (text) } }
}

/// A pair of a list of facts; nothing if there is no value.
pub(super) fn fact(visit: &Visit, name: Text, value: Option<Markup>) -> Markup {
    html! { @if let Some(value) = value { div { dt { (visit.say(name)) } dd { (value) } } } }
}

/// How an execution of a task ended, in short.
pub(super) fn last(visit: &Visit, clock: &ZoneClock, last: &LastExecution) -> Markup {
    html! {
        a.last href=(execution_path(&last.id)) { (badge(visit, &last.status)) }
        " " (clock.relative(last.tick.unwrap_or(last.due).0))
    }
}

/// How long an execution took, or runs so far.
pub(super) fn duration(execution: &ExecutionView, clock: &ZoneClock) -> Option<String> {
    if let Some(ms) = execution.duration_ms {
        return Some(rough(Millis(ms)));
    }
    let start = execution.start_time.filter(|_| execution.status == "running")?;
    Some(rough(clock.now().since(start.0)))
}

/// How late something started.
pub(super) fn lateness(ms: Option<i64>) -> Option<String> {
    let ms = ms?;
    let sign = if ms < 0 { "−" } else { "+" };
    Some(format!("{sign}{}", rough(Millis(ms.unsigned_abs()))))
}

/// What a clock change does to a tick.
pub(super) fn note<'a>(visit: &Visit, tick: &'a NextTick) -> Option<&'a str> {
    let en = tick.note.as_deref()?;
    Some(visit.lang.of_two(en, tick.note_zh.as_deref().unwrap_or(en)))
}

/// The place of an execution in a line.
pub(super) fn queue(visit: &Visit, queue: &QueueView) -> String {
    let numbers = [queue.position.to_string(), queue.running.to_string(), queue.limit.to_string()];
    let [position, running, limit] = &numbers;
    visit.lang.fill(text::QUEUE_IS, &[position, &queue.line, running, limit])
}

/// A table of executions.
pub(super) fn executions(
    visit: &Visit,
    clock: &ZoneClock,
    items: &[ExecutionView],
    with_task: bool,
) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(visit.say(text::EXECUTIONS)) {
            table {
                thead { tr {
                    th scope="col" { (visit.say(text::EXECUTION)) }
                    @if with_task { th scope="col" { (visit.say(text::TASK)) } }
                    th scope="col" { (visit.say(text::STATUS)) }
                    th scope="col" { (visit.say(text::DUE)) }
                    th.num scope="col" { (visit.say(text::LATENESS)) }
                    th.num scope="col" { (visit.say(text::DURATION)) }
                    th scope="col" { (visit.say(text::NODE)) }
                    th scope="col" { (visit.say(text::TRIGGER)) }
                    th scope="col" { (visit.say(text::OUTCOME)) }
                } }
                tbody {
                    @for one in items {
                        tr id={ "x" (one.id) } {
                            td { (execution(&one.id)) }
                            @if with_task { td { (task(&one.task)) } }
                            td { (badge(visit, &one.status)) }
                            td { (clock.time(one.tick.unwrap_or(one.due).0)) }
                            td.num { (lateness(one.lateness_ms).unwrap_or_default()) }
                            td.num { (duration(one, clock).unwrap_or_default()) }
                            td { (one.node.as_deref().unwrap_or_default()) }
                            td { (visit.lang.word(&one.trigger)) }
                            td.cut { (crate::dto::short::result(one)) }
                        }
                    }
                }
            }
        }
    }
}
