//! `chaos model`: the agreement on ticks, looked at state by state.
//!
//! The simulator runs the real code on some of the ways things can go. This is the opposite: the
//! rules of the contract alone, a few hundred lines of them, on *all* ways things can go in a small
//! world. Two nodes settle two ticks of one task, and neither is its owner: the rules must hold
//! whoever believes to be it. Proposals come late, twice or never; a process dies and its successor
//! replays the log; the late registration of the dead one ends the session of the living; people
//! delete, pause, resume, reuse and force-add the task; grants time out and are asked for again; and
//! each node applies the log as slowly as it likes.
//!
//! - `entry.rs`, `machine.rs`: the log's commands and what they do to the state.
//! - `starts.rs`: from a grant to a start. `world.rs`, `step.rs`: one moment of everything, and what
//!   can happen next.
//! - `property.rs`: what must hold, each promise with its definition. `reached.rs`: what must be
//!   seen, so that nothing holds for want of anything happening.
//! - `guards.rs`, `removal.rs`: every guard can be taken out, alone or with others. One whose removal
//!   breaks nothing is named with those that stand in its place, and the proof is that without them
//!   too a promise breaks.
//! - `check.rs` hands it to stateright; `story.rs` and `report.rs` say what came of it.
//!
//! What it leaves out: leadership, elections and disks (the log is simply there), clocks that differ
//! (time is one number), slots and the policies of retries. These are the simulator's. Lines, reports
//! and attempts made again have a model of their own in `lines/`.

mod bounds;
mod check;
mod entry;
mod guards;
mod lines;
mod machine;
mod property;
mod reached;
mod removal;
mod report;
mod starts;
mod step;
mod story;
#[cfg(test)]
mod tests;
mod world;

use std::process::ExitCode;

use self::bounds::ModelBounds;
use self::check::{SearchOptions, look};
use self::guards::Guards;
use self::property::ModelProperty;

/// What to look at.
#[derive(clap::Args)]
pub(crate) struct ModelArguments {
    /// Removes each guard in turn, and says what breaks without it
    #[arg(long)]
    guards: bool,
    /// Tells how each removed guard is caught
    #[arg(long, requires = "guards")]
    stories: bool,
    /// Looks at a smaller world, for gates
    #[arg(long)]
    small: bool,
    /// How many threads look
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Looks, and prints what it sees; the code is 0 if everything is as it should be.
pub(crate) fn run(arguments: &ModelArguments) -> ExitCode {
    let bounds = if arguments.small { ModelBounds::SMALL } else { ModelBounds::FULL };
    let (threads, stop) = (arguments.threads.max(1), false);
    let watched = &ModelProperty::ALL;
    let outcome = look(SearchOptions { bounds, guards: Guards::ALL, watched, threads, stop });
    let (text, mut valid) = report::whole(bounds, &outcome);
    println!("{text}");
    let (text, held) = lines::whole(threads);
    println!("{text}");
    valid &= held;
    // These take seconds.
    let (text, caught) = lines::removals(arguments.stories);
    println!("{text}");
    valid &= caught;
    if arguments.guards {
        let rows = removal::remove_each(ModelBounds::SMALL);
        let (table, explained) = report::removals(&rows);
        println!("{table}");
        if arguments.stories {
            println!("{}", report::stories(&rows));
        }
        valid &= explained;
    }
    println!("verdict {}", if valid { "valid" } else { "invalid" });
    if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
