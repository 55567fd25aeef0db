//! `/executors`: the services outside the cluster that carry out executions.

use axum::response::Response;
use maud::{Markup, html};

use super::clock::ZoneClock;
use super::parts;
use super::shell::{Page, Section};
use super::tasks::page_of;
use super::text;
use super::visit::Visit;
use crate::dto::{ExecutorView, ListView};
use crate::ops::{OpError, executors};

/// Executors on one page.
const SHOWN: usize = 50;

/// `GET /executors`.
pub(super) async fn list(visit: Visit) -> Response {
    let page = made(&visit).await;
    visit.answer(page)
}

async fn made(visit: &Visit) -> Result<Page, OpError> {
    let view = visit.view().await?;
    let clock = visit.clock(&view);
    let ListView { items, place } = executors::list(&view, None, &page_of(visit, SHOWN)?);
    let title = visit.say(text::EXECUTORS).to_owned();
    let body = html! {
        h1 { (title) }
        @if items.is_empty() { (parts::empty(visit.say(text::NO_EXECUTORS))) }
        div.cards { @for one in &items { (card(visit, &clock, one)) } }
        (parts::pages(visit, &place))
    };
    Ok(Page { section: Section::Executors, title, body })
}

fn card(visit: &Visit, clock: &ZoneClock, executor: &ExecutorView) -> Markup {
    let head = &executor.head;
    let load = match head.capacity {
        0 => format!("{} · {}", head.in_flight, visit.say(text::UNLIMITED)),
        capacity => format!("{}/{capacity}", head.in_flight),
    };
    let path = format!("/executors/{}/", parts::segment(&head.id));
    html! {
        article.card #{ "e" (parts::segment(&head.id)) } {
            h2 { (parts::dot(&head.status)) (head.id) }
            p { (parts::badge(visit, &head.status))
                @if head.name != head.id { " " (head.name) }
                @if !head.reason.is_empty() { " " span.muted { (head.reason) } } }
            dl.facts {
                (parts::fact(visit, text::LOAD, Some(html! { (load)
                    @if head.capacity > 0 { " " meter min="0" max=(head.capacity) value=(head.in_flight)
                        aria-label=(visit.say(text::LOAD)) {} } })))
                (parts::fact(visit, text::WEIGHT, Some(html! { (head.weight) })))
                (parts::fact(visit, text::ADDRESS, Some(html! { code.wrap { (head.base_url) } })))
                (parts::fact(visit, text::HEARTBEAT, Some(clock.relative(head.last_heartbeat.0))))
                (parts::fact(visit, text::TASKS, (!executor.tasks.is_empty()).then(|| html! {
                    @for task in executor.tasks.iter().take(20) { (parts::task(task)) " " } })))
            }
            div.row.actions {
                @if head.status == "maintenance" {
                    (parts::action(visit, &format!("{path}online"), text::ONLINE, &[], "primary"))
                } @else if !visit.read_only {
                    details.pop {
                        summary.button { (visit.say(text::MAINTENANCE)) }
                        form.pop-body method="post" action={ (path) "maintenance" } {
                            (visit.form_fields())
                            label { (visit.say(text::PAUSE_REASON)) input name="reason" maxlength="200"; }
                            button.primary { (visit.say(text::MAINTENANCE)) }
                        }
                    }
                }
            }
        }
    }
}
