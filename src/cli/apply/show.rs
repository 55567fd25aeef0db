//! Tells what became of each object.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::super::context::CliContext;
use super::super::diff;
use super::super::exit::Failure;
use super::super::fetch;
use super::super::local::LocalClock;
use super::super::many;
use super::super::table::Table;
use super::{ApplyItem, ApplyResult, ObjectKind};
use crate::dto::NextTick;

/// All of it, for programs.
#[derive(Serialize)]
struct ApplyReport<'a> {
    dry_run: bool,
    created: usize,
    changed: usize,
    unchanged: usize,
    removed: usize,
    refused: usize,
    items: &'a [ApplyItem],
}

/// Prints a line for each object, with what changes, and how many there were. True: there was
/// something to change.
pub(super) fn print(
    items: &[ApplyItem],
    dry_run: bool,
    context: &mut CliContext,
) -> Result<bool, Failure> {
    let count = |result| items.iter().filter(|item| item.result == result).count();
    let report = ApplyReport {
        dry_run,
        created: count(ApplyResult::Created),
        changed: count(ApplyResult::Changed),
        unchanged: count(ApplyResult::Unchanged),
        removed: count(ApplyResult::Removed),
        refused: count(ApplyResult::Refused),
        items,
    };
    if context.out.for_people() {
        let clock = context.out.clock();
        let lines: String = items.iter().map(|item| told(item, dry_run, clock)).collect();
        context.out.bytes(lines.as_bytes())?;
        for warning in warnings(items) {
            context.out.say(&warning);
        }
    } else {
        let each: Vec<Value> = items.iter().map(fetch::value).collect();
        context.out.many(&fetch::value(&report), &each, |_clock| Table::default())?;
    }
    let counts = [
        (report.created, "created"),
        (report.changed, "changed"),
        (report.removed, "removed"),
        (report.refused, "refused"),
        (report.unchanged, "unchanged"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    let all = if counts.is_empty() { "nothing to do".to_owned() } else { counts.join(", ") };
    let end = if dry_run { " (dry run: nothing was changed)" } else { "" };
    context.out.say(&format!("{all}{end}"));
    Ok(report.created + report.changed + report.removed > 0)
}

/// Each warning once, with the tasks that it is about.
fn warnings(items: &[ApplyItem]) -> Vec<String> {
    let mut about: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for item in items {
        for warning in &item.warnings {
            about.entry(&warning.detail).or_default().push(&item.name);
        }
    }
    let line = |(detail, names): (&str, Vec<&str>)| match names.as_slice() {
        [first, _, ..] => format!("warning: {} tasks ({first}, …): {detail}", names.len()),
        one => format!("warning: {}: {detail}", one.concat()),
    };
    about.into_iter().map(line).collect()
}

/// The lines about one object.
fn told(item: &ApplyItem, dry_run: bool, clock: &LocalClock) -> String {
    let kind = match item.kind {
        ObjectKind::Task => "",
        ObjectKind::Calendar => "calendar ",
    };
    let words = match item.words.as_str() {
        "" => String::new(),
        words => format!(", {words}"),
    };
    let dry = if dry_run { " (dry run)" } else { "" };
    let what = match item.result {
        ApplyResult::Created => format!("created{dry}{words}"),
        ApplyResult::Changed => format!("changed{dry}"),
        ApplyResult::Unchanged => "unchanged".to_owned(),
        ApplyResult::Removed => format!("removed{dry}"),
        ApplyResult::Refused => {
            let why = item.refusal.as_ref().map(many::refused).unwrap_or_default();
            let advice = item.refusal.as_ref().and_then(|refusal| refusal.advice.as_ref());
            let advice = advice.map(|advice| format!("\n  {advice}")).unwrap_or_default();
            format!("refused: {why}{advice}")
        }
    };
    let mut lines = format!("{kind}{}: {what}\n", item.name);
    if item.result == ApplyResult::Changed {
        lines.push_str(&diff::lines(&item.changes));
        if let Some(ticks) = &item.next_ticks {
            lines.push_str(&format!("  next ticks until now: {}\n", listed(&ticks.before, clock)));
            lines.push_str(&format!("  next ticks from now:  {}\n", listed(&ticks.after, clock)));
        }
    }
    lines
}

fn listed(ticks: &[NextTick], clock: &LocalClock) -> String {
    let one = |tick: &NextTick| {
        let why = tick.excluded.as_ref().map(|name| format!(" (excluded: {name})"));
        format!("{}{}", clock.short(tick.at.0), why.unwrap_or_default())
    };
    match ticks {
        [] => "none".to_owned(),
        some => some.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}
