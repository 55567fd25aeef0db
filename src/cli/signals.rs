//! Requests to a process, as signals.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are received instead of ending the process.
#[derive(Debug)]
pub struct Signals(Vec<Signal>);

impl Signals {
    /// Receives these from now on. This must come before the process says that it runs: whoever reads
    /// that may send one at once. One that comes before [`Signals::next`] is not lost.
    pub fn receive(kinds: &[SignalKind]) -> Self {
        let received: io::Result<Vec<Signal>> = kinds.iter().map(|kind| signal(*kind)).collect();
        Self(received.unwrap_or_else(|error| {
            tracing::warn!(%error, "signals cannot be received, and end the process at once");
            Vec::new()
        }))
    }

    /// Returns at the next one.
    pub async fn next(&mut self) {
        poll_fn(|cx| {
            let mut came = false;
            for signal in &mut self.0 {
                came |= signal.poll_recv(cx).is_ready();
            }
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Sent, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_before_anybody_waits_is_not_lost() {
        let kinds = [SignalKind::window_change(), SignalKind::user_defined1()];
        let mut signals = Signals::receive(&kinds);
        kill_process(getpid(), Sent::USR1).unwrap();
        signals.next().await;
        kill_process(getpid(), Sent::WINCH).unwrap();
        signals.next().await;
    }
}
