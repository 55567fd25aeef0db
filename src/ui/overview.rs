//! `/`: whether all is well, what needs attention, and what was and will be within an hour.

use axum::response::Response;
use maud::{Markup, html};

use super::clock::{ZoneClock, rough};
use super::shell::{Page, Section};
use super::text::{self, Text};
use super::visit::Visit;
use super::{edit, hours, minute, parts};
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{ExecutionView, NodeView};
use crate::ops::attention::{AttentionKind, TaskAttention};
use crate::ops::context::StateView;
use crate::ops::executions::{self, ExecutionFilter};
use crate::ops::lists::PageRequest;
use crate::ops::minute::MinuteTicks;
use crate::ops::overview::{self, Overview};
use crate::ops::tasks::list::NamedTasks;
use crate::ops::{OpError, nodes};

/// A clock that is off by more than this needs attention.
const CLOCK_OFF_MS: u64 = 500;
/// The last executions that are listed.
const LAST: usize = 20;
/// Nodes that are listed.
const NODES: usize = 100;

/// `GET /`.
pub(super) async fn show(visit: Visit) -> Response {
    let page = made(&visit).await;
    visit.answer(page)
}

async fn made(visit: &Visit) -> Result<Page, OpError> {
    let view = visit.view().await?;
    let overview = overview::of(&visit.context, &view).await?;
    let all = PageRequest::Cursor { limit: NODES, after: None };
    let nodes = nodes::list(&visit.context, &view, &all).await?.items;
    let last = last(&view)?;
    let minute = asked_minute(visit, &view).await?;
    let clock = visit.clock(&view);
    let title = visit.say(text::OVERVIEW).to_owned();
    let started = view.state.cluster().scheduler;
    let body = html! {
        h1.sentence { (sentence(visit, &overview, &nodes)) }
        (scheduler(visit, started))
        (attention(visit, &clock, &overview, &nodes))
        @if overview.tasks() == 0 {
            section.card #first {
                p { (visit.say(text::NO_TASKS_YET)) }
                pre { code { "punctual add hello --every 5s -- echo \"on time\"" } }
                div.row.actions { (edit::new_task(visit)) }
            }
        }
        section.card #hours {
            h2 { (visit.say(text::LAST_AND_NEXT_HOUR)) }
            div.scroll tabindex="0" role="region" aria-label=(visit.say(text::LAST_AND_NEXT_HOUR)) {
                div.chart { (hours::chart(visit, &clock, &overview)) }
            }
            (legend(visit))
            @if let Some(from) = overview.past_from {
                p.muted { (visit.lang.fill(text::PAST_FROM, &[&clock.text(from)])) }
            }
            @if overview.more_bars > 0 {
                p.muted { (visit.lang.fill(text::MORE_BARS, &[&overview.more_bars.to_string()])) }
            }
        }
        @if let Some(minute) = &minute { (minute::card(visit, &clock, minute)) }
        div.columns {
            section.card {
                h2 { (visit.say(text::NEXT_TICKS)) }
                @let next: Vec<_> = overview.next.iter().filter(|tick| tick.at >= view.now).collect();
                @if next.is_empty() { (parts::empty(visit.say(text::NO_TICKS))) }
                ol.plain {
                    @for tick in next {
                        li { (parts::task(&tick.task)) span.right { (clock.time(tick.at)) } }
                    }
                }
            }
            section.card {
                h2 { (visit.say(text::LAST_EXECUTIONS)) }
                @if last.is_empty() { (parts::empty(visit.say(text::NO_EXECUTIONS))) }
                ol.plain {
                    @for one in &last {
                        li #{ "x" (one.id) } {
                            (parts::badge(visit, &one.status)) " " (parts::task(&one.task)) " "
                            (parts::execution(&one.id))
                            span.right {
                                @if let Some(length) = parts::duration(one, &clock) { (length) " · " }
                                (clock.relative(one.start_time.unwrap_or(one.due).0))
                            }
                        }
                    }
                }
            }
        }
        section {
            h2 { (visit.say(text::NODES)) }
            div.cards { @for node in &nodes { (card(visit, node)) } }
        }
    };
    Ok(Page { section: Section::Overview, title, body })
}

