//! The fields of the form: which value of a task's body each one stands for, and how it is written.

use serde_json::{Map, Value};

use crate::domain::spec::parse_json;
use crate::dto::short::quoted;
use crate::ui::text::{Text, edit as text};

/// How a value is written in a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum InputKind {
    /// Text on one line.
    Line,
    /// Text.
    Area,
    /// A whole number.
    Number,
    /// Yes or no.
    Flag,
    /// One of some words. The first is the default.
    Choice(&'static [(&'static str, Text)]),
    /// Words, separated by commas or spaces.
    List,
    /// Whole numbers, separated likewise.
    Numbers,
    /// A name and a value on each line, with this sign between them.
    Pairs(char),
    /// A program and its arguments, as a shell reads them.
    Command,
    /// A JSON object.
    Json,
}

/// Where a field stands in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldPlace {
    Basics,
    /// Of a rule of the schedule.
    Rule(&'static str),
    Schedule,
    ScheduleMore,
    /// Of a kind of action.
    Action(&'static str),
    ActionMore,
    Policies,
    PoliciesMore,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldDef {
    /// Its name in the form.
    pub name: &'static str,
    /// Where its value is in the body.
    pub pointer: &'static str,
    pub kind: InputKind,
    pub place: FieldPlace,
    pub label: Text,
    /// An example.
    pub example: &'static str,
}

/// The rules of a schedule, each with its fields.
pub(super) const RULES: [(&str, Text); 9] = [
    ("cron", text::RULE_CRON),
    ("interval", text::RULE_INTERVAL),
    ("daily", text::RULE_DAILY),
    ("weekly", text::RULE_WEEKLY),
    ("monthly", text::RULE_MONTHLY),
    ("at", text::RULE_AT),
    ("delay", text::RULE_DELAY),
    ("immediate", text::RULE_IMMEDIATE),
    ("manual", text::RULE_MANUAL),
];

/// The kinds of action. The first one: the function or executor of the task's name.
pub(super) const ACTIONS: [(&str, Text); 5] = [
    ("", text::ACTION_NONE),
    ("shell", text::ACTION_SHELL),
    ("http", text::ACTION_HTTP),
    ("executor", text::ACTION_EXECUTOR),
    ("func", text::ACTION_FUNC),
];

const MODES: &[(&str, Text)] = &[
    ("sequential", text::NEXT_WAITS),
    ("skip", text::NEXT_SKIPPED),
    ("parallel", text::NEXT_BESIDE),
    ("replace", text::NEXT_REPLACES),
];
const LATE: &[(&str, Text)] =
    &[("last", text::LATE_LAST), ("all", text::LATE_ALL), ("none", text::LATE_NONE)];
const BACKOFFS: &[(&str, Text)] =
    &[("fixed", text::BACKOFF_FIXED), ("exponential", text::BACKOFF_EXPONENTIAL)];
const GAPS: &[(&str, Text)] = &[("shift", text::GAP_SHIFT), ("skip", text::GAP_SKIP)];
const FOLDS: &[(&str, Text)] =
    &[("first", text::FOLD_FIRST), ("second", text::FOLD_SECOND), ("both", text::FOLD_BOTH)];
const DELIVERIES: &[(&str, Text)] =
    &[("at_most_once", text::AT_MOST_ONCE), ("at_least_once", text::AT_LEAST_ONCE)];
const AFTER_RUNS: &[(&str, Text)] = &[
    ("keep", text::AFTER_KEEP),
    ("mark_deleted", text::AFTER_MARK),
    ("cleanup", text::AFTER_CLEANUP),
];

macro_rules! fields {
    ($($name:literal $pointer:literal $kind:expr, $place:expr, $label:expr, $example:literal;)*) => {
        &[$(FieldDef {
            name: $name, pointer: $pointer, kind: $kind, place: $place, label: $label,
            example: $example,
        },)*]
    };
}

/// All fields, in the order of the form. What a body has beside them stays as it is.
pub(super) const FIELDS: &[FieldDef] = {
    use FieldPlace::{
        Action, ActionMore, Basics, Policies, PoliciesMore, Rule, Schedule, ScheduleMore,
    };
    use InputKind::{Area, Choice, Command, Flag, Json, Line, List, Number, Numbers, Pairs};
    fields! {
        "name" "/name" Line, Basics, text::NAME, "nightly-backup";
        "description" "/description" Area, Basics, text::DESCRIPTION, "";
        "labels" "/labels" Pairs('='), Basics, text::LABELS, "team=infra";
        "enabled" "/enabled" Flag, Basics, text::ENABLED, "";

        "cron" "/schedule/cron" Line, Rule("cron"), text::CRON, "30 2 * * *";
        "interval" "/schedule/interval" Line, Rule("interval"), text::EVERY, "15m";
        "daily" "/schedule/daily" List, Rule("daily"), text::TIMES, "02:30, 14:30";
        "weekly_days" "/schedule/weekly/days" List, Rule("weekly"), text::WEEKDAYS, "mon, fri";
        "weekly_at" "/schedule/weekly/at" Line, Rule("weekly"), text::TIME, "02:30";
        "monthly_days" "/schedule/monthly/days" Numbers, Rule("monthly"), text::MONTH_DAYS, "1, -1";
        "monthly_at" "/schedule/monthly/at" Line, Rule("monthly"), text::TIME, "02:30";
        "at" "/schedule/at" Line, Rule("at"), text::INSTANT, "2027-01-31T09:00:00+01:00";
        "delay" "/schedule/delay" Line, Rule("delay"), text::DELAY, "90s";
        "timezone" "/schedule/timezone" Line, Schedule, text::ZONE, "Europe/Berlin";
        "gap" "/schedule/dst/gap" Choice(GAPS), ScheduleMore, text::GAP, "";
        "fold" "/schedule/dst/fold" Choice(FOLDS), ScheduleMore, text::FOLD, "";
        "jitter" "/schedule/jitter" Line, ScheduleMore, text::JITTER, "30s";
        "exclude" "/schedule/exclude" List, ScheduleMore, text::EXCLUDE, "holidays";
        "not_before" "/schedule/not_before" Line, ScheduleMore, text::NOT_BEFORE, "2027-01-01T00:00:00Z";
        "not_after" "/schedule/not_after" Line, ScheduleMore, text::NOT_AFTER, "2027-12-31T23:59:59Z";
        "max_ticks" "/schedule/max_ticks" Number, ScheduleMore, text::MAX_TICKS, "100";

        "argv" "/action/shell/argv" Command, Action("shell"), text::COMMAND, "/usr/local/bin/backup --all";
        "cwd" "/action/shell/cwd" Line, Action("shell"), text::FOLDER, "/srv";
        "user" "/action/shell/user" Line, Action("shell"), text::USER, "backup";
        "env" "/action/shell/env" Pairs('='), Action("shell"), text::ENVIRONMENT, "MODE=full";
        "stdin" "/action/shell/stdin" Area, Action("shell"), text::STDIN, "";
        "url" "/action/http/url" Line, Action("http"), text::URL, "https://app.example/jobs/report";
        "method" "/action/http/method" Line, Action("http"), text::METHOD, "POST";
        "headers" "/action/http/headers" Pairs(':'), Action("http"), text::HEADERS, "Content-Type: application/json";
        "http_body" "/action/http/body" Area, Action("http"), text::HTTP_BODY, "";
        "expect_status" "/action/http/expect_status" List, Action("http"), text::EXPECT_STATUS, "200-299";
        "connect_timeout" "/action/http/connect_timeout" Line, Action("http"), text::CONNECT_TIMEOUT, "10s";
        "executors" "/action/executor/names" List, Action("executor"), text::EXECUTORS, "worker-1, worker-2";
        "func" "/action/func/id" Line, Action("func"), text::FUNCTION, "report";
        "parameters" "/parameters" Json, ActionMore, text::PARAMETERS, "{\"report\": \"daily\"}";
        "payload" "/payload" Area, ActionMore, text::PAYLOAD, "";

        "execution_mode" "/execution_mode" Choice(MODES), Policies, text::IF_LIVE, "";
        "timeout" "/timeout" Line, Policies, text::STOPPED_AFTER, "10m";
        "max_retry" "/retry/max_retry" Number, Policies, text::REPEATED, "3";
        "retry_delay" "/retry/delay" Line, Policies, text::REPEATED_AFTER, "30s";
        "backoff" "/retry/backoff" Choice(BACKOFFS), Policies, text::BACKOFF, "";
        "catch_up" "/catch_up/policy" Choice(LATE), Policies, text::LATE, "";
        "window" "/catch_up/window" Line, Policies, text::LATE_WINDOW, "1h";
        "catch_up_on_resume" "/catch_up_on_resume" Flag, PoliciesMore, text::LATE_ON_RESUME, "";
        "max_live" "/max_live" Number, PoliciesMore, text::MAX_LIVE, "1";
        "queue_max" "/queue_max" Number, PoliciesMore, text::QUEUE_MAX, "100";
        "group" "/concurrency/group" Line, PoliciesMore, text::GROUP, "database";
        "group_limit" "/concurrency/limit" Number, PoliciesMore, text::GROUP_LIMIT, "2";
        "priority" "/priority" Number, PoliciesMore, text::PRIORITY, "5";
        "delivery" "/delivery" Choice(DELIVERIES), PoliciesMore, text::DELIVERY, "";
        "kill_grace" "/kill_grace" Line, PoliciesMore, text::KILL_GRACE, "10s";
        "lost_after" "/lost_after" Line, PoliciesMore, text::LOST_AFTER, "30s";
        "max_delay" "/retry/max_delay" Line, PoliciesMore, text::MAX_DELAY, "10m";
        "selector" "/assignment/selector" Pairs('='), PoliciesMore, text::SELECTOR, "disk=ssd";
        "then_success" "/then/success" List, PoliciesMore, text::THEN_SUCCESS, "";
        "then_failure" "/then/failure" List, PoliciesMore, text::THEN_FAILURE, "";
        "after_run" "/after_run" Choice(AFTER_RUNS), PoliciesMore, text::AFTER_RUN, "";
        "one_shot" "/one_shot" Flag, PoliciesMore, text::ONE_SHOT, "";
    }
};

impl InputKind {
    /// A value as it stands in the field. What the kind does not expect is shown as JSON.
    pub fn show(self, value: &Value) -> String {
        let plain = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        match (self, value) {
            (Self::List | Self::Numbers, Value::Array(items)) => {
                items.iter().map(plain).collect::<Vec<_>>().join(", ")
            }
            (Self::Command, Value::Array(items)) => {
                items.iter().map(|word| quoted(&plain(word))).collect::<Vec<_>>().join(" ")
            }
            (Self::Pairs(sign), Value::Object(fields)) => pairs(sign, fields, plain),
            (Self::Json, Value::Object(fields)) if fields.is_empty() => String::new(),
            (Self::Json, Value::Object(_)) => {
                serde_json::to_string_pretty(value).unwrap_or_default()
            }
            _ => plain(value),
        }
    }

    /// The value of a text that is not empty. What is not of the kind stays text, so that the rules of
    /// a body tell what is wrong.
    ///
    /// # Errors
    /// What is wrong with the way in which it is written.
    pub fn read(self, text: &str) -> Result<Value, String> {
        let trimmed = text.trim();
        let number = |text: &str| match text.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(text),
        };
        let words =
            || trimmed.split([',', ' ', '\n', '\t']).map(str::trim).filter(|word| !word.is_empty());
        Ok(match self {
            Self::Line | Self::Choice(_) => Value::from(trimmed),
            Self::Area => Value::from(text),
            Self::Number => number(trimmed),
            Self::Flag => Value::from(trimmed == "true"),
            Self::List => words().map(Value::from).collect(),
            Self::Numbers => words().map(number).collect(),
            Self::Pairs(sign) => read_pairs(sign, text)?,
            Self::Command => split(text)?.into_iter().map(Value::from).collect(),
            Self::Json => parse_json(text).map_err(|problem| problem.message)?,
        })
    }
}

/// A value that one line cannot show as it is stands in quotes, as JSON writes it.
fn pairs(sign: char, fields: &Map<String, Value>, plain: impl Fn(&Value) -> String) -> String {
    let line = |(name, value): (&String, &Value)| {
        let value = plain(value);
        let odd =
            value.contains(char::is_control) || value.starts_with('"') || value.trim() != value;
        let value = if odd { Value::from(value).to_string() } else { value };
        let space = if sign == ':' { " " } else { "" };
        format!("{name}{sign}{space}{value}")
    };
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn read_pairs(sign: char, text: &str) -> Result<Value, String> {
    let mut fields = Map::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(sign) else {
            return Err(format!("has a line without `{sign}`: {line}"));
        };
        let (name, value) = (name.trim(), value.trim());
        let value = if value.starts_with('"') {
            let text: Result<String, _> = serde_json::from_str(value);
            text.map_err(|error| format!("has a value with wrong quotes ({error}): {line}"))?
        } else {
            value.to_owned()
        };
        if fields.insert(name.to_owned(), Value::from(value)).is_some() {
            return Err(format!("names {name} twice"));
        }
    }
    Ok(Value::Object(fields))
}

/// The words of a command line: by spaces and quotes, as a shell takes them. Nothing else is special.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => {
                let inside = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => match chars.next() {
                            Some(next @ ('"' | '\\' | '$' | '`')) => inside.push(next),
                            Some(next) => inside.extend(['\\', next]),
                            None => return Err("ends within quotes".to_owned()),
                        },
                        Some(next) => inside.push(next),
                        None => return Err("ends within quotes".to_owned()),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("ends with a backslash".to_owned()),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_line_has_the_words_that_a_shell_sees() {
        for (text, words) in [
            ("echo on time", vec!["echo", "on", "time"]),
            ("sh -c 'echo \"$A\"; true'", vec!["sh", "-c", "echo \"$A\"; true"]),
            (r#"a "b \"c\" \n" d\ e ''"#, vec!["a", "b \"c\" \\n", "d e", ""]),
            ("  a\n\tb ", vec!["a", "b"]),
            ("", vec![]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for text in ["a 'b", "a \"b\\", "a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pairs_that_are_wrong_say_where() {
        assert_eq!(
            read_pairs('=', "a=1\n\n b = x=y \nc=\n").unwrap(),
            json!({"a": "1", "b": "x=y", "c": ""})
        );
        for text in ["a", "a=1\na=2", "a=\"x"] {
            assert!(read_pairs('=', text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_fields_have_names_and_places_of_their_own() {
        for (at, field) in FIELDS.iter().enumerate() {
            let later = FIELDS.iter().skip(at + 1);
            assert!(
                later.clone().all(|other| other.name != field.name
                    && !other.pointer.starts_with(&format!("{}/", field.pointer))
                    && other.pointer != field.pointer),
                "{}",
                field.name
            );
        }
    }

    proptest! {
        #[test]
        fn what_a_field_shows_is_read_as_it_was(
            words in proptest::collection::vec("[ -~\n\u{e9}]{0,12}", 0..5),
            fields in proptest::collection::btree_map("[a-zA-Z_]{1,8}", "[ -~\n\t\u{e9}]{0,12}", 0..5),
        ) {
            let argv = json!(words);
            prop_assert_eq!(InputKind::Command.read(&InputKind::Command.show(&argv)).unwrap(), argv);
            for sign in ['=', ':'] {
                let pairs = InputKind::Pairs(sign);
                let value = json!(fields);
                prop_assert_eq!(pairs.read(&pairs.show(&value)).unwrap(), value);
            }
        }
    }
}
