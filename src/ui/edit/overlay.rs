//! From a body to the texts of the form, and back: a body with what was changed in the form.
//!
//! Architecture invariant: what was not changed in the form stays in the body as it is, also what the
//! form does not show.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::{ACTIONS, FIELDS, FieldDef, FieldPlace, InputKind, RULES};
use crate::domain::error_code::ErrorCode;
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::spec::{self, BodyProblem};
use crate::domain::task::TaskSpec;
use crate::dto::ChangeView;

/// The field that says which rule the schedule has, and the one about the action.
pub(super) const RULE: &str = "rule";
pub(super) const ACTION: &str = "act";

/// The texts of all fields, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FormTexts(BTreeMap<&'static str, String>);

impl FormTexts {
    /// The text of a field.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The texts of a body.
    pub fn of(body: &Value) -> Self {
        let defaults = defaults();
        let mut texts: BTreeMap<_, _> =
            FIELDS.iter().map(|field| (field.name, shown(field, body, &defaults))).collect();
        let present = |parent: &str, word: &str| {
            let fields = body.pointer(parent).and_then(Value::as_object);
            fields.is_some_and(|fields| fields.contains_key(word))
        };
        let rule = RULES.iter().find(|(word, _)| present("/schedule", word));
        texts.insert(RULE, rule.map_or("", |(word, _)| word).to_owned());
        let action = ACTIONS.iter().find(|(word, _)| present("/action", word));
        texts.insert(ACTION, action.map_or("", |(word, _)| word).to_owned());
        Self(texts)
    }

    /// Chooses what most new tasks begin with.
    pub fn begin(&mut self) {
        self.0.insert(RULE, "cron".to_owned());
        self.0.insert(ACTION, "shell".to_owned());
    }

    /// The texts of a form that was sent. A field that is missing there is as in the body.
    pub fn sent(body: &Value, sent: &[(String, String)]) -> Self {
        let mut texts = Self::of(body);
        for (name, text) in &mut texts.0 {
            // A box that is checked follows a hidden field that says no.
            if let Some((_, typed)) = sent.iter().rev().find(|(own, _)| own == name) {
                *text = as_sent(typed);
            }
        }
        texts
    }
}

/// Browsers send line ends as CRLF.
fn as_sent(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}")
}

/// What a field shows of a body.
fn shown(field: &FieldDef, body: &Value, defaults: &Value) -> String {
    let value = body.pointer(field.pointer).filter(|value| !value.is_null());
    match (value.or_else(|| defaults.pointer(field.pointer)), field.kind) {
        (Some(value), kind) => kind.show(value),
        (None, InputKind::Choice(words)) => words.first().map_or("", |(word, _)| word).to_owned(),
        (None, InputKind::Flag) => "false".to_owned(),
        (None, _) => String::new(),
    }
}

/// A body in which every field has its default.
fn defaults() -> Value {
    spec::write(&TaskSpec::new("", Schedule::of(Rule::Manual), None))
}

/// The body with what was changed in the form, and what is written in a way that cannot be read.
pub(super) fn overlay(base: &Value, texts: &FormTexts) -> (Value, Vec<BodyProblem>) {
    let before = FormTexts::of(base);
    let changed = |name: &str| as_sent(texts.get(name)) != as_sent(before.get(name));
    let mut overlaid = Overlaid { body: base.clone(), problems: Vec::new() };
    let rule = texts.get(RULE);
    let of_rule = |field: &&FieldDef| field.place == FieldPlace::Rule(word_of(&RULES, rule));
    if changed(RULE) || FIELDS.iter().filter(of_rule).any(|field| changed(field.name)) {
        overlaid.rule(rule, changed(RULE), FIELDS.iter().filter(of_rule), texts);
    }
    let action = texts.get(ACTION);
    if changed(ACTION) {
        let value = if action.is_empty() { Value::Null } else { json!({action: {}}) };
        overlaid.set("/action", value);
    }
    for field in FIELDS {
        let wanted = match field.place {
            FieldPlace::Rule(_) => false,
            FieldPlace::Action(own) if own != action => false,
            FieldPlace::Action(_) if changed(ACTION) => !texts.get(field.name).is_empty(),
            _ => changed(field.name),
        };
        if wanted {
            overlaid.field(field, texts.get(field.name));
        }
    }
    (overlaid.body, overlaid.problems)
}

