//! Compares the ticks with those of the brute-force implementation.

use super::brute::{Brute, Policy};
use super::sample::{self, SplitMix, ZONES};
use super::*;

/// Number of random cases. To run a longer check:
/// `PUNCTUAL_SCHEDULE_TRIPLES=100000 cargo test --workspace --lib -- random_schedules_agree`.
fn triples(default: u64) -> u64 {
    let wanted = std::env::var("PUNCTUAL_SCHEDULE_TRIPLES").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(default)
}

/// Compares the first ticks of one schedule and returns their number.
fn compare(text: &str, zone: &str, start: i64, dst: Dst, days: i64) -> usize {
    let policy = Policy {
        shift: dst.gap == Gap::Shift,
        first: dst.fold != Fold::Second,
        second: dst.fold != Fold::First,
    };
    let (expected, settled) = Brute::new(text, zone, policy).after(start, 20, days);
    let plan = plan(&Schedule { dst, ..cron_in(text, zone) });
    let mut at = Timestamp(start * 1_000);
    for (index, tick) in expected.iter().enumerate() {
        let (found, steps) = plan.next_after_counted(at);
        let context = || format!("{text:?} in {zone}, {dst:?}, from {start}, tick {index}");
        assert_eq!(found, Some(Timestamp(tick * 1_000)), "{}", context());
        assert!(steps <= 50_000, "{}: {steps} steps", context());
        at = Timestamp(tick * 1_000);
    }
    if expected.len() < 20
        && let Some(found) = plan.next_after(at)
    {
        let surplus = found < Timestamp(settled * 1_000);
        assert!(!surplus, "{text:?} in {zone}, {dst:?}, from {start}: {found} is too early");
    }
    expected.len()
}

fn policies() -> impl Iterator<Item = Dst> {
    let gaps = [Gap::Shift, Gap::Skip];
    let folds = [Fold::First, Fold::Second, Fold::Both];
    gaps.into_iter().flat_map(move |gap| folds.map(|fold| Dst { gap, fold }))
}

#[test]
fn random_schedules_agree_with_the_brute_force_matcher() {
    let count = triples(2_000);
    let changes: Vec<(&str, i64)> = ZONES
        .into_iter()
        .flat_map(|zone| sample::changes(zone).into_iter().map(move |change| (zone, change)))
        .collect();
    assert!(changes.len() > 100 && changes.len() as u64 <= count, "{}", changes.len());
    let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let some = |worker: u64| {
        let mine = (worker..count).step_by(usize::try_from(workers).unwrap());
        mine.map(|index| random_triple(index, &changes)).sum::<usize>()
    };
    let compared: usize = std::thread::scope(|scope| {
        let some = &some;
        let running: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || some(worker))).collect();
        running.into_iter().map(|worker| worker.join().expect("it agrees")).sum()
    });
    assert!(compared as u64 > count * 10, "only {compared} ticks compared");
}

/// Compares the ticks of the random schedule with this index. The first indexes cover every clock
/// change once.
fn random_triple(index: u64, changes: &[(&str, i64)]) -> usize {
    let mut random = SplitMix(index);
    let text = sample::expression(&mut random);
    let change = usize::try_from(index).ok().and_then(|index| changes.get(index));
    let (zone, start) = match change {
        Some((zone, change)) => (*zone, *change + random.within(-129_600, 0)),
        None => {
            let zone = random.pick(&ZONES);
            (zone, sample::start(&mut random, zone))
        }
    };
    let all: Vec<Dst> = policies().collect();
    let dst = all[usize::try_from(random.within(0, 5)).unwrap()];
    compare(&text, zone, start, dst, 800)
}

#[test]
fn clock_changes_agree_under_every_policy() {
    let texts = [
        "*/17 * * * *",
        "20 * * * *",
        "20 */3 * * ?",
        "5,35 0-3 * * *",
        "0 0 * * *",
        "59 59 1,2 * * *",
        "30 1,2 * * *",
        "59 23,0,3 * * ?",
    ];
    // One day before a clock change of each kind.
    for (zone, start) in [
        ("America/New_York", "2026-03-07T12:00:00Z"),
        ("America/New_York", "2026-10-31T12:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-03T20:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-02T20:00:00Z"),
        ("Pacific/Apia", "2011-12-28T12:00:00Z"),
        ("Antarctica/Troll", "2026-03-28T00:00:00Z"),
        ("Antarctica/Troll", "2026-10-24T00:00:00Z"),
        ("Asia/Kathmandu", "1985-12-30T18:00:00Z"),
        ("Asia/Beirut", "2026-03-27T12:00:00Z"),
        ("Asia/Beirut", "2026-10-23T12:00:00Z"),
        ("America/Santiago", "2026-09-05T00:00:00Z"),
        ("Africa/Casablanca", "2026-02-14T00:00:00Z"),
    ] {
        for (text, dst) in texts.iter().flat_map(|text| policies().map(move |dst| (text, dst))) {
            compare(text, zone, at(start).0 / 1_000, dst, 30);
        }
    }
}

#[test]
fn every_second_agrees() {
    let start = at("2026-11-01T05:59:50Z").0 / 1_000;
    for text in ["* * * * * *", "* 59 1 * * *"] {
        for dst in policies() {
            compare(text, "America/New_York", start, dst, 5);
        }
    }
}
