//! Shell attempts on the node's side: the command, its signals and its end.

mod command;
mod shim_connection;
pub(super) mod user;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::attempt::GrantedAttempt;
use super::boot::BootInstant;
use super::control::{AttemptControl, LATE, STOPPED_EARLY, Stop, after, may_start, stop_above};
use super::outcome::{AttemptOutcome, AttemptStatus};
use super::output::LiveOutput;
use super::prepared::PreparedAttempt;
use super::shim::wire::Spawn;
use super::shortage::{SHORT, is_shortage, is_shortage_code};
use crate::domain::task::ShellAction;
use crate::domain::time::Millis;
pub(super) use command::Folders;
use shim_connection::{ProcessEvent, RunningProcess, ShimConnection};
use user::{UnixUser, UserLookup};

/// Time for the shim to report the start, after the time to start has passed.
const ANSWER_WAIT: Millis = Millis::from_secs(2);
/// Time limit for the lookups of a command. A name service or a file system that does not respond
/// fails the attempt.
const PREPARE_LIMIT: Millis = Millis::from_secs(10);
/// Time for a killed group to end. After that its end is unknown.
const KILL_WAIT: Millis = Millis::from_secs(5);

/// The command line of the shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShimProgram {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl ShimProgram {
    /// The program of this process with the argument `shim`, also after its file was replaced. Only
    /// for a program whose `shim` command is [`super::shim::serve`].
    #[must_use]
    pub fn this() -> Self {
        Self { path: PathBuf::from("/proc/self/exe"), args: vec!["shim".to_owned()] }
    }
}

/// Runs commands through the node's shim.
pub(super) struct Shell {
    program: ShimProgram,
    folders: Folders,
    open_files: Option<u64>,
    users: UserLookup,
    /// The node's own user, set at its first use.
    own: OnceCell<UnixUser>,
    /// The connection to the shim, set at its first use.
    link: Mutex<Option<Arc<ShimConnection>>>,
}

impl Shell {
    /// `open_files`: see [`super::ExecOptions::open_files`].
    pub(super) fn new(program: ShimProgram, folders: Folders, open_files: Option<u64>) -> Self {
        let (users, own) = (UserLookup::default(), OnceCell::new());
        Self { program, folders, open_files, users, own, link: Mutex::new(None) }
    }

    /// The connection to the running shim, or to a new one.
    fn link(&self) -> io::Result<Arc<ShimConnection>> {
        let mut link = self.link.lock();
        if let Some(link) = link.as_ref().filter(|link| link.is_open()) {
            return Ok(Arc::clone(link));
        }
        let new = ShimConnection::start(&self.program)?;
        Ok(Arc::clone(link.insert(Arc::new(new))))
    }

    /// The process id of the shim, if there is one.
    #[cfg(test)]
    pub(super) fn shim_pid(&self) -> Option<u32> {
        self.link.lock().as_ref().filter(|link| link.is_open()).and_then(|link| link.pid())
    }

