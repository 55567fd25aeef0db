//! The network between simulated machines: ordered byte streams, like TCP, over links with delays,
//! losses and cuts.
//!
//! Within a stream nothing is lost, duplicated or reordered, because TCP prevents that. Each class
//! of faults is modeled as a program over TCP would experience it:
//!
//! - *delay*: every segment takes a random time; streams overtake each other (*reordering*).
//! - *loss*: a segment arrives after a retransmission, 200 ms late, or twice that, and so on. Later
//!   segments of its stream wait for it.
//! - *cut*, in one or both directions: segments wait until the link heals, or are lost with their
//!   stream. After 2 s without an acknowledgement, which a cut in either direction causes, the
//!   sender's end fails (the user timeout that the product sets). The other end is not notified
//!   (*half open*).
//! - *duplication*: a connection request arrives twice. The listener accepts a second stream that
//!   is never used.
//! - *reset*: both ends of a stream fail, and data in transit is lost.
//! - A machine without power neither receives nor acknowledges. After it is restarted, it answers
//!   the segments of unknown streams with a reset. The streams of a killed process are closed by
//!   its machine.

mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use punctual::transport::Network;
use punctual::transport::network::Accept;
use punctual::transport::network::{BoxedListener, BoxedStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use self::stream::StreamEnd;
use super::random::SeededRandom;
use crate::check::history::{FaultKind, RunHistory};

/// The sender's end fails after this time without an acknowledgement.
const USER_TIMEOUT: Duration = Duration::from_secs(2);
/// Delay of the first retransmission.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// Interval between checks for failed streams.
const SWEEP: Duration = Duration::from_millis(250);

/// The properties of links.
#[derive(Clone, Copy, Debug)]
pub struct LinkQuality {
    /// Minimum latency of a segment, in microseconds.
    pub base_us: u64,
    /// Maximum random addition to the latency, in microseconds.
    pub jitter_us: u64,
    /// Probability of losing a segment, in per mille.
    pub loss: u64,
    /// Probability that a connection request is duplicated, in per mille.
    pub twice: u64,
}

/// The network. Clones share their state.
#[derive(Clone)]
pub struct Net(Arc<Mutex<NetState>>);

struct NetState {
    random: SeededRandom,
    history: Arc<RunHistory>,
    shape: LinkQuality,
    /// Additional latency of segments from a machine, in microseconds.
    slow: BTreeMap<usize, u64>,
    /// The number of active faults that cut a direction.
    cut: BTreeMap<(usize, usize), u32>,
    dark: BTreeSet<usize>,
    listeners: BTreeMap<String, (usize, mpsc::UnboundedSender<BoxedStream>)>,
    streams: BTreeMap<u64, NetStream>,
    made: u64,
}

/// Both directions of one stream. Direction 0 starts at the dialler.
struct NetStream {
    machines: [usize; 2],
    ways: [NetDirection; 2],
    ends: [EndState; 2],
}

#[derive(Default)]
struct NetDirection {
    segments: VecDeque<NetSegment>,
    bytes: usize,
    /// Arrival time of the last segment sent.
    last: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    unacknowledged: Option<Instant>,
    ended: bool,
}

struct NetSegment {
    /// Arrival time. `None` while it waits for the link.
    at: Option<Instant>,
    /// Empty for the end of the stream.
    bytes: Bytes,
}

#[derive(Default)]
struct EndState {
    /// Whether the end has been dropped.
    gone: bool,
    /// When and how the end fails.
    broken: Option<(Instant, io::ErrorKind)>,
}

impl Net {
    /// A network without listeners.
    pub fn new(random: SeededRandom, shape: LinkQuality, history: Arc<RunHistory>) -> Self {
        let net = Self(Arc::new(Mutex::new(NetState {
            random,
            history,
            shape,
            slow: BTreeMap::new(),
            cut: BTreeMap::new(),
            dark: BTreeSet::new(),
            listeners: BTreeMap::new(),
            streams: BTreeMap::new(),
            made: 0,
        })));
        tokio::spawn(sweep(net.clone()));
        net
    }

    /// The network as seen by a machine.
    pub fn port(&self, machine: usize) -> Arc<dyn Network> {
        Arc::new(Port { net: self.clone(), machine })
    }

    /// Cuts some directions.
    pub fn cut(&self, ways: &[(usize, usize)]) {
        let mut inner = self.0.lock();
        for way in ways {
            *inner.cut.entry(*way).or_insert(0) += 1;
        }
        inner.hold();
    }

    /// Restores directions that no other fault cuts.
    pub fn mend(&self, ways: &[(usize, usize)]) {
        let mut inner = self.0.lock();
        for way in ways {
            if let Some(count) = inner.cut.get_mut(way) {
                *count = count.saturating_sub(1);
            }
        }
        inner.cut.retain(|_, count| *count > 0);
        inner.release();
    }

    /// Removes all cuts. From now on no segment is lost.
    pub fn heal(&self) {
        let mut inner = self.0.lock();
        inner.cut.clear();
        (inner.shape.loss, inner.shape.twice) = (0, 0);
        inner.release();
    }

    /// Removes the power of a machine.
    pub fn darken(&self, machine: usize) {
        let mut inner = self.0.lock();
        inner.dark.insert(machine);
        inner.listeners.retain(|_, (owner, _)| *owner != machine);
        inner.hold();
    }

    /// Restores the power of a machine. It does not know its former streams.
    pub fn lighten(&self, machine: usize) {
        let mut inner = self.0.lock();
        if inner.dark.remove(&machine) {
            let now = Instant::now();
            for stream in inner.streams.values_mut() {
                for side in 0..2 {
                    if stream.machines[side] == machine {
                        stream.ends[side].gone = true;
                        stream.ways[1 - side].segments.clear();
                        let late = now + Duration::from_millis(300);
                        stream.break_end(1 - side, late, io::ErrorKind::ConnectionReset);
                    }
                }
            }
            inner.release();
        }
    }

    /// Closes a machine's listeners, as at the end of a process.
    pub fn close_listeners(&self, machine: usize) {
        self.0.lock().listeners.retain(|_, (owner, _)| *owner != machine);
    }

    /// Resets some of a machine's streams. Returns their number.
    pub fn reset(&self, machine: usize, per_mille: u64) -> usize {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        let mut broken = 0;
        for stream in inner.streams.values_mut() {
            if stream.machines.contains(&machine) && inner.random.chance(per_mille) {
                broken += 1;
                for side in 0..2 {
                    stream.break_end(side, Instant::now(), io::ErrorKind::ConnectionReset);
                }
            }
        }
        broken
    }

    /// Adds latency to everything that a machine sends.
    pub fn slow(&self, machine: usize, by: Duration) {
        let us = u64::try_from(by.as_micros()).unwrap_or(0);
        self.0.lock().slow.insert(machine, us);
    }
}

impl NetState {
    /// Whether segments pass in a direction.
    fn open(&self, from: usize, to: usize) -> bool {
        !self.cut.contains_key(&(from, to))
            && !self.dark.contains(&from)
            && !self.dark.contains(&to)
    }

    fn delay(&mut self, from: usize) -> Duration {
        let slow = self.slow.get(&from).copied().unwrap_or(0);
        let us = self.shape.base_us + self.random.below(self.shape.jitter_us + 1) + slow;
        let mut delay = Duration::from_micros(us);
        let mut again = RETRANSMIT;
        let mut lost = 0;
        while lost < 4 && self.random.chance(self.shape.loss) {
            delay += again;
            again *= 2;
            lost += 1;
        }
        if lost > 0 {
            self.history.fault(FaultKind::Loss);
        }
        delay
    }

    /// Sends a segment in one direction of a stream.
    fn send(&mut self, id: u64, side: usize, bytes: Bytes) {
        let Some(machines) = self.streams.get(&id).map(|stream| stream.machines) else { return };
        let (from, to) = (machines[side], machines[1 - side]);
        let (there, back) = (self.open(from, to), self.open(to, from));
        let delay = self.delay(from);
        let hash = xxhash_rust::xxh3::xxh3_64(&bytes);
        self.history.mix(&[id, side as u64, bytes.len() as u64, hash]);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let now = Instant::now();
        if stream.ends[1 - side].gone && there && back {
            // The receiving end has been closed.
            stream.break_end(side, now + delay * 2, io::ErrorKind::ConnectionReset);
            return;
        }
        let way = &mut stream.ways[side];
        let at = there.then(|| (now + delay).max(way.last.unwrap_or(now)));
        if let Some(at) = at {
            way.last = Some(at);
        }
        if !(there && back) {
            way.unacknowledged.get_or_insert(now);
        }
        way.bytes += bytes.len();
        way.ended |= bytes.is_empty();
        way.segments.push_back(NetSegment { at, bytes });
        if let Some(reader) = way.reader.take() {
            reader.wake();
        }
    }

    /// Holds data in transit on closed links.
    fn hold(&mut self) {
        let now = Instant::now();
        let (cut, dark) = (&self.cut, &self.dark);
        let open = |from: usize, to: usize| {
            !cut.contains_key(&(from, to)) && !dark.contains(&from) && !dark.contains(&to)
        };
        for stream in self.streams.values_mut() {
            for side in 0..2 {
                let (from, to) = (stream.machines[side], stream.machines[1 - side]);
                let (there, back) = (open(from, to), open(to, from));
                let way = &mut stream.ways[side];
                let under_way = way.segments.iter_mut();
                let late = under_way.filter(|segment| segment.at.is_none_or(|at| at > now));
                let mut any = false;
                for segment in late {
                    any = true;
                    if !there {
                        segment.at = None;
                    }
                }
                if any && !(there && back) {
                    way.unacknowledged.get_or_insert(now);
                }
            }
        }
    }

    /// Sends the data that waited for links that are open again.
    fn release(&mut self) {
        let now = Instant::now();
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        for id in ids {
            for side in 0..2 {
                let Some(machines) = self.streams.get(&id).map(|stream| stream.machines) else {
                    continue;
                };
                let (from, to) = (machines[side], machines[1 - side]);
                if !self.open(from, to) {
                    continue;
                }
                let both = self.open(to, from);
                let wait = Duration::from_millis(self.random.range(20, 400));
                let Some(stream) = self.streams.get_mut(&id) else { continue };
                let way = &mut stream.ways[side];
                if both {
                    way.unacknowledged = None;
                }
                let mut at = way.last.unwrap_or(now).max(now) + wait;
                for segment in way.segments.iter_mut().filter(|segment| segment.at.is_none()) {
                    segment.at = Some(at);
                    at += Duration::from_micros(10);
                    way.last = Some(at);
                }
                if let Some(reader) = way.reader.take() {
                    reader.wake();
                }
            }
        }
    }

    fn make(&mut self, from: usize, to: usize) -> u64 {
        self.made += 1;
        let stream =
            NetStream { machines: [from, to], ways: Default::default(), ends: Default::default() };
        self.streams.insert(self.made, stream);
        self.made
    }

    /// A stream that its dialler does not know.
    fn stray(&mut self, from: usize, to: usize) -> u64 {
        self.history.fault(FaultKind::Duplication);
        let id = self.make(from, to);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.ends[0].gone = true;
        }
        id
    }

    /// Fails the ends that waited too long for an acknowledgement, and removes dead streams.
    fn sweep(&mut self) {
        let now = Instant::now();
        for stream in self.streams.values_mut() {
            for side in 0..2 {
                let waited = stream.ways[side].unacknowledged;
                if waited.is_some_and(|since| now.duration_since(since) >= USER_TIMEOUT) {
                    stream.ways[side].unacknowledged = None;
                    stream.break_end(side, now, io::ErrorKind::TimedOut);
                    self.history.fault(FaultKind::HalfOpen);
                }
            }
        }
        self.streams.retain(|_, stream| !stream.ends.iter().all(|end| end.gone));
    }
}

