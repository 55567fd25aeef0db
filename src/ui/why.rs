//! What became of one tick, and why.

use maud::{Markup, html};

use super::clock::ZoneClock;
use super::parts;
use super::text;
use super::visit::Visit;
use crate::dto::WhyView;

/// The answer about one instant of a task.
pub(super) fn card(visit: &Visit, clock: &ZoneClock, why: &WhyView) -> Markup {
    let verdict = why.verdict.as_deref().or(why.expected.as_deref());
    html! {
        section.card #why aria-live="polite" {
            h2 { (visit.say(text::WHY)) ": " (clock.time(why.at.0)) }
            p { @if let Some(verdict) = verdict { (parts::badge(visit, verdict)) " " }
                @if let Some(reason) = &why.reason { (visit.lang.word(reason)) } }
            p { (visit.lang.of_two(&why.summary, &why.summary_zh)) }
            dl.facts {
                (parts::fact(visit, text::EXECUTION, why.execution_id.as_deref().map(|id| {
                    if why.execution_kept == Some(true) { parts::execution(id) } else { html! { (id) } }
                })))
                (parts::fact(visit, text::OUTCOME, why.ended.as_ref().map(|ended| html! {
                    (parts::badge(visit, &ended.status))
                    @if let Some(reason) = &ended.reason { " " (reason) }
                })))
                (parts::fact(visit, text::NODE, why.ended.as_ref()
                    .and_then(|ended| ended.node.as_ref()).map(|node| html! { (node) })))
                (parts::fact(visit, text::DUE, why.due.map(|due| clock.time(due.0))))
                (parts::fact(visit, text::OWNER, why.owner.as_ref().map(|owner| html! { (owner) })))
            }
        }
    }
}