/// What is in the minute that was chosen.
async fn asked_minute(visit: &Visit, view: &StateView) -> Result<Option<MinuteTicks>, OpError> {
    let Some(at) = visit.get("minute").and_then(|at| Timestamp::parse(at).ok()) else {
        return Ok(None);
    };
    let view = view.clone();
    visit.context.scans.run(move || crate::ops::minute::of(&view, at)).await.map(Some)
}

/// The newest executions.
fn last(view: &StateView) -> Result<Vec<ExecutionView>, OpError> {
    let filter = ExecutionFilter {
        tasks: NamedTasks::default(),
        status: None,
        node: None,
        executor: None,
        failed: false,
    };
    let page = PageRequest::Cursor { limit: LAST, after: None };
    let before = executions::before(&page)?;
    Ok(executions::list(view, &filter, &page, before).items)
}

/// `All 3 nodes work; 2 tasks need attention`.
fn sentence(visit: &Visit, overview: &Overview, nodes: &[NodeView]) -> String {
    let all = nodes.len();
    let working = nodes.iter().filter(|node| node.state == "working").count();
    let nodes = match (working == all, all) {
        (true, 1) => visit.say(text::ONE_NODE_WORKS).to_owned(),
        (true, _) => visit.lang.fill(text::ALL_NODES_WORK, &[&all.to_string()]),
        (false, _) => {
            visit.lang.fill(text::SOME_NODES_WORK, &[&working.to_string(), &all.to_string()])
        }
    };
    let tasks = match overview.needing {
        0 => visit.say(text::NOTHING_NEEDS_YOU).to_owned(),
        1 => visit.say(text::ONE_NEEDS_YOU).to_owned(),
        some => visit.lang.fill(text::SOME_NEED_YOU, &[&some.to_string()]),
    };
    format!("{nodes}; {tasks}")
}

fn scheduler(visit: &Visit, started: bool) -> Markup {
    html! {
        @if !started {
            div.notice #stopped role="alert" {
                p { (visit.say(text::SCHEDULER_STOPPED)) }
                (parts::action(visit, "/scheduler/start", text::START_SCHEDULER, &[], "primary"))
            }
        }
    }
}

fn attention(visit: &Visit, clock: &ZoneClock, overview: &Overview, nodes: &[NodeView]) -> Markup {
    let of_nodes: Vec<(Text, &NodeView, String)> =
        nodes.iter().filter_map(|node| of_node(visit, node)).collect();
    let mut listed: Vec<&str> = overview.attention.iter().map(|item| &*item.task).collect();
    listed.sort_unstable();
    listed.dedup();
    let listed = listed.len() as u64;
    html! {
        section.card #needs aria-labelledby="attention" {
            h2 #attention { (visit.say(text::ATTENTION)) }
            @if listed == 0 && of_nodes.is_empty() { (parts::empty(visit.say(text::NOTHING_HERE))) }
            ul.plain {
                @for (kind, node, reason) in &of_nodes {
                    li {
                        span.badge.bad { (parts::dot("failed")) (visit.say(*kind)) } " "
                        a.name href="/nodes" { (node.name) } " "
                        span.muted { (reason) }
                    }
                }
                @for item in &overview.attention {
                    li {
                        span.badge.(severity(item.kind)) { (visit.say(kind(item.kind))) } " "
                        (parts::task(&item.task)) " "
                        span.muted { (reason(visit, clock, item)) }
                        @if let Some(id) = &item.execution { " " (parts::execution(id)) }
                    }
                }
            }
            @if overview.needing > listed {
                p.muted { (visit.lang.fill(text::AND_MORE, &[&(overview.needing - listed).to_string()])) }
            }
        }
    }
}

fn of_node<'a>(visit: &Visit, node: &'a NodeView) -> Option<(Text, &'a NodeView, String)> {
    if node.state != "working" {
        let reason = visit.lang.fill(text::WHY_NODE, &[&visit.lang.word(&node.state)]);
        return Some((text::KIND_NODE, node, reason));
    }
    let skew = node.clock_skew_ms.filter(|skew| skew.unsigned_abs() > CLOCK_OFF_MS)?;
    let off = rough(Millis(skew.unsigned_abs()));
    Some((text::KIND_CLOCK, node, visit.lang.fill(text::WHY_CLOCK, &[&off])))
}

