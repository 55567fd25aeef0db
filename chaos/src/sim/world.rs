//! The simulated world: all machines and the operations on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use punctual::consensus::Formats;
use punctual::domain::machine::State;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::clocks::Clocks;
use super::disk::MachineDisk;
use super::executors::SimExecutors;
use super::net::{Net, address};
use super::node::{Alive, Common, SimMachine, base_url};
use super::plan::RunPlan;
use super::random::SeededRandom;
use crate::check::agreement::{Clusters, ReplicaAgreement};
use crate::check::history::{FaultKind, HistoryEvent, RunHistory};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEnd {
    /// By itself or by a signal. The machine keeps running.
    Process,
    /// Together with its machine.
    Power,
}

/// The simulated world.
pub struct SimWorld {
    pub common: Common,
    pub machines: Mutex<Vec<SimMachine>>,
    processes: AtomicU64,
    /// Locked by the fault of the only clock that is wrong.
    pub wrong_clock: tokio::sync::Mutex<()>,
    random: Mutex<SeededRandom>,
    /// The first state of the newest cluster, if it took the place of another one.
    pub begun: Mutex<Option<State>>,
}

/// The addresses of the machines that take part, by index.
fn addresses(machines: &[SimMachine]) -> BTreeMap<usize, String> {
    let members = machines.iter().filter(|machine| machine.takes_part);
    members.map(|machine| (machine.index, address(machine.index, machine.moves))).collect()
}

/// The offset of a wall clock without faults, in milliseconds.
fn base(random: &mut SeededRandom) -> i64 {
    i64::try_from(random.below(31)).unwrap_or(0) - 15
}

impl SimWorld {
    /// All machines, none of them running.
    pub fn new(plan: RunPlan) -> Arc<Self> {
        let history = RunHistory::new();
        let clusters = Clusters::new(ReplicaAgreement::new(Arc::clone(&history)));
        let (seed, epoch_ms) = (plan.seed, plan.epoch_ms);
        let net = Net::new(SeededRandom::of(seed, "net"), plan.shape, Arc::clone(&history));
        let (ends, ended) = mpsc::unbounded_channel();
        let begun = Instant::now();
        let mut random = SeededRandom::of(seed, "machines");
        let machines = (0..plan.nodes).map(|index| SimMachine {
            index,
            clocks: Clocks::new(begun, epoch_ms, random.range(1_000, 9_000_000), base(&mut random)),
            disk: MachineDisk::new(
                index,
                SeededRandom::of(seed, &format!("disk {index}")),
                history.clone(),
            ),
            agreement: clusters.newest(),
            hidden: None,
            alive: None,
            formats: Formats::SOFTWARE,
            takes_part: index < plan.founders,
            moves: 0,
            disks: 1,
        });
        let machines = machines.collect();
        let executors = SimExecutors::new(seed, Arc::clone(&history));
        let common = Common { plan, history, clusters, net, ends, executors };
        let world = Arc::new(Self {
            common,
            machines: Mutex::new(machines),
            wrong_clock: tokio::sync::Mutex::new(()),
            random: Mutex::new(random),
            processes: AtomicU64::new(0),
            begun: Mutex::default(),
        });
        tokio::spawn(supervise(Arc::clone(&world), ended));
        world
    }

    /// The history.
    pub fn history(&self) -> &RunHistory {
        &self.common.history
    }

    /// Starts a machine's process unless one is running.
    pub fn start(&self, index: usize) {
        let number = self.processes.fetch_add(1, Ordering::Relaxed) + 1;
        let mut machines = self.machines.lock();
        let members = addresses(&machines);
        let stopped = |machine: &&mut SimMachine| machine.alive.is_none() && machine.takes_part;
        let Some(machine) = machines.get_mut(index).filter(stopped) else { return };
        self.common.net.lighten(index);
        machine.start(&self.common, members, number);
    }

    /// Ends a machine's process immediately. Returns true if one was running.
    pub fn end(&self, index: usize, how: ProcessEnd, why: &str) -> bool {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(index) else { return false };
        let Some(alive) = machine.alive.take() else { return false };
        let process = alive.number;
        self.history().note(Some(index), HistoryEvent::End { process, why: why.to_owned() });
        match how {
            ProcessEnd::Process => machine.disk.abandon(),
            ProcessEnd::Power => {
                self.common.net.darken(index);
                let (unsynced, kept) = machine.disk.power_cut();
                if kept < unsynced {
                    let what = format!("{kept} of {unsynced} unsynced writes stayed");
                    self.history().trouble(Some(index), FaultKind::LostWrites, what);
                }
            }
        }
        alive.process.kill();
        self.common.net.close_listeners(index);
        true
    }

