//! `/calendars`: the named times that schedules leave out.

use axum::response::Response;
use maud::html;

use super::parts;
use super::shell::{Page, Section};
use super::tasks::page_of;
use super::text;
use super::visit::Visit;
use crate::dto::ListView;
use crate::ops::{OpError, calendars};

/// Calendars on one page.
const SHOWN: usize = 50;

/// `GET /calendars`.
pub(super) async fn list(visit: Visit) -> Response {
    let page = made(&visit).await;
    visit.answer(page)
}

async fn made(visit: &Visit) -> Result<Page, OpError> {
    let view = visit.view().await?;
    let page = page_of(visit, SHOWN)?;
    let scan = move || calendars::list(&view, &page);
    let ListView { items, place } = visit.context.scans.run(scan).await?;
    let title = visit.say(text::CALENDARS).to_owned();
    let body = html! {
        h1 { (title) }
        @if items.is_empty() { (parts::empty(visit.say(text::NO_CALENDARS))) }
        @for calendar in &items {
            section.card {
                h2 { (calendar.id) }
                p.muted { (visit.say(text::USED_BY)) ": " (calendar.task_count) " " (visit.say(text::TASKS)) }
                pre.source tabindex="0" {
                    code { (serde_json::to_string_pretty(&calendar.body).unwrap_or_default()) }
                }
            }
        }
        (parts::pages(visit, &place))
    };
    Ok(Page { section: Section::Calendars, title, body })
}
