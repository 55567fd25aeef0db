//! Frames over streams in memory and over loopback.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{DuplexStream, ReadBuf, duplex};

use super::*;
use crate::transport::network::{Network, Tcp};

fn frame(id: u64, body: impl Into<Bytes>) -> PeerFrame {
    PeerFrame { id, kind: 1, body: body.into() }
}

fn pair(buffer: usize) -> ((Sender, Receiver), (Sender, Receiver)) {
    let (near, far) = duplex(buffer);
    (open(Box::new(near)), open(Box::new(far)))
}

fn receiver<S: AsyncRead + Unpin>(stream: S) -> Receiver<S> {
    Receiver::new(stream, tokio::spawn(async {}).abort_handle())
}

/// Counts reads and writes, which would be system calls.
struct CountingStream {
    stream: DuplexStream,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl CountingStream {
    fn new(stream: DuplexStream) -> (Self, Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let (reads, writes) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        (Self { stream, reads: reads.clone(), writes: writes.clone() }, reads, writes)
    }
}

impl AsyncRead for CountingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CountingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn the_bytes_of_a_frame_never_change() {
    let (near, mut far) = duplex(1024);
    let (sender, _receiver) = open(Box::new(near));
    let sent =
        PeerFrame { id: 0x0102_0304_0506_0708, kind: 0x0a0b, body: Bytes::from_static(b"abc") };
    sender.send(sent).await.unwrap();
    drop(sender);
    let mut wire = Vec::new();
    let mut bytes = [0; 17];
    far.read_exact(&mut bytes).await.unwrap();
    wire.extend_from_slice(&bytes);
    assert_eq!(wire, b"\0\0\0\x03\x0a\x0b\x01\x02\x03\x04\x05\x06\x07\x08abc");
}

#[tokio::test]
async fn frames_of_all_sizes_come_back_as_they_were() {
    let ((sender, _near), (_far, mut receiver)) = pair(4096);
    let sizes = [0, 1, 100, COPIED_MAX, COPIED_MAX + 1, WRITE_CHUNK, 1 << 20, 3, BODY_MAX];
    let sent: Vec<_> = (1_u64..)
        .zip(sizes)
        .map(|(id, size)| PeerFrame { id, kind: id as u16, body: vec![id as u8; size].into() })
        .collect();
    let queued = sent.clone();
    tokio::spawn(async move {
        for frame in queued {
            sender.send(frame).await.unwrap();
        }
    });
    for expected in sent {
        let got = receiver.next().await.unwrap().unwrap();
        assert!(got == expected, "frame {} of {} bytes differs", expected.id, expected.body.len());
    }
    assert_eq!(receiver.next().await.unwrap(), None);
}

#[tokio::test]
async fn frames_that_come_byte_by_byte_are_put_together() {
    let ((sender, _near), (_far, mut receiver)) = pair(1);
    for id in 1..=20 {
        sender.send(frame(id, vec![7; id as usize])).await.unwrap();
    }
    for id in 1..=20 {
        let got = receiver.next().await.unwrap().unwrap();
        assert_eq!((got.id, got.body.len()), (id, id as usize));
    }
}

#[tokio::test]
async fn what_is_queued_goes_out_in_one_write() {
    let (near, far) = duplex(1 << 20);
    let (near, _, writes) = CountingStream::new(near);
    let (sender, _receiver) = open(Box::new(near));
    for id in 1..=100 {
        sender.send(frame(id, vec![0; 100])).await.unwrap();
    }
    let mut received = receiver(far);
    for id in 1..=100 {
        assert_eq!(received.next().await.unwrap().unwrap().id, id);
    }
    assert_eq!(writes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn one_read_brings_many_frames_without_copying_them() {
    let (mut near, far) = duplex(1 << 20);
    let mut wire = BytesMut::new();
    for id in 1..=1000 {
        header(&mut wire, 1, id, 10);
        wire.extend_from_slice(&[3; 10]);
    }
    near.write_all(&wire).await.unwrap();
    let (far, reads, _) = CountingStream::new(far);
    let mut received = receiver(far);
    let first = received.next().await.unwrap().unwrap();
    let second = received.next().await.unwrap().unwrap();
    let distance = second.body.as_ptr() as usize - first.body.as_ptr() as usize;
    assert_eq!(distance, HEADER + 10, "both bodies share the read buffer");
    for id in 3..=1000 {
        assert_eq!(received.next().await.unwrap().unwrap().id, id);
    }
    assert_eq!(reads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_neither_sent_nor_allocated() {
    let ((sender, _near), _far) = pair(1024);
    let long = frame(1, vec![0; BODY_MAX + 1]);
    assert_eq!(sender.send(long).await, Err(SendError::TooLong(BODY_MAX + 1)));

    for length in [BODY_MAX as u32 + 1, u32::MAX] {
        let (mut near, far) = duplex(1024);
        let mut wire = length.to_be_bytes().to_vec();
        wire.extend_from_slice(&[0; HEADER]);
        near.write_all(&wire).await.unwrap();
        let mut received = receiver(far);
        let error = received.next().await.unwrap_err();
        assert!(matches!(error, RecvError::TooLong(got) if got == length as usize), "{error}");
        assert!(received.buffer.capacity() <= 2 * READ_CHUNK);
    }
}

#[tokio::test]
async fn an_end_within_a_frame_is_an_error_and_between_frames_it_is_not() {
    for (cut, whole) in [(0, true), (1, false), (HEADER, false), (HEADER + 4, false)] {
        let (mut near, far) = duplex(1024);
        let mut wire = BytesMut::new();
        header(&mut wire, 1, 1, 5);
        near.write_all(&wire[..cut.min(HEADER)]).await.unwrap();
        near.write_all(&vec![0; cut.saturating_sub(HEADER)]).await.unwrap();
        drop(near);
        match receiver(far).next().await {
            Ok(None) => assert!(whole, "cut at {cut}"),
            Err(RecvError::Truncated) => assert!(!whole, "cut at {cut}"),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn kind_0_is_not_for_users() {
    let ((sender, _near), _far) = pair(1024);
    let keepalive = PeerFrame { id: 1, kind: 0, body: Bytes::new() };
    assert_eq!(sender.send(keepalive).await, Err(SendError::ReservedKind));
}

#[tokio::test]
async fn dropping_the_last_sender_writes_what_is_queued_and_ends() {
    let ((sender, _near), (_far, mut receiver)) = pair(64);
    for id in 1..=100 {
        sender.send(frame(id, vec![0; 100])).await.unwrap();
    }
    drop(sender);
    for id in 1..=100 {
        assert_eq!(receiver.next().await.unwrap().unwrap().id, id);
    }
    assert_eq!(receiver.next().await.unwrap(), None);
}

#[tokio::test]
async fn an_error_of_the_receiver_and_a_cut_end_the_sender() {
    let (near, mut far) = duplex(1024);
    let (sender, mut received) = open(Box::new(near));
    far.write_all(&[0xff; HEADER]).await.unwrap();
    assert!(received.next().await.is_err());
    sender.queue.closed().await;
    assert_eq!(sender.send(frame(1, "")).await, Err(SendError::Closed));

    let ((sender, _near), _far) = pair(1024);
    sender.cut();
    sender.queue.closed().await;
    assert_eq!(sender.send(frame(1, "")).await, Err(SendError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_its_senders_back_until_the_peer_reads() {
    let (near, far) = duplex(1024);
    let (sender, _near) = open(Box::new(near));
    let mut queued = 0;
    while let Ok(sent) =
        timeout(Duration::from_millis(100), sender.send(frame(queued + 1, vec![0; 1 << 20]))).await
    {
        sent.unwrap();
        queued += 1;
        assert!(queued < 100, "the queue is unbounded");
    }
    assert_eq!(queued, 7, "8 MiB, minus the overhead of each frame");
    let mut received = receiver(far);
    for id in 1..=queued {
        assert_eq!(received.next().await.unwrap().unwrap().id, id);
    }
    sender.send(frame(queued + 1, vec![0; BODY_MAX])).await.unwrap();
    assert_eq!(received.next().await.unwrap().unwrap().body.len(), BODY_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_and_a_heard_one_later() {
    let (near, mut far) = duplex(1 << 20);
    let (_sender, mut received) = open(Box::new(near));
    let begun = Instant::now();
    assert!(timeout(Duration::from_secs(10), received.next()).await.is_err());
    let mut wire = BytesMut::new();
    header(&mut wire, KEEPALIVE_KIND, 0, 0);
    far.write_all(&wire).await.unwrap();
    assert!(matches!(received.next().await, Err(RecvError::Idle)));
    let silent = begun.elapsed();
    assert!(silent >= Duration::from_secs(25) && silent < Duration::from_secs(26), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn keepalives_hold_a_quiet_connection_and_are_not_shown() {
    let ((_near_sender, mut near), (far_sender, _far)) = pair(1024);
    assert!(timeout(Duration::from_secs(120), near.next()).await.is_err(), "no frame and no error");
    far_sender.send(frame(9, "still here")).await.unwrap();
    assert_eq!(near.next().await.unwrap().unwrap().id, 9);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (near, _far) = duplex(16);
    let (sender, _near) = open(Box::new(near));
    let begun = Instant::now();
    sender.send(frame(1, vec![0; 1000])).await.unwrap();
    let full = sender.send(frame(2, vec![0; BODY_MAX])).await;
    assert_eq!(full, Err(SendError::Closed));
    assert!(begun.elapsed() >= IDLE_MAX && begun.elapsed() < 2 * IDLE_MAX);
}

async fn over_loopback() -> ((Sender, Receiver), (Sender, Receiver)) {
    let mut listener = Tcp.listen("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (near, far) = tokio::join!(Tcp.connect(None, &addr), listener.accept());
    (open(near.unwrap()), open(far.unwrap().0))
}

/// Sends `count` frames of 100 bytes over loopback and checks their order.
async fn stream(count: u64) {
    let ((sender, _near), (_far, mut receiver)) = over_loopback().await;
    let body = Bytes::from(vec![5; 100]);
    tokio::spawn(async move {
        for id in 1..=count {
            sender.send(frame(id, body.clone())).await.unwrap();
        }
    });
    for id in 1..=count {
        assert_eq!(receiver.next().await.unwrap().unwrap().id, id);
    }
    assert_eq!(receiver.next().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_frames_keep_their_order() {
    stream(100_000).await;
}

#[tokio::test]
async fn throughput_over_loopback_is_printed() {
    let (count, begun) = (300_000_u32, Instant::now());
    stream(count.into()).await;
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    println!("frames of 100 B over loopback, one thread: {rate:.0} frames/s");
}