/// The word of a table that equals a text.
fn word_of<T>(words: &[(&'static str, T)], text: &str) -> &'static str {
    words.iter().find(|(word, _)| *word == text).map_or("", |(word, _)| word)
}

struct Overlaid {
    body: Value,
    problems: Vec<BodyProblem>,
}

impl Overlaid {
    /// The value of a text. What cannot be read stays in the body as text, and is told.
    fn read(&mut self, field: &FieldDef, text: &str) -> Value {
        field.kind.read(text).unwrap_or_else(|message| {
            let (pointer, code) = (field.pointer.to_owned(), ErrorCode::InvalidValue);
            self.problems.push(BodyProblem { pointer, code, message });
            Value::from(text)
        })
    }

    fn field(&mut self, field: &FieldDef, text: &str) {
        if text.trim().is_empty() && !matches!(field.kind, InputKind::Area) || text.is_empty() {
            self.remove(field.pointer);
        } else {
            let value = self.read(field, text);
            self.set(field.pointer, value);
        }
    }

    /// Gives the schedule another rule, in front of what it has beside.
    fn rule<'f>(
        &mut self,
        rule: &str,
        other: bool,
        fields: impl Iterator<Item = &'f FieldDef>,
        texts: &FormTexts,
    ) {
        let former = self.body.pointer("/schedule").and_then(Value::as_object).cloned();
        let mut schedule = Map::new();
        match rule {
            "" => {}
            "manual" | "immediate" => drop(schedule.insert(rule.to_owned(), true.into())),
            "weekly" | "monthly" => drop(schedule.insert(rule.to_owned(), json!({}))),
            _ => drop(schedule.insert(rule.to_owned(), "".into())),
        }
        for (key, value) in former.into_iter().flatten() {
            let of_rule = key == "every" || RULES.iter().any(|(word, _)| *word == key);
            let of_former = of_rule || (other && key == "anchor");
            if !of_former {
                schedule.insert(key, value);
            }
        }
        self.set("/schedule", Value::Object(schedule));
        for field in fields {
            let text = texts.get(field.name);
            if !text.trim().is_empty() {
                let value = self.read(field, text);
                self.set(field.pointer, value);
            }
        }
    }

    fn set(&mut self, pointer: &str, value: Value) {
        put(&mut self.body, pointer, value);
    }

    /// Takes a field away. An object of the body that is then empty says nothing, and goes too.
    fn remove(&mut self, pointer: &str) {
        take(&mut self.body, pointer);
        if let Some((parent, _)) = pointer.rsplit_once('/').filter(|(parent, _)| !parent.is_empty())
        {
            let empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
            if parent.matches('/').count() == 1 && self.body.pointer(parent).is_some_and(empty) {
                take(&mut self.body, parent);
            }
        }
    }
}

/// Sets a value. What is no object on the way there becomes one.
fn put(body: &mut Value, pointer: &str, value: Value) {
    let mut at = body;
    for key in keys(pointer) {
        if !at.is_object() {
            *at = json!({});
        }
        let Value::Object(fields) = at else { return };
        at = fields.entry(key).or_insert(Value::Null);
    }
    *at = value;
}

/// Removes a value.
fn take(body: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(fields)) = body.pointer_mut(parent) {
        fields.shift_remove(&unescaped(key));
    }
}

fn keys(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(unescaped)
}

fn unescaped(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

/// Carries a change over to a body that somebody else changed meanwhile: what differs between `base`
/// and `wanted` is done to `current`.
pub(super) fn carry_over(current: &Value, base: &Value, wanted: &Value) -> Value {
    let mut carried = current.clone();
    for change in ChangeView::between(base, wanted) {
        if change.after.is_null() {
            take(&mut carried, &change.pointer);
        } else {
            put(&mut carried, &change.pointer, change.after);
        }
    }
    carried
}

/// The field in which a problem of the body is told. None: the form has none for it.
pub(super) fn field_of(pointer: &str) -> Option<&'static str> {
    match pointer {
        "/schedule" => return Some(RULE),
        "/action" => return Some(ACTION),
        _ => {}
    }
    let below = |field: &&FieldDef| {
        let rest = pointer.strip_prefix(field.pointer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // A rule or an action as a whole is told at the first of its fields.
    let above = |field: &&FieldDef| field.pointer.starts_with(&format!("{pointer}/"));
    let deep = pointer.matches('/').count() > 1;
    let found = FIELDS.iter().find(below);
    found.or_else(|| FIELDS.iter().find(above).filter(|_| deep)).map(|field| field.name)
}

#[cfg(test)]
mod tests;
