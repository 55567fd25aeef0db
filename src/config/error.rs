//! What is wrong with the settings, for people.

use std::error::Error;
use std::fmt;

use super::keys::sections;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it was given: `punctual.toml:12`, a variable or a flag; none: nowhere.
    pub place: Option<String>,
    /// The line in the settings file, for the order of the report.
    pub line: Option<usize>,
    /// The key, such as `peer.listen`; empty: the file as a whole.
    pub key: String,
    /// The rule; reads on after the key.
    pub message: String,
}

/// `punctual.toml:12: [peer] lisen: unknown key; did you mean `listen`?`
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if self.key.is_empty() {
            return f.write_str(&self.message);
        }
        let inside = |section: &&str| {
            self.key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
        };
        let section = sections().into_iter().filter(inside).max_by_key(|section| section.len());
        let split = section
            .map(str::len)
            .or_else(|| self.key.find('.'))
            .and_then(|at| Some((self.key.get(..at)?, self.key.get(at + 1..)?)));
        match split {
            Some((section, key)) => write!(f, "[{section}] {key}: {}", self.message),
            None => write!(f, "[{}]: {}", self.key, self.message),
        }
    }
}

/// Everything that is wrong, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// In the order of the file; what is not in it comes last.
    pub(super) fn new(mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
        Self(errors)
    }

    /// The errors, in order.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}
