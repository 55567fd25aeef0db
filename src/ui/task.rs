//! `/tasks/{name}`: one task: its ticks with their verdicts, executions, statistics, definition.

use std::collections::BTreeMap;

use axum::extract::RawPathParams;
use axum::response::Response;
use maud::{Markup, html};

use super::clock::ZoneClock;
use super::shell::{Page, Section};
use super::text::{self, Text};
use super::visit::Visit;
use super::{edit, graph, marks, parts, trend, warnings, why};
use crate::domain::ids::{ExecutionId, Revision};
use crate::domain::machine::Task;
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{
    AssignmentView, ExecutionView, NextTick, RevisionsView, TaskBody, TaskStatsView, TaskView,
    TickView, WhyView, short,
};
use crate::ops::chains::{self, ChainGraph, GraphTask};
use crate::ops::context::StateView;
use crate::ops::executions::{self, ExecutionFilter};
use crate::ops::lists::PageRequest;
use crate::ops::overview::{self, Overview};
use crate::ops::tasks::list::NamedTasks;
use crate::ops::ticks::{self, TickRange};
use crate::ops::{OpError, about, describe, describe_zh, plans, preview, stats, views, words};

/// The ranges of the strip, in seconds.
const RANGES: [(&str, u64); 7] = [
    ("15m", 900),
    ("1h", 3_600),
    ("6h", 21_600),
    ("1d", 86_400),
    ("7d", 604_800),
    ("30d", 2_592_000),
    ("1y", 31_536_000),
];
/// Marks that a strip has at most, of the past and of the future each.
const MARKS: usize = 600;
/// Ticks to come that a strip shows unless a range is asked for.
const SOME_TICKS: usize = 12;
/// Executions that are drawn, and those that are listed.
const DRAWN: usize = 200;
const LISTED: usize = 20;
/// The next ticks that are listed.
const NEXT: u64 = 10;

/// All that the page of a task shows.
struct TaskPage {
    task: TaskView,
    words: String,
    stats: TaskStatsView,
    /// Ticks and spans, each with a tick that tells why.
    past: Vec<(TickView, Timestamp)>,
    kept_from: Timestamp,
    ahead: Vec<Timestamp>,
    next: Vec<NextTick>,
    executions: Vec<ExecutionView>,
    assignment: AssignmentView,
    revisions: RevisionsView,
    why: Option<WhyView>,
    range: (Timestamp, Timestamp),
    zoom: &'static str,
    chains: ChainGraph,
    /// How the last execution of each task of the chains is.
    last: BTreeMap<String, &'static str>,
}

/// `GET /tasks/{name}`.
pub(super) async fn show(params: RawPathParams, visit: Visit) -> Response {
    let name = params.iter().next().map_or("", |(_, name)| name).to_owned();
    let page = made(&visit, name).await;
    visit.answer(page)
}

async fn made(visit: &Visit, name: String) -> Result<Page, OpError> {
    let view = visit.view().await?;
    let clock = visit.clock(&view);
    let asked = visit.clone();
    let overview = overview::soon(&visit.context, &view).await;
    let scan = move || read(&asked, &view, overview.as_deref(), &name);
    let shown = visit.context.scans.run(scan).await??;
    let title = shown.task.id.clone();
    Ok(Page { section: Section::Tasks, title, body: body(visit, &clock, &shown) })
}

fn read(
    visit: &Visit,
    view: &StateView,
    overview: Option<&Overview>,
    name: &str,
) -> Result<TaskPage, OpError> {
    let task = view.task(name)?;
    let (zoom, range) = range(visit, view, task);
    let at = visit.get("at").and_then(|at| Timestamp::parse(at).ok());
    let told = task.spec().map(|spec| match visit.lang {
        text::Language::En => describe::describe(&spec.schedule, view.zone()),
        text::Language::Zh => describe_zh::describe_zh(&spec.schedule, view.zone()),
    });
    let page = PageRequest::Cursor { limit: MARKS, after: None };
    let asked = TickRange { from: range.0, to: range.1, below: None, empty: false, page };
    let ticks = ticks::list(&view.state, task, &asked);
    let filter = ExecutionFilter {
        tasks: NamedTasks { names: vec![name.to_owned()], labels: Vec::new() },
        status: None,
        node: None,
        executor: None,
        failed: false,
    };
    let chains = chains_of(view, overview, name);
    let last = |task: &GraphTask| {
        let last = view.state.named(&task.name)?.history.executions.back()?;
        Some((task.name.clone(), words::status(last.status)))
    };
    let last = chains.tasks.iter().filter_map(last).collect();
    let page = PageRequest::Cursor { limit: DRAWN, after: None };
    // A name may look like a pattern.
    let executions = executions::list(view, &filter, &page, ExecutionId(u64::MAX)).items;
    Ok(TaskPage {
        task: views::task(view, task),
        words: told.unwrap_or_default(),
        stats: stats::of_task(view, task),
        past: ticks.list.items.into_iter().map(|tick| with_tick(view, task, tick)).collect(),
        kept_from: ticks.truncated_before.0,
        ahead: ahead(view, task, range),
        next: preview::next(view, task, None, NEXT).items,
        executions: executions.into_iter().filter(|one| one.task == name).collect(),
        assignment: about::assignment(view, task),
        revisions: about::revisions(task),
        why: at.map(|at| crate::ops::why::why(view, task, Some(at))),
        range,
        zoom,
        chains,
        last,
    })
}

