//! How long the executions of a task took, and how late they began, over time.

use maud::{Markup, html};

use super::clock::{ZoneClock, rough};
use super::parts::{self, class};
use super::text::{self, Text};
use super::visit::Visit;
use crate::domain::time::Millis;
use crate::dto::{ExecutionView, Percentiles};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 84.0;

/// Both charts; nothing for a task of which nothing has started.
pub(super) fn charts(
    visit: &Visit,
    clock: &ZoneClock,
    executions: &[ExecutionView],
    (duration, lateness): (&Percentiles, &Percentiles),
) -> Markup {
    let durations = points(executions, |one| one.duration_ms);
    // What started early was on time.
    let latenesses = points(executions, |one| one.lateness_ms.map(|ms| ms.max(0).unsigned_abs()));
    html! {
        @if durations.len() + latenesses.len() > 0 {
            div.columns {
                (chart(visit, clock, (text::DURATION, "d"), &durations, duration))
                (chart(visit, clock, (text::LATENESS, "l"), &latenesses, lateness))
            }
        }
    }
}

/// Those that have a value, oldest first.
fn points(
    executions: &[ExecutionView],
    value: impl Fn(&ExecutionView) -> Option<u64>,
) -> Vec<(&ExecutionView, u64)> {
    executions.iter().rev().filter_map(|one| Some((one, value(one)?))).collect()
}

/// One dot for each execution, on a logarithmic scale. `key`: the first letter of their ids.
fn chart(
    visit: &Visit,
    clock: &ZoneClock,
    (name, key): (Text, &str),
    points: &[(&ExecutionView, u64)],
    spread: &Percentiles,
) -> Markup {
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
        return html! {};
    };
    let most = points.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
    let least = points.iter().map(|(_, ms)| *ms).min().unwrap_or(0);
    let (top, bottom) = ((most as f64 * 1.3 + 1.0).ln(), (least as f64 * 0.7).ln_1p());
    let y = |ms: u64| {
        let part = ((ms as f64).ln_1p() - bottom) / (top - bottom).max(0.1);
        HEIGHT - 4.0 - part.clamp(0.0, 1.0) * (HEIGHT - 8.0)
    };
    let (from, to) = (first.due.0, last.due.0);
    let length = to.since(from).0.max(1) as f64;
    let x = |one: &ExecutionView| 6.0 + one.due.0.since(from).0 as f64 / length * (WIDTH - 12.0);
    let lines = [("p50", spread.p50), ("p95", spread.p95)];
    html! {
        section.card.trend {
            header.title {
                h2 { (visit.say(name)) }
                p.muted { @for (word, ms) in lines { @if let Some(ms) = ms { span.total { (word) " " (rough(Millis(ms))) } } } }
            }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="group" aria-label=(visit.say(name)) {
                line.axis x1="0" x2=(WIDTH) y1=(HEIGHT - 1.0) y2=(HEIGHT - 1.0) {}
                @for (word, ms) in lines {
                    @if let Some(ms) = ms.filter(|ms| (least..=most).contains(ms)) {
                        line.level.(word) x1="0" x2=(WIDTH) y1={ (format!("{:.1}", y(ms))) }
                            y2={ (format!("{:.1}", y(ms))) } {}
                    }
                }
                g data-rove {
                    @for (one, ms) in points {
                        a #{ (key) (one.id) }
                            href=(parts::execution_path(&one.id)) {
                            title { (one.id) ": " (visit.lang.word(&one.status)) ", " (rough(Millis(*ms)))
                                " (" (clock.text(one.due.0)) " " (clock.zone_at(one.due.0)) ")" }
                            circle.point.(class(&one.status)) cx={ (format!("{:.1}", x(one))) }
                                cy={ (format!("{:.1}", y(*ms))) } r="3" {}
                        }
                    }
                }
            }
            div.ticks aria-hidden="true" {
                span { (clock.text(from)) }
                span { (clock.zone_at(from)) }
                span { (clock.text(to)) }
            }
        }
    }
}
