//! The long executions of the last hour, as bars in lanes, so that one sees what ran beside what.

use std::sync::Arc;

use super::context::StateView;
use super::{views, words};
use crate::domain::ids::ExecutionId;
use crate::domain::machine::Task;
use crate::domain::machine::record::Execution;
use crate::domain::time::{Millis, Timestamp};

/// Executions that took less are not shown as bars: there is a dot for their tick.
pub(crate) const SHORTEST: Millis = Millis::from_secs(10);
/// Bars that lie above one another at most.
pub(crate) const LANES: usize = 8;
/// Between two bars of a lane.
const GAP: Millis = Millis::from_secs(15);
/// Executions that are considered, the longest first.
const CONSIDERED: usize = 400;

/// An execution that started within the last hour, or ran at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecutionBar {
    /// The execution.
    pub id: ExecutionId,
    /// Its task.
    pub task: Arc<str>,
    /// How it is: `running`, or how it ended.
    pub status: &'static str,
    /// When its first attempt started.
    pub from: Timestamp,
    /// When it ended; of one that runs, the present.
    pub to: Timestamp,
    /// The lane, from 0.
    pub lane: usize,
}

impl ExecutionBar {
    /// How long it took, or runs so far.
    fn length(&self) -> Millis {
        self.to.since(self.from)
    }
}

/// The bar of an execution that started and took long enough, if it did not end before `since`.
pub(crate) fn of(
    view: &StateView,
    since: Timestamp,
    task: &Task,
    execution: &Execution,
) -> Option<ExecutionBar> {
    let from = views::start_time(execution)?;
    let to = execution.ended_at.unwrap_or(view.now);
    let bar = ExecutionBar {
        id: execution.id,
        task: Arc::clone(&task.live.name),
        status: words::status(execution.status),
        from,
        to,
        lane: 0,
    };
    (to > since && bar.length() >= SHORTEST).then_some(bar)
}

/// Gives each bar the first lane that is free, the longest first. The answer is how many found none.
pub(crate) fn pack(bars: &mut Vec<ExecutionBar>) -> u64 {
    let all = bars.len();
    bars.sort_by(|a, b| (b.length(), a.id).cmp(&(a.length(), b.id)));
    bars.truncate(CONSIDERED);
    let mut lanes: Vec<Vec<(Timestamp, Timestamp)>> = vec![Vec::new(); LANES];
    bars.retain_mut(|bar| {
        let (from, to) = (bar.from.minus(GAP), bar.to.plus(GAP));
        let free = |lane: &Vec<(Timestamp, Timestamp)>| {
            lane.iter().all(|(begin, end)| *end <= from || to <= *begin)
        };
        let Some((lane, taken)) = lanes.iter_mut().enumerate().find(|(_, lane)| free(lane)) else {
            return false;
        };
        taken.push((bar.from, bar.to));
        bar.lane = lane;
        true
    });
    bars.sort_by_key(|bar| (bar.from, bar.id));
    (all - bars.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(id: u64, from: i64, to: i64) -> ExecutionBar {
        ExecutionBar {
            id: ExecutionId(id),
            task: "t".into(),
            status: "success",
            from: Timestamp(from * 1_000),
            to: Timestamp(to * 1_000),
            lane: 0,
        }
    }

    #[test]
    fn bars_of_a_lane_do_not_touch_and_the_longest_come_first() {
        let mut bars = vec![bar(1, 0, 100), bar(2, 50, 400), bar(3, 120, 160), bar(4, 110, 130)];
        assert_eq!(pack(&mut bars), 0);
        let lanes: Vec<(u64, usize)> = bars.iter().map(|bar| (bar.id.0, bar.lane)).collect();
        // 2 is the longest. 1 and 3 share a lane; 4 would touch both of them.
        assert_eq!(lanes, [(1, 1), (2, 0), (4, 2), (3, 1)]);
        // More at once than there are lanes.
        let mut bars: Vec<ExecutionBar> = (0..20).map(|id| bar(id, 0, 60)).collect();
        assert_eq!((pack(&mut bars), bars.len()), (12, LANES));
        let mut lanes: Vec<usize> = bars.iter().map(|bar| bar.lane).collect();
        lanes.sort_unstable();
        assert_eq!(lanes, (0..LANES).collect::<Vec<_>>());
    }
}
