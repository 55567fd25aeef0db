//! Log levels, for the whole program and for its parts.

use crate::domain::spec::closest;

/// The levels, from most to least verbose.
const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];
/// The parts of the program that can have a separate level.
const PARTS: [&str; 16] = [
    "api",
    "auth",
    "cli",
    "client",
    "clock",
    "config",
    "consensus",
    "domain",
    "engine",
    "exec",
    "node",
    "storage",
    "telemetry",
    "testing",
    "transport",
    "ui",
];
/// Libraries that can have a separate level. By default they log warnings and errors only, and
/// openraft logs nothing.
const LIBRARIES: [&str; 9] =
    ["axum", "hyper", "openraft", "ractor", "raft_log", "reqwest", "rustls", "sled", "tokio"];

/// A base level, and levels for parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel {
    base: &'static str,
    parts: Vec<(&'static str, &'static str)>,
}

/// `info` for everything.
impl Default for LogLevel {
    fn default() -> Self {
        Self { base: "info", parts: Vec::new() }
    }
}

impl LogLevel {
    /// Parses `info` or `info,consensus=debug`.
    ///
    /// # Errors
    /// A sentence with the unknown word.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut out = Self::default();
        let mut based = false;
        for item in text.split(',').map(str::trim) {
            let Some((part, level)) = item.split_once('=') else {
                if based {
                    return Err(format!("has a second level for all: `{item}`"));
                }
                based = true;
                out.base = one_of(item, "level", &LEVELS)?;
                continue;
            };
            let known = [&PARTS[..], &LIBRARIES].concat();
            let part = one_of(part.trim(), "part", &known)?;
            out.parts.push((part, one_of(level.trim(), "level", &LEVELS)?));
        }
        Ok(out)
    }

    /// The filter directives for `tracing`.
    #[must_use]
    pub fn directives(&self) -> String {
        let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
        // Libraries at `info` would hide the node's own messages.
        let libraries = if rank(self.base) < rank("warn") { "warn" } else { self.base };
        // openraft logs every unanswered request and its own shutdown as errors. The node logs the
        // relevant ones itself.
        let mut out = format!("{libraries},openraft=off,punctual={}", self.base);
        for (part, level) in &self.parts {
            let crate_name = if LIBRARIES.contains(part) { "" } else { "punctual::" };
            out.push_str(&format!(",{crate_name}{part}={level}"));
        }
        out
    }
}

fn one_of(word: &str, what: &str, known: &[&'static str]) -> Result<&'static str, String> {
    if let Some(found) = known.iter().find(|known| **known == word) {
        return Ok(found);
    }
    Err(match closest(word, known.iter().copied()) {
        Some(near) => format!("has an unknown {what} `{word}`; did you mean `{near}`?"),
        None => format!("has an unknown {what} `{word}`; known: {}", known.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::LogLevel;

    #[test]
    fn levels_become_filters() {
        for (text, want) in [
            ("info", "warn,openraft=off,punctual=info"),
            ("error", "error,openraft=off,punctual=error"),
            ("debug,consensus=trace", "warn,openraft=off,punctual=debug,punctual::consensus=trace"),
            (
                "consensus=debug, openraft=info",
                "warn,openraft=off,punctual=info,punctual::consensus=debug,openraft=info",
            ),
            ("off", "off,openraft=off,punctual=off"),
        ] {
            assert_eq!(LogLevel::parse(text).unwrap().directives(), want, "{text}");
        }
        for (text, want) in [
            ("inof", "unknown level `inof`; did you mean `info`?"),
            ("", "unknown level ``; known: trace, debug"),
            ("info,consensu=debug", "unknown part `consensu`; did you mean `consensus`?"),
            ("info,consensus=loud", "unknown level `loud`"),
            ("info,debug", "second level"),
        ] {
            let error = LogLevel::parse(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