impl NetStream {
    fn break_end(&mut self, side: usize, at: Instant, kind: io::ErrorKind) {
        let end = &mut self.ends[side];
        if end.broken.is_none_or(|(earlier, _)| at < earlier) {
            end.broken = Some((at, kind));
        }
        let waiting = [self.ways[1 - side].reader.take(), self.ways[side].writer.take()];
        for waker in waiting.into_iter().flatten() {
            waker.wake();
        }
    }
}

async fn sweep(net: Net) {
    loop {
        sleep(SWEEP).await;
        net.0.lock().sweep();
    }
}

/// The network as seen by one machine.
struct Port {
    net: Net,
    machine: usize,
}

impl Port {
    /// One transmission through the network. Returns whether it succeeded.
    async fn pass(&self, to: usize, back: bool) -> bool {
        let (from, to) = if back { (to, self.machine) } else { (self.machine, to) };
        let (delay, open) = {
            let mut inner = self.net.0.lock();
            (inner.delay(from), inner.open(from, to))
        };
        sleep(delay).await;
        open
    }

    async fn dial(&self, addr: &str) -> io::Result<BoxedStream> {
        loop {
            let owner = self.net.0.lock().listeners.get(addr).map(|(owner, _)| *owner);
            // The address determines the machine, even without a listener.
            let to = owner.or_else(|| machine_of(addr)).unwrap_or(self.machine);
            if !self.pass(to, false).await || !self.pass(to, true).await {
                sleep(Duration::from_secs(1)).await;
                continue;
            }
            return self.connect(to, addr);
        }
    }

