//! `[executors]`: how this node and the executors reach each other.

use super::Secret;
use crate::domain::spec;
use crate::domain::time::Millis;

/// How executors are called, watched and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// The URL under which executors reach this node, without a final slash; none: the address of
    /// its API.
    pub callback_base: Option<String>,
    /// An execution for which no executor is available fails after this.
    pub dispatch_wait: Millis,
    /// Bounds an execution without a timeout.
    pub max_silence: Millis,
    /// Signs what is sent to executors, and checks what they send.
    pub secret: Option<Secret>,
    /// The probes.
    pub health_check: HealthCheckSettings,
}

/// How registered executors are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheckSettings {
    /// Whether they are.
    pub enabled: bool,
    /// Between two probes.
    pub interval: Millis,
    /// Of one probe.
    pub timeout: Millis,
    /// Failed probes in a row that make an executor offline.
    pub failure_threshold: u32,
    /// Good probes in a row that make it online.
    pub recovery_threshold: u32,
}

impl Default for ExecutorSettings {
    fn default() -> Self {
        Self {
            callback_base: None,
            dispatch_wait: Millis::from_secs(30),
            max_silence: Millis::from_secs(86_400),
            secret: None,
            health_check: HealthCheckSettings::default(),
        }
    }
}

impl Default for HealthCheckSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Millis::from_secs(30),
            timeout: Millis::from_secs(5),
            failure_threshold: 3,
            recovery_threshold: 2,
        }
    }
}

/// The base of callback URLs as the setting has it.
pub(super) fn callback_base(written: &str) -> Result<Option<String>, String> {
    if written.is_empty() {
        return Ok(None);
    }
    spec::check_url(written)?;
    if written.contains(['?', '#']) {
        return Err("must have neither a query nor a fragment".to_owned());
    }
    Ok(Some(written.trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_base_is_the_beginning_of_a_url() {
        assert_eq!(callback_base(""), Ok(None));
        let base = callback_base("https://punctual.example.org/at/");
        assert_eq!(base, Ok(Some("https://punctual.example.org/at".to_owned())));
        for wrong in ["host:8080", "/path", "ftp://host", "http://host?a=b", "http://host#a"]
            .into_iter()
            .chain(["http://host:8080 ", "http://h\\a/", "http://user:word@host"])
        {
            assert!(callback_base(wrong).is_err(), "{wrong}");
        }
    }
}
