//! Settings as TOML: those in force, and the defaults with their meaning.

use std::fmt::Write;

use toml::Value;

use super::keys::{KEYS, LABELS, MEMBERS, SECRETS, SettingKey, sections};
use super::secret::reference;
use super::source::{SettingValue, SettingValues};

/// Comments are wrapped at this column.
const WIDTH: usize = 96;
const HIDDEN: &str = "(hidden)";
const HEADER: &str = "\
# Every setting of a node with its default. A flag goes before the environment
# (PUNCTUAL__PEER__LISTEN), that before this file, and this file before the default.
# Durations: 300ms, 90s, 1h30m, 30d.
";
const MEMBER_EXAMPLE: &str = "\
# [[cluster.member]]
# id = 1
# peer = \"10.0.0.1:7070\"          # host:port; a name is looked up at each dial
# http = \"http://10.0.0.1:8080\"   # may be left out
";

/// The settings in force.
pub(super) fn show(settings: &SettingValues, origin: bool) -> String {
    let mut out = String::new();
    for section in sections() {
        let mut members = String::new();
        heading(&mut out, section);
        for key in KEYS.iter().filter(|key| key.section == section) {
            let Some(setting) = settings.get(&key.path()) else { continue };
            let from = match setting.origin.place() {
                _ if !origin => String::new(),
                Some(place) => format!("  # from {place}"),
                None => "  # default".to_owned(),
            };
            if key.path() == MEMBERS {
                members = member_tables(setting, &from);
            } else {
                let _infallible = writeln!(out, "{} = {}{from}", key.name, shown(key, setting));
            }
        }
        out.push_str(&members);
    }
    out
}

fn heading(out: &mut String, section: &str) {
    let gap = if out.is_empty() { "" } else { "\n" };
    let _infallible = writeln!(out, "{gap}[{section}]");
}

fn shown(key: &SettingKey, setting: &SettingValue) -> String {
    let hidden = Value::String(HIDDEN.to_owned());
    match &setting.value {
        Value::String(text) if SECRETS.contains(&key.path().as_str()) => {
            let plain = !text.is_empty() && reference(text).is_none();
            if plain { hidden.to_string() } else { setting.value.to_string() }
        }
        Value::Table(fields) if key.path() == LABELS && fields.is_empty() => "{}".to_owned(),
        other => other.to_string(),
    }
}

fn member_tables(setting: &SettingValue, from: &str) -> String {
    let mut out = String::new();
    for item in setting.value.as_array().into_iter().flatten() {
        let _infallible = writeln!(out, "\n[[{MEMBERS}]]{from}");
        for (name, value) in item.as_table().into_iter().flatten() {
            let _infallible = writeln!(out, "{name} = {value}");
        }
    }
    out
}

/// Every key with its default and what it means.
pub(super) fn commented_default() -> String {
    let mut out = HEADER.to_owned();
    for section in sections() {
        heading(&mut out, section);
        let mut members = String::new();
        for key in KEYS.iter().filter(|key| key.section == section) {
            let about = match key.later {
                true => format!("{} Not supported yet: leave it as it is.", key.about),
                false => key.about.to_owned(),
            };
            if key.path() == MEMBERS {
                members = format!("\n{}{MEMBER_EXAMPLE}", comment(&about));
            } else {
                let about = comment(&about);
                let _infallible = writeln!(out, "{about}{} = {}", key.name, key.default);
            }
        }
        out.push_str(&members);
    }
    out
}

/// The text as comment lines.
fn comment(text: &str) -> String {
    let mut out = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
    out
}
