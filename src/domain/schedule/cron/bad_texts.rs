//! Invalid cron expressions: several for each class of error, with the reported column and part of
//! the message.

use super::*;

/// The text, the reported column, and a part of the message.
type Bad = (&'static str, usize, &'static str);

/// Grouped by class of error.
#[rustfmt::skip]
const BAD: &[(&str, &[Bad])] = &[
    ("empty", &[
        ("", 1, "must not be empty"),
        ("     ", 1, "must not be empty"),
        ("TZ=UTC", 7, "a cron expression must follow the zone"),
        ("CRON_TZ=Asia/Tokyo   ", 22, "a cron expression must follow the zone"),
    ]),
    ("too few fields", &[
        ("0 9", 4, "5, 6 or 7 fields, got 2"),
        ("15 14 1", 8, "5, 6 or 7 fields, got 3"),
        ("*/2 10 * *   ", 11, "5, 6 or 7 fields, got 4"),
        ("MON-FRI 9", 10, "5, 6 or 7 fields, got 2"),
        ("TZ=UTC 0 12 * *", 16, "5, 6 or 7 fields, got 4"),
    ]),
    ("too many fields", &[
        ("* * * * * * * *", 15, "5, 6 or 7 fields, got 8"),
        ("0 30 9 1 1 ? 2030 root /bin/true", 19, "5, 6 or 7 fields, got 9"),
        ("5 4 * * sun cd /srv && ./run.sh -v", 21, "5, 6 or 7 fields, got 10"),
    ]),
    ("second out of range", &[
        ("60 5 * * * *", 1, "second must be 0 to 59, got 60"),
        ("0,30,75 7 * * * *", 6, "second must be 0 to 59, got 75"),
        ("10-99 8 3 * * *", 4, "second must be 0 to 59, got 99"),
    ]),
    ("minute out of range", &[
        ("61 1 * * *", 1, "minute must be 0 to 59, got 61"),
        ("0 90 2 * * *", 3, "minute must be 0 to 59, got 90"),
        ("15,77 3 * * *", 4, "minute must be 0 to 59, got 77"),
        ("5-64 4 * * *", 3, "minute must be 0 to 59, got 64"),
        ("99999999999999999999999 8 * * *", 1, "got 99999999999999999999"),
    ]),
    ("hour out of range", &[
        ("0 24 * * *", 3, "hour must be 0 to 23, got 24"),
        ("7 1,2,33 * * *", 7, "hour must be 0 to 23, got 33"),
        ("9 8-30 * * 1", 5, "hour must be 0 to 23, got 30"),
        ("0 6 100 * * *", 5, "hour must be 0 to 23, got 100"),
    ]),
    ("day of month out of range", &[
        ("1 2 0 * *", 5, "day of month must be 1 to 31, got 0"),
        ("3 4 32 * *", 5, "day of month must be 1 to 31, got 32"),
        ("2 3 10-45 * *", 8, "day of month must be 1 to 31, got 45"),
        ("4 5 1,15,99 * *", 10, "day of month must be 1 to 31, got 99"),
        ("6 6 40W * *", 5, "day of month must be 1 to 31, got 40"),
    ]),
    ("month out of range", &[
        ("8 8 1 0 *", 7, "month must be 1 to 12 or JAN to DEC, got 0"),
        ("9 9 2 13 *", 7, "month must be 1 to 12 or JAN to DEC, got 13"),
        ("0 0 3 6-20 *", 9, "JAN to DEC, got 20"),
        ("0 0 4 JAN,55 *", 11, "JAN to DEC, got 55"),
    ]),
    ("weekday out of range", &[
        ("10 10 * * 8", 11, "weekday must be 0 to 7 or SUN to SAT, got 8"),
        ("11 11 * * 1-9", 13, "SUN to SAT, got 9"),
        ("12 12 * * MON,12", 15, "SUN to SAT, got 12"),
        ("13 13 * * 9#2", 11, "weekday must be 0 to 7"),
        ("14 14 * * 88L", 11, "weekday must be 0 to 7"),
    ]),
    ("year out of range", &[
        ("0 1 1 1 1 ? 1969", 13, "year must be 1970 to 9999, got 1969"),
        ("0 2 2 2 2 ? 10000", 13, "year must be 1970 to 9999, got 10000"),
        ("0 3 3 3 3 ? 2030-12345", 18, "year must be 1970 to 9999, got 12345"),
        ("0 4 4 4 4 ? 26", 13, "year must be 1970 to 9999, got 26"),
    ]),
    ("unknown month name", &[
        ("0 0 1 JANU *", 7, "JAN to DEC, got JANU"),
        ("0 0 5 MON *", 7, "JAN to DEC, got MON"),
        ("0 0 6 Sept *", 7, "JAN to DEC, got SEPT"),
        ("0 0 7 MÄR *", 7, "JAN to DEC, got M"),
        ("0 0 8 FEB-XYZ *", 11, "JAN to DEC, got XYZ"),
    ]),
    ("unknown weekday name", &[
        ("20 0 * * MONT", 10, "SUN to SAT, got MONT"),
        ("21 0 * * JULY", 10, "SUN to SAT, got JULY"),
        ("22 0 * * TUES-THX", 10, "SUN to SAT, got TUES"),
        ("23 0 * * Di,Mi", 10, "SUN to SAT, got DI"),
        ("24 0 * * WE#1", 10, "SUN to SAT, got WE"),
    ]),
    ("name where none may stand", &[
        ("0 MON * * *", 3, "hour must be 0 to 23, got MON"),
        ("noon 3 * * *", 1, "minute must be 0 to 59, got NOON"),
        ("0 0 first * *", 5, "day of month must be 1 to 31, got FIRST"),
        ("every 5 4 * *", 1, "minute must be 0 to 59, got EVERY"),
        ("0 7 7 7 7 ? NOW", 13, "year must be 1970 to 9999, got NOW"),
    ]),
    ("range without an end", &[
        ("5- 5 * * *", 3, "minute needs a value here"),
        ("6 6- * * *", 5, "hour needs a value here"),
        ("0 0 1 3- *", 9, "month needs a value here"),
        ("7 7 * * MON- ", 13, "weekday needs a value here"),
    ]),
    ("range without a begin", &[
        ("-5 8 * * *", 1, "minute needs a value here, found '-'"),
        ("8 -20 * * *", 3, "hour needs a value here, found '-'"),
        ("9 9 -31 * *", 5, "day of month needs a value here, found '-'"),
        ("30 30 -4 * * *", 7, "hour needs a value here, found '-'"),
    ]),
    ("range of three", &[
        ("5-10-15 2 * * *", 5, "unexpected '-' after 5-10"),
        ("0 1-2-3 * * *", 6, "unexpected '-' after 1-2"),
        ("4 4 * * TUE-WED-THU", 16, "unexpected '-' after TUE-WED"),
    ]),
    ("range that falls where it must rise", &[
        ("0 0 0 1 1 ? 2031-2026", 13, "a year range must rise, got 2031-2026"),
        ("H(40-20) 2 * * *", 3, "the range in H( ) must rise, got 40-20"),
        ("3 H(17-9) * * *", 5, "the range in H( ) must rise, got 17-9"),
    ]),
    ("empty item", &[
        ("1,,2 6 * * *", 3, "minute needs a value here"),
        (",15 7 * * *", 1, "minute needs a value here"),
        ("30, 8 * * *", 4, "minute needs a value here"),
        ("0 9,12,, * * *", 8, "hour needs a value here"),
        ("5 5 * *,,1 *", 9, "month needs a value here"),
    ]),
    ("step of nothing", &[
        ("*/ 10 * * *", 3, "a number must follow /"),
        ("11 0/ * * *", 6, "a number must follow /"),
        ("12 12 1-9/ * *", 11, "a number must follow /"),
        ("H/ 13 * * *", 3, "a number must follow /"),
    ]),
    ("step that is no number", &[
        ("*/x 14 * * *", 3, "a number must follow /"),
        ("15 */-5 * * *", 6, "a number must follow /"),
        ("16 16 */L * *", 9, "a number must follow /"),
        ("*/five 17 * * *", 3, "a number must follow /"),
    ]),
    ("step of zero", &[
        ("*/0 18 * * *", 3, "minute step must be 1 to 65535, got 0"),
        ("19 */00 * * *", 6, "hour step must be 1 to 65535, got 00"),
        ("20 20 1-31/0 * *", 12, "day of month step must be 1 to 65535, got 0"),
        ("H/000 21 * * *", 3, "minute step must be 1 to 65535, got 000"),
    ]),
    ("step that is too wide", &[
        ("*/65536 22 * * *", 3, "minute step must be 1 to 65535, got 65536"),
        ("23 */999999999999999999999 * * *", 6, "hour step must be 1 to 65535, got 99999999999999999999"),
    ]),
    ("step of a step", &[
        ("*/5/5 4 * * *", 4, "unexpected '/' after */5"),
        ("5 1-9/2/3 * * *", 8, "unexpected '/' after 1-9/2"),
        ("H/15/2 6 * * *", 5, "unexpected '/' after H/15"),
    ]),
    ("step without what it divides", &[
        ("/5 1 2 * *", 1, "minute needs a value here, found '/'"),
        ("7 /3 * * *", 3, "hour needs a value here, found '/'"),
        ("8 8 /10 * *", 5, "day of month needs a value here, found '/'"),
    ]),
    ("something behind *", &[
        ("*5 0 1 * *", 2, "unexpected '5' after *"),
        ("** 1 1 * *", 2, "unexpected '*' after *"),
        ("*-30 2 2 * *", 2, "unexpected '-' after *"),
        ("3 3 *W * *", 6, "unexpected 'W' after *"),
        ("4 4 4 *MAR *", 8, "unexpected 'M' after *"),
    ]),
    ("* behind a value", &[
        ("5* 6 6 * *", 2, "unexpected '*' after 5"),
        ("7 1-5* * * *", 6, "unexpected '*' after 1-5"),
        ("8 8 * * MON*", 12, "unexpected '*' after MON"),
    ]),
    ("foreign sign", &[
        ("1.5 9 * * *", 2, "unexpected '.' after 1"),
        ("10;20 9 9 * *", 3, "unexpected ';' after 10"),
        ("11 11:30 * * *", 6, "unexpected ':' after 11"),
        ("12 12 1_2 * *", 8, "unexpected '_' after 1"),
        ("0 0 * *\u{a0}* * *", 8, "unexpected '\\u{a0}' after *"),
        ("０ 13 * * *", 1, "minute needs a value here, found '０'"),
        ("é 0 60 * * *", 1, "second needs a value here, found 'é'"),
        ("14 14 % * *", 7, "day of month needs a value here, found '%'"),
        ("5xyz 15 * * *", 2, "unexpected 'x' after 5"),
        ("$ 16 * * *", 1, "minute needs a value here, found '$'"),
    ]),
    ("misplaced ?", &[
        ("? 17 * * *", 1, "? is for the day fields only"),
        ("18 ? * * 2", 4, "? is for the day fields only"),
        ("19 19 1 ? *", 9, "? is for the day fields only"),
        ("20 20 20 20 ? ? ?", 13, "? is for the day fields only"),
    ]),
    ("? not alone", &[
        ("21 21 ?,5 * *", 7, "? must stand alone"),
        ("22 22 10,?,12 * *", 7, "? must stand alone"),
        ("23 23 ?/2 * *", 8, "unexpected '/' after ?"),
        ("24 0 * * 3,?", 10, "? must stand alone"),
        ("25 1 * * ??", 11, "unexpected '?' after ?"),
    ]),
    ("misplaced L", &[
        ("L 2 3 * *", 1, "L is for the day fields only"),
        ("26 L 4 * *", 4, "L is for the day fields only"),
        ("27 3 1 L *", 8, "L is for the day fields only"),
        ("28 4 * * L", 10, "L needs its weekday before it"),
        ("29 5 3L * *", 7, "for the weekday field only"),
        ("30 6L * * *", 5, "for the weekday field only"),
        ("31 7 1-L * *", 8, "L cannot end a range"),
    ]),
    ("wrong L", &[
        ("32 8 L-0 * *", 8, "1 to 30 must follow L-, got 0"),
        ("33 9 L-31 * *", 8, "1 to 30 must follow L-, got 31"),
        ("34 10 L- * *", 9, "1 to 30 must follow L-, got nothing"),
        ("35 11 L-3W * *", 10, "unexpected 'W' after L-3"),
        ("36 12 L/2 * *", 8, "unexpected '/' after L"),
        ("37 13 LL * *", 8, "unexpected 'L' after L"),
        ("38 14 * * MON-FRIL", 15, "SUN to SAT, got FRIL"),
    ]),
    ("misplaced W", &[
        ("39 15W * * *", 6, "W is for the day of month field only"),
        ("40 16 * * 5W", 12, "W is for the day of month field only"),
        ("41 17 * * W", 11, "W is for the day of month field only"),
        ("42 18 2 6W *", 10, "W is for the day of month field only"),
        ("43W 19 * * *", 3, "W is for the day of month field only"),
    ]),
    ("wrong W", &[
        ("44 20 W * *", 7, "W needs its day before it"),
        ("45 21 WL * *", 7, "day of month must be 1 to 31, got WL"),
        ("46 22 1-5W * *", 10, "unexpected 'W' after 1-5"),
        ("47 23 15W-20 * *", 10, "unexpected '-' after 15W"),
        ("48 0 7W/2 * *", 8, "unexpected '/' after 7W"),
    ]),
    ("misplaced #", &[
        ("49 1 5#2 * *", 7, "# is for the weekday field only"),
        ("50 2#3 * * *", 5, "# is for the weekday field only"),
        ("51 3 1 4#1 *", 9, "# is for the weekday field only"),
        ("52#1 4 * * *", 3, "# is for the weekday field only"),
    ]),
    ("wrong #", &[
        ("53 5 * * FRI#0", 14, "1 to 5 must follow #, got 0"),
        ("54 6 * * SAT#6", 14, "1 to 5 must follow #, got 6"),
        ("55 7 * * SUN#", 14, "1 to 5 must follow #, got nothing"),
        ("56 8 * * 5#L", 12, "1 to 5 must follow #, got nothing"),
        ("57 9 * * #2", 10, "weekday needs a value here, found '#'"),
        ("58 10 * * MON-FRI#2", 18, "unexpected '#' after MON-FRI"),
        ("59 11 * * 2#1#2", 14, "unexpected '#' after 2#1"),
    ]),
    ("wrong H", &[
        ("HH 12 * * *", 1, "minute must be 0 to 59, got HH"),
        ("H55 13 * * *", 2, "unexpected '5' after H"),
        ("H-7 14 * * *", 2, "unexpected '-' after H"),
        ("5H 15 * * *", 2, "unexpected 'H' after 5"),
        ("0 6 6 6 6 ? H", 13, "H is not for the year field"),
        ("1-H 16 * * *", 3, "minute must be 0 to 59, got H"),
    ]),
    ("wrong H( )", &[
        ("H() 17 * * *", 3, "minute needs a value here, found ')'"),
        ("H(5) 18 * * *", 4, "H( ) holds a range"),
        ("H(0-29 19 * * *", 7, "missing its closing parenthesis"),
        ("H(0-60) 20 * * *", 5, "minute must be 0 to 59, got 60"),
        ("H(3,4) 21 * * *", 4, "H( ) holds a range"),
        ("H[1-9] 22 * * *", 2, "unexpected '[' after H"),
        ("0 H(1-5)) * * *", 9, "unexpected ')' after H(1-5)"),
    ]),
    ("unknown nickname", &[
        ("@ 1 2", 1, "@ is not one of @yearly"),
        ("@reboot", 1, "@reboot is not one of @yearly"),
        ("  @fortnightly", 3, "@fortnightly is not one of @yearly"),
        ("@every5m", 1, "@every5m is not one of @yearly"),
        ("@quarterly", 1, "@quarterly is not one of @yearly"),
    ]),
    ("something behind a nickname", &[
        ("@daily 5", 8, "nothing may follow @daily"),
        ("@hourly * * * *", 9, "nothing may follow @hourly"),
        ("@weekly on MON", 9, "nothing may follow @weekly"),
    ]),
    ("@every without a duration", &[
        ("@every", 7, "a duration such as 90s must follow @every"),
        ("TZ=UTC @EVERY", 14, "a duration such as 90s must follow @every"),
    ]),
    ("@every with a bad duration", &[
        ("@every x", 8, "@every must be a duration"),
        ("@every -5m", 8, "@every must be a duration"),
        ("@every 1h 30m", 11, "one duration without spaces"),
        ("@every 10 minutes", 11, "one duration without spaces"),
        ("@every 3,5s", 8, "@every must be a duration"),
    ]),
    ("@every out of bounds", &[
        ("@every 99ms", 8, "an interval must be 100ms to 100 years, got 99ms"),
        ("@every 40000d", 8, "an interval must be 100ms to 100 years, got 40000d"),
        ("@every 0s", 8, "an interval must be 100ms to 100 years, got 0s"),
    ]),
    ("prefix without a zone", &[
        ("CRON_TZ= 1 1 * * *", 9, "a timezone must follow CRON_TZ="),
        ("TZ= 2 2 2 * *", 4, "a timezone must follow TZ="),
    ]),
    ("unknown zone", &[
        ("TZ=Europe/Berln 3 3 * * *", 4, "did you mean Europe/Berlin?"),
        ("CRON_TZ=Mars/Olympus 4 4 * * *", 9, "is not a known timezone"),
        ("TZ=GMT+8 5 5 * * *", 4, "is not a known timezone"),
    ]),
    ("unknown prefix", &[
        ("ZONE=UTC 6 6 * * *", 1, "unknown prefix ZONE="),
        ("MAILTO=root 7 7 * * *", 1, "unknown prefix MAILTO="),
    ]),
    ("prefix twice", &[
        ("TZ=UTC TZ=Asia/Tokyo 8 8 * * *", 8, "second must be 0 to 59, got TZ"),
        ("CRON_TZ=UTC CRON_TZ=UTC @daily", 31, "5, 6 or 7 fields"),
    ]),
    ("column behind a prefix", &[
        ("TZ=UTC 60 9 * * *", 8, "minute must be 0 to 59, got 60"),
        ("CRON_TZ=Asia/Tokyo 10 25 * * *", 23, "hour must be 0 to 23, got 25"),
    ]),
];

