//! Matches the plain fields of an expression against naive local time, using the `cron` crate. No
//! other file uses that crate.
//!
//! The crate's dialect differs from ours: it requires seconds, counts Sunday as 1, combines both
//! day fields with "and", does not support wrapping ranges or `L W # H`, and ends at year 2100.
//! Therefore it receives ascending ranges only and is queried one field at a time. `pattern`
//! matches the years.

use crate::domain::error_code::ErrorCode;
use std::fmt::Write as _;

use ::cron::{Schedule, TimeUnitSpec};

use super::ScheduleError;
use super::cron::{FieldKind, NumberRange};

/// The seconds, minutes, hours, days, months and weekdays selected by plain items.
#[derive(Clone, Debug)]
pub(super) struct FieldMatcher(Schedule);

impl FieldMatcher {
    /// Builds the matcher from number ranges. A field without ranges matches every value.
    pub(super) fn new(
        stretches: impl Fn(FieldKind) -> Option<Vec<NumberRange>>,
    ) -> Result<Self, ScheduleError> {
        use FieldKind::{Day, Hour, Minute, Month, Second, Weekday};
        let dialect = [Second, Minute, Hour, Day, Month, Weekday]
            .map(|kind| field_text(kind, stretches(kind).unwrap_or_default().as_slice()))
            .join(" ");
        dialect.parse().map(Self).map_err(|error: ::cron::error::Error| {
            ScheduleError::new(
                "cron",
                ErrorCode::InvalidCron,
                format!("cannot be matched: {error}"),
            )
        })
    }

    /// The first matching second of the day that is not before `from`.
    pub(super) fn second_of_day_from(&self, from: u32) -> Option<u32> {
        let (from_hour, from_minute, from_second) = (from / 3_600, from / 60 % 60, from % 60);
        for hour in self.0.hours().range(from_hour..) {
            let from_minute = if hour > from_hour { 0 } else { from_minute };
            for minute in self.0.minutes().range(from_minute..) {
                let later = hour > from_hour || minute > from_minute;
                let from_second = if later { 0 } else { from_second };
                if let Some(second) = self.0.seconds().range(from_second..).next() {
                    return Some(hour * 3_600 + minute * 60 + second);
                }
            }
        }
        None
    }

    /// Bit m is month m.
    pub(super) fn months(&self) -> u32 {
        self.0.months().iter().fold(0, |mask, month| mask | 1 << month)
    }

    /// Bit d − 1 is day d of the month.
    pub(super) fn days(&self) -> u32 {
        self.0.days_of_month().iter().fold(0, |mask, day| mask | 1 << (day - 1))
    }

    /// Bit w is weekday w; 0 is Sunday.
    pub(super) fn weekdays(&self) -> u32 {
        self.0.days_of_week().iter().fold(0, |mask, day| mask | 1 << (day - 1))
    }
}

/// One field in the crate's dialect.
fn field_text(kind: FieldKind, stretches: &[NumberRange]) -> String {
    let everything = NumberRange { from: kind.min(), to: kind.max(), step: 1 };
    if stretches.is_empty() || stretches.contains(&everything) {
        return "*".to_owned();
    }
    let shift = u16::from(kind == FieldKind::Weekday);
    let mut out = String::new();
    for NumberRange { from, to, step } in stretches {
        // The crate rejects a step that is wider than the field.
        let (to, step) = if *step > to - from { (from, &1) } else { (to, step) };
        let separator = if out.is_empty() { "" } else { "," };
        // Writing to a `String` cannot fail.
        let _ = write!(out, "{separator}{}-{}/{step}", from + shift, to + shift);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_gets_rising_stretches_in_its_own_numbers() {
        let of = |from, to, step| NumberRange { from, to, step };
        assert_eq!(field_text(FieldKind::Weekday, &[of(5, 6, 1), of(0, 1, 1)]), "6-7/1,1-2/1");
        assert_eq!(field_text(FieldKind::Minute, &[of(0, 59, 15)]), "0-59/15");
        assert_eq!(field_text(FieldKind::Hour, &[of(3, 3, 1), of(0, 23, 1)]), "*");
        assert_eq!(field_text(FieldKind::Hour, &[]), "*");
    }

    #[test]
    fn every_stretch_of_every_field_is_taken() {
        use FieldKind::{Day, Hour, Minute, Month, Second, Weekday};
        for kind in [Second, Minute, Hour, Day, Month, Weekday] {
            for from in kind.min()..=kind.max() {
                for (to, step) in [(from, 1), (kind.max(), 1), (kind.max(), u16::MAX)] {
                    let stretch = NumberRange { from, to, step: step.max(1) };
                    let fields = FieldMatcher::new(|k| (k == kind).then(|| vec![stretch]));
                    assert!(fields.is_ok(), "{kind:?} {stretch:?}");
                }
            }
        }
    }

    #[test]
    fn seconds_of_the_day_are_found_in_order() {
        let fields = FieldMatcher::new(|kind| match kind {
            FieldKind::Second => Some(vec![NumberRange { from: 30, to: 30, step: 1 }]),
            FieldKind::Minute => Some(vec![NumberRange { from: 15, to: 59, step: 30 }]),
            FieldKind::Hour => Some(vec![NumberRange { from: 2, to: 22, step: 20 }]),
            _ => None,
        })
        .unwrap();
        let all: Vec<u32> =
            (0..86_400).filter(|s| fields.second_of_day_from(*s) == Some(*s)).collect();
        let at = |h: u32, m: u32| h * 3_600 + m * 60 + 30;
        assert_eq!(all, [at(2, 15), at(2, 45), at(22, 15), at(22, 45)]);
        assert_eq!(fields.second_of_day_from(at(2, 45) + 1), Some(at(22, 15)));
        assert_eq!(fields.second_of_day_from(at(22, 45) + 1), None);
    }
}
