//! One process of the program under test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;

use crate::{TestResult, node_program, until};

/// Number of log lines that are printed when a test fails.
const SHOWN_LINES: usize = 40;
const SHOWN_CHARS: usize = 300;

/// How a process ended.
#[derive(Clone, Debug)]
pub struct ProcessExit {
    /// Its exit code. None: it was ended by a signal.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl ProcessExit {
    /// The first line of standard output.
    #[must_use]
    pub fn first_line(&self) -> &str {
        self.stdout.lines().next().unwrap_or_default()
    }
}

impl From<Output> for ProcessExit {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The program, without the settings in this process's environment.
fn program() -> TestResult<Command> {
    let mut command = Command::new(node_program()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PUNCTUAL") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// The limit of open files of a node.
#[derive(Clone, Copy, Debug)]
pub enum FileLimit {
    /// This limit, as hard and soft limit.
    Fixed(u32),
    /// This soft limit, which the node can raise to the hard limit of this process.
    Raisable(u32),
}

/// The program with a limit of open files.
fn limited(program: Command, files: Option<FileLimit>) -> Command {
    let limit = match files {
        None => return program,
        Some(FileLimit::Fixed(files)) => format!("-n {files}"),
        Some(FileLimit::Raisable(files)) => format!("-Sn {files}"),
    };
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]);
    command.arg(program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Runs the program with these arguments until it ends.
///
/// # Errors
/// It cannot be started, or does not end within [`LIMIT`](crate::LIMIT).
pub async fn run(arguments: &[&str]) -> TestResult<ProcessExit> {
    let mut command = tokio::process::Command::from(program()?);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(crate::LIMIT, command.output()).await {
        Ok(output) => Ok(output?.into()),
        Err(_late) => Err(format!("`punctual {}` does not end", arguments.join(" ")).into()),
    }
}

/// Runs the program with these arguments and this standard input until it ends.
///
/// # Errors
/// It cannot be started, or does not end within [`LIMIT`](crate::LIMIT).
pub async fn piped(arguments: &[&str], input: &[u8]) -> TestResult<ProcessExit> {
    let mut command = tokio::process::Command::from(program()?);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn()?;
    let mut stdin = child.stdin.take().ok_or("no input")?;
    stdin.write_all(input).await?;
    drop(stdin);
    Ok(tokio::time::timeout(crate::LIMIT, child.wait_with_output()).await??.into())
}

/// A node as a process, which may be stopped.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    settings: PathBuf,
    log: PathBuf,
    /// Its limit of open files. None: the limit of this process.
    files: Option<FileLimit>,
    /// The position in bytes at which the log of the last start begins.
    log_begins: u64,
    child: Option<Child>,
    /// The variable `TZ` of its environment.
    local_zone: Option<&'static str>,
}

impl NodeProcess {
    pub fn new(
        settings: PathBuf,
        log: PathBuf,
        files: Option<FileLimit>,
        local_zone: Option<&'static str>,
    ) -> Self {
        Self { settings, log, files, log_begins: 0, child: None, local_zone }
    }

    pub fn settings(&self) -> &Path {
        &self.settings
    }

    pub fn start(&mut self) -> TestResult<()> {
        if self.runs() {
            return Err(format!("{} runs already", self.settings.display()).into());
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        self.log_begins = log.metadata()?.len();
        let child = limited(program()?, self.files)
            .args(["serve", "--with-parent", "--config"])
            .arg(&self.settings)
            .envs(self.local_zone.map(|zone| ("TZ", zone)))
            // It ends when this process ends, also if this process is killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether the process is running.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn send(&self, signal: Signal) -> TestResult<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        Ok(kill_process(pid.ok_or("the node is not running")?, signal)?)
    }

    /// Kills it, and waits until it has ended.
    pub fn kill9(&mut self) -> TestResult<()> {
        let mut child = self.child.take().ok_or("the node is not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> TestResult<ExitStatus> {
        let child = self.child.as_mut().ok_or("the node is not running")?;
        let status = until("the end of a node", async || {
            child.try_wait()?.ok_or_else(|| "it is still running".into())
        });
        let status = status.await?;
        self.child = None;
        Ok(status)
    }

    /// Its output since its last start.
    pub fn said(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let from = usize::try_from(self.log_begins).unwrap_or(0);
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
    }

    /// The number of lines that it has written, over all its starts.
    pub fn lines(&self) -> usize {
        let bytes = fs::read(&self.log).unwrap_or_default();
        bytes.iter().filter(|byte| **byte == b'\n').count()
    }

    /// The end of its log, for a failed test.
    pub fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<String> =
            text.lines().map(|line| line.chars().take(SHOWN_CHARS).collect()).collect();
        let from = lines.len().saturating_sub(SHOWN_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _gone = self.kill9();
        }
    }
}
