//! What is in one minute of the chart of hours.

use maud::{Markup, html};

use super::clock::ZoneClock;
use super::parts;
use super::text;
use super::visit::Visit;
use crate::ops::minute::{MinuteTicks, UnfiredTicks};

/// The card below the chart.
pub(super) fn card(visit: &Visit, clock: &ZoneClock, minute: &MinuteTicks) -> Markup {
    let none = minute.executions.is_empty() && minute.unfired.is_empty() && minute.ahead.is_empty();
    html! {
        section.card #minute {
            header.title {
                h2 { (clock.time(minute.from)) }
                a.button href=(visit.with(&[("minute", "")])) { (visit.say(text::CLOSE)) }
            }
            @if minute.partial { p.notice { (visit.say(text::MINUTE_PARTIAL)) } }
            @if none { (parts::empty(visit.say(text::NOTHING))) }
            @if !minute.executions.is_empty() {
                (parts::executions(visit, clock, &minute.executions, true))
            }
            @if !minute.unfired.is_empty() {
                h3 { (visit.say(text::NOT_FIRED)) }
                ul.plain { @for one in &minute.unfired { (unfired(visit, clock, one)) } }
            }
            @if !minute.ahead.is_empty() {
                h3 { (visit.say(text::TICKS_TO_COME)) }
                ul.plain {
                    @for (task, count) in &minute.ahead {
                        li { (parts::task(task)) span.right { (count) } }
                    }
                }
            }
            @if minute.more > 0 {
                p.muted { (visit.lang.fill(text::AND_MORE, &[&minute.more.to_string()])) }
            }
        }
    }
}

fn unfired(visit: &Visit, clock: &ZoneClock, one: &UnfiredTicks) -> Markup {
    let at = one.to.to_string();
    let why = format!("{}?at={at}#why", parts::task_path(&one.task));
    html! {
        li {
            (parts::badge(visit, one.verdict)) " " (parts::task(&one.task)) " "
            a href=(why) { (visit.lang.word(one.reason)) }
            @if let Some(count) = one.count.filter(|count| *count > 1) { " × " (count) }
            span.right { (clock.time(one.to)) }
        }
    }
}
