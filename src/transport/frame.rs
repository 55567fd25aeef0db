//! Frames: the unit that a connection carries, in order, both ways.
//!
//! On the wire: `length of body u32 | kind u16 | id u64 | body`, numbers big-endian. Many frames
//! go in one write and come in one read: the writer takes whatever is queued when it wakes and
//! never waits for more; the reader cuts frames out of its buffer without copying their bodies.
//!
//! Kind 0 is the transport's own: a keepalive, which a writer sends when it has written nothing
//! for [`KEEPALIVE`] and which no receiver ever shows.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep, timeout};

use super::network::BoxedStream;
use crate::life;

/// The longest body, in bytes.
pub const BODY_MAX: usize = 64 << 20;

/// A writer with nothing to write says so this often.
pub const KEEPALIVE: Duration = Duration::from_secs(5);

/// A peer that sends or accepts nothing for this long is gone.
pub const IDLE_MAX: Duration = Duration::from_secs(15);

/// What may wait in one connection's queue, in bytes; one larger frame fills it alone.
pub const QUEUE_BYTES: u32 = 8 << 20;

const HEADER: usize = 14;
const KEEPALIVE_KIND: u16 = 0;
/// The kind of a frame that gives up the call with its id.
pub const CANCEL_KIND: u16 = u16::MAX;

/// What a queued frame costs beside its body, in bytes, so that empty frames count too.
const QUEUED_OVERHEAD: usize = 64;

/// Frames taken out of the queue at once.
const BATCH: usize = 1024;

/// Shorter bodies are copied into the write buffer; longer ones are written from where they lie.
const COPIED_MAX: usize = 16 << 10;

/// The write buffer is flushed at this many bytes.
const WRITE_CHUNK: usize = 256 << 10;

/// The space for one read; and the least with which a read is worth its system call.
const READ_CHUNK: usize = 64 << 10;
const READ_LEAST: usize = 8 << 10;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFrame {
    /// Pairs a question with its answer; 0 where none is expected.
    pub id: u64,
    /// What the body is, by the numbers of the layer above; 0 is the transport's own.
    pub kind: u16,
    /// At most [`BODY_MAX`] bytes. It may share memory with frames read beside it: what is kept
    /// for long should be copied.
    pub body: Bytes,
}

/// Why a frame was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed,
    /// The body has this many bytes.
    #[error("a frame's body of {0} bytes is longer than {BODY_MAX}")]
    TooLong(usize),
    /// Kind 0 is the transport's own.
    #[error("frame kind 0 is the transport's own")]
    ReservedKind,
}

/// Why no more frames can come.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The peer announced a body of this many bytes.
    #[error("the peer announced a frame of {0} bytes, longer than {BODY_MAX}")]
    TooLong(usize),
    /// The stream ended within a frame.
    #[error("the connection ended within a frame")]
    Truncated,
    /// Nothing came, not even a keepalive, for [`IDLE_MAX`].
    #[error("the peer was silent for {} s", IDLE_MAX.as_secs())]
    Idle,
}

/// Cuts a stream into a sender and a receiver of frames, and starts the task that writes.
pub(super) fn open(stream: BoxedStream) -> (Sender, Receiver) {
    let (read, write) = tokio::io::split(stream);
    let (queue, queued) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(QUEUE_BYTES as usize));
    let writer = Writer { stream: write, queued, room: room.clone(), buffer: BytesMut::new() };
    let closing = Closing(room.clone());
    let task = life::spawn(async move {
        let _closing = closing;
        if let Err(error) = writer.write().await {
            tracing::debug!(%error, "writing to a peer ended");
        }
    });
    let writer = task.abort_handle();
    (Sender { queue, room, writer: writer.clone() }, Receiver::new(read, writer))
}