#[test]
fn bad_texts_are_refused_with_column_and_reason() {
    for (class, bad) in BAD {
        for (text, column, reason) in *bad {
            let error = parse_cron(text)
                .map_or_else(|error| error, |ok| panic!("{class} {text:?}: {ok:?}"));
            assert_eq!(error.field, "cron", "{class} {text:?}: {error}");
            assert_eq!(error.column, Some(*column), "{class} {text:?}: {error}");
            assert!(error.message.contains(reason), "{class} {text:?}: {error}");
            let code = match *class {
                "unknown zone" => "unknown_timezone",
                "@every with a bad duration" if !reason.starts_with("one") => "invalid_interval",
                "@every out of bounds" => "invalid_interval",
                _ => "invalid_cron",
            };
            assert_eq!(error.code.as_str(), code, "{class} {text:?}");
        }
    }
}

/// Whether changing, inserting or deleting one character turns one text into the other.
fn one_apart(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let same = short.iter().zip(&long).take_while(|(a, b)| a == b).count();
    match long.len() - short.len() {
        0 => short.get(same + 1..).unwrap_or_default() == long.get(same + 1..).unwrap_or_default(),
        1 => short[same..] == long[same + 1..],
        _ => false,
    }
}

#[test]
fn the_table_is_as_wide_as_it_says() {
    let all: Vec<&str> = BAD.iter().flat_map(|(_, bad)| *bad).map(|(text, ..)| *text).collect();
    assert!(all.len() >= 150 && BAD.len() >= 25, "{} in {} classes", all.len(), BAD.len());
    for (index, text) in all.iter().enumerate() {
        for other in &all[..index] {
            assert!(!one_apart(text, other), "{text:?} and {other:?} differ by one character");
        }
    }
    for ((class, _), (next, _)) in BAD.iter().zip(&BAD[1..]) {
        assert_ne!(class, next);
    }
}

#[test]
fn a_long_text_is_refused_before_it_is_read() {
    let long = format!("{} * * * *", ["5"; 600].join(","));
    let error = parse_cron(&long).unwrap_err();
    assert_eq!((error.column, error.code.as_str()), (Some(1_001), "invalid_cron"));
    assert!(error.message.contains("at most 1000 characters"));
    // Columns count characters, not bytes.
    assert_eq!(parse_cron("\u{2003}").unwrap_err().column, Some(2));
}
