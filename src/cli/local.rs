//! Formatting and parsing of instants in local time.

use jiff::civil::{DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::domain::schedule::zone;
use crate::domain::time::{Millis, Timestamp};

/// The part of a zone file's path before the zone name.
const ZONE_FOLDER: &str = "zoneinfo/";

/// Larger differences between the clocks of this machine and the cluster indicate a wrong clock.
const CLOCKS_DIFFER: Millis = Millis::from_secs(5);

/// Formats instants in one zone, relative to one instant.
#[derive(Clone, Debug)]
pub struct LocalClock {
    zone: TimeZone,
    name: String,
    now: Timestamp,
}

/// How a time of day without a date is interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// The next occurrence of that time.
    Next,
    /// That time today.
    Today,
}

impl LocalClock {
    /// A clock for the zone with this name, or for UTC if the zone is unknown.
    #[must_use]
    pub fn new(name: &str, now: Timestamp) -> Self {
        let name = zone::canonical(name).unwrap_or_else(|_unknown| "UTC".to_owned());
        let zone = TimeZoneDatabase::bundled().get(&name).unwrap_or(TimeZone::UTC);
        Self { zone, name, now }
    }

    /// The name of the zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.name
    }

    /// The instant that counts as now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The same clock at another instant.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        Self { now, ..self.clone() }
    }

    fn civil(&self, at: Timestamp) -> Option<DateTime> {
        let instant = jiff::Timestamp::from_millisecond(at.0).ok()?;
        Some(instant.to_zoned(self.zone.clone()).datetime())
    }

    /// `12:00:05`, with the date if it is not today's, and with milliseconds if they are not zero.
    #[must_use]
    pub fn short(&self, at: Timestamp) -> String {
        let exact = self.exact(at);
        exact.strip_suffix(".000").map(str::to_owned).unwrap_or(exact)
    }

    /// `12:00:05.000`, with the date if it is not today's.
    #[must_use]
    pub fn exact(&self, at: Timestamp) -> String {
        let Some(local) = self.civil(at) else { return at.to_string() };
        let time = local.time();
        let clock = format!(
            "{:02}:{:02}:{:02}.{:03}",
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        );
        match self.civil(self.now) {
            Some(today) if today.date() == local.date() => clock,
            _ => format!("{} {clock}", local.date()),
        }
    }

    /// `12:00:05 (in 3 s)` or `12:00:05 (3 s ago)`.
    #[must_use]
    pub fn with_distance(&self, at: Timestamp) -> String {
        format!("{} ({})", self.short(at), self.distance(at))
    }

    /// `in 3 s` or `3 s ago`.
    #[must_use]
    pub fn distance(&self, at: Timestamp) -> String {
        // Durations of one second or more are rounded to seconds.
        let rough = |time: Millis| match time.0 {
            0..1_000 => length(time),
            more => length(Millis((more + 500) / 1_000 * 1_000)),
        };
        if at > self.now {
            format!("in {}", rough(at.since(self.now)))
        } else {
            format!("{} ago", rough(self.now.since(at)))
        }
    }

    /// `12:00:05 (3 s ago)`, for past events. An instant slightly in the future is a clock
    /// difference.
    #[must_use]
    pub fn with_age(&self, at: Timestamp) -> String {
        if at > self.now && at.since(self.now) < CLOCKS_DIFFER {
            return format!("{} (just now)", self.short(at));
        }
        self.with_distance(at)
    }

    /// Parses RFC 3339, a local date and time, a local time of day, a duration from now (`2h`) or
    /// before now (`1h ago`, `-1h`).
    ///
    /// # Errors
    /// A sentence that describes the expected form.
    pub fn read(&self, text: &str, day: Day) -> Result<Timestamp, String> {
        if text == "now" {
            return Ok(self.now);
        }
        if let Ok(at) = Timestamp::parse(text) {
            return Ok(at);
        }
        let before = text.strip_suffix("ago").map(str::trim).or_else(|| text.strip_prefix('-'));
        if let Some(length) = before.and_then(|text| Millis::parse(text).ok()) {
            return Ok(self.now.minus(length));
        }
        let padded = pad_hour(text);
        if let Ok(local) = padded.replacen(' ', "T", 1).parse::<DateTime>() {
            return self.instant(local);
        }
        let today = self.civil(self.now).ok_or("this moment cannot be shown")?.date();
        let time = padded.parse::<Time>().ok().filter(|_| text.contains(':'));
        if let Some(time) = time {
            let at = self.instant(today.to_datetime(time))?;
            if at > self.now || day == Day::Today {
                return Ok(at);
            }
            let tomorrow = today.tomorrow().map_err(|error| error.to_string())?;
            return self.instant(tomorrow.to_datetime(time));
        }
        if text.chars().any(|c| c.is_ascii_alphabetic())
            && let Ok(from_now) = Millis::parse(text.trim_start_matches('+'))
        {
            return Ok(self.now.plus(from_now));
        }
        Err(format!(
            "`{text}` is not a time; write 2026-12-01T09:00:00Z, \"2026-12-01 09:00\", 09:00, 2h (two \
             hours from now) or \"2h ago\""
        ))
    }

    fn instant(&self, local: DateTime) -> Result<Timestamp, String> {
        let zoned = self.zone.to_zoned(local).map_err(|error| error.to_string())?;
        Ok(Timestamp(zoned.timestamp().as_millisecond()))
    }
}

