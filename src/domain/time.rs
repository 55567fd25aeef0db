//! Instants and durations in whole milliseconds. This module cannot read the current time.

use std::borrow::Cow;
use std::fmt;

use jiff::fmt::temporal::DateTimeParser;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// The first millisecond of year 0. All stored instants are between this and [`YEAR_9999`].
pub const YEAR_0: Timestamp = Timestamp(-62_167_219_200_000);
/// The last millisecond of year 9999.
pub const YEAR_9999: Timestamp = Timestamp(253_402_300_799_999);

impl Timestamp {
    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This instant plus a duration, at most the end of year 9999.
    #[must_use]
    pub fn plus(self, by: Millis) -> Self {
        let by = i64::try_from(by.0).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(by).min(YEAR_9999.0))
    }

    /// This instant minus a duration, at least the start of year 0.
    #[must_use]
    pub fn minus(self, by: Millis) -> Self {
        let by = i64::try_from(by.0).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(by).max(YEAR_0.0))
    }

    /// Time from `earlier` to this instant. Zero if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Millis {
        Millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses RFC 3339 with an offset or `Z`.
    ///
    /// # Errors
    /// A sentence that describes the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        static PARSER: DateTimeParser = DateTimeParser::new();
        let instant = PARSER.parse_timestamp(text).map_err(|_error| {
            "must be an instant such as 2026-12-01T09:00:00Z or 2026-12-01T09:00:00+08:00"
                .to_owned()
        })?;
        let millis = Self(instant.as_millisecond());
        if millis < YEAR_0 || millis > YEAR_9999 {
            return Err("must lie in the years 0 to 9999".to_owned());
        }
        Ok(millis)
    }
}

/// RFC 3339, UTC, three decimals: `2026-12-01T09:00:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clamped = self.0.clamp(YEAR_0.0, YEAR_9999.0);
        let Ok(instant) = jiff::Timestamp::from_millisecond(clamped) else {
            return write!(f, "{}ms", self.0);
        };
        let civil = instant.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let out = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            civil.year(),
            civil.month(),
            civil.day(),
            civil.hour(),
            civil.minute(),
            civil.second(),
            civil.millisecond()
        );
        f.pad(&out)
    }
}

/// Serializes an instant as RFC 3339, UTC, with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rfc3339(pub Timestamp);

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        Timestamp::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for Rfc3339 {
    fn schema_name() -> Cow<'static, str> {
        "Rfc3339".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A duration in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// Unit names with their length in milliseconds, longest first.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Millis {
    /// A duration of whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Converts to the type used by the runtime's timers.
    #[must_use]
    pub const fn std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// Parses `300ms`, `90s`, `1h30m`, `30d` or `1.5s`. A whole number without a unit is in
    /// seconds.
    ///
    /// # Errors
    /// A sentence that describes the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        const RULE: &str = "must be a duration such as 300ms, 90s, 1h30m or 30d";
        let text = text.trim();
        if text.is_empty() {
            return Err(RULE.to_owned());
        }
        if let Ok(secs) = text.parse::<u64>() {
            return secs.checked_mul(1_000).map(Self).ok_or_else(|| "is too long".to_owned());
        }
        let mut total = 0_u64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(RULE)?;
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let scale = UNITS.iter().find(|(name, _)| *name == unit).ok_or(RULE)?.1;
            let part = scaled(number, scale).ok_or(RULE)?;
            total = total.checked_add(part).ok_or("is too long")?;
            rest = after;
        }
        Ok(Self(total))
    }
}

/// `number` × `scale`. `None` if the result is not a whole number of milliseconds.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 9 || (number.contains('.') && part.is_empty()) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if part.is_empty() {
        return Some(whole);
    }
    let tens = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part = part.parse::<u64>().ok()?.checked_mul(scale)?;
    if part % tens != 0 {
        return None;
    }
    whole.checked_add(part / tens)
}

/// The shortest text that [`Millis::parse`] reads back, such as `1h30m`, `300ms`, `0s`.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let mut out = String::new();
        let mut rest = self.0;
        for (unit, scale) in UNITS {
            if rest >= scale {
                out.push_str(&(rest / scale).to_string());
                out.push_str(unit);
                rest %= scale;
            }
        }
        f.pad(&out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for (text, millis, canonical) in [
            ("300ms", 300, "300ms"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("1.5s", 1_500, "1s500ms"),
            ("10", 10_000, "10s"),
            ("0", 0, "0s"),
            ("30d", 2_592_000_000, "30d"),
        ] {
            let parsed = Millis::parse(text).unwrap();
            assert_eq!(parsed, Millis(millis), "{text}");
            assert_eq!(parsed.to_string(), canonical);
            assert_eq!(Millis::parse(canonical).unwrap(), parsed);
        }
        for bad in
            ["", "s", "1", "-1s", "1x", "1.s", ".5s", "0.0001s", "1e3s", "99999999999999999d"]
        {
            assert_eq!(Millis::parse(bad).is_err(), bad != "1", "{bad}");
        }
    }

    #[test]
    fn instants_are_written_in_utc_with_milliseconds() {
        let at = Timestamp::parse("2026-12-01T09:00:00+08:00").unwrap();
        assert_eq!(at.to_string(), "2026-12-01T01:00:00.000Z");
        assert_eq!(Timestamp::parse(&at.to_string()).unwrap(), at);
        for bad in ["", "2026-12-01", "2026-12-01T09:00:00", "tomorrow", "2026-02-30T00:00:00Z"] {
            assert!(Timestamp::parse(bad).is_err(), "{bad}");
        }
    }
}