/// The tasks before and after a task.
fn chains_of(view: &StateView, overview: Option<&Overview>, name: &str) -> ChainGraph {
    let starts = |task: &str| {
        let spec = view.state.named(task).and_then(|task| task.spec());
        let names = spec.into_iter().flat_map(|spec| spec.then.names());
        names.map(|(on, name)| (on.word(), name.to_owned())).collect()
    };
    let started_by = |task: &str| {
        let starters = overview.and_then(|all| all.starters.get(task)).into_iter().flatten();
        starters.map(|name| name.to_string()).collect()
    };
    chains::graph(name, starts, started_by)
}

/// The range of the strip: as long as asked for, else long enough for some ticks; two thirds of it lie
/// in the past.
fn range(visit: &Visit, view: &StateView, task: &Task) -> (&'static str, (Timestamp, Timestamp)) {
    let asked = RANGES.iter().find(|(word, _)| visit.get("zoom") == Some(word));
    let (word, secs) = *asked.unwrap_or_else(|| {
        let plan = plans::current(&view.state, task);
        let ticks = std::iter::successors(Some(view.now), |at| plan.as_ref()?.next_after(*at));
        let last = ticks.take(SOME_TICKS).last().unwrap_or(view.now);
        let wanted = last.since(view.now).0 * 3 / 1_000;
        let long = |(_, secs): &&(&str, u64)| *secs >= wanted.max(1);
        // Without any tick a day is as good as anything.
        let fitting = RANGES.iter().find(long).filter(|_| wanted > 0);
        fitting.unwrap_or(&("1d", 86_400))
    });
    let third = Millis::from_secs(secs / 3);
    (word, (view.now.minus(Millis(third.0 * 2)), view.now.plus(third)))
}

/// A tick, or a span with its first tick.
fn with_tick(view: &StateView, task: &Task, tick: TickView) -> (TickView, Timestamp) {
    let at = match &tick {
        TickView::Fired(fired) => fired.tick.0,
        TickView::Span(span) => {
            let revision = span.revision.map(Revision);
            let plan =
                revision.and_then(|revision| plans::of_revision(&view.state, task, revision));
            let first = plan.and_then(|plan| plan.next_after(span.from.0));
            first.filter(|first| *first <= span.to.0).unwrap_or(span.to.0)
        }
    };
    (tick, at)
}

/// The ticks to come in a range.
fn ahead(view: &StateView, task: &Task, range: (Timestamp, Timestamp)) -> Vec<Timestamp> {
    let next = |after: Timestamp| plans::next_tick_after(view, task, after);
    let first = plans::next_tick(view, task);
    let ticks = std::iter::successors(first, |tick| next(*tick));
    let one = task.spec().is_some_and(|spec| spec.one_shot);
    ticks.take_while(|tick| *tick <= range.1).take(if one { 1 } else { MARKS }).collect()
}

fn body(visit: &Visit, clock: &ZoneClock, page: &TaskPage) -> Markup {
    let task = &page.task;
    let stats = &page.stats.stats;
    html! {
        header.title {
            h1 { (task.id) " " (parts::badge(visit, &task.state)) }
            (actions(visit, task))
        }
        @if let Some(body) = task.definition.body() {
            @if !body.description.is_empty() { p { (body.description) } }
            p.lead { code { (short::schedule(&body.schedule)) } " · " (page.words) }
        }
        @if let Some(pause) = &task.paused {
            p.notice #paused {
                @let reason = if pause.reason.is_empty() { visit.say(text::NO_REASON) } else { &pause.reason };
                (visit.lang.fill(text::PAUSED_WHY, &[reason]))
                @if let Some(until) = pause.until {
                    " " (visit.lang.fill(text::PAUSED_UNTIL, &[&clock.text(until.0)])) " "
                    (clock.zone_at(until.0))
                }
            }
        }
        @for warning in &task.warnings { p.notice #{ "w-" (&*warning.code) } { (warnings::told(visit, warning)) } }
        (strip(visit, clock, page))
        @if let Some(found) = &page.why { (why::card(visit, clock, found)) }
        div.columns {
            (next(visit, clock, page))
            (statistics(visit, page))
        }
        (trend::charts(visit, clock, &page.executions, (&stats.duration_ms, &stats.lateness_ms)))
        (queue(visit, &page.executions))
        section.card #executions {
            h2 { (visit.say(text::EXECUTIONS)) }
            @let listed = page.executions.get(..LISTED).unwrap_or(&page.executions);
            @if listed.is_empty() { (parts::empty(visit.say(text::NO_EXECUTIONS))) }
            @else { (parts::executions(visit, clock, listed, false)) }
            @if page.executions.len() > LISTED {
                p.pages { a.button href={ "/executions?task=" (parts::segment(&task.id)) } { (visit.say(text::ALL_EXECUTIONS)) } }
            }
        }
        div.columns {
            (definition(visit, task.definition.body()))
            section.card { (ownership(visit, &page.assignment)) }
        }
        (graph::chains(visit, &page.chains, |name| page.last.get(name).copied()))
        (revisions(visit, clock, task, &page.revisions))
    }
}