/// Closes the queue whatever way the writer ends.
struct Closing(Arc<Semaphore>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Queues frames for writing; clones share one queue. When the last one is dropped, what is queued
/// is still written, and then the peer sees the end.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: UnboundedSender<PeerFrame>,
    room: Arc<Semaphore>,
    writer: AbortHandle,
}

impl Sender {
    /// Queues a frame, waiting while [`QUEUE_BYTES`] wait to be written. Dropping the future
    /// queues nothing. That it returns tells nothing about whether the frame will arrive.
    pub async fn send(&self, frame: PeerFrame) -> Result<(), SendError> {
        if frame.kind == KEEPALIVE_KIND {
            return Err(SendError::ReservedKind);
        }
        if frame.body.len() > BODY_MAX {
            return Err(SendError::TooLong(frame.body.len()));
        }
        let room = self.room.acquire_many(weight(&frame)).await.map_err(|_| SendError::Closed)?;
        // The writer gives it back when the frame is written.
        room.forget();
        self.queue.send(frame).map_err(|_| SendError::Closed)
    }

    /// Queues a frame if there is room at once; false: there is not, or the connection has ended.
    pub fn offer(&self, frame: PeerFrame) -> bool {
        let Ok(room) = self.room.try_acquire_many(weight(&frame)) else { return false };
        room.forget();
        self.queue.send(frame).is_ok()
    }

    /// Ends the writing at once; what is queued is lost. The stream is closed when the receiver
    /// is dropped too.
    pub fn cut(&self) {
        self.writer.abort();
    }
}

/// The size of a frame in the queue.
fn weight(frame: &PeerFrame) -> u32 {
    let bytes = frame.body.len().saturating_add(QUEUED_OVERHEAD);
    u32::try_from(bytes).map_or(QUEUE_BYTES, |bytes| bytes.min(QUEUE_BYTES))
}

struct Writer {
    stream: WriteHalf<BoxedStream>,
    queued: UnboundedReceiver<PeerFrame>,
    room: Arc<Semaphore>,
    buffer: BytesMut,
}

impl Writer {
    /// Writes what is queued until all senders are gone, the stream breaks, or the peer takes
    /// nothing for [`IDLE_MAX`].
    async fn write(mut self) -> io::Result<()> {
        let mut beat = heartbeat();
        let mut batch = Vec::with_capacity(BATCH);
        let mut quiet = true;
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.queued.recv_many(&mut batch, BATCH) => Some(taken),
                _ = beat.tick() => None,
            };
            match taken {
                Some(0) => return self.end().await,
                Some(_) => {
                    self.write_batch(&mut batch).await?;
                    quiet = false;
                }
                None => {
                    if quiet {
                        header(&mut self.buffer, KEEPALIVE_KIND, 0, 0);
                        self.write_buffer().await?;
                    }
                    quiet = true;
                }
            }
        }
    }

    async fn write_batch(&mut self, batch: &mut Vec<PeerFrame>) -> io::Result<()> {
        let mut written = 0_usize;
        for frame in batch.drain(..) {
            written += weight(&frame) as usize;
            header(&mut self.buffer, frame.kind, frame.id, frame.body.len());
            if frame.body.len() <= COPIED_MAX {
                self.buffer.extend_from_slice(&frame.body);
            } else {
                self.write_buffer().await?;
                write_all(&mut self.stream, &frame.body).await?;
            }
            if self.buffer.len() >= WRITE_CHUNK {
                self.write_buffer().await?;
            }
        }
        self.write_buffer().await?;
        self.room.add_permits(written);
        Ok(())
    }

    async fn write_buffer(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            write_all(&mut self.stream, &self.buffer).await?;
            self.buffer.clear();
        }
        Ok(())
    }

    async fn end(&mut self) -> io::Result<()> {
        timeout(IDLE_MAX, self.stream.shutdown()).await.map_err(|_| stalled())?
    }
}

