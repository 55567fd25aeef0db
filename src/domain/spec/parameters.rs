//! Parameters as the variables of a command.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::domain::schedule::Warning;
use crate::domain::task::{Action, TaskSpec};
use crate::domain::warning_code::WarningCode;

/// What is said of a text that cannot be a variable.
pub const NO_NUL: &str =
    "must not contain NUL: a command has it in its environment, which cannot carry a zero byte";

/// The variable of a parameter: its name in upper case, with `_` for each character that is no ASCII
/// letter or digit.
#[must_use]
pub fn variable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(plain).collect();
    format!("PUNCTUAL_PARAMETER_{name}")
}

/// The names of parameters whose text no variable can hold.
#[must_use]
pub fn with_nul(parameters: &Map<String, Value>) -> Vec<String> {
    let nul = |value: &Value| value.as_str().is_some_and(|text| text.contains('\0'));
    parameters.iter().filter(|(_, value)| nul(value)).map(|(name, _)| name.clone()).collect()
}

/// Whether what a task does is a command.
#[must_use]
pub const fn is_command(spec: &TaskSpec) -> bool {
    matches!(spec.action, Some(Action::Shell(_)))
}

/// Whether parameters of a command share a variable, which only the first of them by name can have.
#[must_use]
pub fn shared_variables(spec: &TaskSpec) -> Option<Warning> {
    if !is_command(spec) {
        return None;
    }
    let parameters: BTreeMap<String, Value> =
        serde_json::from_str(&spec.parameters).unwrap_or_default();
    let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in parameters.keys() {
        names.entry(variable(name)).or_default().push(name);
    }
    let shared: Vec<String> = names
        .iter()
        .filter_map(|(variable, names)| match names.as_slice() {
            [first, _, ..] => {
                Some(format!("{} are all {variable}, which has `{first}`", quoted(names)))
            }
            _ => None,
        })
        .collect();
    let detail = format!(
        "parameters share a variable: {}; PUNCTUAL_PARAMETERS has all of them",
        shared.join("; ")
    );
    (!shared.is_empty()).then_some(Warning { code: WarningCode::ParametersShareVariable, detail })
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::schedule::{Rule, Schedule};
    use crate::domain::task::ShellAction;

    #[test]
    fn parameters_with_one_variable_are_told() {
        let shell = ShellAction {
            argv: vec!["true".to_owned()],
            env: BTreeMap::new(),
            cwd: None,
            stdin: String::new(),
            user: None,
        };
        let mut spec =
            TaskSpec::new("t".to_owned(), Schedule::of(Rule::Manual), Some(Action::Shell(shell)));
        spec.parameters = json!({"batch-size": 1, "BATCH_SIZE": 2, "other": 3}).to_string();
        let told = shared_variables(&spec).unwrap();
        let start = "parameters share a variable: `BATCH_SIZE`, `batch-size` are all \
                     PUNCTUAL_PARAMETER_BATCH_SIZE, which has `BATCH_SIZE`;";
        assert!(told.detail.starts_with(start), "{}", told.detail);
        spec.parameters = json!({"batch-size": 1, "other": 3}).to_string();
        assert_eq!(shared_variables(&spec), None);
        spec.parameters = json!({"a-b": 1, "a.b": 3}).to_string();
        spec.action = None;
        assert_eq!(shared_variables(&spec), None);
    }
}
