//! The canonical body of an action.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Word, duration};
use crate::domain::task::Action;

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionBody {
    /// An HTTP request.
    Http(HttpBody),
    /// A process.
    Shell(ShellBody),
    /// Whatever an executor does.
    Executor(ExecutorBody),
    /// A function of an embedding program.
    Func(FuncBody),
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = ["url"]))]
pub struct HttpBody {
    /// To this URL.
    pub url: String,
    /// Its method.
    pub method: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Option<String>,
    /// Statuses that are a success, such as `200-299`.
    pub expect_status: Vec<String>,
    /// The connection must be there within this.
    #[schemars(schema_with = "duration")]
    pub connect_timeout: String,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = ["argv"]))]
pub struct ShellBody {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables of its environment.
    pub env: BTreeMap<String, String>,
    /// Its working folder.
    pub cwd: Option<String>,
    /// What it reads.
    pub stdin: String,
    /// As whom it runs.
    pub user: Option<String>,
}

/// Whatever an executor does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct ExecutorBody {
    /// How one is chosen.
    #[schemars(extend("enum" = ["round_robin", "weighted_round_robin", "random", "sticky", "least_loaded"]))]
    pub balance: Word,
    /// Of these; empty: of all that declared the task.
    pub names: Vec<String>,
    /// By weight.
    pub weights: BTreeMap<String, u32>,
}

/// A function of an embedding program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FuncBody {
    /// Its name.
    pub id: String,
}

impl From<&Action> for ActionBody {
    fn from(action: &Action) -> Self {
        match action {
            Action::Http(http) => {
                let status = |(low, high): &(u16, u16)| match low == high {
                    true => low.to_string(),
                    false => format!("{low}-{high}"),
                };
                Self::Http(HttpBody {
                    url: http.url.clone(),
                    method: http.method.clone(),
                    headers: http.headers.clone(),
                    body: http.body.clone(),
                    expect_status: http.expect_status.iter().map(status).collect(),
                    connect_timeout: http.connect_timeout.to_string(),
                })
            }
            Action::Shell(shell) => Self::Shell(ShellBody {
                argv: shell.argv.clone(),
                env: shell.env.clone(),
                cwd: shell.cwd.clone(),
                stdin: shell.stdin.clone(),
                user: shell.user.clone(),
            }),
            Action::Executor(executor) => Self::Executor(ExecutorBody {
                balance: executor.balance.clone().into(),
                names: executor.names.clone(),
                weights: executor.weights.clone(),
            }),
            Action::Func { id } => Self::Func(FuncBody { id: id.clone() }),
        }
    }
}
