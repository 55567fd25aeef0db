//! Text that must not appear in logs or errors.

use std::fmt;
use std::path::Path;

use super::Sources;

/// Minimum length. Shorter secrets can be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// A secret. Its `Debug` output hides the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret value.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Resolves a setting: the text itself, or the target of `${file:PATH}` or `${env:NAME}`.
    pub(super) fn resolve(written: &str, sources: &Sources<'_>) -> Result<Self, String> {
        let secret = match reference(written) {
            Some(("file", path)) => (sources.read_file)(Path::new(path))
                .map_err(|error| format!("cannot read {path}: {error}"))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            Some(("env", name)) => sources
                .environment
                .get(name)
                .cloned()
                .ok_or_else(|| format!("the environment has no {name}"))?,
            _ if written.contains("${") => {
                return Err("must be a secret, ${file:PATH} or ${env:NAME}".to_owned());
            }
            _ => written.to_owned(),
        };
        if secret.len() < SECRET_BYTES_MIN {
            let found = secret.len();
            return Err(format!("must have at least {SECRET_BYTES_MIN} bytes, has {found}"));
        }
        Ok(Self(secret))
    }
}

/// Kind and target of a reference such as `${file:PATH}`.
pub(super) fn reference(written: &str) -> Option<(&str, &str)> {
    written.strip_prefix("${")?.strip_suffix('}')?.split_once(':')
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}
