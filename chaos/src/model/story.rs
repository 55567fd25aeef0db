//! A way through the model, told in the words of the contract.

use super::check::Way;
use super::entry::{Deed, Entry, number};
use super::guards::Guards;
use super::property::Promise;
use super::starts::acknowledged;
use super::step::Step;
use super::world::World;

/// One line a step; times are in units of `dispatch_ttl`.
pub(super) fn tell(way: &Way, broken: Promise, guards: Guards) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for pair in way.windows(2) {
        let [(before, Some(step)), (after, _)] = pair else { continue };
        lines.push(format!("t={}  {}", before.now, sentence(before, *step, after, guards)));
    }
    lines.push(format!("broken: {}: {}", broken.name(), broken.definition()));
    lines
}

fn sentence(before: &World, step: Step, after: &World, guards: Guards) -> String {
    let log = before.log.as_slice();
    let next = number(log.len());
    match step {
        Step::Pass => passed(before, after, guards),
        Step::Propose { node, entry } => {
            let again = before.soup.as_slice().contains(&entry);
            let again = if again { " once more" } else { "" };
            format!("node {} proposes{again}: {}", node + 1, words(entry))
        }
        Step::Commit { entry } => {
            let again = if log.contains(&entry) { "once more, " } else { "" };
            let granted = match entry.grant() {
                Some((tick, session)) => {
                    format!(": session {session} is granted tick {tick} under fence {next}")
                }
                None => String::new(),
            };
            format!("the log takes, {again}as entry {next}: {}{granted}", words(entry))
        }
        Step::Do { deed } => {
            format!("the log takes as entry {next}: {}", of_people(deed))
        }
        Step::Apply { node } => {
            let applied = before.processes.get(usize::from(node)).map_or(0, |p| p.applied);
            format!("node {} applies entry {}", node + 1, number(usize::from(applied)))
        }
        Step::Start { node, fence, tick, .. } => {
            format!("node {} STARTS tick {tick} under fence {fence}", node + 1)
        }
        Step::Crash { node } => {
            format!("node {}'s process dies; the next one will replay the log", node + 1)
        }
        Step::Forget { node, tick } => {
            format!("node {} forgets when it first proposed anything for tick {tick}", node + 1)
        }
    }
}

fn passed(before: &World, after: &World, guards: Guards) -> String {
    let [was, is] = [before, after].map(|world| acknowledged(world, &world.head(guards), guards));
    let news = if is && !was { "; delete or pause with wait is acknowledged" } else { "" };
    format!("time passes to {}{news}", after.now)
}

fn words(entry: Entry) -> String {
    match entry {
        Entry::Settle { session, revision, after, to, claim } => {
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
        Entry::Again { session, tick, fence } => {
            format!("session {session} asks again for tick {tick}, in place of fence {fence}")
        }
        Entry::Up { node, boot } => format!("NodeUp of node {}, boot {}", node + 1, boot + 1),
        Entry::Done { deed, .. } => of_people(deed).to_owned(),
    }
}

const fn of_people(deed: Deed) -> &'static str {
    match deed {
        Deed::Delete => "mark-deleted with wait",
        Deed::Pause => "pause with wait",
        Deed::Resume => "resume or reuse",
        Deed::Replace => "force-add, with a schedule that lacks the last tick",
    }
}