/// Adds the leading zero that the parser needs to `9:00` and `2026-12-01 9:00`.
#[must_use]
pub fn pad_hour(text: &str) -> String {
    let at = text.rfind([' ', 'T']).map_or(0, |at| at + 1);
    let hour = text.get(at..).unwrap_or_default();
    let short = hour.find(':') == Some(1) && hour.starts_with(|c: char| c.is_ascii_digit());
    match (short, text.split_at_checked(at)) {
        (true, Some((date, time))) => format!("{date}0{time}"),
        _ => text.to_owned(),
    }
}

/// Formats a duration: `3 ms`, `1.5 s`, `12 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn length(time: Millis) -> String {
    let two = |big: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {part}"),
    };
    match time.0 {
        0..1_000 => format!("{} ms", time.0),
        1_000..10_000 if time.0 % 1_000 >= 100 => {
            format!("{}.{} s", time.0 / 1_000, time.0 % 1_000 / 100)
        }
        1_000..60_000 => format!("{} s", time.0 / 1_000),
        60_000..3_600_000 => two(time.0 / 60_000, "min", time.0 % 60_000 / 1_000, "s"),
        3_600_000..86_400_000 => two(time.0 / 3_600_000, "h", time.0 % 3_600_000 / 60_000, "min"),
        _ => two(time.0 / 86_400_000, "d", time.0 % 86_400_000 / 3_600_000, "h"),
    }
}

/// The zone for displaying times: from the environment variable `TZ`, otherwise the zone of this
/// machine, otherwise UTC.
#[must_use]
pub fn zone_to_show(tz: Option<&str>) -> String {
    let named = tz.and_then(|tz| {
        let tz = tz.trim_start_matches(':');
        // An empty value means UTC.
        if tz.is_empty() { Some("UTC".to_owned()) } else { zone_of_path(tz) }
    });
    named.or_else(machine_zone).unwrap_or_else(|| "UTC".to_owned())
}

/// The zone of this machine, from `/etc/localtime`, otherwise from `/etc/timezone`.
#[must_use]
pub fn machine_zone() -> Option<String> {
    let link = std::fs::read_link("/etc/localtime").ok();
    let by_link = link.and_then(|path| zone_of_path(path.to_str()?));
    by_link.or_else(|| {
        let text = std::fs::read_to_string("/etc/timezone").ok()?;
        zone_of_path(text.lines().next()?.trim())
    })
}

