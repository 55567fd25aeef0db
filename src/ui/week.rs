//! `/week`: how the ticks are spread over the hours of the next seven days.

use std::sync::Arc;

use axum::response::Response;
use maud::{Markup, html};

use super::clock::ZoneClock;
use super::parts;
use super::shell::{Page, Section};
use super::text;
use super::visit::Visit;
use crate::domain::time::Timestamp;
use crate::ops::OpError;
use crate::ops::week::{self, WeekTicks};

/// Days that are shown.
const DAYS: usize = 7;
/// From so many tasks on that tick in one minute, another minute is suggested.
const CROWD: u64 = 10;
/// The steps of the scale of colours.
const STEPS: f64 = 6.0;

/// `GET /week`.
pub(super) async fn show(visit: Visit) -> Response {
    let page = made(&visit).await;
    visit.answer(page)
}

async fn made(visit: &Visit) -> Result<Page, OpError> {
    let view = visit.view().await?;
    let clock = visit.clock(&view);
    let bounds = clock.hours(view.now, DAYS as i64);
    let hour = visit.get("hour").and_then(|at| Timestamp::parse(at).ok());
    // The last of hours that begin at once is the one that there is.
    let asked = hour.and_then(|hour| {
        let mut hours = bounds.windows(2).rev();
        let found = hours.find(|ends| ends.first() == Some(&hour))?;
        Some((hour, *found.get(1)?))
    });
    let (known, shared) = (bounds.clone(), Arc::clone(&visit.context));
    let scan = move || {
        let tasks = asked.map(|(from, to)| (from, week::of_hour(&view, from, to)));
        (shared.kept.week(&view, &known), tasks)
    };
    let (week, tasks) = visit.context.scans.run(scan).await?;
    let title = visit.say(text::WEEK).to_owned();
    let body = html! {
        h1 { (title) }
        p.muted { (visit.say(text::WEEK_HELP)) }
        @if week.partial { p.notice { (visit.say(text::WEEK_PARTIAL)) } }
        section.card { (heat(visit, &clock, &bounds, &week)) }
        (worst(visit, &clock, &week))
        @if let Some((hour, (tasks, all))) = &tasks { (hour_card(visit, &clock, *hour, tasks, *all)) }
    };
    Ok(Page { section: Section::Week, title, body })
}

/// A table of hours and days, so that it can be read and used without seeing colours.
fn heat(visit: &Visit, clock: &ZoneClock, bounds: &[Timestamp], week: &WeekTicks) -> Markup {
    let most = week.hours.iter().copied().max().unwrap_or(0);
    let instant = |hour: usize| bounds.get(hour).copied().unwrap_or_default();
    let names: Vec<&str> = visit.say(text::DAYS_OF_WEEK).split(',').collect();
    let day_name = |at: Timestamp| {
        let day = clock.hour_of_week(at).map_or(0, |hour| hour / 24);
        names.get(day).copied().unwrap_or_default()
    };
    let chosen = visit.get("hour").and_then(|at| Timestamp::parse(at).ok());
    html! {
        div.scroll tabindex="0" role="region" aria-label=(visit.say(text::WEEK)) {
            table.heat {
                thead { tr {
                    th scope="col" { (visit.say(text::HOUR)) }
                    @for hour in 0..24 { th scope="col" { (format!("{hour:02}")) } }
                } }
                tbody {
                    @for day in 0..DAYS {
                        @let noon = instant(day * 24 + 12);
                        tr {
                            th scope="row" { (day_name(noon)) " " span.muted { (clock.day(noon)) } }
                            @for hour in day * 24..day * 24 + 24 {
                                (cell(visit, clock, (instant(hour), instant(hour + 1)), (week.hours.get(hour).copied().unwrap_or(0), most), chosen))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One hour. One that a clock change leaves out is empty.
fn cell(
    visit: &Visit,
    clock: &ZoneClock,
    (from, to): (Timestamp, Timestamp),
    (count, most): (u64, u64),
    chosen: Option<Timestamp>,
) -> Markup {
    if from == to {
        return html! { td {} };
    }
    let at = from.to_string();
    html! {
        td.{ "h" (level(count, most)) }.chosen[chosen == Some(from)] {
            a href={ (visit.with(&[("hour", &at)])) "#hour" }
                title={ (clock.text(from)) " " (clock.zone_at(from)) ": " (count) } { (short(count)) }
        }
    }
}

/// The step of the scale, by the logarithm.
fn level(count: u64, most: u64) -> u8 {
    if count == 0 {
        return 0;
    }
    let share = ((count + 1) as f64).log10() / ((most + 1) as f64).log10().max(0.3);
    (share * STEPS).ceil().clamp(1.0, STEPS) as u8
}

/// At most four letters.
fn short(count: u64) -> String {
    match count {
        0 => "·".to_owned(),
        1..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    }
}

fn worst(visit: &Visit, clock: &ZoneClock, week: &WeekTicks) -> Markup {
    let Some((at, count)) = week.worst.filter(|(_, count)| *count > 1) else { return html! {} };
    let count_text = count.to_string();
    html! {
        section.card {
            p { (visit.lang.fill(text::WORST_MINUTE, &[&count_text, &format!("{} {}", clock.text(at), clock.zone_at(at))])) }
            @if count >= CROWD { p.notice { (visit.lang.fill(text::SPREAD, &[&count_text])) } }
        }
    }
}

fn hour_card(
    visit: &Visit,
    clock: &ZoneClock,
    hour: Timestamp,
    tasks: &[(String, u64)],
    all: usize,
) -> Markup {
    let when = format!("{} {}", clock.text(hour), clock.zone_at(hour));
    html! {
        section.card #hour {
            h2 { (visit.lang.fill(text::IN_THIS_HOUR, &[&when])) }
            @if tasks.is_empty() { (parts::empty(visit.say(text::NO_TICKS))) }
            ol.plain {
                @for (task, count) in tasks { li { (parts::task(task)) span.right { (count) } } }
            }
            @if all > tasks.len() {
                p.muted { (visit.lang.fill(text::AND_MORE, &[&(all - tasks.len()).to_string()])) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_goes_by_the_logarithm() {
        assert_eq!([0, 1, 10, 100, 10_000].map(|count| level(count, 10_000)), [0, 1, 2, 4, 6]);
        assert_eq!(level(1, 1), 6);
        assert_eq!([0, 9_999, 10_000, 3_600_000].map(short), ["·", "9999", "10k", "3M"]);
    }
}
