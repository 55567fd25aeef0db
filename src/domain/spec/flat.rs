//! The flat spellings of a task's body: fields at the top, each of which stands for one field of the
//! canonical form.
//!
//! [`expand`] rewrites them in front of `body::read`. A flat field beside a canonical one that says
//! something else is refused; beside one that says the same it changes nothing. A null counts as
//! absent. What the canonical form refuses is told at the field that the author wrote.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::BodyProblem;
use super::reader::{BrokenRule, choice, flag, got, underscored, whole};
use super::rules::DURATION_MAX;
use super::schedule::RULES;
use super::words::Words;
use crate::domain::error_code::ErrorCode;
use crate::domain::time::Millis;

/// The flat fields, and the canonical one that each stands for.
pub(super) const FLAT: [(&str, &str); 8] = [
    ("cron_format", "schedule.cron"),
    ("cron_expression", "schedule.cron"),
    ("type", "schedule"),
    ("executed_and_mark_deleted", "after_run"),
    ("executed_and_cleanup", "after_run"),
    ("max_retry", "retry.max_retry"),
    ("timeout_seconds", "timeout"),
    ("load_balance_strategy", "action.executor.balance"),
];
/// What `type` may be, and the rule of the schedule that it names.
const TYPES: &Words<&str> = &[("duration", "interval"), ("cron", "cron"), ("daily", "daily")];
/// The actions beside `executor`, none of which chooses among executors.
const OTHER_ACTIONS: [&str; 3] = ["http", "shell", "func"];

/// A body in canonical form, and what is wrong with its flat fields.
pub(super) struct Expanded<'v> {
    /// The body.
    pub body: Cow<'v, Value>,
    /// What is wrong.
    pub problems: Vec<BodyProblem>,
    moved: Vec<RewrittenField>,
}

/// A canonical field whose value was written elsewhere.
struct RewrittenField {
    /// The pointer to it.
    pointer: String,
    /// The field that was written.
    written: &'static str,
    /// Whether all of the value was written there; else only that there is one.
    whole: bool,
}

/// Rewrites the flat fields of a body.
pub(super) fn expand(value: &Value) -> Expanded<'_> {
    let is_flat = |key: &String| FLAT.iter().any(|(flat, _)| flat == key);
    match value {
        Value::Object(fields) if fields.keys().any(is_flat) => {
            let (fields, problems, moved) = (fields.clone(), Vec::new(), Vec::new());
            let mut flat = FlatReader { fields, problems, moved };
            flat.read();
            let body = Cow::Owned(Value::Object(flat.fields));
            Expanded { body, problems: flat.problems, moved: flat.moved }
        }
        _ => Expanded { body: Cow::Borrowed(value), problems: Vec::new(), moved: Vec::new() },
    }
}

impl Expanded<'_> {
    /// Tells problems at the fields that were written.
    pub fn point(&self, problems: &mut [BodyProblem]) {
        for problem in problems {
            let written = self.moved.iter().find_map(|moved| {
                let rest = problem.pointer.strip_prefix(&moved.pointer)?;
                let below = moved.whole && rest.starts_with('/');
                (rest.is_empty() || below).then(|| format!("/{}{rest}", moved.written))
            });
            if let Some(written) = written {
                problem.pointer = written;
            }
        }
    }
}

/// Takes the flat fields of a body apart.
struct FlatReader {
    fields: Map<String, Value>,
    problems: Vec<BodyProblem>,
    moved: Vec<RewrittenField>,
}

impl FlatReader {
    fn read(&mut self) {
        let kind = self.take("type").and_then(|value| self.kind(&value));
        for name in ["cron_format", "cron_expression"] {
            self.cron(name);
        }
        if let Some((word, rule)) = kind {
            self.check_kind(word, rule);
        }
        self.after_run("executed_and_mark_deleted", "mark_deleted");
        self.after_run("executed_and_cleanup", "cleanup");
        if let Some(retries) = self.take("max_retry") {
            self.set("max_retry", &["retry", "max_retry"], retries, |own, flat| own == flat);
        }
        self.timeout();
        self.balance();
    }

