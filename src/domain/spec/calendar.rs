//! The body of a calendar.

use serde_json::Value;

use super::BodyProblem;
use super::bodies::CalendarBody;
use super::reader::{BrokenRule, Object, echo, text};
use super::rules::{DESCRIPTION_BYTES_MAX, check_name};
use crate::domain::error_code::ErrorCode;
use crate::domain::schedule::calendar::{
    Calendar, CalendarRule, Dates, ENTRIES_MAX, RULES_MAX, TimeRange, Yearly,
};
use crate::domain::schedule::{parse_weekday, zone};

/// Reads a calendar's canonical body. `name` is from the path, and may be repeated in the body.
///
/// # Errors
/// All broken rules, at most 100.
pub fn read_calendar(name: &str, value: &Value) -> Result<Calendar, Vec<BodyProblem>> {
    let mut problems = Vec::new();
    let calendar = Object::read(Some(value), String::new(), &mut problems, |body| {
        let named = body.field("name", name.to_owned(), |value| Ok(text(value)?.to_owned()));
        if let Err(rule) = check_name(name) {
            body.refuse("/name", BrokenRule::new(ErrorCode::InvalidName, rule));
        } else if named != name {
            let message = format!("must be `{name}`, as the path says");
            body.refuse("/name", BrokenRule::new(ErrorCode::NameChanged, message));
        }
        let description = body.field("description", String::new(), |value| {
            let text = text(value)?;
            if text.len() > DESCRIPTION_BYTES_MAX {
                let message = format!("must have at most {DESCRIPTION_BYTES_MAX} bytes");
                return Err(BrokenRule::new(ErrorCode::TooLarge, message));
            }
            Ok(text.to_owned())
        });
        let timezone = body.optional("timezone", |value| {
            zone::canonical(text(value)?)
                .map_err(|error| BrokenRule::new(error.code, error.message))
        });
        let rules = rules(body);
        let entries = |rule: &CalendarRule| rule.dates.len() + rule.yearly.len() + rule.times.len();
        if rules.iter().map(entries).sum::<usize>() > ENTRIES_MAX {
            let message = format!("must have at most {ENTRIES_MAX} dates, days and times in all");
            body.refuse("/rules", BrokenRule::new(ErrorCode::TooLarge, message));
        }
        Calendar { name: name.to_owned(), description, timezone, rules }
    });
    if problems.is_empty() { Ok(calendar) } else { Err(problems) }
}

fn rules(body: &mut Object<'_, '_>) -> Vec<CalendarRule> {
    let given = body.required("rules", |value| match value {
        Value::Array(rules) if rules.len() <= RULES_MAX => Ok(rules.as_slice()),
        Value::Array(_) => Err(BrokenRule::new(
            ErrorCode::TooLarge,
            format!("must have at most {RULES_MAX} entries"),
        )),
        other => Err(BrokenRule::wrong("a list", other)),
    });
    let given = given.unwrap_or_default().iter().enumerate();
    given.map(|(index, value)| body.item("rules", index, value, rule)).collect()
}

fn rule(rule: &mut Object<'_, '_>) -> CalendarRule {
    let before = rule.problem_count();
    let read = CalendarRule {
        dates: entries(rule, "dates", Dates::parse),
        yearly: entries(rule, "yearly", Yearly::parse),
        weekdays: {
            let mut days = entries(rule, "weekdays", parse_weekday);
            days.sort_unstable();
            days.dedup();
            days
        },
        times: entries(rule, "times", TimeRange::parse),
    };
    if rule.problem_count() == before && read == CalendarRule::default() {
        let message = "needs dates, yearly, weekdays or times: without any it would be all of time";
        rule.refuse("", BrokenRule::new(ErrorCode::Empty, message));
    }
    read
}

/// Reads a list of texts, each an entry.
fn entries<T>(
    rule: &mut Object<'_, '_>,
    key: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let read = rule.list(key, |value| {
        let text = text(value)?;
        parse(text).map_err(|rule| {
            BrokenRule::new(ErrorCode::InvalidValue, format!("{rule}, got {}", echo(text)))
        })
    });
    read.unwrap_or_default()
}

/// The canonical body of a calendar.
#[must_use]
pub fn write_calendar(calendar: &Calendar) -> Value {
    serde_json::to_value(CalendarBody::from(calendar)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let body = json!({
            "name": "holidays", "description": "d", "timezone": "Europe/Berlin",
            "rules": [
                {"dates": ["2026-05-14/2026-05-15"], "yearly": [], "weekdays": [], "times": []},
                {"dates": [], "yearly": ["12-24/01-01"], "weekdays": ["sun", "sat"],
                 "times": ["22:00/06:00"]},
            ],
        });
        let read = read_calendar("holidays", &body).unwrap();
        assert_eq!(write_calendar(&read), body);
        let short = json!({"rules": [{"weekdays": ["SAT", "sunday", "sat"]}]});
        let read = read_calendar("weekend", &short).unwrap();
        assert_eq!(read.rules[0].weekdays, [0, 6]);
        assert_eq!(read_calendar("weekend", &write_calendar(&read)).unwrap(), read);
    }

    #[test]
    fn what_is_wrong_is_told_by_field_and_rule() {
        let many = vec!["09:00/17:00"; ENTRIES_MAX + 1];
        for (body, pointer, code) in [
            (json!([]), "", "wrong_type"),
            (json!({}), "/rules", "missing_field"),
            (json!({"rules": {}}), "/rules", "wrong_type"),
            (json!({"rules": [], "name": "d"}), "/name", "name_changed"),
            (json!({"rules": [], "rule": []}), "/rule", "unknown_field"),
            (json!({"rules": [], "timezone": "Europe/Berln"}), "/timezone", "unknown_timezone"),
            (json!({"rules": [{}]}), "/rules/0", "empty"),
            (json!({"rules": [{"times": many}]}), "/rules", "too_large"),
            (json!({"rules": vec![json!({}); RULES_MAX + 1]}), "/rules", "too_large"),
            (json!({"rules": [3]}), "/rules/0", "wrong_type"),
            (json!({"rules": [{"dates": [], "hour": []}]}), "/rules/0", "empty"),
            (
                json!({"rules": [{"times": ["09:00/17:00"], "date": []}]}),
                "/rules/0/date",
                "unknown_field",
            ),
            (json!({"rules": [{"dates": "2026-01-01"}]}), "/rules/0/dates", "wrong_type"),
            (json!({"rules": [{"dates": ["2026-02-30"]}]}), "/rules/0/dates/0", "invalid_value"),
            (json!({"rules": [{"yearly": ["2026-02-03"]}]}), "/rules/0/yearly/0", "invalid_value"),
            (
                json!({"rules": [{"weekdays": ["sat", "x"]}]}),
                "/rules/0/weekdays/1",
                "invalid_value",
            ),
            (json!({"rules": [{"times": ["9/17"]}]}), "/rules/0/times/0", "invalid_value"),
        ] {
            let problems = read_calendar("c", &body).unwrap_err();
            let found = (problems[0].pointer.as_str(), problems[0].code.as_str());
            assert_eq!(found, (pointer, code), "{body} {problems:?}");
        }
        let bad = read_calendar(".c", &json!({"rules": []})).unwrap_err();
        assert_eq!(bad[0].code, ErrorCode::InvalidName);
    }
}
