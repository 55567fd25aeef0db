//! Compares the ticks with those of the `croner` crate. The samples exclude everything that
//! `croner` interprets differently:
//!
//! * `5/15`, and ranges that wrap, such as `FRI-MON`: `croner` rejects both;
//! * a day field that begins with `*` and has a step (`*/2`) beside a weekday: in `croner` one
//!   match is enough, here both must match, as in Vixie cron;
//! * weekdays beside `L`, `W` and `#` in the day field, for the same reason; `L-3`, which `croner`
//!   does not support; long names; `?`; years after 5000;
//! * clock changes: if second, minute and hour are one number each, `croner` fires at the first
//!   instant after a gap and in the first pass of a fold, which are our defaults. It treats lists,
//!   ranges and steps as schedules of elapsed time; here only `*` has that effect.

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZoneDatabase;

use super::sample::{self, SplitMix};
use super::*;

/// An expression that both languages interpret equally, with one time a day or several.
fn common(random: &mut SplitMix, once: bool) -> String {
    let list = |random: &mut SplitMix, min: i64, max: i64| {
        let (one, other) = (random.within(min, max), random.within(min, max));
        match random.within(0, 4) {
            0 => format!("{}-{}", one.min(other), one.max(other)),
            1 => format!("{one},{other}"),
            2 => format!("{}-{}/{}", one.min(other), one.max(other), random.within(1, 5)),
            _ => one.to_string(),
        }
    };
    let or_any = |random: &mut SplitMix, min: i64, max: i64| {
        if random.one_in(2) { "*".to_owned() } else { list(random, min, max) }
    };
    let time = |random: &mut SplitMix, max: i64| {
        if once { random.within(0, max).to_string() } else { list(random, 0, max) }
    };
    let (minute, hour) = (time(random, 59), time(random, 23));
    let month = or_any(random, 1, 12);
    let (day, weekday) = match random.within(0, 5) {
        0 => (random.pick(&["L", "15W", "1W", "LW"]).to_owned(), "*".to_owned()),
        1 => ("*".to_owned(), random.pick(&["FRIL", "FRI#2", "MON#1", "0#3"]).to_owned()),
        2 => (list(random, 1, 28), random.pick(&["MON", "FRI", "1-5", "0,6"]).to_owned()),
        _ => (or_any(random, 1, 31), or_any(random, 0, 6)),
    };
    let second = if random.one_in(2) { String::new() } else { time(random, 59) + " " };
    format!("{second}{minute} {hour} {day} {month} {weekday}")
}

#[test]
fn croner_has_the_same_ticks_where_its_rules_are_ours() {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let mut random = SplitMix(11);
    let zones = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Asia/Tokyo"];
    let mut compared = 0;
    for _ in 0..2_000 {
        let zone = random.pick(&zones);
        let text = common(&mut random, zone.contains("New_York") || zone.contains("Berlin"));
        let theirs = parser.parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let start = sample::start(&mut random, zone).clamp(1_700_000_000, 2_500_000_000);
        let ours = plan(&cron_in(&text, zone));
        let place = TimeZoneDatabase::bundled().get(zone).unwrap();
        let mut at = jiff::Timestamp::from_second(start).unwrap().to_zoned(place);
        for index in 0..10 {
            // `croner` returns an error if it finds no occurrence within its search limit.
            let Ok(next) = theirs.find_next_occurrence(&at, false) else { break };
            let found = ours.next_after(Timestamp(at.timestamp().as_millisecond()));
            let wanted = Some(Timestamp(next.timestamp().as_millisecond()));
            assert_eq!(found, wanted, "{text:?} in {zone} from {start}, tick {index}");
            compared += 1;
            at = next;
        }
    }
    assert!(compared > 15_000, "only {compared} ticks compared");
}
