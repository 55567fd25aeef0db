//! The steps of a story about backfills.

use super::super::super::command::{Backfill, CancelBackfill};
use super::super::telling::clock;
use super::*;

impl MachineStory {
    /// `backfill a from=… to=… after=… ticks=…,… remaining=2 parallel=1`
    pub(super) fn backfill(&self, line: &ScriptLine) -> Command {
        let task = self.task(line.word(1));
        let at = |option: &str| self.time(line.option(option).expect("an instant"));
        let number = |option: &str| line.option(option).map(|text| text.parse().expect("a number"));
        let ticks = line.option("ticks").into_iter().flat_map(|text| text.split(','));
        Command::Backfill(Box::new(Backfill {
            task: task.key,
            revision: line.revision("revision").unwrap_or(task.live.revision),
            calendars: self.world.state.calendars_of(task),
            from: at("from"),
            to: at("to"),
            after: at("after"),
            ticks: ticks.map(|text| self.time(text)).collect(),
            remaining: number("remaining").unwrap_or(0),
            parallel: number("parallel").and_then(|many| u32::try_from(many).ok()).unwrap_or(1),
            parameters: line.option("parameters").map(str::to_owned),
        }))
    }

    /// `cancel-backfill a from=… to=…`
    pub(super) fn cancel_backfill(&self, line: &ScriptLine) -> Command {
        let at = |option: &str| self.time(line.option(option).expect("an instant"));
        let (task, from, to) = (self.task(line.word(1)).key, at("from"), at("to"));
        Command::CancelBackfill(CancelBackfill { task, from, to })
    }

    /// How far the ranges of a task are.
    pub(super) fn backfills(&self, name: &str) -> Vec<String> {
        let ranges = self.world.state.backfills(self.task(name).key);
        let told = ranges.map(|(key, kept)| {
            let live: Vec<String> = kept.live.iter().map(|id| format!("e{id}")).collect();
            let (from, to, cursor) = (clock(key.from), clock(key.to), clock(kept.cursor));
            let (created, remaining) = (kept.created, kept.remaining);
            let (live, ended) = (live.join(" "), kept.ended.all());
            let cancelled = if kept.cancelled(key) { ", cancelled" } else { "" };
            format!(
                "{from} to {to}{cancelled}: up to {cursor}, {created} created, {remaining} remain; live [{live}], {ended} ended"
            )
        });
        told.collect()
    }
}
