//! A process group: its start, its output and its end.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, WaitStatus, setrlimit, test_kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::wire::{FromShim, Spawn};
use super::{SentSignal, Shim, as_user};
use crate::exec::boot::BootInstant;

/// Size of one read.
const READ_BYTES: usize = 16 << 10;
/// The default capacity of a pipe, which the last output of the main process fits into.
const DRAIN_MAX_BYTES: usize = 64 << 10;
/// How often a signalled group is checked.
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// Number of checks after KILL. A process that remains is stuck, or a zombie of another parent.
const PROBES_AFTER_KILL: u32 = 50;

/// A started process, with the shim's ends of its pipes.
pub(super) struct StartedProcess {
    pub(super) child: Child,
    pub(super) output: PipeReader,
    /// None: the process has no standard input.
    pub(super) input: Option<PipeWriter>,
}

/// Starts a process that leads its own group. Its output goes to one pipe.
///
/// A process inherits the limit of open files of its parent, so the shim sets its own limit to the
/// child's during the start. All descriptors that a start opens or passes on must have numbers
/// below that limit (`posix_spawn` rejects others), so those of `low` are free in the meantime.
pub(super) fn start(
    spawn: &Spawn,
    limits: &OpenFileLimits,
    low: &mut LowDescriptors,
) -> io::Result<StartedProcess> {
    let theirs = limits.of(spawn);
    if theirs == limits.own {
        return prepare(spawn)?.start(|command| command.spawn());
    }
    low.give();
    let started = prepare(spawn).and_then(|prepared| {
        prepared.above(theirs.current).start(|command| {
            setrlimit(Resource::Nofile, theirs)?;
            let child = command.spawn();
            setrlimit(Resource::Nofile, limits.own)?;
            child
        })
    });
    // If these cannot be reserved again, a later start may fail with an error.
    let _short = low.take();
    started
}

/// A command with its pipes.
struct PreparedCommand {
    command: Command,
    output: PipeReader,
    input: Option<PipeWriter>,
}

fn prepare(spawn: &Spawn) -> io::Result<PreparedCommand> {
    let (output, theirs) = io::pipe()?;
    let (stdin, input) = if spawn.stdin.is_empty() {
        (Stdio::from(File::open("/dev/null")?), None)
    } else {
        let (theirs, input) = io::pipe()?;
        (Stdio::from(theirs), Some(input))
    };
    let mut command = match &spawn.user {
        Some(credentials) => as_user::command(spawn, credentials),
        None => plain(spawn)?,
    };
    command.process_group(0).stdin(stdin).stdout(theirs.try_clone()?).stderr(theirs);
    Ok(PreparedCommand { command, output, input })
}

impl PreparedCommand {
    /// Moves the shim's ends of the pipes to numbers from this limit on, if it is set.
    fn above(self, limit: Option<u64>) -> Self {
        let limit = limit.and_then(|limit| i32::try_from(limit).ok());
        let Self { command, output, input } = self;
        let output = moved(output.into(), limit).into();
        let input = input.map(|input| moved(input.into(), limit).into());
        Self { command, output, input }
    }

    fn start(
        mut self,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> io::Result<StartedProcess> {
        let child = spawn(&mut self.command)?;
        Ok(StartedProcess { child, output: self.output, input: self.input })
    }
}

/// Moves the file to a descriptor from `from` on. Unchanged if there is none.
fn moved(file: OwnedFd, from: Option<i32>) -> OwnedFd {
    match from.map(|from| rustix::io::fcntl_dupfd_cloexec(&file, from)) {
        Some(Ok(moved)) => moved,
        Some(Err(_)) | None => file,
    }
}

/// Descriptors with low numbers, reserved for starts. However many pipes the shim holds, a start
/// finds free numbers below the limit of the child.
pub(super) struct LowDescriptors(Vec<File>);

impl LowDescriptors {
    /// Two pipes, a second descriptor for the output, and those that the standard library opens.
    const COUNT: usize = 8;

    /// Reserves the lowest free numbers. Reserves none if children have the same limit as the shim.
    pub(super) fn new(limits: &OpenFileLimits) -> io::Result<Self> {
        let mut low = Self(Vec::with_capacity(Self::COUNT));
        if limits.own != limits.children {
            low.take()?;
        }
        Ok(low)
    }

