//! `/tasks`: the list of tasks, with filter, order and actions on many.

use axum::response::Response;
use maud::{Markup, html};

use super::clock::ZoneClock;
use super::shell::{Page, Section};
use super::text::{self, Text};
use super::visit::Visit;
use super::{edit, marks, parts};
use crate::dto::{TaskView, short};
use crate::ops::OpError;
use crate::ops::context::StateView;
use crate::ops::lists::{PageRequest, SearchedPage, decode, is_glob};
use crate::ops::tasks::list::{self, NamedTasks, TaskFilter, TaskOrder};
use crate::ops::words::{self, TASK_STATES};

/// Tasks on one page.
const SHOWN: usize = 50;
/// Outcomes shown of a task.
const OUTCOMES: usize = 30;

const ORDERS: [(&str, TaskOrder, Text); 3] = [
    ("name", TaskOrder::Name, text::BY_NAME),
    ("next", TaskOrder::Next, text::BY_NEXT),
    ("last", TaskOrder::Last, text::BY_LAST),
];

/// A task of the list, with its last outcomes.
struct TaskRow {
    task: TaskView,
    outcomes: Vec<&'static str>,
}

/// `GET /tasks`.
pub(super) async fn list(visit: Visit) -> Response {
    let page = made(&visit).await;
    visit.answer(page)
}

async fn made(visit: &Visit) -> Result<Page, OpError> {
    let view = visit.view().await?;
    let clock = visit.clock(&view);
    let asked = visit.clone();
    let page = visit.context.scans.run(move || rows(&asked, &view)).await??;
    let rows = &page.items;
    let title = visit.say(text::TASKS).to_owned();
    let body = html! {
        header.title {
            h1 { (visit.say(text::TASKS)) }
            (edit::new_task(visit))
        }
        (filter(visit))
        @if rows.is_empty() && page.unfinished.is_none() {
            (parts::empty(visit.say(text::NOTHING_MATCHES)))
            p { a href="/tasks" { (visit.say(text::CLEAR_FILTER)) } }
        } @else {
            @if !rows.is_empty() { (table(visit, &clock, rows)) }
            (parts::searched(visit, &page, text::TASKS_SEARCHED))
        }
    };
    Ok(Page { section: Section::Tasks, title, body })
}

/// The page of a list that the query asks for.
pub(super) fn page_of(visit: &Visit, limit: usize) -> Result<PageRequest, OpError> {
    let after = visit.get("cursor").map(|cursor| decode(cursor).ok_or_else(OpError::cursor));
    Ok(PageRequest::Cursor { limit, after: after.transpose()? })
}

fn rows(visit: &Visit, view: &StateView) -> Result<SearchedPage<TaskRow>, OpError> {
    let status =
        visit.get("state").and_then(|word| TASK_STATES.into_iter().find(|own| *own == word));
    let names = visit.get("q").map(|text| {
        // A part of a name is enough.
        if is_glob(text) { text.to_owned() } else { format!("*{text}*") }
    });
    let labels = visit.get("label").map(|text| match text.split_once('=') {
        Some((key, value)) => (key.trim().to_owned(), Some(value.trim().to_owned())),
        None => (text.to_owned(), None),
    });
    let filter = TaskFilter {
        status,
        named: NamedTasks {
            names: names.into_iter().collect(),
            labels: labels.into_iter().collect(),
        },
        owner: None,
        deleted: status == Some("deleted"),
    };
    let order = ORDERS.iter().find(|(word, ..)| visit.get("sort") == Some(word));
    let order = order.map_or(TaskOrder::Name, |(_, order, _)| *order);
    let page = page_of(visit, SHOWN)?;
    let part = (SHOWN, page.after());
    let SearchedPage { items, next, unfinished } =
        list::searched(&visit.context, view, &filter, part, order)?;
    let rows = items.into_iter().map(|task| {
        let known = view.state.named(&task.id);
        let executions = known.into_iter().flat_map(|task| task.history.executions.iter().rev());
        let mut outcomes: Vec<&str> =
            executions.take(OUTCOMES).map(|one| words::status(one.status)).collect();
        outcomes.reverse();
        TaskRow { task, outcomes }
    });
    Ok(SearchedPage { items: rows.collect(), next, unfinished })
}