fn actions(visit: &Visit, task: &TaskView) -> Markup {
    let path = |action: &str| format!("{}/{action}", parts::task_path(&task.id));
    let one =
        |word: &str, name: Text, kind: &str| parts::action(visit, &path(word), name, &[], kind);
    let key = parts::once();
    html! {
        div.row.actions {
            @match &*task.state {
                "deleted" => {
                    (one("reuse", text::REUSE, "primary"))
                    (one("cleanup", text::CLEANUP, "danger"))
                }
                state => {
                    (parts::action(visit, &path("trigger"), text::RUN_NOW, &[("key", &key)], "primary"))
                    @if state == "paused" || state == "cancelled" { (one("resume", text::RESUME, "")) }
                    @else { (pause(visit, &path("pause"))) }
                    @if state != "cancelled" { (one("cancel", text::CANCEL, "danger")) }
                    (edit::links(visit, &task.id))
                    (one("delete", text::DELETE, "danger"))
                }
            }
        }
    }
}

/// A pause with its reason.
fn pause(visit: &Visit, path: &str) -> Markup {
    html! {
        @if !visit.read_only {
            details.pop {
                summary.button { (visit.say(text::PAUSE)) }
                form.pop-body method="post" action=(path) {
                    (visit.form_fields())
                    label { (visit.say(text::PAUSE_REASON)) input name="reason" maxlength="200"; }
                    button.primary { (visit.say(text::PAUSE)) }
                }
            }
        }
    }
}

fn strip(visit: &Visit, clock: &ZoneClock, page: &TaskPage) -> Markup {
    let chosen = page.why.as_ref().map(|why| why.at.0);
    html! {
        section.card #ticks {
            header.title {
                h2 { (visit.say(text::TICKS)) }
                nav.row.zoom aria-label=(visit.say(text::ZOOM)) {
                    @for (word, _) in RANGES {
                        a href=(visit.with(&[("zoom", word)])) aria-current=[(word == page.zoom).then_some("true")] { (word) }
                    }
                }
            }
            (marks::strip(visit, clock, page.range, &page.past, &page.ahead, chosen))
            p.muted { (visit.say(text::TICKS_HELP)) " "
                @if page.kept_from > page.range.0 {
                    (visit.lang.fill(text::KEPT_FROM, &[&clock.text(page.kept_from)]))
                } }
        }
    }
}

/// The executions that wait in a line, the first one first.
fn queue(visit: &Visit, executions: &[ExecutionView]) -> Markup {
    let mut waiting: Vec<_> =
        executions.iter().filter_map(|one| Some((one, one.queue.as_ref()?))).collect();
    waiting.sort_by_key(|(_, place)| place.position);
    let all = waiting.len();
    waiting.truncate(LISTED);
    html! {
        @if all > 0 {
            section.card #queue {
                h2 { (visit.say(text::QUEUE)) }
                ol.plain {
                    @for (one, place) in &waiting {
                        li { (parts::execution(&one.id)) span.right { (parts::queue(visit, place)) } }
                    }
                }
                @if all > waiting.len() {
                    p.muted { (visit.lang.fill(text::AND_MORE, &[&(all - waiting.len()).to_string()])) }
                }
            }
        }
    }
}

fn next(visit: &Visit, clock: &ZoneClock, page: &TaskPage) -> Markup {
    html! {
        section.card {
            h2 { (visit.say(text::NEXT_TEN)) }
            @if page.next.is_empty() { (parts::empty(visit.say(text::NO_TICKS))) }
            ol.plain {
                @for tick in &page.next {
                    li {
                        span title=(tick.local) { (clock.time(tick.at.0)) }
                        @if let Some(calendar) = &tick.excluded { " " (parts::badge(visit, "excluded")) " " (calendar) }
                        @if let Some(note) = parts::note(visit, tick) { " " span.note { (note) } }
                        span.right { (clock.distance(tick.at.0)) }
                    }
                }
            }
        }
    }
}

