//! The charts, as SVG: each has a text for those who do not see it.

use maud::{Markup, html};

use super::clock::{ZoneClock, rough};
use super::parts::class;
use super::text;
use super::visit::Visit;
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{DayView, TickView};
use crate::ops::overview::{MINUTES, MinuteCounts, Overview};

/// The width of a minute in the chart of an hour.
const STEP: usize = 8;
/// The height above its axis.
const HEIGHT: usize = 96;
/// A dot stands for one tick up to so many in a minute.
const DOTS: u64 = 10;

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

/// The last and the next hour: what became of the ticks of each minute, and those to come.
pub(super) fn hours(visit: &Visit, clock: &ZoneClock, overview: &Overview) -> Markup {
    let width = STEP * MINUTES * 2;
    let middle = STEP * MINUTES;
    let begin = overview.now.0.div_euclid(60_000);
    let instant = |minutes: i64| Timestamp((begin + minutes) * 60_000);
    html! {
        svg.hours viewBox={ "0 0 " (width) " " (HEIGHT + 6) } role="img"
            aria-label=(visit.say(text::LAST_AND_NEXT_HOUR)) {
            line.axis x1="0" x2=(width) y1=(HEIGHT) y2=(HEIGHT) {}
            @for (at, counts) in overview.past.iter().enumerate() {
                @let back = MINUTES as i64 - 1 - at as i64;
                g { title { (visit.lang.fill(text::CHART_MINUTE_PAST, &[
                        &clock.minute(instant(-back)), &told(visit, counts)])) }
                    rect.hit x=(at * STEP) y="0" width=(STEP) height=(HEIGHT) {}
                    (stack(at * STEP, &kinds(counts))) }
            }
            @for (at, count) in overview.ahead.iter().enumerate() {
                @let x = middle + at * STEP;
                g { title { (visit.lang.fill(text::CHART_MINUTE_AHEAD, &[
                        &clock.minute(instant(at as i64)), &count.to_string()])) }
                    rect.hit x=(x) y="0" width=(STEP) height=(HEIGHT) {}
                    (stack(x, &[("ahead", *count)])) }
            }
            line.now x1=(middle) x2=(middle) y1="0" y2=(HEIGHT + 4) {}
        }
        div.ticks aria-hidden="true" {
            @for minutes in [-60_i64, -45, -30, -15, 0, 15, 30, 45] {
                span { (clock.minute(instant(minutes))) }
            }
            span { (clock.minute(instant(60))) }
        }
    }
}

/// The kinds of a minute, each with its count.
fn kinds(counts: &MinuteCounts) -> [(&'static str, u64); 5] {
    let MinuteCounts { success, failed, cancelled, live, skipped, missed, coalesced } = *counts;
    [
        ("ok", success),
        ("run", live),
        ("off", cancelled + skipped + coalesced),
        ("bad", failed),
        ("bad hollow", missed),
    ]
}

/// A minute in words.
fn told(visit: &Visit, counts: &MinuteCounts) -> String {
    let MinuteCounts { success, failed, cancelled, live, skipped, missed, coalesced } = *counts;
    let all = [
        ("success", success),
        ("failed", failed),
        ("cancelled", cancelled),
        ("live", live),
        ("skipped", skipped),
        ("missed", missed),
        ("coalesced", coalesced),
    ];
    let some = all.iter().filter(|(_, count)| *count > 0);
    let words: Vec<String> =
        some.map(|(word, count)| format!("{count} {}", visit.lang.word(word))).collect();
    if words.is_empty() { visit.say(text::NOTHING).to_owned() } else { words.join(", ") }
}

/// Dots for few, and bands whose height grows with the logarithm for many.
fn stack(x: usize, kinds: &[(&str, u64)]) -> Markup {
    let all: u64 = kinds.iter().map(|(_, count)| count).sum();
    if all <= DOTS {
        let each = kinds.iter().flat_map(|(kind, count)| (0..*count).map(move |_| *kind));
        return html! {
            @for (at, kind) in each.enumerate() {
                circle class=(kind) cx=(x + STEP / 2) cy=(HEIGHT - 6 - at * 9) r="3" {}
            }
        };
    }
    let height = (HEIGHT as f64 * ((all as f64).log10() / 4.0).clamp(0.4, 1.0)).round();
    let mut top = HEIGHT as f64;
    let bands = kinds.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| {
        // What is rare is seen too.
        let part = (height * *count as f64 / all as f64).max(2.0);
        top -= part;
        (kind, format!("{top:.1}"), format!("{part:.1}"))
    });
    html! {
        @for (kind, y, part) in bands {
            rect class=(kind) x=(x + 1) y=(y) width=(STEP - 2) height=(part) rx="1" {}
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
            @for (tick, at) in past {
                @match tick {
                    TickView::Span(span) => {
                        @let (left, right) = (x(span.from.0), x(span.to.0));
                        a href=(why(*at)) {
                            title { (told_span(visit, clock, tick)) }
                            rect.band.(class(&span.verdict)) x={ (format!("{left:.1}")) } y="20"
                                width={ (format!("{:.1}", (right - left).max(3.0))) } height="28" rx="2" {}
                        }
                    }
                    TickView::Fired(fired) => {
                        @let status = fired.ended.as_ref().map_or("running", |ended| &*ended.status);
                        a href=(why(*at)) {
                            title { (told_span(visit, clock, tick)) }
                            rect.mark.(class(status)).chosen[chosen_at(fired.tick.0)]
                                x={ (format!("{:.1}", x(fired.tick.0) - 2.0)) } y="12" width="4"
                                height="36" rx="1.5" {}
                        }
                    }
                }
            }
            @for at in ahead {
                a href=(why(*at)) {
                    title { (clock.text(*at)) " " (clock.zone_at(*at)) }
                    rect.mark.ahead.chosen[chosen_at(*at)] x={ (format!("{:.1}", x(*at) - 2.0)) } y="12"
                        width="4" height="36" rx="1.5" {}
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
