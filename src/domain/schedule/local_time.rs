//! Text form of a local time of day.

use std::fmt;

use super::LocalTime;

/// Seconds in a civil day.
pub(super) const DAY: u32 = 86_400;

impl LocalTime {
    /// Parses `02:00` or `02:00:30`.
    ///
    /// # Errors
    /// A sentence that describes the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        const RULE: &str = "must be a time of day such as 02:00 or 02:00:30";
        let two_digits = |part: &str, limit: u32| {
            (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse::<u32>().ok())
                .flatten()
                .filter(|number| *number < limit)
        };
        let mut parts = text.split(':');
        let hour = parts.next().and_then(|part| two_digits(part, 24)).ok_or(RULE)?;
        let minute = parts.next().and_then(|part| two_digits(part, 60)).ok_or(RULE)?;
        let second = parts.next().map_or(Some(0), |part| two_digits(part, 60)).ok_or(RULE)?;
        if parts.next().is_some() {
            return Err(RULE.to_owned());
        }
        Ok(Self(hour * 3_600 + minute * 60 + second))
    }
}

/// `02:00`, or `02:00:30` if the seconds are not zero.
impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (self.0 / 3_600, self.0 / 60 % 60, self.0 % 60);
        if second == 0 {
            f.pad(&format!("{hour:02}:{minute:02}"))
        } else {
            f.pad(&format!("{hour:02}:{minute:02}:{second:02}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_round_trip() {
        for (text, seconds) in
            [("00:00", 0), ("02:00", 7_200), ("02:00:30", 7_230), ("23:59:59", DAY - 1)]
        {
            assert_eq!(LocalTime::parse(text), Ok(LocalTime(seconds)));
            assert_eq!(LocalTime(seconds).to_string(), text);
        }
        assert_eq!(LocalTime::parse("02:00:00").unwrap().to_string(), "02:00");
        for bad in
            ["", "2:00", "24:00", "02:60", "02:00:60", "02", "02:00:00:00", "0２:00", "+2:00"]
        {
            assert!(LocalTime::parse(bad).is_err(), "{bad}");
        }
    }
}