    /// Runs the command of an action whose references are resolved, and waits for its end, its
    /// timeout or a stop request.
    pub(super) async fn attempt(
        &self,
        action: &ShellAction,
        attempt: &GrantedAttempt,
        control: AttemptControl,
        live: &Arc<LiveOutput>,
        ready: &mut PreparedAttempt,
    ) -> AttemptOutcome {
        let mut stop = control.stop;
        let prepared = tokio::select! {
            biased;
            _asked = stop_above(&mut stop, Stop::No) => return AttemptOutcome::cancelled(STOPPED_EARLY),
            prepared = self.prepare(action, attempt) => prepared,
            () = sleep_until(after(PREPARE_LIMIT)) => {
                return AttemptOutcome::failed(format!("user, folder and program were not found within {PREPARE_LIMIT}"));
            }
        };
        let spawn = match prepared {
            Ok(spawn) => spawn,
            Err(why) => return AttemptOutcome::failed(why),
        };
        let link = match self.link() {
            Ok(link) => link,
            Err(error) if is_shortage(&error) => {
                ready.shortages += 1;
                return AttemptOutcome::not_started(SHORT);
            }
            Err(error) => {
                let program = self.program.path.display();
                return AttemptOutcome::failed(format!(
                    "cannot start the shim `{program}`: {error}"
                ));
            }
        };
        let folder = spawn.folder.clone();
        // The shim checks the time again right before the spawn.
        if let Err(why) = may_start(&control.gate, attempt.start_by) {
            return AttemptOutcome::not_started(why);
        }
        let mut running = match link.spawn(spawn, live) {
            Ok(running) => running,
            Err(why) => return AttemptOutcome::failed(why),
        };
        let mut watch = ProcessWatch::new(attempt);
        let started = match watch.answer(&mut running).await {
            Some(ProcessEvent::Spawned { at }) => at,
            Some(ProcessEvent::NotStarted) => return AttemptOutcome::not_started(LATE),
            Some(ProcessEvent::Refused { code: Some(code), .. }) if is_shortage_code(code) => {
                ready.shortages += 1;
                return AttemptOutcome::not_started(SHORT);
            }
            Some(ProcessEvent::Refused { code, error }) => {
                return AttemptOutcome::failed(command::refusal(action, &folder, code, &error));
            }
            Some(ProcessEvent::Ended { .. } | ProcessEvent::Gone) => {
                return AttemptOutcome::lost("the shim ended before it said that it started");
            }
            None => return AttemptOutcome::lost("the shim does not say whether it started"),
        };
        let _ = control.started.send(started);
        let (ended, outcome) = watch.until_end(&mut running, &mut stop).await;
        outcome.timed(started, ended)
    }

    async fn prepare(
        &self,
        action: &ShellAction,
        attempt: &GrantedAttempt,
    ) -> Result<Spawn, String> {
        let own = self.own.get_or_try_init(|| self.users.own()).await?;
        let spawn = command::prepare(action, attempt, &self.users, own, &self.folders).await?;
        Ok(Spawn { open_files: self.open_files, ..spawn })
    }
}

/// Watches a running process until its end, and enforces time limits and stop requests.
struct ProcessWatch<'a> {
    attempt: &'a GrantedAttempt,
    /// Why it must end. None: it may continue.
    reason: Option<AttemptStatus>,
    /// The last signal sent.
    sent: Stop,
    /// The time of the next, stronger signal. None: never.
    next: Option<Instant>,
}

impl<'a> ProcessWatch<'a> {
    fn new(attempt: &'a GrantedAttempt) -> Self {
        let next = (attempt.timeout.0 > 0).then(|| after(attempt.timeout));
        Self { attempt, reason: None, sent: Stop::No, next }
    }

    /// The shim's answer to the order to start. None: there is none. A process whose start is told
    /// late is killed: it may have been given up meanwhile.
    async fn answer(&mut self, running: &mut RunningProcess) -> Option<ProcessEvent> {
        let wait = self.attempt.start_by.since(BootInstant::now()).0.saturating_add(ANSWER_WAIT.0);
        if let Ok(answer) = timeout_at(after(Millis(wait)), running.event()).await {
            // Its time begins with its start.
            *self = Self::new(self.attempt);
            return Some(answer);
        }
        self.signal(Stop::Kill, running);
        timeout_at(after(KILL_WAIT), running.event()).await.ok()
    }

    /// Waits for the end of the process, and enforces it if necessary.
    async fn until_end(
        mut self,
        running: &mut RunningProcess,
        stop: &mut watch::Receiver<Stop>,
    ) -> (BootInstant, AttemptOutcome) {
        loop {
            let next = self.next.unwrap_or_else(Instant::now);
            tokio::select! {
                // An end that has come is told, whatever else is wanted.
                biased;
                event = running.event() => match event {
                    ProcessEvent::Ended { at, code, signal } => return (at, self.judge(code, signal)),
                    ProcessEvent::Gone => {
                        let detail = "the shim is gone; the process group was killed";
                        return (BootInstant::now(), AttemptOutcome::lost(detail));
                    }
                    ProcessEvent::Spawned { .. } | ProcessEvent::NotStarted | ProcessEvent::Refused { .. } => {}
                },
                asked = stop_above(stop, self.sent) => {
                    self.reason.get_or_insert(AttemptStatus::Cancelled);
                    self.signal(asked, running);
                }
                () = sleep_until(next), if self.next.is_some() => match self.sent {
                    Stop::No => {
                        self.reason = Some(AttemptStatus::Timeout);
                        self.signal(Stop::Ask, running);
                    }
                    Stop::Ask => self.signal(Stop::Kill, running),
                    Stop::Kill => return (BootInstant::now(), self.unkillable()),
                },
            }
        }
    }

