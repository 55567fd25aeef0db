//! The lines of stories.

use std::collections::BTreeMap;

use crate::domain::ids::Revision;

/// A command line: bare words and `key=value` options.
pub(super) struct ScriptLine {
    pub words: Vec<String>,
    pub options: BTreeMap<String, String>,
}

impl ScriptLine {
    pub fn read(text: &str) -> Self {
        let (mut words, mut options) = (Vec::new(), BTreeMap::new());
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            rest = &rest[start..];
            let mut quoted = false;
            let end = rest.find(|c: char| {
                quoted ^= c == '"';
                c.is_whitespace() && !quoted
            });
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            match word.split_once('=').filter(|(key, _)| !key.contains('"')) {
                Some((key, value)) => {
                    options.insert(key.to_owned(), value.replace('"', ""));
                }
                None => words.push(word.replace('"', "")),
            }
        }
        Self { words, options }
    }

    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word)
    }

    /// A number such as `e9`, `f8`, `r5`.
    pub fn number(text: &str) -> u64 {
        text.trim_start_matches(char::is_alphabetic).parse().unwrap_or_else(|_| panic!("{text}?"))
    }

    pub fn revision(&self, key: &str) -> Option<Revision> {
        self.option(key).map(|text| Revision(Self::number(text)))
    }
}
