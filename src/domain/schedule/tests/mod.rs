//! Tests of schedules as a whole: dialect, clock changes, limits, properties, and comparison with
//! `croner`.

mod brute;
mod dialect;
mod differential;
mod dst;
mod laws;
mod limits;
mod sample;
mod second_opinion;

use super::*;

/// Parses an instant.
fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A schedule from a cron text. Its zone prefix takes precedence over `zone`.
fn cron_in(text: &str, zone: &str) -> Schedule {
    let (rule, prefix) = parse_cron(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Schedule { timezone: Some(prefix.unwrap_or_else(|| zone.to_owned())), ..Schedule::of(rule) }
}

/// The plan of a schedule that was set in 2020.
fn plan(schedule: &Schedule) -> Plan {
    let set_at = at("2020-01-01T00:00:00Z");
    Plan::compile(schedule, "task", "UTC", set_at).unwrap_or_else(|error| panic!("{error}"))
}

/// The ticks after `from` and up to `to` (inclusive), as text without milliseconds.
fn ticks(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
    let plan = plan(schedule);
    let to = at(to);
    let mut out = Vec::new();
    let mut from = at(from);
    while let Some(tick) = plan.next_after(from).filter(|tick| *tick <= to) {
        assert!(tick > from, "{tick} is not after {from}");
        assert!(out.len() < 100_000, "too many ticks");
        out.push(tick.to_string().replace(".000Z", "Z"));
        from = tick;
    }
    out
}