    fn connect(&self, to: usize, addr: &str) -> io::Result<BoxedStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (id, stray, listener) = {
            let mut inner = self.net.0.lock();
            let listener = inner.listeners.get(addr).map(|(_, listener)| listener.clone());
            let listener = listener.ok_or_else(refused)?;
            let id = inner.make(self.machine, to);
            let twice = inner.shape.twice;
            let stray = inner.random.chance(twice).then(|| inner.stray(self.machine, to));
            (id, stray, listener)
        };
        // This must not run under the lock: dropping a stream end acquires it.
        let end = |id, side| Box::new(StreamEnd::new(self.net.clone(), id, side)) as BoxedStream;
        let dialled = end(id, 0);
        listener.send(end(id, 1)).map_err(|_nobody| refused())?;
        if let Some(stray) = stray {
            // It does not matter whether the duplicate is accepted.
            let _stray = listener.send(end(stray, 1));
        }
        Ok(dialled)
    }
}

/// The address on which a machine listens.
pub fn address(machine: usize, moves: u32) -> String {
    format!("10.0.{moves}.{}:7000", machine + 1)
}

fn machine_of(addr: &str) -> Option<usize> {
    let host = addr.split(':').next()?.rsplit('.').next()?;
    host.parse::<usize>().ok()?.checked_sub(1)
}

impl Network for Port {
    fn connect<'a>(
        &'a self,
        _local: Option<IpAddr>,
        addr: &'a str,
    ) -> BoxFuture<'a, io::Result<BoxedStream>> {
        Box::pin(self.dial(addr))
    }

    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<BoxedListener>> {
        Box::pin(async move {
            let (streams, incoming) = mpsc::unbounded_channel();
            let mut inner = self.net.0.lock();
            inner.listeners.insert(addr.to_owned(), (self.machine, streams));
            Ok(Box::new(NetListener(incoming)) as BoxedListener)
        })
    }
}

struct NetListener(mpsc::UnboundedReceiver<BoxedStream>);

impl Accept for NetListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxedStream, SocketAddr)>> {
        Box::pin(async move {
            let stream = self.0.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            Ok((stream, SocketAddr::from(([10, 0, 0, 0], 1))))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([10, 0, 0, 0], 1)))
    }
}