fn filter(visit: &Visit) -> Markup {
    html! {
        form.filter method="get" action="/tasks" role="search" {
            label { (visit.say(text::SEARCH))
                input type="search" name="q" value=[visit.get("q")]
                    placeholder=(visit.say(text::SEARCH_HINT)); }
            label { (visit.say(text::STATE))
                select name="state" {
                    option value="" { (visit.say(text::ANY)) }
                    @for state in TASK_STATES {
                        option value=(state) selected[visit.get("state") == Some(state)] {
                            (visit.lang.word(state))
                        }
                    }
                } }
            label { (visit.say(text::LABEL))
                input name="label" value=[visit.get("label")] placeholder=(visit.say(text::LABEL_HINT)); }
            label { (visit.say(text::SORT))
                select name="sort" {
                    @for (word, _, name) in ORDERS {
                        option value=(word) selected[visit.get("sort") == Some(word)] {
                            (visit.say(name))
                        }
                    }
                } }
            button { (visit.say(text::FILTER)) }
        }
    }
}

fn table(visit: &Visit, clock: &ZoneClock, rows: &[TaskRow]) -> Markup {
    html! {
        form.card #bulk method="post" action="/tasks" {
            (visit.form_fields())
            input type="hidden" name="key" value=(parts::once());
            @if !visit.read_only { (bulk(visit)) }
            div.scroll tabindex="0" role="region" aria-label=(visit.say(text::TASKS)) {
                table {
                    thead { tr {
                        @if !visit.read_only { th.check scope="col" {
                            input type="checkbox" #all hidden aria-label=(visit.say(text::SELECT_ALL));
                        } }
                        th scope="col" { (visit.say(text::NAME)) }
                        th scope="col" { (visit.say(text::STATE)) }
                        th scope="col" { (visit.say(text::SCHEDULE)) }
                        th scope="col" { (visit.say(text::NEXT)) }
                        th scope="col" { (visit.say(text::LAST)) }
                        th scope="col" { (visit.say(text::HISTORY)) }
                        th scope="col" { (visit.say(text::OWNER)) }
                    } }
                    tbody { @for row in rows { (tr(visit, clock, row)) } }
                }
            }
        }
    }
}

/// The actions on the selected tasks.
fn bulk(visit: &Visit) -> Markup {
    let actions = [
        ("pause", text::PAUSE),
        ("resume", text::RESUME),
        ("trigger", text::RUN_NOW),
        ("cancel", text::CANCEL),
        ("delete", text::DELETE),
    ];
    html! {
        div.row.bulk {
            span.muted { (visit.say(text::SELECTED)) }
            @for (action, name) in actions {
                button name="action" value=(action) data-many=(visit.say(text::REALLY_MANY)) { (visit.say(name)) }
            }
        }
    }
}

fn tr(visit: &Visit, clock: &ZoneClock, row: &TaskRow) -> Markup {
    let TaskRow { task, outcomes } = row;
    let body = task.definition.body();
    html! {
        tr id={ "t" (task.incarnation) } {
            @if !visit.read_only { td.check {
                input type="checkbox" name="name" value=(task.id) autocomplete="off"
                    aria-label=(visit.lang.fill(text::SELECT, &[&task.id]));
            } }
            th.name scope="row" { (parts::task(&task.id)) }
            td { (parts::badge(visit, &task.state))
                @if body.is_some_and(|body| !body.enabled) { " " (parts::badge(visit, "disabled")) } }
            td.cut { @if let Some(body) = body { code { (short::schedule(&body.schedule)) } } }
            td { @if let Some(next) = task.next_tick { (clock.relative(next.0)) } @else { "–" } }
            td { @if let Some(last) = &task.last_execution { (parts::last(visit, clock, last)) } @else { "–" } }
            td { (marks::spark(visit, outcomes)) }
            td { (task.owner.as_deref().unwrap_or("–")) }
        }
    }
}
