//! One end of a simulated stream, as used by the program.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Net, NetStream};

/// Maximum amount of data in transit or unread in one direction, in bytes.
const WINDOW: usize = 256 << 10;
/// Maximum segment size, in bytes.
const SEGMENT: usize = 64 << 10;

/// One end of a stream.
pub struct StreamEnd {
    net: Net,
    id: u64,
    side: usize,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl StreamEnd {
    pub fn new(net: Net, id: u64, side: usize) -> Self {
        Self { net, id, side, alarm: None }
    }

    /// Ensures that the task is woken at an instant.
    fn wake_at(&mut self, at: Instant, cx: &mut Context<'_>) {
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if alarm.deadline() != at || alarm.is_elapsed() {
            alarm.as_mut().reset(at);
        }
        if alarm.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// An error if this end has failed, otherwise when it will fail.
fn broken(stream: &NetStream, side: usize, now: Instant) -> Result<Option<Instant>, io::Error> {
    match stream.ends[side].broken {
        Some((at, kind)) if at <= now => Err(kind.into()),
        Some((at, _)) => Ok(Some(at)),
        None => Ok(None),
    }
}

enum ReadProgress {
    Bytes,
    End,
    Wait(Option<Instant>),
}

fn read(
    stream: &mut NetStream,
    side: usize,
    buffer: &mut ReadBuf<'_>,
    cx: &Context<'_>,
) -> io::Result<ReadProgress> {
    let now = Instant::now();
    let breaks = broken(stream, side, now)?;
    let way = &mut stream.ways[1 - side];
    let mut taken = 0;
    while let Some(first) = way.segments.front_mut() {
        if first.at.is_none_or(|at| at > now) || buffer.remaining() == 0 {
            break;
        }
        if first.bytes.is_empty() {
            return Ok(if taken == 0 { ReadProgress::End } else { ReadProgress::Bytes });
        }
        let length = first.bytes.len().min(buffer.remaining());
        buffer.put_slice(&first.bytes[..length]);
        first.bytes.advance(length);
        taken += length;
        if first.bytes.is_empty() {
            way.segments.pop_front();
        }
    }
    if taken > 0 {
        way.bytes -= taken;
        if let Some(writer) = way.writer.take() {
            writer.wake();
        }
        return Ok(ReadProgress::Bytes);
    }
    way.reader = Some(cx.waker().clone());
    let next = way.segments.front().and_then(|first| first.at);
    Ok(ReadProgress::Wait(next.into_iter().chain(breaks).min()))
}

impl AsyncRead for StreamEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let found = {
            let mut inner = self.net.0.lock();
            let Some(stream) = inner.streams.get_mut(&self.id) else {
                return Poll::Ready(Err(reset()));
            };
            read(stream, self.side, buffer, cx)
        };
        match found? {
            ReadProgress::Bytes | ReadProgress::End => Poll::Ready(Ok(())),
            ReadProgress::Wait(Some(at)) => {
                self.wake_at(at, cx);
                Poll::Pending
            }
            ReadProgress::Wait(None) => Poll::Pending,
        }
    }
}

impl AsyncWrite for StreamEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.net.0.lock();
        let Some(stream) = inner.streams.get_mut(&self.id) else {
            return Poll::Ready(Err(reset()));
        };
        broken(stream, self.side, Instant::now())?;
        let way = &mut stream.ways[self.side];
        if way.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW.saturating_sub(way.bytes);
        if room == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = bytes.len().min(room).min(SEGMENT);
        if length > 0 {
            inner.send(self.id, self.side, Bytes::copy_from_slice(&bytes[..length]));
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.net.0.lock();
        let ended = inner.streams.get(&self.id).is_none_or(|s| s.ways[self.side].ended);
        if !ended {
            inner.send(self.id, self.side, Bytes::new());
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for StreamEnd {
    /// The machine closes the stream for the program, unless it has no power.
    fn drop(&mut self) {
        let mut inner = self.net.0.lock();
        let Some(stream) = inner.streams.get_mut(&self.id) else { return };
        stream.ends[self.side].gone = true;
        let (machine, ended) = (stream.machines[self.side], stream.ways[self.side].ended);
        if !ended && !inner.dark.contains(&machine) {
            inner.send(self.id, self.side, Bytes::new());
        }
    }
}
