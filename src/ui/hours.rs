//! The chart of the last and the next hour: a column for each minute, with what became of its ticks or
//! how many there will be, and below it the executions that took long, as bars.

use maud::{Markup, html};

use super::clock::{ZoneClock, rough};
use super::parts::{self, class};
use super::text;
use super::visit::Visit;
use crate::domain::time::{Millis, Timestamp};
use crate::ops::bars::ExecutionBar;
use crate::ops::overview::{MINUTES, MinuteCounts, Overview};

/// The width of a minute.
const STEP: usize = 8;
/// The height above the axis.
const HEIGHT: usize = 96;
/// The height of a lane of bars, with the space to the next one.
const LANE: usize = 8;
/// Between the axis and the first lane.
const BELOW: usize = 10;
/// A dot stands for one tick up to so many in a minute.
const DOTS: u64 = 10;

/// The chart, in which each minute leads to the list of what is in it.
pub(super) fn chart(visit: &Visit, clock: &ZoneClock, overview: &Overview) -> Markup {
    let width = STEP * MINUTES * 2;
    let middle = STEP * MINUTES;
    let lanes = overview.bars.iter().map(|bar| bar.lane + 1).max().unwrap_or(0);
    let height = HEIGHT + 6 + if lanes > 0 { BELOW + lanes * LANE } else { 0 };
    let begin = overview.now.0.div_euclid(60_000);
    let instant = |minutes: i64| Timestamp((begin + minutes) * 60_000);
    let chosen = visit.get("minute").and_then(|at| Timestamp::parse(at).ok());
    let link = |at: Timestamp| format!("{}#minute", visit.with(&[("minute", &at.to_string())]));
    let column = |at: Timestamp, x: usize, told: String, stack: Markup| {
        html! {
            a #{ "m" (at.0 / 60_000) } href=(link(at)) {
                title { (told) }
                rect.hit.chosen[chosen == Some(at)] x=(x) y="0" width=(STEP) height=(HEIGHT) {}
                (stack)
            }
        }
    };
    html! {
        svg.hours viewBox={ "0 0 " (width) " " (height) } role="group"
            aria-label=(visit.say(text::LAST_AND_NEXT_HOUR)) {
            line.axis x1="0" x2=(width) y1=(HEIGHT) y2=(HEIGHT) {}
            g data-rove {
                @for (at, counts) in overview.past.iter().enumerate() {
                    @let minute = instant(at as i64 + 1 - MINUTES as i64);
                    @let told = visit.lang.fill(
                        text::CHART_MINUTE_PAST, &[&clock.minute(minute), &told(visit, counts)]);
                    (column(minute, at * STEP, told, stack(at * STEP, &kinds(counts))))
                }
                // The rest of the present minute is the last column of the past too.
                @for (at, count) in overview.ahead.iter().enumerate() {
                    @let (x, minute) = (middle + at * STEP, instant(at as i64));
                    @let told = visit.lang.fill(
                        text::CHART_MINUTE_AHEAD, &[&clock.minute(minute), &count.to_string()]);
                    @if at == 0 {
                        g { title { (told) }
                            rect.hit x=(x) y="0" width=(STEP) height=(HEIGHT) {}
                            (stack(x, &[("ahead", *count)])) }
                    } @else { (column(minute, x, told, stack(x, &[("ahead", *count)]))) }
                }
            }
            g data-rove { @for bar in &overview.bars { (drawn(visit, clock, overview.now, bar)) } }
            line.now x1=(middle) x2=(middle) y1="0" y2=(height) {}
        }
        div.ticks aria-hidden="true" {
            @for minutes in [-60_i64, -45, -30, -15, 0, 15, 30, 45] {
                span { (clock.minute(instant(minutes))) }
            }
            span { (clock.minute(instant(60))) }
        }
    }
}

/// An execution as a bar, from its start to its end or to the present.
fn drawn(visit: &Visit, clock: &ZoneClock, now: Timestamp, bar: &ExecutionBar) -> Markup {
    // The present is at the end of the present minute's column, as it is for the dots.
    let end = (STEP * MINUTES) as f64;
    let x = |at: Timestamp| {
        let back = now.since(at).0 as f64 / 60_000.0;
        (end - back * STEP as f64).clamp(0.0, end)
    };
    let (left, right) = (x(bar.from), x(bar.to));
    let length = rough(Millis(bar.to.since(bar.from).0));
    let id = bar.id.to_string();
    html! {
        a #{ "b" (id) } href=(parts::execution_path(&id)) {
            title { (bar.task) " · " (id) ": " (visit.lang.word(bar.status)) ", " (length) " ("
                (clock.text(bar.from)) " " (clock.zone_at(bar.from)) ")" }
            rect.bar.(class(bar.status)) x={ (format!("{left:.1}")) } y=(HEIGHT + BELOW + bar.lane * LANE)
                width={ (format!("{:.1}", (right - left).max(1.5))) } height=(LANE - 2) rx="1.5" {}
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