    /// Takes a flat field out of the body; null counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.shift_remove(name).filter(|value| !value.is_null())
    }

    fn refuse(&mut self, name: &str, rule: BrokenRule) {
        let pointer = format!("/{name}");
        self.problems.push(BodyProblem { pointer, code: rule.code, message: rule.message });
    }

    fn conflict(&mut self, name: &str, message: String) {
        self.refuse(name, BrokenRule::new(ErrorCode::Conflict, message));
    }

    /// Reads `type`, and makes the schedule beside it an object if it is the bare value of its rule.
    fn kind(&mut self, value: &Value) -> Option<(&'static str, &'static str)> {
        let rule = match choice(value, TYPES) {
            Ok(rule) => Some(rule),
            Err(broken) => {
                self.refuse("type", broken);
                None
            }
        };
        let bare = self.fields.get("schedule").filter(|own| !own.is_object() && !own.is_null());
        if let Some(bare) = bare.cloned() {
            let bare = if rule == Some("daily") { times(bare) } else { bare };
            // With a `type` that is none, only that is told: the schedule may be right.
            let made = match rule {
                Some(rule) => (rule.to_owned(), bare),
                None => ("manual".to_owned(), Value::Bool(true)),
            };
            let made = Value::Object(Map::from_iter([made]));
            self.fields.insert("schedule".to_owned(), made);
            if let Some(rule) = rule {
                let pointer = format!("/schedule/{rule}");
                self.moved.push(RewrittenField { pointer, written: "schedule", whole: true });
            }
        }
        let word = TYPES.iter().find(|(_, meaning)| Some(*meaning) == rule)?.0;
        Some((word, rule?))
    }

    /// The rule that the schedule has.
    fn rule(&self) -> Option<&'static str> {
        let schedule = self.fields.get("schedule")?.as_object()?;
        let given = |rule: &&str| schedule.get(*rule).is_some_and(|value| !value.is_null());
        RULES.into_iter().find(given)
    }

    /// Refuses a `type` beside a schedule with another rule.
    fn check_kind(&mut self, word: &str, rule: &str) {
        let own = self.rule().filter(|own| *own != rule && (*own, rule) != ("every", "interval"));
        if let Some(own) = own {
            self.conflict("type", format!("says {word}, but the schedule has {own}"));
        }
    }

    fn cron(&mut self, name: &'static str) {
        let Some(expression) = self.take(name) else { return };
        match self.rule().filter(|own| *own != "cron") {
            Some(own) => {
                self.conflict(name, format!("is a cron expression, but the schedule has {own}"));
            }
            None => self.set(name, &["schedule", "cron"], expression, |own, flat| own == flat),
        }
    }

    /// A flag that stands for a value of `after_run`.
    fn after_run(&mut self, name: &'static str, word: &'static str) {
        let Some(value) = self.take(name) else { return };
        match flag(&value) {
            Err(broken) => self.refuse(name, broken),
            Ok(true) => self.set(name, &["after_run"], word.into(), |own, flat| own == flat),
            Ok(false) if self.fields.get("after_run").and_then(Value::as_str) == Some(word) => {
                self.conflict(name, format!("is false, but `after_run` says \"{word}\""));
            }
            Ok(false) => {}
        }
    }

    fn timeout(&mut self) {
        let Some(value) = self.take("timeout_seconds") else { return };
        let most = i64::try_from(DURATION_MAX.0 / 1_000).unwrap_or(i64::MAX);
        if let Err(broken) = whole::<i64>(&value, 0..=most) {
            return self.refuse("timeout_seconds", broken);
        }
        let length = |value: &Value| match value {
            Value::String(text) => Millis::parse(text).ok(),
            other => other.as_u64().map(Millis::from_secs),
        };
        self.set("timeout_seconds", &["timeout"], value, move |own, flat| {
            length(own) == length(flat)
        });
    }

    fn balance(&mut self) {
        const NAME: &str = "load_balance_strategy";
        let Some(word) = self.take(NAME) else { return };
        let action = self.fields.get("action").and_then(Value::as_object);
        let given = |kind: &&str| {
            action.and_then(|action| action.get(*kind)).is_some_and(|value| !value.is_null())
        };
        match OTHER_ACTIONS.into_iter().find(given) {
            Some(kind) => {
                self.conflict(NAME, format!("chooses among executors, but the action is {kind}"));
            }
            None => {
                let spelling = |word: &Value| word.as_str().map(underscored);
                self.set(NAME, &["action", "executor", "balance"], word, |own, flat| {
                    own == flat || (own.is_string() && spelling(own) == spelling(flat))
                });
            }
        }
    }

    /// Puts the value of a flat field where the canonical form has it, unless it is there.
    fn set(
        &mut self,
        name: &'static str,
        path: &[&str],
        value: Value,
        same: impl Fn(&Value, &Value) -> bool,
    ) {
        let mut made = Vec::new();
        let mut pointer = String::new();
        let Some((last, parents)) = path.split_last() else { return };
        let mut object = &mut self.fields;
        for key in parents {
            pointer = format!("{pointer}/{key}");
            let inner = object.entry(*key).or_insert(Value::Null);
            if inner.is_null() {
                *inner = Value::Object(Map::new());
                made.push(RewrittenField { pointer: pointer.clone(), written: name, whole: false });
            }
            match inner {
                Value::Object(inner) => object = inner,
                other => {
                    let message = format!("does not go with `{key}` that is {}", got(other));
                    return self.conflict(name, message);
                }
            }
        }
        pointer = format!("{pointer}/{last}");
        match object.get(*last).filter(|own| !own.is_null()) {
            None => {
                object.insert((*last).to_owned(), value);
                self.moved.extend(made);
                self.moved.push(RewrittenField { pointer, written: name, whole: true });
            }
            Some(own) if same(own, &value) => {}
            Some(own) => {
                let first = self.moved.iter().find(|moved| moved.pointer == pointer);
                let place = first.map_or(path.join("."), |moved| moved.written.to_owned());
                let message = format!("says {}, but `{place}` says {}", got(&value), got(own));
                self.conflict(name, message);
            }
        }
    }
}

/// Times of day in one text, with commas between them, as a list of them.
fn times(value: Value) -> Value {
    match value.as_str().filter(|text| text.contains(',')) {
        Some(text) => text.split(',').map(|time| Value::from(time.trim())).collect(),
        None => value,
    }
}

#[cfg(test)]
mod tests;
