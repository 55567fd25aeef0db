//! How a command ends: its exit code, and what is said of a failure.

use std::io;
use std::process::ExitCode;

use crate::client::{ClientError, ErrorKind, ServerRefusal};

/// Exit codes; they are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The question was answered, and the answer is no.
    No = 1,
    /// What was asked for is wrong.
    Usage = 2,
    /// No leader, or not accepted: nothing changed, trying again is safe.
    NotAccepted = 3,
    /// Not allowed.
    NotAllowed = 4,
    /// What is there, or is not there, stands against it.
    Conflict = 5,
    /// It may have been done or not.
    Unknown = 6,
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
    /// The code to end with.
    pub exit: Exit,
    /// For people, perhaps of several lines; empty: nothing is to be said.
    pub message: String,
}

/// What a command comes to.
pub type CommandResult = Result<Exit, Failure>;

impl Failure {
    /// What was asked for is wrong. It ends as the errors of the parser do.
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

/// A refusal with all that is wrong with its fields, and what to do.
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
    /// A reader that has seen enough (`| head`) is no failure worth a word.
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
