//! A connection's bytes. It tells the connection's phase by them, and gives a body to what hyper
//! answers by itself.
//!
//! A request that hyper cannot read (a bad request line, two lengths, a head that is too large) never
//! reaches a handler: hyper writes a head without a body and closes. That head is written alone,
//! while no answer of ours is on its way, and has no request id, as all of ours have. It is replaced
//! as a whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;
use super::answers;

/// A stream that hyper serves.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// What is left to write in the place of hyper's own answer.
    instead: Bytes,
    replaced: bool,
}

impl Wire {
    pub const fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, instead: Bytes::new(), replaced: false }
    }

    /// Whether hyper refused the last request, and was heard.
    pub const fn replaced(&self) -> bool {
        self.replaced
    }

    pub fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.instead.has_remaining() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes an answer that hyper gives by itself; false: it is none.
    fn replace(&mut self, written: &[u8]) -> bool {
        let own = self.activity.between_answers().then(|| answers::automatic(written)).flatten();
        let Some(status) = own else { return false };
        self.instead = answers::bytes(answers::unreadable(status)).into();
        self.replaced = true;
        true
    }

    fn note<T>(&self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.wrote(poll.is_ready());
        poll
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.read();
        }
        poll
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replace(buffer) {
            return Poll::Ready(Ok(buffer.len()));
        }
        let poll = Pin::new(&mut self.stream).poll_write(cx, buffer);
        self.note(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [buffer] = buffers
            && self.replace(buffer)
        {
            return Poll::Ready(Ok(buffer.len()));
        }
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.note(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = self.poll_instead(cx);
        ready!(self.note(poll))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
