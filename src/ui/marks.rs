//! The charts, as SVG: each has a text for those who do not see it.

use maud::{Markup, html};

use super::clock::{ZoneClock, rough};
use super::parts::class;
use super::text;
use super::visit::Visit;
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{DayView, TickView};

/// Bars of the last outcomes, oldest first.
pub(super) fn spark(visit: &Visit, statuses: &[&str]) -> Markup {
    let width = 30 * 5;
    let from = 30_usize.saturating_sub(statuses.len());
    let told: Vec<String> =
        statuses.iter().rev().take(5).map(|word| visit.lang.word(word)).collect();
    if statuses.is_empty() {
        return html! { "–" };
    }
    html! {
        svg.spark viewBox={ "0 0 " (width) " 16" } width=(width) height="16" role="img"
            aria-label=(told.join(", ")) {
            @for (at, status) in statuses.iter().enumerate() {
                @let bad = class(status) == "bad";
                rect.(class(status)) x=((from + at) * 5) y=(if bad { 0 } else { 4 }) width="4"
                    height=(if bad { 16 } else { 12 }) rx="1" {}
            }
        }
    }
}

/// The ticks of a task in a range: those that fired as marks, spans as bands, those to come in outline.
pub(super) fn strip(
    visit: &Visit,
    clock: &ZoneClock,
    range: (Timestamp, Timestamp),
    past: &[(TickView, Timestamp)],
    ahead: &[Timestamp],
    chosen: Option<Timestamp>,
) -> Markup {
    const WIDTH: f64 = 1_000.0;
    let (from, to) = range;
    let length = (to.0 - from.0).max(1) as f64;
    let x = |at: Timestamp| ((at.0 - from.0) as f64 / length * WIDTH).clamp(0.0, WIDTH);
    let place = |at: Timestamp| format!("{:.1}", x(at));
    let why = |at: Timestamp| format!("{}#why", visit.with(&[("at", &at.to_string())]));
    let chosen_at = |at: Timestamp| chosen == Some(at);
    html! {
        svg.strip viewBox="0 0 1000 64" preserveAspectRatio="none" role="group"
            aria-label=(visit.say(text::TICKS)) {
            line.axis x1="0" x2="1000" y1="52" y2="52" {}
            g data-rove {
            @for (tick, at) in past {
                @match tick {
                    TickView::Span(span) => {
                        @let (left, right) = (x(span.from.0), x(span.to.0));
                        a #{ "s" (span.to.0.0) } href=(why(*at)) {
                            title { (told_span(visit, clock, tick)) }
                            rect.band.(class(&span.verdict)) x={ (format!("{left:.1}")) } y="20"
                                width={ (format!("{:.1}", (right - left).max(3.0))) } height="28" rx="2" {}
                        }
                    }
                    TickView::Fired(fired) => {
                        @let status = fired.ended.as_ref().map_or("running", |ended| &*ended.status);
                        a #{ "t" (fired.tick.0.0) } href=(why(*at)) {
                            title { (told_span(visit, clock, tick)) }
                            rect.mark.(class(status)).chosen[chosen_at(fired.tick.0)]
                                x={ (format!("{:.1}", x(fired.tick.0) - 2.0)) } y="12" width="4"
                                height="36" rx="1.5" {}
                        }
                    }
                }
            }
            @for at in ahead {
                a #{ "t" (at.0) } href=(why(*at)) {
                    title { (clock.text(*at)) " " (clock.zone_at(*at)) }
                    rect.mark.ahead.chosen[chosen_at(*at)] x={ (format!("{:.1}", x(*at) - 2.0)) } y="12"
                        width="4" height="36" rx="1.5" {}
                }
            }
            }
            line.now x1=(place(clock.now())) x2=(place(clock.now())) y1="0" y2="58" {}
        }
        div.ticks aria-hidden="true" {
            span { (clock.text(from)) }
            span { (clock.zone_at(from)) }
            span { (clock.text(to)) }
        }
    }
}

/// A tick, or a span of ticks that did not fire, in words.
fn told_span(visit: &Visit, clock: &ZoneClock, tick: &TickView) -> String {
    match tick {
        TickView::Fired(fired) => {
            let status = fired.ended.as_ref().map_or("running", |ended| &*ended.status);
            format!("{}: {}", clock.text(fired.tick.0), visit.lang.word(status))
        }
        TickView::Span(span) => {
            let count = span.count.map(|count| format!(" ({count})")).unwrap_or_default();
            let (verdict, reason) = (visit.lang.word(&span.verdict), visit.lang.word(&span.reason));
            format!(
                "{} – {}: {verdict}, {reason}{count}",
                clock.text(span.from.0),
                clock.text(span.to.0)
            )
        }
    }
}

/// The phases of an execution on one line.
pub(super) fn phases(phases: &[(String, Timestamp, &str)], clock: &ZoneClock) -> Markup {
    html! {
        ol.phases {
            @for (at, (name, instant, kind)) in phases.iter().enumerate() {
                li.(kind) {
                    span.what { (name) }
                    (clock.time(*instant))
                    @if let Some((_, before, _)) = at.checked_sub(1).and_then(|at| phases.get(at)) {
                        span.step {
                            @if instant >= before { "+" (rough(instant.since(*before))) }
                            @else { "−" (rough(before.since(*instant))) }
                        }
                    }
                }
            }
        }
    }
}

/// Bars of ninety days: ended executions by outcome.
pub(super) fn days(visit: &Visit, days: &[DayView]) -> Markup {
    let most = days.iter().map(ended).max().unwrap_or(0).max(1);
    let from = 90_usize.saturating_sub(days.len());
    html! {
        svg.days viewBox="0 0 900 60" preserveAspectRatio="none" role="img"
            aria-label=(visit.say(text::DAYS)) {
            line.axis x1="0" x2="900" y1="59" y2="59" {}
            @for (at, day) in days.iter().enumerate() {
                @let x = (from + at) * 10 + 1;
                @let bad = day.totals.failed + day.totals.timeout + day.totals.lost;
                @let scale = |count: u64| count as f64 / most as f64 * 56.0;
                g {
                    title { (day.date) ": " (day.totals.success) " " (visit.lang.word("success")) ", "
                        (bad) " " (visit.lang.word("failed")) ", " (day.totals.missed) " "
                        (visit.lang.word("missed")) }
                    rect.hit x=(x - 1) y="0" width="10" height="60" {}
                    rect.ok x=(x) y={ (format!("{:.1}", 58.0 - scale(day.totals.success))) } width="8"
                        height={ (format!("{:.1}", scale(day.totals.success))) } {}
                    rect.bad x=(x) width="8"
                        y={ (format!("{:.1}", 58.0 - scale(day.totals.success + bad))) }
                        height={ (format!("{:.1}", scale(bad))) } {}
                }
            }
        }
    }
}

fn ended(day: &DayView) -> u64 {
    day.totals.success + day.totals.failed + day.totals.timeout + day.totals.lost
}

/// A duration, if there is one.
pub(super) fn milliseconds(ms: Option<u64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| rough(Millis(ms)))
}
