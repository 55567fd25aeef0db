//! Instants and durations as the page shows them: in the zone of the viewer, with the zone, and in UTC
//! as the title.

use jiff::Zoned;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use maud::{Markup, html};

use super::text::{self, Language};
use crate::domain::schedule::zone;
use crate::domain::time::{Millis, Timestamp};

/// Shows instants in one zone, relative to one instant.
#[derive(Clone, Debug)]
pub(super) struct ZoneClock {
    zone: TimeZone,
    now: Timestamp,
    lang: Language,
}

impl ZoneClock {
    /// Whether there is a zone of this name.
    pub fn knows(name: &str) -> bool {
        zone::canonical(name).is_ok()
    }

    /// A clock of the zone with this name, or of UTC.
    pub fn new(name: &str, now: Timestamp, lang: Language) -> Self {
        let name = zone::canonical(name).unwrap_or_else(|_unknown| "UTC".to_owned());
        let zone = TimeZoneDatabase::bundled().get(&name).unwrap_or(TimeZone::UTC);
        Self { zone, now, lang }
    }

    /// The instant that counts as now.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn local(&self, at: Timestamp) -> Option<Zoned> {
        Some(jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(self.zone.clone()))
    }

    /// `CET`, or `+08`: the zone at an instant.
    pub fn zone_at(&self, at: Timestamp) -> String {
        self.local(at).map(|local| local.strftime("%Z").to_string()).unwrap_or_default()
    }

    /// `12:00:05`, with the date if it is another day.
    pub fn text(&self, at: Timestamp) -> String {
        let Some(local) = self.local(at) else { return at.to_string() };
        let form = if local.subsec_nanosecond() == 0 { "%H:%M:%S" } else { "%H:%M:%S%.3f" };
        let time = local.strftime(form);
        match self.local(self.now) {
            Some(today) if today.date() == local.date() => time.to_string(),
            _ => format!("{} {time}", local.date()),
        }
    }

    /// `Mon 2026-11-30 12:00:05 CET`: an instant with its day and its zone.
    pub fn dated(&self, at: Timestamp) -> String {
        let Some(local) = self.local(at) else { return at.to_string() };
        let names = self.lang.say(text::DAYS_OF_WEEK).split(',');
        let day = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0);
        let day = names.skip(day).take(1).next().unwrap_or_default();
        let form =
            if local.subsec_nanosecond() == 0 { "%F %H:%M:%S %Z" } else { "%F %H:%M:%S%.3f %Z" };
        format!("{day} {}", local.strftime(form))
    }

    /// The name of a month.
    pub fn month(&self, at: Timestamp) -> String {
        let form = if self.lang == Language::Zh { "%-m月" } else { "%b" };
        self.local(at).map(|local| local.strftime(form).to_string()).unwrap_or_default()
    }

    /// The beginnings of so many days from the day of an instant on, and the end of the last one.
    pub fn days(&self, at: Timestamp, days: i64) -> Vec<Timestamp> {
        let Some(today) = self.local(at).map(|local| local.date()) else { return Vec::new() };
        let begins = (0..=days).filter_map(|day| {
            let date = today.checked_add(jiff::Span::new().days(day)).ok()?;
            let begin = date.to_zoned(self.zone.clone()).ok()?;
            Some(Timestamp(begin.timestamp().as_millisecond()))
        });
        begins.collect()
    }

    /// `12:00`, for axes.
    pub fn minute(&self, at: Timestamp) -> String {
        self.local(at).map(|local| local.strftime("%H:%M").to_string()).unwrap_or_default()
    }

    /// `2026-11-30`, for axes.
    pub fn day(&self, at: Timestamp) -> String {
        self.local(at).map(|local| local.date().to_string()).unwrap_or_default()
    }

    /// The hour of the week of an instant: from 0, Monday 00:00, to 167.
    pub fn hour_of_week(&self, at: Timestamp) -> Option<usize> {
        let local = self.local(at)?;
        let day = usize::try_from(local.weekday().to_monday_zero_offset()).ok()?;
        Some(day * 24 + usize::try_from(local.hour()).ok()?)
    }

    /// The hours of so many days from the day of an instant on: their beginnings, and the end of the
    /// last one. An hour that a clock change leaves out begins when the next one does, and one that
    /// comes twice lasts two hours.
    pub fn hours(&self, at: Timestamp, days: i64) -> Vec<Timestamp> {
        let Some(today) = self.local(at).map(|local| local.date()) else { return Vec::new() };
        let hours = (0..days).flat_map(|day| (0..24_i8).map(move |hour| (day, hour)));
        let bounds = hours.chain([(days, 0)]).filter_map(|(day, hour)| {
            let date = today.checked_add(jiff::Span::new().days(day)).ok()?;
            let begin = date.at(hour, 0, 0, 0).to_zoned(self.zone.clone()).ok()?;
            Some(Timestamp(begin.timestamp().as_millisecond()))
        });
        bounds.collect()
    }

    /// An instant, with its zone; UTC and the distance as the title.
    pub fn time(&self, at: Timestamp) -> Markup {
        let title = format!("{} · {}", utc(at), self.distance(at));
        html! {
            time datetime=(utc(at)) title=(title) {
                (self.text(at)) " " span.zone { (self.zone_at(at)) }
            }
        }
    }

    /// The distance of an instant from now, with the instant as the title.
    pub fn relative(&self, at: Timestamp) -> Markup {
        let title = format!("{} {} · {}", self.text(at), self.zone_at(at), utc(at));
        html! { time datetime=(utc(at)) title=(title) { (self.distance(at)) } }
    }

    /// `in 3 s` or `3 s ago`.
    pub fn distance(&self, at: Timestamp) -> String {
        let (form, time) = if at > self.now {
            (text::IN, at.since(self.now))
        } else {
            (text::AGO, self.now.since(at))
        };
        self.lang.fill(form, &[&rough(time)])
    }
}

