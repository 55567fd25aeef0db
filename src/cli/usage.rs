//! Errors of the command line parser, with additional suggestions.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands of other programs, and the equivalent commands here.
const KNOWN_ELSEWHERE: [(&str, &str); 22] = [
    ("health", "status"),
    ("check", "status"),
    ("info", "cluster status"),
    ("nodes", "node list"),
    ("members", "node list"),
    ("create", "add"),
    ("new", "add"),
    ("update", "set"),
    ("modify", "set"),
    ("change", "set"),
    ("remove", "delete"),
    ("rm", "delete"),
    ("del", "delete"),
    ("get", "show"),
    ("describe", "show"),
    ("tasks", "ls"),
    ("jobs", "ls"),
    ("trigger", "run"),
    ("history", "ticks"),
    ("executions", "execution list"),
    ("kill", "stop"),
    ("drain", "node drain"),
];

/// Prints the error or the requested help. Returns the exit code.
pub(super) fn tell(error: clap::Error, words: &[OsString]) -> ExitCode {
    let error = with_tips(error, words);
    // A failed write to standard error cannot be reported.
    let _unheard = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Adds suggestions that the parser cannot make.
fn with_tips(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let text = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    if error.kind() == ErrorKind::InvalidSubcommand {
        let typed = text(&error, ContextKind::InvalidSubcommand).unwrap_or_default();
        if let Some((_, here)) = KNOWN_ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == typed) {
            let tip = ContextValue::Strings(vec![(*here).to_owned()]);
            error.insert(ContextKind::SuggestedSubcommand, tip);
        }
    }
    // Words behind `set` are names of tasks; it gives this advice itself.
    let adds = words.iter().any(|word| word == "add");
    let stray = text(&error, ContextKind::InvalidArg).filter(|word| !word.starts_with('-'));
    if error.kind() == ErrorKind::UnknownArgument && adds && stray.is_some() {
        let tip = "the command to run stands after `--`: punctual add NAME --every 5s -- echo hi";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::CliArgs;

    fn said(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = CliArgs::try_parse_from(&words).unwrap_err();
        with_tips(error, &words).to_string()
    }

    #[test]
    fn commands_of_other_programs_lead_to_those_of_this_one() {
        for (elsewhere, here) in KNOWN_ELSEWHERE {
            let said = said(&format!("punctual {elsewhere} x"));
            assert!(said.contains(&format!("'{here}'")), "{said}");
            // Every suggested command exists.
            let words = ["punctual"].into_iter().chain(here.split(' '));
            let proposed = CliArgs::try_parse_from(words.chain(["--help"]));
            let kind = proposed.map(drop).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::DisplayHelp, "{here}");
        }
    }

    #[test]
    fn a_command_without_dashes_before_it_is_shown_where_they_go() {
        let stray = said("punctual add a --every 5s echo hi");
        assert!(stray.contains("after `--`"), "{stray}");
        let option = said("punctual add a --every 5s --wrong");
        assert!(!option.contains("the command to run stands"), "{option}");
    }
}
