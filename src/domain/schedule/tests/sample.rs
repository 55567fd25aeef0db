//! Random expressions, zones and instants from a seed.

use jiff::tz::TimeZoneDatabase;

/// Zones that cover every kind of clock change.
pub(super) const ZONES: [&str; 14] = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Antarctica/Troll",
    "Asia/Beirut",
    "America/Santiago",
    "Africa/Casablanca",
    "America/Havana",
    "Europe/Dublin",
    "Pacific/Chatham",
    "America/Sao_Paulo",
];

/// A small random number generator (splitmix64).
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `from..=to`.
    pub(super) fn within(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.next() % (to - from + 1).unsigned_abs()).unwrap()
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        let last = i64::try_from(from.len()).unwrap() - 1;
        from[usize::try_from(self.within(0, last)).unwrap()]
    }

    pub(super) fn one_in(&mut self, n: i64) -> bool {
        self.within(1, n) == 1
    }
}

/// An expression of 5 to 7 fields without `H`.
pub(super) fn expression(random: &mut SplitMix) -> String {
    let mut fields = Vec::new();
    let count = random.within(5, 7);
    if count > 5 {
        let sparse = ["0", "30", "0,20,40", "*/20", "59", "7-12/5", "50/4", "58-1"];
        fields.push(random.pick(&sparse).to_owned());
    }
    fields.push(numbers(random, 0, 59, &[]));
    fields.push(numbers(random, 0, 23, &[]));
    fields.push(days(random));
    let months = ["JAN", "feb", "MARCH", "APR", "Oct", "NOV"];
    fields.push(if random.one_in(3) { numbers(random, 1, 12, &months) } else { "*".to_owned() });
    fields.push(weekdays(random));
    if count == 7 {
        let years = ["*", "2020-2099", "*/2", "1970/3", "2024-2031,2040"];
        fields.push(random.pick(&years).to_owned());
    }
    fields.join(" ")
}

fn numbers(random: &mut SplitMix, min: i64, max: i64, names: &[&str]) -> String {
    let mut items = Vec::new();
    for _ in 0..random.pick(&[&1, &1, &1, &2, &3]).to_owned() {
        let value = |random: &mut SplitMix| {
            if !names.is_empty() && random.one_in(3) {
                random.pick(names).to_owned()
            } else {
                random.within(min, max).to_string()
            }
        };
        let from = value(random);
        let step = random.within(1, max.min(20));
        items.push(match random.within(0, 9) {
            0 | 1 => "*".to_owned(),
            2 => format!("*/{step}"),
            3 => format!("{from}/{step}"),
            4 => format!("{from}-{}", value(random)),
            5 => format!("{from}-{}/{step}", value(random)),
            _ => from,
        });
    }
    items.join(",")
}

fn days(random: &mut SplitMix) -> String {
    match random.within(0, 12) {
        0..=6 => "*".to_owned(),
        7 => "?".to_owned(),
        8 => random.pick(&["L", "L-3", "LW", "15W", "1W", "31W", "1,L", "30W,L-30"]).to_owned(),
        _ => numbers(random, 1, 31, &[]),
    }
}

fn weekdays(random: &mut SplitMix) -> String {
    let names = ["SUN", "mon", "TUESDAY", "WED", "THU", "FRI", "SAT"];
    match random.within(0, 12) {
        0..=6 => "*".to_owned(),
        7 => "?".to_owned(),
        8 => random.pick(&["FRIL", "6L", "FRI#2", "7#5", "0L", "MON#1,WED#3", "2,5L"]).to_owned(),
        9 => random.pick(&["FRI-MON", "5-7", "0-7/2", "1-7/3", "7", "6-1", "7-2"]).to_owned(),
        _ => numbers(random, 0, 6, &names),
    }
}

/// The clock changes of a zone in the years 2024 to 2030, in seconds.
pub(super) fn changes(zone: &str) -> Vec<i64> {
    let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
    let from = "2024-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
    let until = "2031-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
    zone.following(from)
        .map(|change| change.timestamp())
        .take_while(|at| *at < until)
        .map(|at| at.as_second())
        .collect()
}

/// A start in seconds, usually within 36 hours of a clock change in the years 2024 to 2030.
pub(super) fn start(random: &mut SplitMix, zone: &str) -> i64 {
    let changes = changes(zone);
    if changes.is_empty() || random.one_in(4) {
        return random.within(315_532_800, 4_102_444_800);
    }
    let picked: Vec<&i64> = changes.iter().collect();
    *random.pick(&picked) + random.within(-129_600, 129_600)
}
