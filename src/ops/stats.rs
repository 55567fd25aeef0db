//! Statistics from the counts in the state: of a task since its creation, and of the cluster.

use super::context::StateView;
use super::views;
use crate::domain::machine::Task;
use crate::domain::machine::limits::DAYS_MAX;
use crate::domain::machine::record::{DayCounts, LogHistogram, Statistics, Streaks, Totals};
use crate::domain::time::Timestamp;
use crate::dto::{DayView, Percentiles, Rfc3339, StatsView, StreaksView, TaskStatsView};

/// Numbers of live executions.
#[derive(Clone, Copy, Debug, Default)]
struct LiveExecutions {
    pending: u64,
    running: u64,
}

impl LiveExecutions {
    fn of(task: &Task) -> Self {
        let pending = task.waiting();
        Self { pending: pending.into(), running: task.progress.live.saturating_sub(pending).into() }
    }
}

/// The statistics of a task.
pub(crate) fn of_task(view: &StateView, task: &Task) -> TaskStatsView {
    let none = Statistics::default();
    let recent = task.recent().unwrap_or(&none);
    let days = days(task.days(), view.now);
    TaskStatsView {
        stats: StatsView {
            last_success: task.progress.last_success.map(Rfc3339),
            days,
            ..stats(&task.progress.totals, LiveExecutions::of(task), recent)
        },
        task: task.live.name.to_string(),
        live: task.progress.live,
    }
}

/// The statistics of all tasks, including removed ones.
pub(crate) fn of_all(view: &StateView) -> StatsView {
    let all = view.state.statistics();
    let mut live = LiveExecutions::default();
    for task in view.state.busy_tasks() {
        let LiveExecutions { pending, running } = LiveExecutions::of(task);
        live.pending += pending;
        live.running += running;
    }
    StatsView {
        last_success: all.last_success.map(Rfc3339),
        days: days(all.days(), view.now),
        ..stats(&all.totals, live, &all.recent)
    }
}

fn stats(totals: &Totals, live: LiveExecutions, recent: &Statistics) -> StatsView {
    let LiveExecutions { pending, running } = live;
    StatsView {
        total: totals.ended().saturating_add(pending).saturating_add(running),
        pending,
        running,
        success: totals.success,
        failed: totals.failed,
        timeout: totals.timeout,
        cancelled: totals.cancelled,
        lost: totals.lost,
        success_rate: success_rate(totals),
        last_success: None,
        streaks: streaks(&recent.streaks),
        duration_ms: percentiles(&recent.durations),
        lateness_ms: percentiles(&recent.latenesses),
        totals: views::totals(totals),
        days: Vec::new(),
    }
}

/// Successes as a share of the ended executions without the cancelled ones.
fn success_rate(totals: &Totals) -> Option<f64> {
    let judged = totals.judged();
    (judged > 0).then(|| totals.success as f64 / judged as f64)
}

fn streaks(streaks: &Streaks) -> StreaksView {
    let outcome = if streaks.failing { "failure" } else { "success" };
    StreaksView {
        outcome: (streaks.current > 0).then(|| outcome.into()),
        current: streaks.current,
        longest_success: streaks.longest_success,
        longest_failure: streaks.longest_failure,
    }
}

fn percentiles(values: &LogHistogram) -> Percentiles {
    Percentiles { p50: values.percentile(50), p95: values.percentile(95), max: values.max() }
}

/// The days that are not too old. A task without recent counts may still keep older days.
fn days(days: impl Iterator<Item = DayCounts>, now: Timestamp) -> Vec<DayView> {
    let oldest = DayCounts::number(now).saturating_sub(i64::from(DAYS_MAX));
    let young = days.filter(|day| day.day > oldest);
    young
        .map(|day| DayView {
            date: day.begin().to_string().chars().take("YYYY-MM-DD".len()).collect(),
            totals: views::totals(&day.counts),
            success_rate: success_rate(&day.counts),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_shown_for_ninety_days() {
        let now = Timestamp::parse("2026-03-02T12:00:00Z").unwrap();
        let today = DayCounts::number(now);
        let counts = Totals { success: 3, failed: 1, cancelled: 5, ..Totals::default() };
        let kept = [today - 90, today - 89, today].map(|day| DayCounts { day, counts });
        let shown = days(kept.into_iter(), now);
        let dates: Vec<&str> = shown.iter().map(|day| &*day.date).collect();
        assert_eq!(dates, ["2025-12-03", "2026-03-02"]);
        // Cancelled executions do not affect the rate.
        assert_eq!(shown[0].success_rate, Some(0.75));
    }

    #[test]
    fn without_ends_there_is_no_rate_and_no_streak() {
        let shown = stats(&Totals::default(), LiveExecutions::default(), &Statistics::default());
        assert_eq!((shown.success_rate, shown.streaks.outcome), (None, None));
        assert_eq!(shown.duration_ms, Percentiles { p50: None, p95: None, max: None });
    }
}