/// `2026-11-30T12:00:05Z`.
fn utc(at: Timestamp) -> String {
    at.to_string()
}

/// A duration in its two largest units.
pub(super) fn rough(time: Millis) -> String {
    let (ms, s) = (time.0 % 1_000, time.0 / 1_000);
    let (m, h, d) = (s / 60, s / 3_600, s / 86_400);
    match time.0 {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", s, ms / 100),
        10_000..60_000 => format!("{s} s"),
        60_000..3_600_000 => format!("{m} min {} s", s % 60),
        3_600_000..86_400_000 => format!("{h} h {} min", m % 60),
        _ => format!("{d} d {} h", h % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_name_their_zone_and_the_change_of_the_clocks() {
        let now = Timestamp::parse("2026-10-25T01:30:00Z").unwrap();
        let clock = ZoneClock::new("Europe/Berlin", now, Language::En);
        assert_eq!((clock.text(now), clock.zone_at(now)), ("02:30:00".into(), "CET".into()));
        let before = now.minus(Millis::from_secs(3_600));
        assert_eq!((clock.text(before), clock.zone_at(before)), ("02:30:00".into(), "CEST".into()));
        let shown = clock.time(before).into_string();
        assert!(
            shown.contains("2026-10-25T00:30:00.000Z") && shown.contains("1 h 0 min ago"),
            "{shown}"
        );
        // It is a Sunday, the 25-hour one.
        assert_eq!(clock.hour_of_week(now), Some(6 * 24 + 2));
        let hours = clock.hours(now, 1);
        assert_eq!(hours.len(), 25);
        let at = |hour: usize| hours[hour].to_string();
        assert_eq!(
            (at(0), at(2)),
            ("2026-10-24T22:00:00.000Z".into(), "2026-10-25T00:00:00.000Z".into())
        );
        // The hour from 2 to 3 comes twice.
        assert_eq!(at(3), "2026-10-25T02:00:00.000Z");
        assert_eq!(clock.dated(before), "Sun 2026-10-25 02:30:00 CEST");
        let hours = |days: &[Timestamp]| days[1].since(days[0]).0 / 3_600_000;
        assert_eq!(hours(&clock.days(now, 1)), 25);
        let spring = Timestamp::parse("2027-03-28T12:00:00Z").unwrap();
        assert_eq!((hours(&clock.days(spring, 1)), clock.month(spring)), (23, "Mar".into()));
        let hours = clock.hours(spring, 1);
        assert_eq!(hours[2], hours[3], "the hour from 2 to 3 is left out");
        assert!(!ZoneClock::knows("Mars/Base") && ZoneClock::knows("Asia/Shanghai"));
    }

    #[test]
    fn durations_have_two_units() {
        for (ms, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_549, "1.5 s"),
            (59_999, "59 s"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(rough(Millis(ms)), shown);
        }
    }
}
