//! The worst-case cost of the next tick: `cargo bench --features simulation --bench next`.
//!
//! The expressions tick rarely or never, and the start has the longest search. Prints the number of
//! steps (the contract allows 50,000) and the median time of one search. After that, the cost of
//! parsing an expression, and the common expressions.
#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::time::{Duration, Instant};

use punctual::domain::schedule::{Dst, Fold, Gap, Plan, Schedule, parse_cron};
use punctual::domain::time::Timestamp;

const ROUNDS: usize = 301;

/// Expression and start time, the most expensive first.
const SEARCHES: [(&str, &str); 14] = [
    ("0 0 31W 2 *", "2026-01-01T00:00:00Z"),
    ("0 0 30 2 *", "2026-01-01T00:00:00Z"),
    ("0 0 31 2,4,6,9,11 *", "2026-01-01T00:00:00Z"),
    ("0 0 */29 2 MON", "2026-01-01T00:00:00Z"),
    ("30 2 ? 3 SUN#2", "2026-01-01T00:00:00Z"),
    ("30 2 8-14 3 *", "2026-03-08T06:59:59Z"),
    ("59 59 23 31 12 ? 9999", "2026-01-01T00:00:00Z"),
    ("0 0 0 29 2 ? 2001/2", "2026-01-01T00:00:00Z"),
    ("0 0 29 2 *", "2096-03-01T00:00:00Z"),
    ("0 0 ? 2 SUN#5", "2026-01-01T00:00:00Z"),
    ("0 0 13 * FRI", "2026-01-01T00:00:00Z"),
    ("30 9 * * MON-FRI", "2026-01-01T00:00:00Z"),
    ("*/5 * * * *", "2026-01-01T00:00:00Z"),
    ("* * * * * *", "2026-01-01T00:00:00Z"),
];

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

fn main() {
    println!("{:>6}  {:>10}  {:<22} next", "steps", "search", "expression");
    for (text, from) in SEARCHES {
        let Ok((rule, _)) = parse_cron(text) else { continue };
        let dst = Dst { gap: Gap::Skip, fold: Fold::Second };
        let timezone = Some("America/New_York".to_owned());
        let schedule = Schedule { timezone, dst, ..Schedule::of(rule) };
        let (Ok(plan), Ok(from)) =
            (Plan::compile(&schedule, "bench", "UTC", Timestamp(0)), Timestamp::parse(from))
        else {
            continue;
        };
        let (next, steps) = plan.next_after_counted(from);
        let took = median(|| {
            let _next = std::hint::black_box(plan.next_after(from));
        });
        let next = next.map_or("never".to_owned(), |next| next.to_string());
        println!("{steps:>6}  {:>7.1} µs  {text:<22} {next}", took.as_secs_f64() * 1e6);
    }
    let text = "*/5 9-17 1,15 * MON-FRI";
    let reading = median(|| drop(std::hint::black_box(parse_cron(text))));
    println!("reading {text:?}: {:.1} µs", reading.as_secs_f64() * 1e6);
}
