//! Runs many seeds, each in its own process, so that no state is shared between runs.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use super::SimArguments;
use crate::check::history::FaultKind;

/// The results of all seeds.
#[derive(Default)]
struct SweepTotals {
    judged: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    seconds: u64,
    claims: u64,
    seeds: u64,
    failed: Vec<u64>,
    rejected: Vec<u64>,
}

/// Parses a list of ranges and single seeds: `0..150,169,192`.
fn listed(text: &str) -> Option<Vec<u64>> {
    let part = |part: &str| match part.split_once("..") {
        Some((from, to)) => Some(from.parse().ok()?..to.parse().ok()?),
        None => part.parse().ok().and_then(|one: u64| Some(one..one.checked_add(1)?)),
    };
    let parts: Option<Vec<std::ops::Range<u64>>> = text.split(',').map(part).collect();
    Some(parts?.into_iter().flatten().collect())
}

fn child(arguments: &SimArguments, seed: u64) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["sim", "--seed", &seed.to_string()]);
    command.args(["--minutes", &arguments.minutes.to_string()]);
    if let Some(nodes) = &arguments.nodes {
        command.args(["--nodes", nodes]);
    }
    if let Some(focus) = arguments.focus {
        command.args(["--focus", focus.name()]);
    }
    if arguments.wild_clocks {
        command.arg("--wild-clocks");
    }
    #[cfg(feature = "seeded-bugs")]
    if let Some(bug) = &arguments.bug {
        command.args(["--bug", bug]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

impl SweepTotals {
    /// Adds the output of a seed. Returns true if it was valid or not conclusive.
    fn add(&mut self, seed: u64, text: &str) -> bool {
        self.seeds += 1;
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let (kind, number) = (words.next(), words.next());
            let number: Option<u64> = number.and_then(|number| number.parse().ok());
            let name = words.next().unwrap_or_default().to_owned();
            match (kind, number) {
                (Some("property"), Some(times)) => *self.judged.entry(name).or_insert(0) += times,
                (Some("trouble"), Some(times)) => *self.faults.entry(name).or_insert(0) += times,
                (Some("seconds"), Some(seconds)) => self.seconds += seconds,
                _ => {}
            }
        }
        let last = text.lines().last().unwrap_or_default();
        let mut words = last.split(' ');
        while let Some(word) = words.next() {
            if word == "claims" {
                self.claims += words.next().and_then(|claims| claims.parse().ok()).unwrap_or(0);
            }
        }
        println!("seed {seed}: {last}");
        if last.ends_with("verdict valid") {
            return true;
        }
        if last.ends_with("verdict rejected") {
            self.rejected.push(seed);
            return true;
        }
        for line in text.lines().filter(|line| !line.starts_with("property")) {
            println!("  {line}");
        }
        self.failed.push(seed);
        false
    }

    /// Prints the results. Returns true if they are conclusive.
    fn print(&self, begun: Instant) -> bool {
        for (property, times) in &self.judged {
            println!("property {times} {property}");
        }
        for (fault, times) in &self.faults {
            println!("trouble {times} {fault}");
        }
        let never: Vec<String> = FaultKind::ALL
            .iter()
            .map(|fault| format!("{fault:?}"))
            .filter(|fault| !self.faults.contains_key(fault))
            .collect();
        let unjudged: Vec<&String> =
            self.judged.iter().filter(|(_, times)| **times == 0).map(|(name, _)| name).collect();
        if !never.is_empty() || !unjudged.is_empty() {
            println!("never happened: {never:?}; never judged: {unjudged:?}");
        }
        let wall = begun.elapsed().as_secs().max(1);
        println!(
            "seeds {} hours {}.{:02} claims {} wall {wall} s, {} times real time; failed {:?} \
             rejected {:?}",
            self.seeds,
            self.seconds / 3_600,
            self.seconds % 3_600 / 36,
            self.claims,
            self.seconds / wall,
            self.failed,
            self.rejected
        );
        never.is_empty() && unjudged.is_empty()
    }
}

/// The header of the ledger.
const LEDGER: &str = "\
# Ledger

Long sweeps of the simulator, one line each, appended by `chaos sim --seeds A..B --ledger FILE`.

| version | seeds | minutes each | simulated hours | claims | faults by class | seconds | verdict |
|---|---|---|---|---|---|---|---|
";

impl SweepTotals {
    /// Appends the result of the sweep.
    fn note(&self, arguments: &SimArguments, seeds: &str, begun: Instant) -> std::io::Result<()> {
        let Some(path) = &arguments.ledger else { return Ok(()) };
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        if file.metadata()?.len() == 0 {
            file.write_all(LEDGER.as_bytes())?;
        }
        let faults: Vec<String> =
            self.faults.iter().map(|(fault, times)| format!("{fault} {times}")).collect();
        let verdict = match (self.failed.is_empty(), self.rejected.len()) {
            (true, 0) => "valid".to_owned(),
            (true, rejected) => format!("valid, {rejected} rejected"),
            (false, _) => format!("failed {:?}", self.failed),
        };
        writeln!(
            file,
            "| {} | {seeds} | {} | {}.{:02} | {} | {} | {} | {verdict} |",
            punctual::node::VERSION,
            arguments.minutes,
            self.seconds / 3_600,
            self.seconds % 3_600 / 36,
            self.claims,
            faults.join(", "),
            begun.elapsed().as_secs(),
        )
    }
}

/// Runs the seeds of a list.
pub fn run(arguments: &SimArguments, seeds: &str) -> ExitCode {
    let Some(listed) = listed(seeds) else {
        eprintln!("--seeds wants A..B, or several such and single seeds with commas between");
        return ExitCode::from(2);
    };
    let mut next = listed.into_iter();
    let begun = Instant::now();
    let mut totals = SweepTotals::default();
    let mut running: std::collections::VecDeque<(u64, Child)> = std::collections::VecDeque::new();
    loop {
        let stop = !totals.failed.is_empty() && !arguments.keep_going;
        while !stop && running.len() < arguments.jobs.max(1) {
            let Some(seed) = next.next() else { break };
            match child(arguments, seed) {
                Ok(child) => running.push_back((seed, child)),
                Err(error) => {
                    eprintln!("seed {seed} did not start: {error}");
                    return ExitCode::from(2);
                }
            }
        }
        // In the order of seeds, so that two sweeps have the same output.
        let Some((seed, child)) = running.pop_front() else { break };
        match child.wait_with_output() {
            Ok(output) => drop(totals.add(seed, &String::from_utf8_lossy(&output.stdout))),
            Err(error) => eprintln!("seed {seed}: {error}"),
        }
    }
    let covered = totals.print(begun);
    if let Err(error) = totals.note(arguments, seeds, begun) {
        eprintln!("the ledger cannot be written: {error}");
        return ExitCode::from(2);
    }
    match (totals.failed.is_empty(), covered) {
        (false, _) => ExitCode::from(1),
        (true, false) => ExitCode::from(2),
        (true, true) => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges_and_single_ones() {
        assert_eq!(listed("3..5"), Some(vec![3, 4]));
        assert_eq!(listed("0..2,169,192,7..9"), Some(vec![0, 1, 169, 192, 7, 8]));
        assert_eq!(listed("7"), Some(vec![7]));
        for wrong in ["", "a", "1..", "..2", "1,,2", "1..b", "18446744073709551615"] {
            assert_eq!(listed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_gate_runs_every_seed_that_found_something() {
        let gate = include_str!("../../../.ci/run");
        let mut lines = gate.lines().map(str::trim);
        let run = lines.find_map(|line| line.strip_prefix("local seeds=")).and_then(listed);
        let run = run.expect("the seeds of the gate");
        let ledger = include_str!("../../LEDGER.md").lines();
        let table = ledger.skip_while(|line| !line.starts_with("| seed |")).skip(2);
        let cells = table.map_while(|line| line.strip_prefix("| ")?.split(" |").next());
        let found: Vec<u64> =
            cells.flat_map(|cell| cell.split(", ")).map(|seed| seed.parse().unwrap()).collect();
        assert!(found.len() >= 16, "{found:?}");
        assert!(found.iter().all(|seed| run.contains(seed)), "{found:?}");
    }
}
