//! The canonical body of an action.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Word, duration};
use crate::domain::balance;
use crate::domain::task::Action;

/// The action of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionBody {
    /// An HTTP request.
    Http(HttpBody),
    /// A process.
    Shell(ShellBody),
    /// A call of an executor.
    Executor(ExecutorBody),
    /// A call of a function of the embedding program.
    Func(FuncBody),
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = ["url"]))]
pub struct HttpBody {
    /// The URL of the request.
    pub url: String,
    /// The request method.
    pub method: String,
    /// The request headers.
    pub headers: BTreeMap<String, String>,
    /// The request body.
    pub body: Option<String>,
    /// Response statuses that mean success, such as `200-299`.
    pub expect_status: Vec<String>,
    /// The time limit to open the connection.
    #[schemars(schema_with = "duration")]
    pub connect_timeout: String,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = ["argv"]))]
pub struct ShellBody {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Environment variables of the process.
    pub env: BTreeMap<String, String>,
    /// The working folder.
    pub cwd: Option<String>,
    /// The standard input.
    pub stdin: String,
    /// The user who runs the process.
    pub user: Option<String>,
}

/// A call of an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct ExecutorBody {
    /// How an executor is chosen.
    #[schemars(extend("enum" = balance::WORDS))]
    pub balance: Word,
    /// The allowed executors. Empty: all executors that declared the task.
    pub names: Vec<String>,
    /// The weights of executors.
    pub weights: BTreeMap<String, u32>,
}

/// A call of a function of the embedding program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FuncBody {
    /// The name of the function.
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
