//! Text form of calendar entries: `2026-12-25`, `2026-12-24/2027-01-02`, `12-25`, `12-24/01-02`,
//! `22:00/06:00`. A range has two ends separated by a slash, as in ISO 8601.

use std::fmt;

use jiff::civil::Date;

use super::{Dates, TimeRange, Yearly};
use crate::domain::schedule::LocalTime;

/// The day with number 0.
fn day_0() -> Date {
    jiff::civil::date(1970, 1, 1)
}

/// The number of a day, counted from 1970-01-01.
pub(super) fn number(date: Date) -> i32 {
    (date - day_0()).get_days()
}

fn date(number: i32) -> Option<Date> {
    day_0().checked_add(jiff::Span::new().try_days(number).ok()?).ok()
}

/// Parses `from/to`. A single value is both ends.
fn range<T: Copy>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<(T, T), String> {
    match text.split_once('/') {
        Some((from, to)) => Ok((read(from)?, read(to)?)),
        None => read(text).map(|one| (one, one)),
    }
}

/// Parses exactly two digits.
fn two_digits(text: &str) -> Option<u8> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

impl Dates {
    /// Parses `2026-12-25` or `2026-12-24/2027-01-02`.
    ///
    /// # Errors
    /// A sentence that describes the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        const RULE: &str = "must be a date such as 2026-12-25 or 2026-12-24/2027-01-02";
        let day = |text: &str| {
            let shape = text.len() == 10
                && text.bytes().enumerate().all(|(at, b)| match at {
                    4 | 7 => b == b'-',
                    _ => b.is_ascii_digit(),
                });
            if !shape {
                return Err(RULE.to_owned());
            }
            text.parse::<Date>().map(number).map_err(|_error| format!("{text} is no day"))
        };
        let (from, to) = range(text, day)?;
        if to < from {
            return Err("must not end before it begins".to_owned());
        }
        Ok(Self { from, to })
    }
}

impl Yearly {
    /// Parses `12-25` or `12-24/01-02`.
    ///
    /// # Errors
    /// A sentence that describes the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        const RULE: &str = "must be a day of the year such as 12-25 or 12-24/01-02";
        let day = |text: &str| {
            let parts = text.split_once('-').ok_or(RULE)?;
            let (month, day) = (two_digits(parts.0).ok_or(RULE)?, two_digits(parts.1).ok_or(RULE)?);
            let numbers = (i8::try_from(month).ok(), i8::try_from(day).ok());
            let (Some(m), Some(d)) = numbers else { return Err(RULE.to_owned()) };
            // 2024 is a leap year, so it contains every day of the year.
            Date::new(2024, m, d)
                .map(|_| (month, day))
                .map_err(|_error| format!("{text} is no day"))
        };
        let (from, to) = range(text, day)?;
        Ok(Self { from, to })
    }
}

impl TimeRange {
    /// Parses `09:00/17:30` or `22:00/06:00`.
    ///
    /// # Errors
    /// A sentence that describes the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        const RULE: &str = "must be a time range such as 09:00/17:30 or 22:00/06:00";
        let (from, to) = text.split_once('/').ok_or(RULE)?;
        let time = |text: &str| LocalTime::parse(text).map_err(|_rule| RULE.to_owned());
        let from = time(from)?;
        if to == "24:00" {
            return Ok(Self { from, to: LocalTime(0) });
        }
        let to = time(to)?;
        if from == to {
            return Err("must not end when it begins; all day is 00:00/24:00".to_owned());
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, day) in [self.from, self.to].into_iter().enumerate() {
            if at == 1 && self.from == self.to {
                break;
            }
            f.write_str(if at == 1 { "/" } else { "" })?;
            match date(day) {
                Some(date) => write!(f, "{date}")?,
                None => write!(f, "day {day}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Yearly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.from.0, self.from.1)?;
        if self.from == self.to {
            return Ok(());
        }
        write!(f, "/{:02}-{:02}", self.to.0, self.to.1)
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.from)?;
        if self.to == LocalTime(0) { f.write_str("24:00") } else { write!(f, "{}", self.to) }
    }
}
