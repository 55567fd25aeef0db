//! Looks meanwhile for work that goes on though the state of its own node says that it has ended, was
//! stopped, or was granted anew: what is stopped ends soon on a node that works.

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
/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// Work may be seen so often in a row after its end: a stop, its grace, and a slow machine.
const LOOKS_MAX: u32 = 12;

/// Whether a state has an attempt as the one that carries its execution out.
pub fn current(state: &State, fence: u64, execution: u64) -> bool {
    state.execution(ExecutionId(execution)).is_some_and(|(_, found)| {
        let attempt = found.attempt.as_ref().map(|attempt| attempt.fence.0);
        found.status == Status::Running && attempt == Some(fence) && !found.stopping
    })
}

/// Looks until the run is over.
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
                // A machine that is held ends nothing; it gets its time afterwards.
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
