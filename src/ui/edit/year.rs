//! The days of a year, each with the number of its ticks.

use maud::{Markup, html};

use crate::domain::time::Timestamp;
use crate::ops::draft::DAY_TICKS_MAX;
use crate::ui::clock::ZoneClock;
use crate::ui::text::edit as text;
use crate::ui::visit::Visit;

/// Weeks that are shown.
const WEEKS: usize = 53;
/// The side of the square of a day, with the space around it.
const CELL: usize = 12;
/// The space of the names of months.
const TOP: usize = 16;
/// The steps of the scale of colours.
const STEPS: f64 = 6.0;
/// Counts from here on are not told one by one.
const MANY: u64 = 86_400;

/// The beginnings of the days from today on that fill the weeks, and the end of the last one.
pub(super) fn days(clock: &ZoneClock) -> Vec<Timestamp> {
    clock.days(clock.now(), (WEEKS * 7 - weekday(clock, clock.now())) as i64)
}

/// The day of the week of an instant, from 0, Monday.
fn weekday(clock: &ZoneClock, at: Timestamp) -> usize {
    clock.hour_of_week(at).map_or(0, |hour| hour / 24)
}

/// A square for each day, a column for each week. A text says the same in short.
pub(super) fn year(
    visit: &Visit,
    clock: &ZoneClock,
    bounds: &[Timestamp],
    counts: &[u64],
) -> Markup {
    let most = counts.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return html! { p.muted { (visit.say(text::YEAR_NONE)) } };
    }
    let told = summary(visit, clock, bounds, counts);
    let begin = weekday(clock, clock.now());
    let day = |at: usize| bounds.get(at).copied().unwrap_or_default();
    let (width, height) = (WEEKS * CELL, TOP + 7 * CELL);
    // The first column that begins in a month has its name.
    let month = |week: usize| (week * 7).checked_sub(begin).map(|at| clock.month(day(at)));
    html! {
        div.scroll tabindex="0" role="region" aria-label=(told) {
            svg.year viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img"
                aria-label=(told) {
                @for week in 1..WEEKS - 2 {
                    @if month(week) != month(week - 1) {
                        text x=(week * CELL) y="11" { (month(week).unwrap_or_default()) }
                    }
                }
                @for week in 0..WEEKS {
                    g transform={ "translate(" (week * CELL) " " (TOP) ")" } {
                        @for row in 0..7 {
                            @if let Some(at) = (week * 7 + row).checked_sub(begin) {
                                @let count = counts.get(at).copied().unwrap_or(0);
                                rect.{ "h" (level(count, most)) } y=(row * CELL) {
                                    title { (clock.day(day(at))) ": " (short(visit, count)) }
                                }
                            }
                        }
                    }
                }
            }
        }
        p.muted { (told) }
    }
}

fn short(visit: &Visit, count: u64) -> String {
    match count {
        count if count == DAY_TICKS_MAX + 1 => {
            visit.lang.fill(text::MORE_THAN, &[&DAY_TICKS_MAX.to_string()])
        }
        count => count.to_string(),
    }
}

fn summary(visit: &Visit, clock: &ZoneClock, bounds: &[Timestamp], counts: &[u64]) -> String {
    let all: u64 = counts.iter().sum();
    let with = counts.iter().filter(|count| **count > 0).count();
    // Of equal ones the first.
    let most = counts.iter().enumerate().max_by_key(|(at, count)| (**count, usize::MAX - at));
    let (at, most) = most.map_or((0, 0), |(at, most)| (at, *most));
    let cut = counts.contains(&(DAY_TICKS_MAX + 1));
    let all = match cut {
        true => visit.lang.fill(text::MORE_THAN, &[&all.to_string()]),
        false => all.to_string(),
    };
    let day = bounds.get(at).map(|day| clock.day(*day)).unwrap_or_default();
    let values = [all, with.to_string(), counts.len().to_string(), day, short(visit, most)];
    visit.lang.fill(text::YEAR_SUM, &values.each_ref().map(String::as_str))
}

/// The step of the scale, by the logarithm of a count up to [`MANY`]. Where all days have the same
/// count, a day is in the middle.
fn level(count: u64, most: u64) -> u8 {
    if count == 0 {
        return 0;
    }
    let share = ((count + 1) as f64).ln() / ((most.clamp(3, MANY) + 1) as f64).ln();
    (share * STEPS).ceil().clamp(1.0, STEPS) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_tells_days_apart() {
        assert_eq!([0, 1, 2, 3].map(|count| level(count, 3)), [0, 3, 5, 6]);
        assert_eq!([0, 1, 10, 1_440].map(|count| level(count, 1_440)), [0, 1, 2, 6]);
        assert_eq!(level(1, 1), 3);
    }
}