fn heartbeat() -> Interval {
    let mut beat = interval_at(Instant::now() + KEEPALIVE, KEEPALIVE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

fn header(buffer: &mut BytesMut, kind: u16, id: u64, length: usize) {
    buffer.reserve(HEADER + length.min(COPIED_MAX));
    // `send` has checked the length against a limit far below u32's.
    buffer.put_u32(length as u32);
    buffer.put_u16(kind);
    buffer.put_u64(id);
}

/// Like `write_all`, but bounded by progress rather than by the whole: a snapshot may take long.
async fn write_all(stream: &mut (impl AsyncWrite + Unpin), mut data: &[u8]) -> io::Result<()> {
    while data.has_remaining() {
        let written =
            timeout(IDLE_MAX, stream.write_buf(&mut data)).await.map_err(|_| stalled())??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    timeout(IDLE_MAX, stream.flush()).await.map_err(|_| stalled())?
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes")
}

/// Receives frames in the order in which the peer sent them.
pub struct Receiver<S = ReadHalf<BoxedStream>> {
    stream: S,
    buffer: BytesMut,
    heard: Instant,
    idle: Pin<Box<Sleep>>,
    writer: AbortHandle,
}

impl<S: AsyncRead + Unpin> Receiver<S> {
    fn new(stream: S, writer: AbortHandle) -> Self {
        let idle = Box::pin(sleep(IDLE_MAX));
        Self { stream, buffer: BytesMut::new(), heard: Instant::now(), idle, writer }
    }

    /// The next frame; none: the peer has ended the connection. Nothing is lost if the future is
    /// dropped. After an error the connection is of no use, and its sender is cut.
    pub async fn next(&mut self) -> Result<Option<PeerFrame>, RecvError> {
        let next = self.read_next().await;
        if next.is_err() {
            self.writer.abort();
        }
        next
    }

    async fn read_next(&mut self) -> Result<Option<PeerFrame>, RecvError> {
        loop {
            while let Some(frame) = self.take()? {
                if frame.kind != KEEPALIVE_KIND {
                    return Ok(Some(frame));
                }
            }
            if !self.fill().await? {
                let whole = self.buffer.is_empty();
                return if whole { Ok(None) } else { Err(RecvError::Truncated) };
            }
        }
    }

    /// The length of the body that the buffer begins with, once its header is there.
    fn announced(&self) -> Result<Option<usize>, RecvError> {
        let Some(mut length) = self.buffer.get(..HEADER) else { return Ok(None) };
        let length = length.get_u32() as usize;
        if length > BODY_MAX { Err(RecvError::TooLong(length)) } else { Ok(Some(length)) }
    }

    /// A frame out of the buffer.
    fn take(&mut self) -> Result<Option<PeerFrame>, RecvError> {
        let Some(length) = self.announced()? else { return Ok(None) };
        if self.buffer.len() < HEADER + length {
            return Ok(None);
        }
        self.buffer.advance(size_of::<u32>());
        let (kind, id) = (self.buffer.get_u16(), self.buffer.get_u64());
        Ok(Some(PeerFrame { id, kind, body: self.buffer.split_to(length).freeze() }))
    }

    /// Reads more into the buffer; false at the end of the stream.
    async fn fill(&mut self) -> Result<bool, RecvError> {
        let frame = self.announced()?.map_or(0, |length| HEADER + length);
        let missing = frame.saturating_sub(self.buffer.len());
        let room = self.buffer.capacity() - self.buffer.len();
        if room < missing.max(READ_LEAST) {
            self.buffer.reserve(missing.max(READ_CHUNK));
        }
        loop {
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.buffer) => {
                    let read = read?;
                    self.heard = Instant::now();
                    return Ok(read > 0);
                }
                () = self.idle.as_mut() => {
                    // The timer is not moved at every read, only when it goes off too early.
                    let limit = self.heard + IDLE_MAX;
                    if limit <= Instant::now() {
                        return Err(RecvError::Idle);
                    }
                    self.idle.as_mut().reset(limit);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
