//! The process between a node and its commands: the parent of every shell attempt.
//!
//! A killed node cannot kill its children, and a process cannot ask to be killed together with its
//! group when its parent dies. So each node has one shim, connected by a socket pair that is the
//! shim's standard input. The shim executes the node's orders (spawn, signal a group) and reports
//! the results (spawned, output, ended). When the socket closes, it kills every remaining group and
//! ends.
//!
//! The shim has one thread and little memory, and does nothing before a spawn but read the clock,
//! because many ticks fall due at the same instant: a spawn costs little more than the system call
//! `posix_spawn`. A command of another user is started through another process of this program,
//! which switches to the user (see `as_user`).
//!
//! When the main process of a group ends, the attempt ends. Its background processes continue, as
//! with cron, and their output is read and discarded. A stopped group leaves no processes: its
//! attempt ends when the group is empty or was killed.
//!
//! One gap remains: if the shim is killed between a spawn and its report, the node knows of no
//! group to kill, and the outcome of the attempt is unknown.

mod as_user;
mod group;
mod node_connection;
pub(super) mod wire;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::ExitCode;
use std::rc::Rc;

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getpid, getrlimit, kill_process_group,
    set_child_subreaper, setrlimit, setsid, wait,
};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use super::boot::BootInstant;
use group::OpenFileLimits;
use node_connection::NodeConnection;
use wire::{FromShim, Spawn, ToShim};

/// Maximum number of open files of the shim. Each running attempt needs two.
const FILES_MAX: u64 = 65_536;

/// Serves the node at the other end of standard input until the socket closes. This is the whole
/// hidden command `shim`, which ends with the returned exit code. Further arguments of that command
/// are internal: the shim starts this program with them to run a command as another user.
///
/// # Errors
/// Standard input is not a socket, or its data cannot be read.
pub fn serve() -> io::Result<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(order) = as_user::order(&arguments) {
        return Ok(order.carry_out());
    }
    let stream = StdStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.peer_addr().map_err(|_error| io::Error::other("a shim is started by a node"))?;
    stream.set_nonblocking(true)?;
    // A separate session, so that signals of the node's terminal do not reach the shim.
    let _ = setsid();
    // The name in process lists. The shim was started as /proc/self/exe.
    let _ = fs::write("/proc/self/comm", "punctual-shim");
    // Orphans of the groups become children of the shim. So the shim detects when a group is empty,
    // even if nothing else reaps orphans, as in a container.
    let _ = set_child_subreaper(Some(getpid()));
    let files = raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        // Ignored: if all processes of the node get the signal, the node stops the shim.
        let _ignored = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .map(|kind| signal(kind));
        Shim::serve(UnixStream::from_std(stream)?, files).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Raises the limit of open files, so that the shim can hold many pipes.
fn raise_file_limit() -> OpenFileLimits {
    let children = getrlimit(Resource::Nofile);
    let most = children.maximum.unwrap_or(FILES_MAX).min(FILES_MAX);
    let enough = children.current.is_none_or(|current| current >= most);
    let raised = Rlimit { current: Some(most), ..children };
    let own =
        if enough || setrlimit(Resource::Nofile, raised).is_err() { children } else { raised };
    OpenFileLimits { own, children }
}

/// The state of a shim.
struct Shim {
    link: NodeConnection,
    groups: RefCell<HashMap<u64, ProcessGroup>>,
    /// The tasks that wait for the end of a child.
    ends: RefCell<HashMap<Pid, (u64, oneshot::Sender<WaitStatus>)>>,
    files: OpenFileLimits,
    low: RefCell<group::LowDescriptors>,
}

/// A process group whose attempt has not ended.
#[derive(Clone, Copy)]
struct ProcessGroup {
    /// Its main process, whose id is the id of the group.
    pid: Pid,
    signalled: SentSignal,
}

/// The strongest signal sent to a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SentSignal {
    Nothing,
    Term,
    Kill,
}

impl Shim {
    async fn serve(stream: UnixStream, files: OpenFileLimits) -> io::Result<()> {
        let shim = Rc::new(Self {
            link: NodeConnection::new(stream),
            groups: RefCell::default(),
            ends: RefCell::default(),
            low: RefCell::new(group::LowDescriptors::new(&files)?),
            files,
        });
        let mut child_ended = signal(SignalKind::child())?;
        let reaper = Rc::clone(&shim);
        spawn_local(async move {
            while child_ended.recv().await.is_some() {
                reaper.reap();
            }
        });
        let writer = Rc::clone(&shim);
        spawn_local(async move { writer.link.write_on().await });
        let ended = shim.obey().await;
        for group in shim.groups.borrow().values() {
            let _ = kill_process_group(group.pid, Signal::KILL);
        }
        ended
    }

    /// Executes the orders of the node until the socket closes.
    async fn obey(self: &Rc<Self>) -> io::Result<()> {
        let mut inbox = wire::Inbox::default();
        loop {
            while let Some(order) = inbox.next()? {
                match order {
                    ToShim::Spawn(spawn) => self.spawn(*spawn),
                    ToShim::Kill { id, force } => self.kill(id, force),
                }
            }
            if !self.link.read(&mut inbox).await? {
                return Ok(());
            }
        }
    }

    fn spawn(self: &Rc<Self>, spawn: Spawn) {
        let id = spawn.id;
        let at = BootInstant::now();
        if at > spawn.start_by {
            return self.link.send(&FromShim::Late { id });
        }
        let started = match group::start(&spawn, &self.files, &mut self.low.borrow_mut()) {
            Ok(started) => started,
            Err(error) => {
                let code = error.raw_os_error();
                let error = error.to_string();
                return self.link.send(&FromShim::Refused { id, code, error });
            }
        };
        let pid = Pid::from_child(&started.child);
        // Reported before everything else: see the end of the module documentation.
        self.link.send(&FromShim::Spawned { id, at, pid: pid.as_raw_nonzero().get() });
        self.groups.borrow_mut().insert(id, ProcessGroup { pid, signalled: SentSignal::Nothing });
        if let Some(pipe) = started.input {
            spawn_local(group::feed(pipe, spawn.stdin));
        }
        let (tell, end) = oneshot::channel();
        self.ends.borrow_mut().insert(pid, (id, tell));
        spawn_local(group::attend(Rc::clone(self), id, pid, started.output, end));
    }

    /// Reaps all children that have ended. After that, the system may reuse their process ids. So a
    /// group that was not signalled is removed in the same step. A signalled group is kept until it
    /// is empty, because its id is not reused while it has members.
    fn reap(&self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some((id, tell)) = self.ends.borrow_mut().remove(&pid) {
                if self.signalled(id) == SentSignal::Nothing {
                    self.groups.borrow_mut().remove(&id);
                }
                let _ = tell.send(status);
            }
        }
    }

    fn kill(&self, id: u64, force: bool) {
        if let Some(group) = self.groups.borrow_mut().get_mut(&id) {
            let (told, signal) = if force {
                (SentSignal::Kill, Signal::KILL)
            } else {
                (SentSignal::Term, Signal::TERM)
            };
            group.signalled = group.signalled.max(told);
            let _ = kill_process_group(group.pid, signal);
        }
    }

    fn signalled(&self, id: u64) -> SentSignal {
        self.groups.borrow().get(&id).map_or(SentSignal::Nothing, |group| group.signalled)
    }
}
