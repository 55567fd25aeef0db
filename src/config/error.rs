//! Errors in the settings.

use std::error::Error;
use std::fmt;

use super::keys::sections;

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the value was set: `punctual.toml:12`, a variable or a flag. `None` if it was not set.
    pub place: Option<String>,
    /// The line in the settings file. It determines the order of the report.
    pub line: Option<usize>,
    /// The key, such as `peer.listen`. Empty for the file as a whole.
    pub key: String,
    /// The violated rule. It continues the sentence that begins with the key.
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

/// All errors, one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Sorts errors by line. Errors outside the file come last.
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
