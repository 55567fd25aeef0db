//! Settings that an embedding program makes in code. They are laid over those of all other sources.

use toml::{Table, Value};

use super::MemberSettings;
use super::keys::{LABELS, MEMBERS};

/// The settings of a program, each with the method that made it, for messages.
#[derive(Clone, Default)]
pub struct CodeSettings(Vec<CodeSetting>);

/// One of them.
#[derive(Clone)]
pub(super) struct CodeSetting {
    pub(super) method: &'static str,
    pub(super) key: &'static str,
    pub(super) value: Value,
}

impl CodeSettings {
    /// Sets a text.
    pub fn text(&mut self, method: &'static str, key: &'static str, text: impl Into<String>) {
        self.set(method, key, Value::String(text.into()));
    }

    /// Sets a number.
    pub fn whole(&mut self, method: &'static str, key: &'static str, number: u32) {
        self.set(method, key, Value::Integer(i64::from(number)));
    }

    /// Sets a flag.
    pub fn flag(&mut self, method: &'static str, key: &'static str, on: bool) {
        self.set(method, key, Value::Boolean(on));
    }

    /// Adds a label of the node.
    pub fn label(&mut self, method: &'static str, key: String, value: String) {
        let value = Value::String(value);
        let known = self.0.iter_mut().find(|setting| setting.key == LABELS);
        match known.map(|setting| &mut setting.value) {
            Some(Value::Table(labels)) => drop(labels.insert(key, value)),
            _ => self.set(method, LABELS, Value::Table(Table::from_iter([(key, value)]))),
        }
    }

    /// Sets who forms the cluster.
    pub fn members(&mut self, method: &'static str, members: &[MemberSettings]) {
        let member = |member: &MemberSettings| {
            let mut table = Table::new();
            table.insert("id".to_owned(), Value::Integer(i64::from(member.id)));
            table.insert("peer".to_owned(), Value::String(member.peer.clone()));
            if let Some(http) = &member.http {
                table.insert("http".to_owned(), Value::String(http.clone()));
            }
            Value::Table(table)
        };
        self.set(method, MEMBERS, Value::Array(members.iter().map(member).collect()));
    }

    /// Whether a key was set.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|setting| setting.key == key)
    }

    /// The key that was set first.
    #[must_use]
    pub fn first_key(&self) -> Option<&'static str> {
        self.0.first().map(|setting| setting.key)
    }

    fn set(&mut self, method: &'static str, key: &'static str, value: Value) {
        self.0.push(CodeSetting { method, key, value });
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = CodeSetting> {
        self.0.into_iter()
    }
}

impl From<(u16, &str)> for MemberSettings {
    /// A member by its id and peer address.
    fn from((id, peer): (u16, &str)) -> Self {
        Self { id, peer: peer.to_owned(), http: None }
    }
}

impl From<(u16, String)> for MemberSettings {
    fn from((id, peer): (u16, String)) -> Self {
        Self { id, peer, http: None }
    }
}

impl From<(u16, &str, &str)> for MemberSettings {
    /// A member by its id, peer address and the URL of its API.
    fn from((id, peer, http): (u16, &str, &str)) -> Self {
        Self { id, peer: peer.to_owned(), http: Some(http.to_owned()) }
    }
}
