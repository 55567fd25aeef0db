//! The node's end of the socket to its shim.
//!
//! If the shim dies, the node kills every group that the shim has reported as started, and the
//! attempts end with an unknown outcome. If the node closes the connection, the shim kills the
//! groups.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ShimProgram;
use crate::exec::boot::BootInstant;
use crate::exec::output::LiveOutput;
use crate::exec::shim::wire::{FromShim, Inbox, Spawn, ToShim, encode};

/// Maximum number of orders in one write.
const BATCH_MAX: usize = 256;

/// An event of one process. All except `Spawned` are final.
#[derive(Debug)]
pub(super) enum ProcessEvent {
    Spawned {
        at: BootInstant,
    },
    /// There was no start.
    NotStarted,
    Refused {
        code: Option<i32>,
        error: String,
    },
    Ended {
        at: BootInstant,
        code: Option<i32>,
        signal: Option<i32>,
    },
    Gone,
}

/// The connection to a running shim.
pub(super) struct ShimConnection {
    orders: UnboundedSender<Vec<u8>>,
    slots: Arc<Mutex<ProcessTable>>,
    next: AtomicU64,
    #[cfg(test)]
    pid: Option<u32>,
}

/// The requested processes that have not ended.
#[derive(Default)]
struct ProcessTable {
    by_id: HashMap<u64, ProcessEntry>,
    closed: bool,
}

struct ProcessEntry {
    events: UnboundedSender<ProcessEvent>,
    live: Arc<LiveOutput>,
    pid: Option<Pid>,
}

impl ShimConnection {
    /// Starts the shim.
    pub(super) fn start(program: &ShimProgram) -> std::io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        let shim = Command::new(&program.path)
            .arg0("punctual")
            .args(&program.args)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        ours.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(ours)?.into_split();
        let (orders, queue) = unbounded_channel();
        let slots = Arc::new(Mutex::new(ProcessTable::default()));
        #[cfg(test)]
        let pid = shim.id();
        tokio::spawn(write(writer, queue));
        tokio::spawn(read(reader, Arc::clone(&slots), shim));
        Ok(Self {
            orders,
            slots,
            next: AtomicU64::new(1),
            #[cfg(test)]
            pid,
        })
    }

    /// Whether the shim is running.
    pub(super) fn is_open(&self) -> bool {
        !self.slots.lock().closed
    }

    /// The shim's process id.
    #[cfg(test)]
    pub(super) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Requests a process.
    pub(super) fn spawn(
        self: &Arc<Self>,
        mut spawn: Spawn,
        live: &Arc<LiveOutput>,
    ) -> Result<RunningProcess, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        spawn.id = id;
        let order = encode(&ToShim::Spawn(Box::new(spawn))).map_err(|_error| {
            "the command with its environment and standard input is larger than 8 MiB".to_owned()
        })?;
        let (events, happenings) = unbounded_channel();
        let mut slots = self.slots.lock();
        if slots.closed {
            let _ = events.send(ProcessEvent::NotStarted);
        } else {
            slots.by_id.insert(id, ProcessEntry { events, live: Arc::clone(live), pid: None });
            let _ = self.orders.send(order);
        }
        drop(slots);
        Ok(RunningProcess { link: Arc::clone(self), id, happenings, over: false })
    }
}

/// A requested process. Dropping it kills its group.
pub(super) struct RunningProcess {
    link: Arc<ShimConnection>,
    id: u64,
    happenings: UnboundedReceiver<ProcessEvent>,
    over: bool,
}

impl RunningProcess {
    /// One of no shim, with these events.
    #[cfg(test)]
    pub(super) fn of(happenings: UnboundedReceiver<ProcessEvent>) -> Self {
        let (orders, _nobody) = unbounded_channel();
        let (slots, next) = (Arc::default(), AtomicU64::new(2));
        let link = Arc::new(ShimConnection { orders, slots, next, pid: None });
        Self { link, id: 1, happenings, over: false }
    }

    /// The next event of the process.
    pub(super) async fn event(&mut self) -> ProcessEvent {
        let event = self.happenings.recv().await.unwrap_or(ProcessEvent::Gone);
        self.over = !matches!(event, ProcessEvent::Spawned { .. });
        event
    }

    /// Sends TERM, or with `force` KILL, to its group.
    pub(super) fn kill(&self, force: bool) {
        if let Ok(order) = encode(&ToShim::Kill { id: self.id, force }) {
            let _ = self.link.orders.send(order);
        }
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        if !self.over {
            self.kill(true);
            self.link.slots.lock().by_id.remove(&self.id);
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queue: UnboundedReceiver<Vec<u8>>) {
    let mut orders = Vec::new();
    while queue.recv_many(&mut orders, BATCH_MAX).await > 0 {
        if writer.write_all(&orders.concat()).await.is_err() {
            // The reader also detects the closed socket, and reports it.
            return;
        }
        orders.clear();
    }
}

async fn read(mut reader: OwnedReadHalf, slots: Arc<Mutex<ProcessTable>>, mut shim: Child) {
    let mut inbox = Inbox::default();
    let error = loop {
        match reader.read_buf(inbox.room()).await {
            Ok(0) => break None,
            Ok(_count) => {}
            Err(error) => break Some(error),
        }
        match take_reports(&mut inbox, &slots) {
            Ok(()) => {}
            Err(error) => break Some(error),
        }
    };
    let orphans = {
        let mut slots = slots.lock();
        slots.closed = true;
        std::mem::take(&mut slots.by_id)
    };
    if !orphans.is_empty() || error.is_some() {
        tracing::warn!(?error, attempts = orphans.len(), "the shim has ended");
    }
    for slot in orphans.into_values() {
        if let Some(pid) = slot.pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = slot.events.send(ProcessEvent::Gone);
    }
    let _ = shim.wait().await;
}

fn take_reports(inbox: &mut Inbox, slots: &Mutex<ProcessTable>) -> std::io::Result<()> {
    while let Some(report) = inbox.next()? {
        let mut slots = slots.lock();
        let (id, event) = match report {
            FromShim::Spawned { id, at, pid } => {
                if let Some(slot) = slots.by_id.get_mut(&id) {
                    slot.pid = Pid::from_raw(pid);
                    let _ = slot.events.send(ProcessEvent::Spawned { at });
                }
                continue;
            }
            FromShim::Output { id, bytes } => {
                let live = slots.by_id.get(&id).map(|slot| Arc::clone(&slot.live));
                drop(slots);
                if let Some(live) = live {
                    live.push(&bytes);
                }
                continue;
            }
            FromShim::Late { id } => (id, ProcessEvent::NotStarted),
            FromShim::Refused { id, code, error } => (id, ProcessEvent::Refused { code, error }),
            FromShim::Ended { id, at, code, signal } => {
                (id, ProcessEvent::Ended { at, code, signal })
            }
        };
        if let Some(slot) = slots.by_id.remove(&id) {
            let _ = slot.events.send(event);
        }
    }
    Ok(())
}
