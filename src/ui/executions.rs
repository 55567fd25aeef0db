//! `/executions`: all of them, newest first. `/failed`: those that wait for a decision, by cause.

use std::collections::BTreeMap;

use axum::response::Response;
use maud::{Markup, html};
use xxhash_rust::xxh3::xxh3_64;

use super::clock::ZoneClock;
use super::parts;
use super::shell::{Page, Section};
use super::tasks::page_of;
use super::text::{self, Text};
use super::visit::Visit;
use crate::dto::{ExecutionView, short};
use crate::ops::OpError;
use crate::ops::executions::{self, ExecutionFilter};
use crate::ops::lists::{SearchedPage, is_glob};
use crate::ops::tasks::list::NamedTasks;
use crate::ops::words::STATUSES;

/// Executions on one page.
const SHOWN: usize = 50;
/// Failed executions that are grouped by their cause.
const FAILED: usize = 500;
/// Letters of a cause by which executions are grouped.
const CAUSE: usize = 80;

/// `GET /executions`.
pub(super) async fn list(visit: Visit) -> Response {
    let page = listed(&visit).await;
    visit.answer(page)
}

async fn listed(visit: &Visit) -> Result<Page, OpError> {
    let status = visit.get("status").and_then(|word| STATUSES.into_iter().find(|own| *own == word));
    let (clock, page) = read(visit, status, false, SHOWN).await?;
    let items = &page.items;
    let title = visit.say(text::EXECUTIONS).to_owned();
    let body = html! {
        h1 { (title) @if let Some(task) = visit.get("task") { ": " (parts::task(task)) } }
        form.filter method="get" action="/executions" role="search" {
            @if let Some(task) = visit.get("task") { input type="hidden" name="task" value=(task); }
            @else { label { (visit.say(text::TASK))
                input type="search" name="q" value=[visit.get("q")] placeholder=(visit.say(text::SEARCH_HINT)); } }
            label { (visit.say(text::STATUS))
                select name="status" {
                    option value="" { (visit.say(text::ANY)) }
                    @for one in STATUSES {
                        option value=(one) selected[status == Some(one)] { (visit.lang.word(one)) }
                    }
                } }
            button { (visit.say(text::FILTER)) }
            @if visit.get("task").is_some() { a.button href="/executions" { (visit.say(text::CLEAR_FILTER)) } }
        }
        @if items.is_empty() && page.unfinished.is_none() { (parts::empty(visit.say(text::NOTHING_MATCHES))) }
        @if !items.is_empty() { div.card { (parts::executions(visit, &clock, items, true)) } }
        (parts::searched(visit, &page, text::EXECUTIONS_SEARCHED))
    };
    Ok(Page { section: Section::Executions, title, body })
}

/// `GET /failed`.
pub(super) async fn failed(visit: Visit) -> Response {
    let page = grouped(&visit).await;
    visit.answer(page)
}

async fn grouped(visit: &Visit) -> Result<Page, OpError> {
    let (clock, mut page) = read(visit, None, true, FAILED).await?;
    let title = visit.say(text::FAILED).to_owned();
    let mut causes: BTreeMap<(String, String), Vec<ExecutionView>> = BTreeMap::new();
    for one in std::mem::take(&mut page.items) {
        causes.entry(cause(&one)).or_default().push(one);
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    let body = html! {
        h1 { (title) }
        p.muted { (visit.say(text::FAILED_HELP)) }
        @if causes.is_empty() && page.unfinished.is_none() { (parts::empty(visit.say(text::NO_FAILED))) }
        @for (cause, group) in &causes { (card(visit, &clock, cause, group)) }
        (parts::searched(visit, &page, text::EXECUTIONS_SEARCHED))
    };
    Ok(Page { section: Section::Failed, title, body })
}

fn card(
    visit: &Visit,
    clock: &ZoneClock,
    (status, cause): &(String, String),
    group: &[ExecutionView],
) -> Markup {
    // The oldest first, as they would have run.
    let ids: Vec<&str> = group.iter().rev().map(|one| &*one.id).collect();
    let ids = ids.join(" ");
    let id = xxh3_64(format!("{status} {cause}").as_bytes());
    html! {
        section.card #{ "c" (format!("{id:016x}")) } {
            header.title {
                h2 { (group.len()) " × " (parts::badge(visit, status)) " " (cause) }
                div.row.actions {
                    (many(visit, "retry", text::RETRY_THESE, &ids, group.len()))
                    (many(visit, "dismiss", text::DISMISS_THESE, &ids, group.len()))
                }
            }
            details open[group.len() <= 5] {
                summary { (visit.say(text::EXECUTIONS)) }
                (parts::executions(visit, clock, group, true))
            }
        }
    }
}

/// One action on the executions of a group. The number stands on the button.
fn many(visit: &Visit, action: &str, name: Text, ids: &str, count: usize) -> Markup {
    html! {
        @if !visit.read_only {
            form.action method="post" action="/executions" {
                (visit.form_fields())
                input type="hidden" name="action" value=(action);
                input type="hidden" name="ids" value=(ids);
                input type="hidden" name="key" value=(parts::once());
                @let name = visit.lang.fill(name, &[&count.to_string()]);
                button data-confirm={ (name) "?" } { (name) }
            }
        }
    }
}

/// How an execution ended and why, without what differs from one to the next.
fn cause(execution: &ExecutionView) -> (String, String) {
    let result = short::result(execution);
    let first = result.lines().next().unwrap_or_default();
    (execution.status.to_string(), first.chars().take(CAUSE).collect())
}

async fn read(
    visit: &Visit,
    status: Option<&'static str>,
    failed: bool,
    limit: usize,
) -> Result<(ZoneClock, SearchedPage<ExecutionView>), OpError> {
    let view = visit.view().await?;
    let clock = visit.clock(&view);
    let searched = || {
        let text = visit.get("q")?;
        Some(if is_glob(text) { text.to_owned() } else { format!("*{text}*") })
    };
    let names = visit.get("task").map(str::to_owned).or_else(searched);
    let tasks = NamedTasks { names: names.into_iter().collect(), labels: Vec::new() };
    let filter = ExecutionFilter { tasks, status, node: None, executor: None, failed };
    let page = page_of(visit, limit)?;
    let before = executions::before(&page)?;
    let scan = move || executions::searched(&view, &filter, limit, before);
    Ok((clock, visit.context.scans.run(scan).await?))
}
