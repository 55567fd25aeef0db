//! The shim's end of the socket. Reports are sent immediately while the node reads them. Otherwise
//! they wait in memory; the amount of output is bounded.

use std::cell::RefCell;
use std::io;

use bytes::{Buf, BytesMut};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::wire::{FromShim, Inbox, encode};

/// Amount of unsent data above which commands that print are blocked.
const BACKLOG_MAX_BYTES: usize = 256 << 10;

/// See the module documentation.
pub(super) struct NodeConnection {
    stream: UnixStream,
    backlog: RefCell<BytesMut>,
    more: Notify,
    less: Notify,
}

impl NodeConnection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, backlog: RefCell::default(), more: Notify::new(), less: Notify::new() }
    }

    /// Reads available bytes. False: the socket is closed.
    pub(super) async fn read(&self, inbox: &mut Inbox) -> io::Result<bool> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read_buf(inbox.room()) {
                Ok(count) => return Ok(count > 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Queues a report, which is sent together with other reports.
    pub(super) fn post(&self, report: &FromShim) {
        if let Ok(frame) = encode(report) {
            self.backlog.borrow_mut().extend_from_slice(&frame);
            self.more.notify_one();
        }
    }

    /// Sends a report immediately. Bytes that the socket does not accept now are sent later.
    pub(super) fn send(&self, report: &FromShim) {
        let Ok(frame) = encode(report) else { return };
        let mut backlog = self.backlog.borrow_mut();
        // The reader detects a broken socket.
        let sent = if backlog.is_empty() { self.stream.try_write(&frame).unwrap_or(0) } else { 0 };
        if let Some(rest) = frame.get(sent..).filter(|rest| !rest.is_empty()) {
            backlog.extend_from_slice(rest);
            self.more.notify_one();
        }
    }

    /// Sends output as soon as the amount of unsent data is low enough.
    pub(super) async fn relay(&self, id: u64, bytes: &[u8]) {
        loop {
            let less = self.less.notified();
            if self.backlog.borrow().len() < BACKLOG_MAX_BYTES {
                break;
            }
            less.await;
        }
        self.post(&FromShim::Output { id, bytes: bytes.to_vec() });
    }

    /// Writes pending bytes as the socket accepts them, until the socket breaks.
    pub(super) async fn write_on(&self) {
        while self.stream.writable().await.is_ok() {
            if self.backlog.borrow().is_empty() {
                self.more.notified().await;
                continue;
            }
            let mut backlog = self.backlog.borrow_mut();
            match self.stream.try_write(&backlog) {
                Ok(count) => backlog.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_broken) => return,
            }
            if backlog.len() < BACKLOG_MAX_BYTES {
                self.less.notify_waiters();
            }
        }
    }
}