    fn signal(&mut self, how: Stop, running: &RunningProcess) {
        let how = if self.attempt.kill_grace.0 == 0 { Stop::Kill } else { how };
        running.kill(how == Stop::Kill);
        self.sent = how;
        self.next =
            Some(after(if how == Stop::Kill { KILL_WAIT } else { self.attempt.kill_grace }));
    }

    fn judge(&self, code: Option<i32>, signal: Option<i32>) -> AttemptOutcome {
        let end = match (code, signal) {
            (Some(code), _) => format!("exit {code}"),
            (None, Some(signal)) => format!("killed by {}", signal_name(signal)),
            (None, None) => "ended".to_owned(),
        };
        let mut outcome = match self.reason {
            Some(AttemptStatus::Timeout) => {
                let detail =
                    format!("stopped after its timeout of {}: {end}", self.attempt.timeout);
                AttemptOutcome::new(AttemptStatus::Timeout, detail)
            }
            Some(reason) => AttemptOutcome::new(reason, format!("stopped: {end}")),
            None if code.is_none() && self.sent == Stop::Kill => {
                AttemptOutcome::failed(format!("stopped, because its start was told late: {end}"))
            }
            None if code == Some(0) => AttemptOutcome::new(AttemptStatus::Success, end),
            None => AttemptOutcome::failed(end),
        };
        outcome.exit_code = code;
        outcome
    }

    fn unkillable(&self) -> AttemptOutcome {
        let detail = "the process group did not end after KILL";
        AttemptOutcome {
            unknown: true,
            ..AttemptOutcome::new(self.reason.unwrap_or(AttemptStatus::Lost), detail)
        }
    }
}

/// The names of the signals that usually end processes.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::exec::tests::attempt;

    /// Neither is looked at first by chance.
    #[tokio::test]
    async fn an_end_that_has_come_counts_before_a_stop_and_a_timeout() {
        let bounded = GrantedAttempt { timeout: Millis(1), ..attempt() };
        for code in 0..20 {
            let (events, happenings) = unbounded_channel();
            let mut running = RunningProcess::of(happenings);
            let (_stop, mut asked) = watch::channel(Stop::Ask);
            let watch = ProcessWatch::new(&bounded);
            tokio::time::sleep(Duration::from_millis(2)).await;
            events
                .send(ProcessEvent::Ended { at: BootInstant(9), code: Some(code), signal: None })
                .unwrap();
            let (at, outcome) = watch.until_end(&mut running, &mut asked).await;
            let expected = if code == 0 { AttemptStatus::Success } else { AttemptStatus::Failed };
            assert_eq!((at, outcome.status), (BootInstant(9), expected));
            assert_eq!(outcome.detail, format!("exit {code}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_whose_start_is_told_late_is_killed() {
        let late = GrantedAttempt { start_by: BootInstant(0), ..attempt() };
        let (_stop, mut asked) = watch::channel(Stop::No);
        let (events, happenings) = unbounded_channel();
        let mut running = RunningProcess::of(happenings);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            events.send(ProcessEvent::Spawned { at: BootInstant(5) }).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (code, signal) = (None, Some(9));
            events.send(ProcessEvent::Ended { at: BootInstant(9), code, signal }).unwrap();
        });
        let mut watch = ProcessWatch::new(&late);
        let answer = watch.answer(&mut running).await;
        assert!(matches!(answer, Some(ProcessEvent::Spawned { at: BootInstant(5) })), "{answer:?}");
        let (at, outcome) = watch.until_end(&mut running, &mut asked).await;
        assert_eq!((at, outcome.status), (BootInstant(9), AttemptStatus::Failed));
        assert!(outcome.detail.contains("its start was told late"), "{}", outcome.detail);
        // A shim that never answers is not waited for.
        let (_events, happenings) = unbounded_channel();
        let answer = ProcessWatch::new(&late).answer(&mut RunningProcess::of(happenings)).await;
        assert!(answer.is_none(), "{answer:?}");
    }
}
