//! Checks during the run for work that continues although the state of its own node has it as
//! ended, stopped or granted again. Stopped work must end soon on a working node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use punctual::domain::ids::ExecutionId;
use punctual::domain::machine::State;
use punctual::domain::machine::record::Status;
use tokio::time::sleep;

use super::world::SimWorld;

/// The property.
pub const STOPPED: &str = "stopped work ends";
/// Interval between two checks.
const EVERY: Duration = Duration::from_millis(500);
/// Maximum number of consecutive checks in which work may be seen after its end. It allows for a
/// stop, its grace period, and a slow machine.
const LOOKS_MAX: u32 = 12;

/// Whether an attempt currently executes its execution according to a state.
pub fn current(state: &State, fence: u64, execution: u64) -> bool {
    state.execution(ExecutionId(execution)).is_some_and(|(_, found)| {
        let attempt = found.attempt.as_ref().map(|attempt| attempt.fence.0);
        found.status == Status::Running && attempt == Some(fence) && !found.stopping
    })
}

/// Checks until the end of the run.
pub async fn watch(world: Arc<SimWorld>) {
    let mut seen: BTreeMap<(u64, u64), u32> = BTreeMap::new();
    loop {
        sleep(EVERY).await;
        let mut still = BTreeMap::new();
        for index in 0..world.common.plan.nodes {
            let Some(alive) = world.alive(index) else { continue };
            let Some(running) = alive.context.running.get() else { continue };
            let work = alive.running.lock().clone();
            let state = running.consensus.replica().read();
            for (fence, execution) in work {
                if current(&state, fence, execution) {
                    continue;
                }
                let key = (alive.number, fence);
                // Checks on a suspended machine are not counted, because it cannot end the work.
                let step = u32::from(!alive.process.is_paused());
                let looks = seen.get(&key).copied().unwrap_or(0) + step;
                still.insert(key, looks);
                world.history().checked(STOPPED);
                if looks == LOOKS_MAX {
                    let node = index + 1;
                    let what = format!("node {node} goes on with fence {fence} of {execution}");
                    world.history().violated(STOPPED, what);
                }
            }
        }
        seen = still;
    }
}
