//! The file of a worker: which command carries out which task.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::domain::time::Millis;

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkerFile {
    /// Its share of the work.
    pub weight: Option<u32>,
    /// Executions at once.
    pub capacity: Option<u32>,
    /// Carries out the tasks that have no command of their own.
    pub default: Option<WorkerCommand>,
    /// The commands by the names of tasks.
    #[serde(default)]
    pub tasks: BTreeMap<String, WorkerCommand>,
}

/// How a task is carried out, and how it is declared.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkerCommand {
    /// Program and arguments; no shell in between.
    pub argv: Vec<String>,
    /// Variables beside those of the execution.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The working folder; that of the worker if there is none.
    pub cwd: Option<String>,
    /// It is stopped after this, if the task does not say sooner.
    pub timeout: Option<String>,
    /// When it runs, if the worker declares it.
    pub cron: Option<String>,
    /// See the task.
    pub execution_mode: Option<String>,
    /// How an executor is chosen.
    pub load_balance_strategy: Option<String>,
    /// Attempts after the first.
    pub max_retry: Option<u32>,
    /// Given to each execution.
    pub parameters: Option<Map<String, Value>>,
}

impl WorkerFile {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, with the file's name.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let named = file.tasks.iter().map(|(name, command)| (format!("tasks.{name}"), command));
        let default = file.default.iter().map(|command| ("default".to_owned(), command));
        for (place, command) in named.chain(default) {
            if command.argv.is_empty() {
                return Err(format!("{place}.argv must name a program"));
            }
            command.time_limit().map_err(|rule| format!("{place}.timeout {rule}"))?;
        }
        if file.tasks.is_empty() && file.default.is_none() {
            return Err("has no command: add [tasks.NAME] or [default] with argv".to_owned());
        }
        Ok(file)
    }

    /// The command of a task.
    pub fn command(&self, task: &str) -> Option<&WorkerCommand> {
        self.tasks.get(task).or(self.default.as_ref())
    }

    /// The tasks as a registration declares them.
    pub fn declared(&self) -> Vec<Value> {
        let one = |(name, command): (&String, &WorkerCommand)| {
            // The limit of a command is also that of its task, in whole seconds.
            let limit = command.time_limit().unwrap_or(Millis(0)).0.div_ceil(1_000);
            json!({
                "task_name": name,
                "cron": command.cron,
                "execution_mode": command.execution_mode,
                "load_balance_strategy": command.load_balance_strategy,
                "timeout": (limit > 0).then_some(limit),
                "max_retry": command.max_retry,
                "parameters": command.parameters,
            })
        };
        self.tasks.iter().map(one).collect()
    }
}

impl WorkerCommand {
    /// Its time limit; zero: none.
    ///
    /// # Errors
    /// It is no duration.
    pub fn time_limit(&self) -> Result<Millis, String> {
        self.timeout.as_deref().map_or(Ok(Millis(0)), Millis::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_by_the_name_of_its_task() {
        let file = WorkerFile::parse(
            "capacity = 4\n[default]\nargv = [\"any\"]\n\
             [tasks.report]\nargv = [\"report\", \"-v\"]\ntimeout = \"90s\"\ncron = \"0 2 * * *\"\n",
        )
        .unwrap();
        assert_eq!(file.command("report").unwrap().argv, ["report", "-v"]);
        assert_eq!(file.command("other").unwrap().argv, ["any"]);
        let declared = file.declared();
        assert_eq!(declared.len(), 1);
        assert_eq!(declared[0]["task_name"], "report");
        assert_eq!(
            (&declared[0]["cron"], &declared[0]["timeout"]),
            (&json!("0 2 * * *"), &json!(90))
        );
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, part) in [
            ("", "no command"),
            ("[tasks.a]\nargv = []\n", "tasks.a.argv"),
            ("[default]\nargv = [\"a\"]\ntimeout = \"soon\"\n", "default.timeout"),
            ("[tasks.a]\nargv = [\"a\"]\nenvv = {}\n", "envv"),
            ("tasks = 3\n", "tasks"),
        ] {
            let error = WorkerFile::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
