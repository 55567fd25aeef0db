//! Converts the plain items of a field to number ranges. `H` is resolved here.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{CronItem, Field, FieldKind, Value};

/// `from`, `from + step`, … up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::schedule) struct NumberRange {
    /// The first number.
    pub(in crate::domain::schedule) from: u16,
    /// The upper bound, at least `from`.
    pub(in crate::domain::schedule) to: u16,
    /// Difference between two numbers, at least 1.
    pub(in crate::domain::schedule) step: u16,
}

impl Field {
    /// The numbers that the plain items of the field select for this task. Sunday is 0. Items that
    /// depend on the month (`L`, `W`, `#`) are ignored.
    pub(in crate::domain::schedule) fn stretches(&self, task: &str) -> Vec<NumberRange> {
        let (min, max) = (self.kind.min(), self.kind.max());
        let mut out = Vec::new();
        for item in &self.items {
            match *item {
                CronItem::Any(step) => {
                    out.push(NumberRange { from: min, to: max, step: step.unwrap_or(1) })
                }
                CronItem::Unset => out.push(NumberRange { from: min, to: max, step: 1 }),
                CronItem::Range { from, to: None, step } => {
                    let from = sunday_first(self.kind, from.number);
                    let to = if step.is_some() { max } else { from };
                    out.push(NumberRange { from, to, step: step.unwrap_or(1) });
                }
                CronItem::Range { from, to: Some(to), step } => {
                    stretch(self.kind, from.number, to.number, step.unwrap_or(1), &mut out);
                }
                CronItem::Hash { range, step } => hashed(self.kind, range, step, task, &mut out),
                CronItem::Last(_)
                | CronItem::LastWorkday
                | CronItem::Nearest(_)
                | CronItem::LastOf(_)
                | CronItem::Nth(..) => {}
            }
        }
        out
    }
}

/// Maps weekday 7 to 0. All other numbers are unchanged.
pub(in crate::domain::schedule) fn sunday_first(kind: FieldKind, number: u16) -> u16 {
    if kind == FieldKind::Weekday && number == 7 { 0 } else { number }
}

/// `from-to/step`. A range that wraps is split in two, and the step continues across the split.
fn stretch(kind: FieldKind, from: u16, to: u16, step: u16, out: &mut Vec<NumberRange>) {
    let (min, max) = (kind.min(), kind.max());
    let start = sunday_first(kind, from);
    // `0-7` is the whole week, `5-7` wraps around to Sunday, `7-7` is Sunday.
    let whole_week = kind == FieldKind::Weekday && from == 0 && to == 7;
    let end = if whole_week { max } else { sunday_first(kind, to) };
    if start <= end {
        out.push(NumberRange { from: start, to: end, step });
        return;
    }
    out.push(NumberRange { from: start, to: max, step });
    let beyond = step - (max - start) % step - 1;
    if min + beyond <= end {
        out.push(NumberRange { from: min + beyond, to: end, step });
    }
}

/// Resolves `H` to a number in the range that depends only on the task name. With a step, it is the
/// first number.
fn hashed(
    kind: FieldKind,
    range: Option<(Value, Value)>,
    step: Option<u16>,
    task: &str,
    out: &mut Vec<NumberRange>,
) {
    let (from, to) = match range {
        Some((from, to)) => (from.number, to.number),
        None => kind.hash_range(),
    };
    let width = to - from + 1;
    let choices = step.map_or(width, |step| step.min(width));
    let hash = xxh3_64_with_seed(task.as_bytes(), kind.seed()) % u64::from(choices);
    let first = from + u16::try_from(hash).unwrap_or(0);
    let to = if step.is_some() { to } else { first };
    stretch(kind, first, to, step.unwrap_or(1), out);
}
