//! Warnings about schedules that are valid but probably unintended.

use super::cron::{CronItem, Expression, FieldKind, read_canonical};
use super::{Rule, Schedule};
use crate::domain::time::Millis;
use crate::domain::warning_code::WarningCode;

/// A warning about a valid schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub code: WarningCode,
    /// A human-readable sentence.
    pub detail: String,
}

impl Warning {
    fn new(code: WarningCode, detail: String) -> Self {
        Self { code, detail }
    }
}

/// The warnings about a schedule. A schedule with warnings is still valid.
#[must_use]
pub fn warnings(schedule: &Schedule) -> Vec<Warning> {
    match &schedule.rule {
        Rule::Interval { every, .. } if *every < Millis(1_000) => {
            let detail = format!("it ticks more often than once a second: every {every}");
            vec![Warning::new(WarningCode::SubSecond, detail)]
        }
        Rule::Cron(text) => match read_canonical(text) {
            Ok(expression) => cron(&expression),
            Err(_invalid) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn cron(expression: &Expression) -> Vec<Warning> {
    let mut out = Vec::new();
    for field in expression.fields() {
        for item in &field.items {
            let Some(first) = only_first(field.kind, item) else { continue };
            let name = field.kind.name();
            let detail = format!(
                "{item} in the {name} field is {first} and nothing else: the step goes beyond the \
                 field; a distance that does not fit into a field is an interval, such as \
                 @every 90m"
            );
            out.push(Warning::new(WarningCode::StepBeyondField, detail));
        }
    }
    let (Some(day), Some(weekday)) =
        (expression.field(FieldKind::Day), expression.field(FieldKind::Weekday))
    else {
        return out;
    };
    if !day.is_wildcard() && !weekday.is_wildcard() {
        let detail = format!(
            "both day fields are given: it fires on days of the month {day} and also on every \
             weekday {weekday}"
        );
        out.push(Warning::new(WarningCode::BothDayFields, detail));
    }
    let late = |item: &CronItem| matches!(item, CronItem::Range { from, to: None, step: None } if from.number >= 29);
    let every_month = expression.field(FieldKind::Month).is_some_and(|month| month.is_wildcard());
    if day.items.iter().all(late) && every_month {
        let detail = format!("months without a day {day} are left out; L is the last day");
        out.push(Warning::new(WarningCode::ShortMonths, detail));
    }
    out
}

/// The only value of an item whose step allows no second value, as text. `None` if there is a
/// second value.
fn only_first(kind: FieldKind, item: &CronItem) -> Option<String> {
    let (first, last, step) = match item {
        CronItem::Any(Some(step)) => (kind.min().to_string(), (kind.min(), kind.max()), *step),
        CronItem::Range { from, to, step: Some(step) } => {
            let end = to.map_or(kind.max(), |to| to.number);
            // A wrapping range covers the values from its start to the end of the field, then from
            // the start of the field.
            let wide = if end < from.number { end + kind.max() + 1 - kind.min() } else { end };
            (from.to_string(), (from.number, wide), *step)
        }
        CronItem::Hash { range, step: Some(step) } => {
            let (from, to) = range.map_or(kind.hash_range(), |(a, b)| (a.number, b.number));
            ("one value by the task's name".to_owned(), (from, to), *step)
        }
        _ => return None,
    };
    (step > last.1 - last.0).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::parse_cron;

    fn codes(text: &str) -> Vec<&'static str> {
        let (rule, _zone) = parse_cron(text).unwrap();
        warnings(&Schedule::of(rule)).iter().map(|warning| warning.code.name()).collect()
    }

    #[test]
    fn what_is_often_not_meant_is_said() {
        for (text, wanted) in [
            ("0 0 13 * FRI", &["both_day_fields"][..]),
            ("0 0 31 * *", &["short_months"]),
            ("0 0 29,30 * *", &["short_months"]),
            ("0 0 31 1 *", &[]),
            ("0 0 */2 * MON", &[]),
            ("@every 500ms", &["sub_second"]),
            ("@every 1s", &[]),
            ("*/60 * * * *", &["step_beyond_field"]),
            ("*/59 * * * *", &[]),
            ("0 */24 * * *", &["step_beyond_field"]),
            ("0 */23 * * *", &[]),
            ("0 0 */32 * *", &["step_beyond_field"]),
            ("0 0 */31 * *", &["step_beyond_field"]),
            ("0 0 1 */13 *", &["step_beyond_field"]),
            ("0 0 * * */8", &["step_beyond_field"]),
            ("0 0 * * */6", &[]),
            ("*/60 */24 * * *", &["step_beyond_field", "step_beyond_field"]),
            ("50/15 * * * *", &["step_beyond_field"]),
            ("10-20/11 * * * *", &["step_beyond_field"]),
            ("50-10/20 * * * *", &[]),
            ("50-10/21 * * * *", &["step_beyond_field"]),
            ("H/60 * * * *", &["step_beyond_field"]),
            ("H/59 * * * *", &[]),
            ("H(0-29)/30 * * * *", &["step_beyond_field"]),
            ("0 0 0 1 1 ? */8030", &["step_beyond_field"]),
        ] {
            assert_eq!(codes(text), wanted, "{text}");
        }
        let (rule, _zone) = parse_cron("*/90 * * * *").unwrap();
        let told = warnings(&Schedule::of(rule)).remove(0).detail;
        assert!(told.starts_with("*/90 in the minute field is 0 and nothing else"), "{told}");
    }
}
