//! Describes a path through the model in the terms of the contract.

use super::check::ModelPath;
use super::entry::{ModelEntry, OperatorCommand, number};
use super::guards::Guards;
use super::property::ModelProperty;
use super::starts::acknowledged;
use super::step::ModelStep;
use super::world::ModelWorld;

/// One line per step. Times are in units of `dispatch_ttl`.
pub(super) fn tell(way: &ModelPath, broken: ModelProperty, guards: Guards) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for pair in way.windows(2) {
        let [(before, Some(step)), (after, _)] = pair else { continue };
        lines.push(format!("t={}  {}", before.now, sentence(before, *step, after, guards)));
    }
    lines.push(format!("broken: {}: {}", broken.name(), broken.definition()));
    lines
}

fn sentence(before: &ModelWorld, step: ModelStep, after: &ModelWorld, guards: Guards) -> String {
    let log = before.log.as_slice();
    let next = number(log.len());
    match step {
        ModelStep::Pass => passed(before, after, guards),
        ModelStep::Propose { node, entry } => {
            let again = before.soup.as_slice().contains(&entry);
            let again = if again { " once more" } else { "" };
            format!("node {} proposes{again}: {}", node + 1, words(entry))
        }
        ModelStep::Commit { entry } => {
            let again = if log.contains(&entry) { "once more, " } else { "" };
            let granted = match entry.grant() {
                Some((tick, session)) => {
                    format!(": session {session} is granted tick {tick} under fence {next}")
                }
                None => String::new(),
            };
            format!("the log takes, {again}as entry {next}: {}{granted}", words(entry))
        }
        ModelStep::Do { deed } => {
            format!("the log takes as entry {next}: {}", of_people(deed))
        }
        ModelStep::Apply { node } => {
            let applied = before.processes.get(usize::from(node)).map_or(0, |p| p.applied);
            format!("node {} applies entry {}", node + 1, number(usize::from(applied)))
        }
        ModelStep::Start { node, fence, tick, .. } => {
            format!("node {} STARTS tick {tick} under fence {fence}", node + 1)
        }
        ModelStep::Crash { node } => {
            format!("node {}'s process dies; the next one will replay the log", node + 1)
        }
        ModelStep::Forget { node, tick } => {
            format!("node {} forgets when it first proposed anything for tick {tick}", node + 1)
        }
    }
}

fn passed(before: &ModelWorld, after: &ModelWorld, guards: Guards) -> String {
    let [was, is] = [before, after].map(|world| acknowledged(world, &world.head(guards), guards));
    let news = if is && !was { "; delete or pause with wait is acknowledged" } else { "" };
    format!("time passes to {}{news}", after.now)
}

fn words(entry: ModelEntry) -> String {
    match entry {
        ModelEntry::Settle { session, revision, after, to, claim } => {
            let passing = if claim { to - 1 } else { to };
            let mut verdicts = Vec::new();
            if passing > after {
                verdicts.push(format!("a span to {passing}"));
            }
            if claim {
                verdicts.push(format!("a claim of tick {to}"));
            }
            let verdicts = verdicts.join(" and ");
            format!("settle of session {session}, revision {revision}, after {after}: {verdicts}")
        }
        ModelEntry::Again { session, tick, fence } => {
            format!("session {session} asks again for tick {tick}, in place of fence {fence}")
        }
        ModelEntry::Up { node, boot } => format!("NodeUp of node {}, boot {}", node + 1, boot + 1),
        ModelEntry::Done { deed, .. } => of_people(deed).to_owned(),
    }
}

const fn of_people(deed: OperatorCommand) -> &'static str {
    match deed {
        OperatorCommand::Delete => "mark-deleted with wait",
        OperatorCommand::Pause => "pause with wait",
        OperatorCommand::Resume => "resume or reuse",
        OperatorCommand::Replace => "force-add, with a schedule that lacks the last tick",
    }
}