    /// Replaces a machine's disk with an empty one.
    pub fn hide_disk(&self, index: usize) {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(index) else { return };
        if machine.hidden.is_none() {
            let random = SeededRandom::of(self.common.plan.seed, &format!("empty disk {index}"));
            let empty =
                MachineDisk::new(index, random, Arc::clone(&self.common.history)).unwatched();
            machine.hidden = Some(std::mem::replace(&mut machine.disk, empty));
        }
    }

    /// Lets a machine take part, with an empty disk that stays, or no longer.
    pub fn take_part(&self, index: usize, takes_part: bool) {
        self.end(index, ProcessEnd::Process, "killed, for a change of members");
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(index) else { return };
        machine.takes_part = takes_part;
        self.empty(machine);
    }

    /// Gives a machine an empty disk, for the newest cluster.
    fn empty(&self, machine: &mut SimMachine) {
        let index = machine.index;
        machine.disks += 1;
        let disk = format!("disk {index}, {}", machine.disks);
        let random = SeededRandom::of(self.common.plan.seed, &disk);
        machine.disk = MachineDisk::new(index, random, Arc::clone(&self.common.history));
        machine.agreement = self.common.clusters.newest();
        self.history().note(Some(index), HistoryEvent::EmptyDisk);
    }

    /// Ends a machine's process for now: nobody starts it before it [is back](Self::bring_back).
    pub fn withdraw(&self, index: usize, how: ProcessEnd) {
        self.end(index, how, "stopped for good");
        if let Some(machine) = self.machines.lock().get_mut(index) {
            machine.takes_part = false;
        }
    }

    /// Lets a machine that was withdrawn run again, with its own disk or an empty one.
    pub fn bring_back(&self, index: usize, empty: bool) {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(index) else { return };
        machine.takes_part = true;
        if empty {
            self.empty(machine);
        }
    }

    /// A new cluster takes the place of the newest one: with this state, on the disk of one machine.
    pub fn begin_cluster(&self, first: usize, state: &State) {
        let clusters = &self.common.clusters;
        clusters.succeed(state);
        if let Some(machine) = self.machines.lock().get_mut(first) {
            machine.agreement = clusters.newest();
        }
    }

    /// A machine's disk.
    pub fn disk(&self, index: usize) -> Option<MachineDisk> {
        self.machines.lock().get(index).map(|machine| machine.disk.clone())
    }

    /// Gives a machine another address, at which its process runs when it is started again.
    pub fn move_away(&self, index: usize) {
        self.end(index, ProcessEnd::Process, "killed, to move");
        if let Some(machine) = self.machines.lock().get_mut(index) {
            machine.moves += 1;
        }
    }

    /// The machines that take part, in order.
    pub fn members(&self) -> Vec<usize> {
        let machines = self.machines.lock();
        machines.iter().filter(|machine| machine.takes_part).map(|machine| machine.index).collect()
    }

    /// The addresses of a machine, of peers and of the API.
    pub fn addresses(&self, index: usize) -> (String, String) {
        let moves = self.machines.lock().get(index).map_or(0, |machine| machine.moves);
        (address(index, moves), base_url(index))
    }

    /// Restores a machine's own disk, if it was replaced, and restarts its process.
    pub fn show_disk(&self, index: usize) {
        if self.machines.lock().get(index).is_none_or(|machine| machine.hidden.is_none()) {
            return;
        }
        self.end(index, ProcessEnd::Process, "killed, to get its folder back");
        if let Some(machine) = self.machines.lock().get_mut(index)
            && let Some(own) = machine.hidden.take()
        {
            machine.disk = own;
        }
        self.start(index);
    }

    /// A machine's process, if one is running.
    pub fn alive(&self, index: usize) -> Option<Alive> {
        self.machines.lock().get(index)?.alive.clone()
    }

    /// The index of a node that considers itself the leader, if any.
    pub fn leader(&self) -> Option<usize> {
        let machines = self.machines.lock();
        let leads = |machine: &&SimMachine| {
            let running = machine.alive.as_ref().and_then(|alive| alive.context.running.get());
            running.is_some_and(|running| running.consensus.is_leader())
        };
        machines.iter().find(leads).map(|machine| machine.index)
    }

    /// The states of all running nodes.
    pub fn states(&self) -> Vec<(usize, State)> {
        let machines = self.machines.lock();
        let running = machines.iter().filter_map(|machine| {
            let running = machine.alive.as_ref()?.context.running.get()?;
            Some((machine.index, running.consensus.replica().frozen()))
        });
        running.collect()
    }
}

/// Restarts processes that ended by themselves.
async fn supervise(world: Arc<SimWorld>, mut ended: mpsc::UnboundedReceiver<(usize, u64, String)>) {
    while let Some((index, number, why)) = ended.recv().await {
        if world.alive(index).is_none_or(|alive| alive.number != number) {
            continue;
        }
        world.end(index, ProcessEnd::Process, &why);
        let pause = Duration::from_millis(world.random.lock().range(300, 3_000));
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            sleep(pause).await;
            world.start(index);
        });
    }
}
