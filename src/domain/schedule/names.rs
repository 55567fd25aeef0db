//! English names of months and weekdays, in every accepted and written spelling.

/// Months from January: short name, long name.
pub(super) const MONTHS: [(&str, &str); 12] = [
    ("JAN", "JANUARY"),
    ("FEB", "FEBRUARY"),
    ("MAR", "MARCH"),
    ("APR", "APRIL"),
    ("MAY", "MAY"),
    ("JUN", "JUNE"),
    ("JUL", "JULY"),
    ("AUG", "AUGUST"),
    ("SEP", "SEPTEMBER"),
    ("OCT", "OCTOBER"),
    ("NOV", "NOVEMBER"),
    ("DEC", "DECEMBER"),
];

/// Days of the week from Sunday: short name, long name.
pub(super) const WEEKDAYS: [(&str, &str); 7] = [
    ("SUN", "SUNDAY"),
    ("MON", "MONDAY"),
    ("TUE", "TUESDAY"),
    ("WED", "WEDNESDAY"),
    ("THU", "THURSDAY"),
    ("FRI", "FRIDAY"),
    ("SAT", "SATURDAY"),
];

/// Lower-case names for the canonical form of weekly schedules, from Sunday.
const LOWER: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Position and short form of a name. The comparison ignores case.
pub(super) fn find(table: &[(&'static str, &str)], name: &str) -> Option<(u16, &'static str)> {
    let is_it = |(short, long): &(&str, &str)| {
        name.eq_ignore_ascii_case(short) || name.eq_ignore_ascii_case(long)
    };
    let index = table.iter().position(is_it)?;
    Some((u16::try_from(index).ok()?, table.get(index)?.0))
}

/// Parses `mon` or `Monday`, ignoring case. 0 is Sunday, 6 is Saturday.
///
/// # Errors
/// A sentence that describes the expected form.
pub fn parse_weekday(text: &str) -> Result<u8, String> {
    find(&WEEKDAYS, text)
        .and_then(|(index, _)| u8::try_from(index).ok())
        .ok_or_else(|| "must be a day of the week: sun, mon, tue, wed, thu, fri or sat".to_owned())
}

/// Short name of a day of the week (0 is Sunday, 6 is Saturday), such as `mon`. `None` for other
/// numbers.
#[must_use]
pub fn weekday_name(day: u8) -> Option<&'static str> {
    LOWER.get(usize::from(day)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekdays_round_trip() {
        for day in 0..7 {
            assert_eq!(parse_weekday(weekday_name(day).unwrap()), Ok(day));
        }
        assert_eq!(parse_weekday("Wednesday"), Ok(3));
        assert_eq!(weekday_name(7), None);
        for bad in ["", "m", "mond", "1", "montag"] {
            assert!(parse_weekday(bad).is_err(), "{bad}");
        }
    }
}
