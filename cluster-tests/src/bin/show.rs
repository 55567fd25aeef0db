//! `show`: the long form of the loads of the process tests, with figures. Exit code 1: a promise
//! was broken.
//!
//! ```text
//! cargo build --release -p cluster-tests
//! target/release/show kills
//! ```

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cluster_tests::scenarios::silence::{LeaderLoss, SilenceRun};
use cluster_tests::scenarios::{BrokenPromises, cut_off, durable, fresh, kills, quantile, rolling};
use cluster_tests::{ClusterOptions, ProcessCluster, TestResult};

/// Settings with which a node needs a snapshot after a long absence.
const SHORT_LOG: &str = "[raft]\nretained_log = 1000\nsnapshot_every = 5000\n";
/// Maximum number of broken promises that are printed.
const SHOWN: usize = 20;

/// Runs loads on clusters of real processes, and prints figures.
#[derive(Debug, Parser)]
struct ShowArguments {
    #[command(subcommand)]
    load: LoadCommand,
}

#[derive(Debug, Subcommand)]
enum LoadCommand {
    /// Ticks while nodes are killed and restarted
    Kills {
        #[arg(long, default_value_t = 120)]
        seconds: u64,
        #[arg(long, default_value_t = 200)]
        tasks: usize,
        #[arg(long, default_value_t = 12)]
        kills: usize,
    },
    /// Writes while all nodes are killed together
    Durable {
        #[arg(long, default_value_t = 5_000)]
        ops: usize,
        #[arg(long, default_value_t = 5)]
        kills: usize,
    },
    /// A node that is cut off and reconnected: first the leader, then one that needs a snapshot
    CutOff {
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        #[arg(long, default_value_t = 20_000)]
        commands: usize,
    },
    /// The time without a fired tick when the leader is killed, and when it is frozen
    Silence {
        #[arg(long, default_value_t = 20)]
        rounds: usize,
        /// Ticks per second
        #[arg(long, default_value_t = 90)]
        tasks: usize,
    },
    /// Ticks while each node is restarted in turn with SIGTERM
    Rolling {
        /// Ticks per second
        #[arg(long, default_value_t = 500)]
        tasks: usize,
    },
    /// Fresh starts of three nodes at the same moment
    Starts {
        #[arg(long, default_value_t = 100)]
        times: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let broken = match ShowArguments::parse().load {
        LoadCommand::Kills { seconds, tasks, kills } => show_kills(seconds, tasks, kills).await,
        LoadCommand::Durable { ops, kills } => show_durable(ops, kills).await,
        LoadCommand::CutOff { seconds, commands } => show_cut_off(seconds, commands).await,
        LoadCommand::Silence { rounds, tasks } => show_silence(rounds, tasks).await,
        LoadCommand::Rolling { tasks } => show_rolling(tasks).await,
        LoadCommand::Starts { times } => show_starts(times).await,
    };
    match broken {
        Ok(broken) if broken.is_empty() => {
            println!("every promise held");
            ExitCode::SUCCESS
        }
        Ok(broken) => {
            for what in broken.iter().take(SHOWN) {
                println!("BROKEN: {what}");
            }
            println!("{} promises did not hold", broken.len());
            ExitCode::FAILURE
        }
        Err(fault) => {
            println!("the load could not be run: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Stops a cluster. Its folder is kept if a promise was broken.
async fn end(cluster: ProcessCluster, broken: BrokenPromises) -> TestResult<BrokenPromises> {
    if broken.is_empty() {
        cluster.finish().await?;
    }
    Ok(broken)
}

async fn show_kills(seconds: u64, tasks: usize, kills: usize) -> TestResult<BrokenPromises> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let seen = kills::run(&mut cluster, kills::KillsLoad { tasks, seconds, kills }).await?;
    println!("kills                         {} ({} of the leader)", seen.kills.0, seen.kills.1);
    println!("starts                        {}", seen.starts);
    for (verdict, count) in &seen.verdicts {
        println!("ticks of the period, {verdict:<8} {count}");
    }
    let (calm, fired) = seen.calm;
    println!("outside [kill, kill + 3 s]    {calm} ticks, {fired} fired");
    println!("fired, killed before start    {}", seen.without_line);
    println!("longest time without a start  {} ms", seen.longest_silence_ms);
    println!("longest gap of one task       {} ms", seen.longest_gap_ms);
    println!("longest from tick to start    {} ms", seen.latest_start_ms);
    println!("all settled after the end     {} ms", seen.settled_after_ms);
    println!("most log lines of a node      {}", seen.log_lines);
    end(cluster, seen.broken).await
}

async fn show_durable(ops: usize, kills: usize) -> TestResult<BrokenPromises> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let seen = durable::run(&mut cluster, durable::DurableLoad { writes: ops, kills }).await?;
    println!("acknowledged writes           {}", seen.acknowledged);
    println!("kills of all three together   {kills}");
    println!("unanswered at the kills       {}", seen.unanswered);
    println!("of those carried out          {}", seen.carried_out);
    println!("digest of all three           {}", seen.digest);
    end(cluster, seen.broken).await
}

async fn show_cut_off(seconds: u64, commands: usize) -> TestResult<BrokenPromises> {
    println!("the leader is cut off");
    let long_log = ClusterOptions { proxied: true, ..ClusterOptions::default() };
    let mut broken =
        cut_off(long_log, cut_off::CutOffLoad { seconds, commands: 0, leader: true }).await?;
    println!("a follower is cut off, the log is short");
    let settings = SHORT_LOG.to_owned();
    let short_log = ClusterOptions { proxied: true, settings, ..ClusterOptions::default() };
    let load = cut_off::CutOffLoad { seconds, commands, leader: false };
    broken.extend(cut_off(short_log, load).await?);
    Ok(broken)
}

async fn cut_off(options: ClusterOptions, load: cut_off::CutOffLoad) -> TestResult<BrokenPromises> {
    let mut cluster = ProcessCluster::start(3, options).await?;
    let mut seen = cut_off::run(&mut cluster, load).await?;
    seen.be_prompt();
    if !load.leader && seen.snapshots < 1.0 {
        seen.broken.push("it caught up without a snapshot".to_owned());
    }
    println!("  cut off for                 {} ms", seen.cut_off_ms);
    println!("  the others wrote after      {} ms", seen.writable_after_ms);
    println!("  log entries meanwhile       {}", seen.entries);
    println!("  caught up after healing     {} ms", seen.caught_up_ms);
    println!("  snapshots taken over        {}", seen.snapshots);
    end(cluster, seen.broken).await
}

async fn show_silence(rounds: usize, tasks: usize) -> TestResult<BrokenPromises> {
    println!(
        "{rounds} rounds each at {tasks} ticks a second; the longest time without a start, in ms"
    );
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let mut load = SilenceRun::begin(&mut cluster, tasks).await?;
    for _ in 0..rounds {
        load.lose_leader(LeaderLoss::Killed).await?;
        load.lose_leader(LeaderLoss::Frozen).await?;
    }
    let mut seen = load.end().await?;
    for (word, silences) in [("kill -9", &seen.killed_ms), ("SIGSTOP", &seen.frozen_ms)] {
        println!(
            "{word}   median {}, longest {}",
            quantile(silences, 0.5),
            quantile(silences, 1.0)
        );
    }
    let late = quantile(&seen.returns_ms, 1.0);
    println!("SIGCONT   latest start of an older tick after {late} ms");
    seen.be_prompt();
    seen.broken.extend(seen.slow(1));
    end(cluster, seen.broken).await
}

async fn show_rolling(tasks: usize) -> TestResult<BrokenPromises> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let mut seen = rolling::run(&mut cluster, tasks).await?;
    println!("restarted, the leader last    {:?}", seen.restarted);
    println!("starts                        {}", seen.starts);
    for (verdict, count) in &seen.verdicts {
        println!("ticks of the period, {verdict:<8} {count}");
    }
    let late = |share| quantile(&seen.late_ms, share);
    println!("from tick to start, p50       {} ms", late(0.5));
    println!("p99                           {} ms", late(0.99));
    println!("longest                       {} ms", late(1.0));
    seen.be_prompt();
    end(cluster, seen.broken).await
}

async fn show_starts(times: usize) -> TestResult<BrokenPromises> {
    let mut took = Vec::new();
    for number in 1..=times {
        match fresh::run(3).await {
            Ok(time) => took.push(time),
            Err(fault) => return Ok(vec![format!("start {number}: {fault}")]),
        }
    }
    println!("fresh starts of three         {}", took.len());
    println!("from start to ready, p50      {} ms", quantile(&took, 0.5));
    println!("longest                       {} ms", quantile(&took, 1.0));
    Ok(BrokenPromises::new())
}
