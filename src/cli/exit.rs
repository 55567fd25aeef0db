//! Exit codes and error messages of commands.

use std::io;
use std::process::ExitCode;

use crate::client::{ClientError, ErrorKind, ServerRefusal};

/// Exit codes. They are a stable interface for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Ok = 0,
    /// The question was answered with no.
    No = 1,
    /// The request is invalid.
    Usage = 2,
    /// No leader, or the request was not accepted. Nothing has changed, and a retry is safe.
    NotAccepted = 3,
    /// Not allowed.
    NotAllowed = 4,
    /// The request conflicts with the current state.
    Conflict = 5,
    /// The outcome is unknown.
    Unknown = 6,
}

impl Exit {
    /// The exit code for two outcomes.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if other as u8 > self as u8 { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid => Self::Usage,
            ErrorKind::NotAccepted => Self::NotAccepted,
            ErrorKind::NotAllowed => Self::NotAllowed,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Unknown => Self::Unknown,
        }
    }
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The message, possibly of several lines. If it is empty, nothing is printed.
    pub message: String,
}

/// The result of a command.
pub type CommandResult = Result<Exit, Failure>;

impl Failure {
    /// An invalid request. The message ends like those of the parser.
    pub fn usage(message: impl Into<String>) -> Self {
        let message = message.into();
        let message = format!("{}\n\nFor more information, try '--help'.", message.trim_end());
        Self { exit: Exit::Usage, message }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let advice = match &error {
            ClientError::Refused(refusal) => {
                return Self { exit: error.kind().into(), message: explain(refusal) };
            }
            ClientError::Usage(_) => return Self::usage(error.to_string()),
            ClientError::Unreachable(_) => {
                "Start a cluster with `punctual dev`, or name a node with --server."
            }
            ClientError::Unknown(_) => "Look whether it was done before you repeat it.",
            ClientError::Broken(_) => "Repeat the command, or name another node with --server.",
        };
        Self { exit: error.kind().into(), message: format!("{error}\n  {advice}") }
    }
}

/// A refusal with the errors of all fields and advice.
fn explain(refusal: &ServerRefusal) -> String {
    let fields: Vec<String> = refusal
        .errors
        .iter()
        .map(|field| match field.pointer.trim_start_matches('/') {
            "" => field.message.clone(),
            place => format!("{}: {}", place.replace('/', "."), field.message),
        })
        .collect();
    let wrong = match fields.as_slice() {
        [] => format!("{} ({})", refusal.detail, refusal.code),
        [only] => format!("{only} ({})", refusal.code),
        many => format!("{} problems\n  {}", many.len(), many.join("\n  ")),
    };
    match refusal.advice.as_str() {
        "" => wrong,
        advice => format!("{wrong}\n  {advice}"),
    }
}

impl From<io::Error> for Failure {
    /// A closed pipe (`| head`) is not an error.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Ok, message: String::new() };
        }
        Self { exit: Exit::No, message: format!("writing the answer failed: {error}") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_its_fields() {
        let said = |errors: serde_json::Value| {
            let body = json!({"code": "invalid_cron", "detail": "no", "errors": errors});
            Failure::from(ClientError::Refused(Box::new(ServerRefusal::read(422, body))))
        };
        let cron = json!({"pointer": "/schedule/cron", "message": "column 1: no"});
        let whole = json!({"pointer": "", "message": "must be an object"});
        let failure = said(json!([]));
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Usage, "no (invalid_cron)"));
        let advised = json!({"code": "task_exists", "detail": "it exists", "advice": "Change it."});
        let failure =
            Failure::from(ClientError::Refused(Box::new(ServerRefusal::read(409, advised))));
        assert_eq!(failure.message, "it exists (task_exists)\n  Change it.");
        assert_eq!(said(json!([cron])).message, "schedule.cron: column 1: no (invalid_cron)");
        assert_eq!(
            said(json!([cron, whole])).message,
            "2 problems\n  schedule.cron: column 1: no\n  must be an object"
        );
    }

    #[test]
    fn every_error_of_the_client_says_what_to_do() {
        let refusal = ServerRefusal::read(
            503,
            json!({
                "code": "no_leader", "detail": "no leader is known", "advice": "Repeat the request.",
            }),
        );
        for error in [
            ClientError::Unreachable("refused".to_owned()),
            ClientError::Unknown("refused".to_owned()),
            ClientError::Broken("refused".to_owned()),
            ClientError::Usage("no URL".to_owned()),
            ClientError::Refused(Box::new(refusal)),
        ] {
            let said = error.to_string();
            let message = Failure::from(error).message;
            let advice = message.strip_prefix(&said).unwrap().trim();
            assert!(advice.starts_with(char::is_uppercase) && advice.ends_with('.'), "{message}");
        }
    }

    #[test]
    fn a_closed_pipe_is_quiet() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure, Failure { exit: Exit::Ok, message: String::new() });
    }
}