fn statistics(visit: &Visit, page: &TaskPage) -> Markup {
    let stats = &page.stats.stats;
    let rate = stats.success_rate.map(|rate| format!("{:.1} %", rate * 100.0));
    let spread = |of: &crate::dto::Percentiles| {
        format!(
            "p50 {} · p95 {} · max {}",
            marks::milliseconds(of.p50),
            marks::milliseconds(of.p95),
            marks::milliseconds(of.max)
        )
    };
    let totals = &stats.totals;
    let counts = [
        ("fired", totals.fired),
        ("skipped", totals.skipped),
        ("missed", totals.missed),
        ("coalesced", totals.coalesced),
        ("success", totals.success),
        ("failed", totals.failed + totals.timeout + totals.lost),
    ];
    html! {
        section.card {
            h2 { (visit.say(text::STATISTICS)) }
            dl.facts {
                (parts::fact(visit, text::SUCCESS_RATE, Some(html! { (rate.unwrap_or_else(|| visit.say(text::NOT_YET).to_owned())) })))
                (parts::fact(visit, text::DURATION, Some(html! { (spread(&stats.duration_ms)) })))
                (parts::fact(visit, text::LATENESS, Some(html! { (spread(&stats.lateness_ms)) })))
                (parts::fact(visit, text::TOTALS, Some(html! {
                    @for (word, count) in counts { span.total { (count) " " (visit.lang.word(word)) } " " }
                })))
            }
            h3 { (visit.say(text::DAYS)) }
            (marks::days(visit, &stats.days))
        }
    }
}

fn definition(visit: &Visit, body: Option<&TaskBody>) -> Markup {
    let Some(body) = body else { return html! {} };
    let mode = match &*body.execution_mode {
        "parallel" => text::MODE_PARALLEL,
        "skip" => text::MODE_SKIP,
        "replace" => text::MODE_REPLACE,
        _ => text::MODE_SEQUENTIAL,
    };
    let timeout = match &*body.timeout {
        "0s" | "0ms" => visit.say(text::NO_TIMEOUT).to_owned(),
        time => visit.lang.fill(text::TIMEOUT_IS, &[time]),
    };
    let retry = match body.retry.max_retry {
        0 => visit.say(text::NO_RETRY).to_owned(),
        max => visit.lang.fill(text::RETRY_IS, &[&max.to_string()]),
    };
    let late = match &*body.catch_up.policy {
        "all" => text::LATE_ALL,
        "last" => text::LATE_LAST,
        _ => text::LATE_NONE,
    };
    let late = visit.lang.fill(late, &[&body.catch_up.window]);
    let json = serde_json::to_string_pretty(body).unwrap_or_default();
    html! {
        section.card {
            h2 { (visit.say(text::DEFINITION)) }
            p { code.wrap { (short::action(body.action.as_ref())) } }
            ul { @for line in [visit.say(mode), &timeout, &retry, &late] { li { (line) } } }
            @if !body.labels.is_empty() {
                p { @for (key, value) in &body.labels { span.label { (key) "=" (value) } " " } }
            }
            details { summary { "JSON" } pre.source tabindex="0" { code { (json) } } }
        }
    }
}

fn ownership(visit: &Visit, assignment: &AssignmentView) -> Markup {
    html! {
        h2 { (visit.say(text::OWNERSHIP)) }
        p { (visit.lang.of_two(&assignment.why, &assignment.why_zh)) }
        ol.plain {
            @for node in &assignment.nodes {
                li {
                    (parts::dot(if node.eligible { "success" } else { "off" })) " "
                    (node.node) " "
                    @if let (Some(detail), Some(zh)) = (&node.detail, &node.detail_zh) {
                        span.muted { (visit.lang.of_two(detail, zh)) }
                    }
                    @if let Some(rank) = node.rank { span.right.muted { "#" (rank) } }
                }
            }
        }
    }
}

fn revisions(
    visit: &Visit,
    clock: &ZoneClock,
    task: &TaskView,
    revisions: &RevisionsView,
) -> Markup {
    html! {
        section.card {
            h2 { (visit.say(text::REVISIONS)) }
            ol.plain {
                @for one in &revisions.items {
                    li.revision {
                        (one.revision) " " (clock.time(one.at.0)) " "
                        span.muted { (one.by) }
                        @if one.current { " " (parts::badge(visit, "active")) }
                        @else if &*task.state != "deleted" { (edit::from_revision(visit, &task.id, one.revision)) }
                        @if let Some(changes) = one.changes.as_ref().filter(|all| !all.is_empty()) {
                            ul.diff {
                                @for change in changes {
                                    li { code { (change.pointer) } ": "
                                        del { (value(&change.before)) } " " ins { (value(&change.after)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