const fn kind(kind: AttentionKind) -> Text {
    match kind {
        AttentionKind::Failing => text::KIND_FAILING,
        AttentionKind::Late => text::KIND_LATE,
        AttentionKind::NoOwner => text::KIND_NO_OWNER,
        AttentionKind::WaitsForExecutor => text::KIND_WAITS,
        AttentionKind::Stuck => text::KIND_STUCK,
        AttentionKind::Drifted => text::KIND_DRIFTED,
    }
}

const fn severity(kind: AttentionKind) -> &'static str {
    match kind {
        AttentionKind::Failing | AttentionKind::Late | AttentionKind::NoOwner => "bad",
        AttentionKind::WaitsForExecutor | AttentionKind::Stuck | AttentionKind::Drifted => "wait",
    }
}

fn reason(visit: &Visit, clock: &ZoneClock, item: &TaskAttention) -> String {
    let at = item.at.map(|at| clock.text(at)).unwrap_or_default();
    let distance = item.at.map(|at| clock.distance(at)).unwrap_or_default();
    let id = item.execution.as_deref().unwrap_or_default();
    match item.kind {
        AttentionKind::Failing => {
            visit.lang.fill(text::WHY_FAILING, &[&visit.lang.word(&item.detail), &distance])
        }
        AttentionKind::Late => visit.lang.fill(text::WHY_LATE, &[&at]),
        AttentionKind::NoOwner => visit.say(text::WHY_NO_OWNER).to_owned(),
        AttentionKind::WaitsForExecutor => visit.lang.fill(text::WHY_WAITS, &[id, &at]),
        AttentionKind::Stuck => visit.lang.fill(text::WHY_STUCK, &[id, &at]),
        AttentionKind::Drifted => visit.say(text::WHY_DRIFTED).to_owned(),
    }
}

fn legend(visit: &Visit) -> Markup {
    let kinds = [
        ("ok", "success"),
        ("bad", "failed"),
        ("run", "running"),
        ("off", "skipped"),
        ("bad hollow", "missed"),
    ];
    html! {
        p.legend {
            @for (kind, word) in kinds { span { i class=(kind) {} (visit.lang.word(word)) } }
            span { i.ahead {} (visit.say(text::TICKS_TO_COME)) }
            span { i.long.run {} (visit.say(text::LONG_EXECUTIONS)) }
        }
    }
}

/// A node in short.
fn card(visit: &Visit, node: &NodeView) -> Markup {
    html! {
        article.card.node #{ "n" (node.id) } {
            h3 { (parts::dot(&node.state)) a href="/nodes" { (node.name) } " "
                @if node.role == "leader" { span.badge.run { (visit.lang.word(&node.role)) } } }
            dl.facts {
                (parts::fact(visit, text::STATE, Some(html! { (visit.lang.word(&node.state))
                    @if node.intent != "none" { ", " (visit.lang.word(&node.intent)) } })))
                (parts::fact(visit, text::OWNED, Some(html! { (node.tasks_owned) })))
                (parts::fact(visit, text::RUNNING, Some(html! { (node.running) })))
                (parts::fact(visit, text::CLOCK, node.clock_skew_ms.map(|skew| html! {
                    (skew_words(visit, skew)) })))
                (parts::fact(visit, text::APPLIED, node.applied_index.map(|index| html! { (index) })))
                (parts::fact(visit, text::TERM, node.term.map(|term| html! { (term) })))
            }
        }
    }
}

/// How far a clock is off, in words.
pub(super) fn skew_words(visit: &Visit, skew: i64) -> String {
    let length = rough(Millis(skew.unsigned_abs()));
    match skew {
        -20..=20 => visit.say(text::IN_STEP).to_owned(),
        21.. => visit.lang.fill(text::AHEAD, &[&length]),
        _ => visit.lang.fill(text::BEHIND, &[&length]),
    }
}