    fn give(&mut self) {
        self.0.clear();
    }

    fn take(&mut self) -> io::Result<()> {
        while self.0.len() < Self::COUNT {
            self.0.push(File::open("/dev/null")?);
        }
        Ok(())
    }
}

/// The limits of open files.
pub(super) struct OpenFileLimits {
    pub(super) own: Rlimit,
    /// The default limit of children.
    pub(super) children: Rlimit,
}

impl OpenFileLimits {
    fn of(&self, spawn: &Spawn) -> Rlimit {
        let most = self.children.maximum.unwrap_or(u64::MAX);
        let wanted = spawn.open_files.map(|wanted| wanted.min(most));
        Rlimit { current: wanted.or(self.children.current), ..self.children }
    }
}

/// A command that runs as the shim's user.
fn plain(spawn: &Spawn) -> io::Result<Command> {
    let mut command = Command::new(&spawn.program);
    let (name, arguments) = spawn.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    command
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(spawn.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&spawn.folder);
    Ok(command)
}

/// Relays the output of the process and reports its end.
pub(super) async fn attend(
    shim: Rc<Shim>,
    id: u64,
    pid: Pid,
    output: PipeReader,
    mut end: oneshot::Receiver<WaitStatus>,
) {
    let mut output = pipe::Receiver::from_owned_fd(OwnedFd::from(output)).ok();
    let mut buffer = vec![0; READ_BYTES];
    let mut status = None;
    let mut probes = 0;
    // If the group was signalled, wait until it has no members.
    while status.is_none()
        || (shim.signalled(id) > SentSignal::Nothing && probes < PROBES_AFTER_KILL && is_alive(pid))
    {
        tokio::select! {
            ended = &mut end, if status.is_none() => status = Some(ended.ok()),
            count = read(&mut output, &mut buffer) => relay(&shim, id, &buffer, count).await,
            () = sleep(PROBE_EVERY), if status.is_some() => {
                probes += u32::from(shim.signalled(id) == SentSignal::Kill);
            }
        }
    }
    // Before everything else: the process id may now be reused.
    shim.groups.borrow_mut().remove(&id);
    drain(&shim, id, &output, &mut buffer).await;
    let status = status.flatten();
    let code = status.and_then(WaitStatus::exit_status);
    let signal = status.and_then(WaitStatus::terminating_signal);
    shim.link.post(&FromShim::Ended { id, at: BootInstant::now(), code, signal });
    drop(shim);
    // Background processes may continue to print. Without a reader they would get SIGPIPE.
    while output.is_some() {
        read(&mut output, &mut buffer).await;
    }
}

/// Reads the next bytes. At the end returns 0 once, and never returns after that.
async fn read(output: &mut Option<pipe::Receiver>, buffer: &mut [u8]) -> usize {
    let Some(pipe) = output else { return std::future::pending().await };
    let count = pipe.read(buffer).await.unwrap_or(0);
    if count == 0 {
        *output = None;
    }
    count
}

/// Relays the output that remains in the pipe of the process.
async fn drain(shim: &Shim, id: u64, output: &Option<pipe::Receiver>, buffer: &mut [u8]) {
    let Some(pipe) = output else { return };
    let mut drained = 0;
    while drained < DRAIN_MAX_BYTES {
        let Ok(count @ 1..) = pipe.try_read(buffer) else { return };
        drained += count;
        relay(shim, id, buffer, count).await;
    }
}

async fn relay(shim: &Shim, id: u64, buffer: &[u8], count: usize) {
    if let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) {
        shim.link.relay(id, bytes).await;
    }
}

/// Whether the group has members. Process ids are assigned in sequence, so the id of a process that
/// has just ended is not reused yet.
fn is_alive(pid: Pid) -> bool {
    test_kill_process_group(pid).is_ok()
}

/// Writes a process's standard input.
pub(super) async fn feed(pipe: PipeWriter, text: String) {
    if let Ok(mut pipe) = pipe::Sender::from_owned_fd(OwnedFd::from(pipe)) {
        // The process may not read it.
        let _ = pipe.write_all(text.as_bytes()).await;
    }
}
