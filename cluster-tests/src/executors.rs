//! Executors as processes, started, killed and asked to end.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{TestResult, until};

/// The port of [`free_address`]. The system gives it to no outgoing connection.
const PORT: u16 = 9_090;
/// Maximum number of addresses tried.
const TRIES: usize = 100;

/// An address on loopback where nobody listens. It is one of 16 million, so nobody else takes it
/// before it is used, as happens to a port that the system chose and that is free again.
///
/// # Errors
/// No address is free.
pub fn free_address() -> TestResult<SocketAddr> {
    for _ in 0..TRIES {
        // 127.0.*.* is used by other programs. Clusters have other ports.
        let (a, b, c) = (rand::random_range(1..=254), rand::random(), rand::random_range(1..=254));
        let address = SocketAddr::from((Ipv4Addr::new(127, a, b, c), PORT));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("there is no free loopback address".into())
}

/// An executor as a process.
#[derive(Debug)]
pub struct ExecutorProcess {
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    child: Option<Child>,
}

impl ExecutorProcess {
    /// Starts a program; what it says goes to the file `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start<A: Into<OsString>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: PathBuf,
    ) -> TestResult<Self> {
        let arguments = arguments.into_iter().map(Into::into).collect();
        let mut process = Self { program: program.to_owned(), arguments, log, child: None };
        process.again()?;
        Ok(process)
    }

    /// Starts it anew, as it was.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn again(&mut self) -> TestResult<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Kills it; it is gone on return.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill9(&mut self) -> TestResult<()> {
        let mut child = self.child.take().ok_or("the executor does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// It does not run.
    pub fn ask_to_end(&self) -> TestResult<()> {
        let pid = self.child.as_ref().map(Child::id).and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).ok_or("the executor does not run")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub async fn ended(&mut self) -> TestResult<ExitStatus> {
        let child = self.child.as_mut().ok_or("the executor does not run")?;
        let status = until("the end of an executor", async || {
            child.try_wait()?.ok_or_else(|| "it still runs".into())
        });
        let status = status.await?;
        self.child = None;
        Ok(status)
    }

    /// What it has said.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for ExecutorProcess {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _gone = self.kill9();
        }
    }
}