/// The zone with this name, or of a file below a `zoneinfo` folder.
fn zone_of_path(path: &str) -> Option<String> {
    let name = match path.rfind(ZONE_FOLDER) {
        Some(at) => path.get(at + ZONE_FOLDER.len()..)?,
        None => path,
    };
    zone::canonical(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(zone: &str) -> LocalClock {
        LocalClock::new(zone, Timestamp::parse("2026-12-01T09:00:02Z").unwrap())
    }

    #[test]
    fn instants_show_their_date_only_when_it_is_not_today() {
        let clock = clock("Europe/Berlin");
        for (at, text) in [
            ("2026-12-01T09:00:05Z", "10:00:05 (in 3 s)"),
            ("2026-12-01T08:59:59.250Z", "09:59:59.250 (3 s ago)"),
            ("2026-12-01T23:30:00Z", "2026-12-02 00:30:00 (in 14 h 29 min)"),
            ("2026-11-30T22:00:00Z", "2026-11-30 23:00:00 (11 h ago)"),
        ] {
            assert_eq!(clock.with_distance(Timestamp::parse(at).unwrap()), text);
        }
        assert_eq!(clock.exact(clock.now()), "10:00:02.000");
        for (at, text) in [
            ("2026-12-01T09:00:02.448Z", "10:00:02.448 (just now)"),
            ("2026-12-01T09:00:01Z", "10:00:01 (1 s ago)"),
            ("2026-12-01T10:00:02Z", "11:00:02 (in 1 h)"),
        ] {
            assert_eq!(clock.with_age(Timestamp::parse(at).unwrap()), text);
        }
        assert_eq!(LocalClock::new("Mars/Olympus", Timestamp(0)).zone(), "UTC");
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let clock = clock("Europe/Berlin");
        for (text, day, at) in [
            ("2026-12-01T09:00:00+08:00", Day::Next, "2026-12-01T01:00:00.000Z"),
            ("2026-12-24 18:00", Day::Next, "2026-12-24T17:00:00.000Z"),
            ("2026-12-24T18:00:30", Day::Next, "2026-12-24T17:00:30.000Z"),
            ("09:30", Day::Next, "2026-12-02T08:30:00.000Z"),
            ("09:30", Day::Today, "2026-12-01T08:30:00.000Z"),
            ("10:30", Day::Next, "2026-12-01T09:30:00.000Z"),
            ("2h", Day::Next, "2026-12-01T11:00:02.000Z"),
            ("+90s", Day::Next, "2026-12-01T09:01:32.000Z"),
            ("now", Day::Next, "2026-12-01T09:00:02.000Z"),
            ("9:30", Day::Today, "2026-12-01T08:30:00.000Z"),
            ("2026-12-24 9:30", Day::Next, "2026-12-24T08:30:00.000Z"),
            ("1h ago", Day::Next, "2026-12-01T08:00:02.000Z"),
            ("1h30m ago", Day::Today, "2026-12-01T07:30:02.000Z"),
            ("-90s", Day::Next, "2026-12-01T08:58:32.000Z"),
        ] {
            assert_eq!(clock.read(text, day).map(|at| at.to_string()).as_deref(), Ok(at), "{text}");
        }
        for bad in ["", "soon", "25:00", "2026-13-01 00:00", "10", "ago", "-", "x ago", "ü:00"] {
            assert!(clock.read(bad, Day::Next).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_have_two_units_at_most() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (1_540, "1.5 s"),
            (2_040, "2 s"),
            (12_900, "12 s"),
            (185_000, "3 min 5 s"),
            (3_600_000, "1 h"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(length(Millis(millis)), text);
        }
    }

    #[test]
    fn zones_come_from_names_and_files() {
        assert_eq!(zone_to_show(Some("europe/berlin")), "Europe/Berlin");
        assert_eq!(zone_to_show(Some(":/usr/share/zoneinfo/Asia/Tokyo")), "Asia/Tokyo");
        assert_eq!(zone_to_show(Some("")), "UTC");
        assert_eq!(zone_of_path("../usr/share/zoneinfo/Etc/UTC").as_deref(), Some("Etc/UTC"));
        assert_eq!(zone_of_path("CET-1CEST,M3.5.0"), None);
    }
}
