//! Delivers proposals again long after they were answered, as if from a suspended process or a
//! delayed frame. This includes reports under a grant that is not the newest.

use std::time::Duration;

use punctual::domain::ids::Fence;
use punctual::domain::machine::command::Finish;
use punctual::domain::machine::record::{Report, Status};
use punctual::domain::machine::{Command, State, envelope};
use punctual::domain::time::Timestamp;

use super::random::SeededRandom;
use super::world::SimWorld;
use crate::check::history::FaultKind;

/// Number of newest entries to choose from.
const NEWEST: u64 = 400;
/// Number of proposals per fault.
const PROPOSALS: usize = 20;
/// Time limit for a proposal to be accepted.
const LIMIT: Duration = Duration::from_secs(5);

/// Proposes some old commands again.
pub fn again(world: &SimWorld, index: usize, random: &mut SeededRandom) {
    let Some(alive) = world.alive(index) else { return };
    let Some(running) = alive.context.running.get() else { return };
    let old = stale(&running.consensus.replica().read(), random);
    if old.is_some_and(|old| running.consensus.hint(&old, LIMIT)) {
        world.history().fault(FaultKind::Echo);
    }
    for _ in 0..PROPOSALS {
        let back = usize::try_from(random.below(NEWEST)).unwrap_or(0);
        let Some(entry) = world.history().committed(back) else { continue };
        let Ok((_, commands)) = envelope::open(&entry) else { continue };
        let commands =
            commands.flatten().filter_map(|packed| Command::decode(packed.kind, packed.body).ok());
        for command in commands.filter(comes_late) {
            if running.consensus.hint(&command, LIMIT) {
                world.history().fault(FaultKind::Echo);
            }
        }
    }
}

/// The end of a running execution, as the holder of an older grant would report it.
fn stale(state: &State, random: &mut SeededRandom) -> Option<Command> {
    let running = state.tasks().flat_map(|task| {
        let live = task.live_executions().filter(|one| one.status == Status::Running);
        live.filter_map(|one| Some((task.key, one.id, one.attempt.as_ref()?.fence)))
    });
    let running: Vec<_> = running.collect();
    let (task, execution, newest) = *random.pick(&running)?;
    let report = Report::unreported(Status::Success, Timestamp(0), "of an older grant");
    let fence = Fence(newest.0.saturating_sub(1));
    Some(Command::Finish(Box::new(Finish { task, execution, fence, report })))
}

/// Commands that nodes propose by themselves and that are refused by their numbers if they are
/// late.
const fn comes_late(command: &Command) -> bool {
    matches!(
        command,
        Command::Settle(_)
            | Command::Start(_)
            | Command::StartOn(_)
            | Command::Accept(_)
            | Command::Fail(_)
            | Command::Return(_)
            | Command::Finish(_)
            | Command::Lose(_)
    )
}
