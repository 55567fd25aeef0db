//! One heap of alarms for the whole node, with 16 bytes for each task without an actor.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::ids::TaskKey;
use crate::domain::time::Timestamp;

use super::limits::NAP;
use super::node_actor::NodeMsg;
use super::task_actor::TaskMsg;

/// The receiver of an alarm.
pub(super) enum AlarmTarget {
    /// A task without an actor.
    Sleeper(TaskKey),
    /// A task's actor.
    Task(ActorRef<TaskMsg>),
    /// The node actor, because attempts are due.
    Attempts,
}

/// A wake-up at an instant of cluster time.
pub(super) struct Alarm {
    pub at: Timestamp,
    pub target: AlarmTarget,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

/// The current alarm of an actor. Without this, an actor that sets an alarm at every check, and
/// makes a check at every alarm, would accumulate alarms with every tick.
#[derive(Debug, Default)]
pub(super) struct Armed(Option<Timestamp>);

impl Armed {
    /// Whether an alarm must be set to wake the actor at `at`. Not if an earlier one is pending.
    pub fn arm(&mut self, at: Timestamp, now: Timestamp) -> bool {
        if self.0.is_some_and(|set| now < set && set <= at) {
            return false;
        }
        self.0 = Some(at);
        true
    }
}

/// Maximum number of new alarms taken before the heap is checked again.
const INTAKE: usize = 4_096;

/// Serves alarms until all senders are dropped.
pub(super) async fn run(
    clock: Arc<dyn Clock>,
    mut alarms: mpsc::UnboundedReceiver<Alarm>,
    node: ActorRef<NodeMsg>,
) {
    let mut heap: BinaryHeap<Reverse<Alarm>> = BinaryHeap::new();
    let mut intake = Vec::new();
    loop {
        ring(&mut heap, clock.now(), &node);
        let wait = heap.peek().map_or(NAP, |Reverse(next)| until(next.at, clock.nanos()));
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            taken = alarms.recv_many(&mut intake, INTAKE) => {
                if taken == 0 {
                    return;
                }
                heap.extend(intake.drain(..).map(Reverse));
            }
        }
    }
}

fn until(at: Timestamp, now: i64) -> Duration {
    let wait = at.0.saturating_mul(1_000_000).saturating_sub(now);
    Duration::from_nanos(u64::try_from(wait).unwrap_or(0)).min(NAP)
}

fn ring(heap: &mut BinaryHeap<Reverse<Alarm>>, now: Timestamp, node: &ActorRef<NodeMsg>) {
    let (mut sleepers, mut attempts) = (Vec::new(), false);
    while let Some(due) = heap.peek_mut().filter(|next| next.0.at <= now) {
        let Reverse(alarm) = PeekMut::pop(due);
        match alarm.target {
            AlarmTarget::Sleeper(task) => sleepers.push((task, alarm.at)),
            // An actor that has stopped needs no alarm.
            AlarmTarget::Task(actor) => drop(actor.send_message(TaskMsg::Look)),
            AlarmTarget::Attempts => attempts = true,
        }
    }
    if attempts {
        let _gone = node.send_message(NodeMsg::AttemptsDue);
    }
    if !sleepers.is_empty() {
        // If the node actor has stopped, this process ends.
        let _gone = node.send_message(NodeMsg::Awake(sleepers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates the actor of a task that ticks every second. It wakes before the tick, proposes
    /// it, and sets an alarm in case the proposal is lost. Then it sets the alarm of the next tick.
    #[test]
    fn alarms_do_not_become_more_with_time() {
        let mut armed = Armed::default();
        let mut alarms: Vec<i64> = vec![980];
        for now in 0..600_000 {
            let rung = alarms.iter().filter(|at| **at <= now).count();
            alarms.retain(|at| *at > now);
            assert!(rung <= 2, "{rung} at {now}");
            let (second, settled) = (now / 1_000 * 1_000, now % 1_000 == 985);
            let at = match now - second {
                980..985 => now + 400,
                985.. => second + 1_980,
                _ => second + 980,
            };
            for _ in 0..rung + usize::from(settled) {
                if armed.arm(Timestamp(at), Timestamp(now)) {
                    alarms.push(at);
                }
            }
        }
        assert!((1..=2).contains(&alarms.len()), "{alarms:?}");
    }

    #[test]
    fn an_earlier_alarm_is_always_set() {
        let mut armed = Armed::default();
        assert!(armed.arm(Timestamp(100), Timestamp(0)));
        assert!(!armed.arm(Timestamp(100), Timestamp(50)));
        assert!(!armed.arm(Timestamp(200), Timestamp(99)));
        assert!(armed.arm(Timestamp(70), Timestamp(60)));
        assert!(armed.arm(Timestamp(200), Timestamp(70)));
    }
}
