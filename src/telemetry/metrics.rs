//! Numbers about this node for Prometheus.
//!
//! Every metric is a field; cloning a [`Metrics`] shares them all. Labels take words of the
//! contract only, never names of tasks, so that a node's page stays small.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of tick lateness in seconds: fine around the promise of 50 ms, coarse up to the
/// longest failover.
const LATENESS_SECONDS: [f64; 15] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0];

/// A counter per word of one label.
#[derive(Clone, Debug)]
pub struct Counters<L>(Family<L, Counter>)
where
    L: Clone + std::hash::Hash + Eq;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $field:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name {
            $field: &'static str,
        }

        impl Counters<$name> {
            /// Counts one.
            pub fn inc(&self, $field: &'static str) {
                self.add($field, 1);
            }

            /// Counts several.
            pub fn add(&self, $field: &'static str, count: u64) {
                self.0.get_or_create(&$name { $field }).inc_by(count);
            }
        }
    };
}

label! {
    /// `committed`, `refused`, `not_accepted`, `unknown`.
    ProposalResult, result
}
label! {
    /// `fired`, `skipped`, `missed`, `coalesced`.
    TickVerdict, verdict
}
label! {
    /// A terminal status of an execution.
    ExecutionStatus, status
}
label! {
    /// Why a settle was refused.
    RefusalReason, reason
}

/// The metrics of one node.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// 1 on the leader, else 0.
    pub raft_is_leader: Gauge,
    /// The current term.
    pub raft_term: Gauge,
    /// The last log index applied here.
    pub raft_applied_index: Gauge,
    /// Elections that this node stood in.
    pub raft_elections: Counter,
    /// Snapshots taken over from another node.
    pub snapshots_installed: Counter,
    /// Snapshots made here.
    pub snapshots_built: Counter,
    /// State written to disk.
    pub checkpoints: Counter,
    /// Commands that this node proposed, by what became of them.
    pub proposals: Counters<ProposalResult>,
    /// Ticks applied here, by verdict.
    pub ticks: Counters<TickVerdict>,
    /// Executions ended in what was applied here, by status.
    pub executions: Counters<ExecutionStatus>,
    /// Attempts that run on this node.
    pub executions_running: Gauge,
    /// From due time to start, of the attempts that this node started.
    pub tick_lateness_seconds: Histogram,
    /// Settles refused in what was applied here, by reason.
    pub settle_refused: Counters<RefusalReason>,
    /// Reports refused because of an old fence or an ended session.
    pub stale_fence: Counter,
    /// Tasks in the state.
    pub tasks: Gauge,
    /// Log writes that reached the disk.
    pub log_fsyncs: Counter,
    /// This node's wall clock against cluster time; positive: ahead.
    pub clock_skew_seconds: Gauge<f64, AtomicU64>,
    /// Whether the clocks of a majority agree.
    pub clock_agreed: Gauge,
}

impl Metrics {
    /// All metrics at zero.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let mut registry = Registry::with_prefix("punctual");
        let all = &mut registry;
        all.register("build", "The binary", Info::new([("version", version.to_owned())]));
        Self {
            raft_is_leader: add(all, "raft_is_leader", "1 on the leader"),
            raft_term: add(all, "raft_term", "Current term"),
            raft_applied_index: add(all, "raft_applied_index", "Last log index applied"),
            raft_elections: add(all, "raft_elections", "Elections this node stood in"),
            snapshots_installed: add(
                all,
                "snapshots_installed",
                "Snapshots taken over from another node",
            ),
            snapshots_built: add(all, "snapshots_built", "Snapshots made here"),
            checkpoints: add(all, "checkpoints", "State written to disk"),
            proposals: counters(all, "proposals", "Commands proposed, by result"),
            ticks: counters(all, "ticks", "Ticks applied, by verdict"),
            executions: counters(all, "executions", "Executions ended, by status"),
            executions_running: add(all, "executions_running", "Attempts that run here"),
            tick_lateness_seconds: lateness(all),
            settle_refused: counters(all, "settle_refused", "Settles refused, by reason"),
            stale_fence: add(all, "stale_fence", "Reports refused for an old fence"),
            tasks: add(all, "tasks", "Tasks in the state"),
            log_fsyncs: add(all, "log_fsyncs", "Log writes that reached the disk"),
            clock_skew_seconds: add(
                all,
                "clock_skew_seconds",
                "Wall clock against cluster time; positive is ahead",
            ),
            clock_agreed: add(all, "clock_agreed", "1 while the clocks of a majority agree"),
            registry: Arc::new(registry),
        }
    }

    /// The page of `/metrics`, in the OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail; what a metric refuses to write is missing from the page.
        let _complete = encode(&mut out, &self.registry);
        out
    }
}

/// A metric at zero, known to the registry.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn counters<L>(registry: &mut Registry, name: &str, help: &str) -> Counters<L>
where
    L: EncodeLabelSet + std::fmt::Debug + Clone + std::hash::Hash + Eq + Send + Sync + 'static,
{
    Counters(add(registry, name, help))
}

fn lateness(registry: &mut Registry) -> Histogram {
    let histogram = Histogram::new(LATENESS_SECONDS);
    let help = "From due time to start of the attempts started here";
    registry.register("tick_lateness_seconds", help, histogram.clone());
    histogram
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn the_page_has_every_metric_under_its_published_name() {
        let metrics = Metrics::new("0.1.0");
        let shared = metrics.clone();
        shared.raft_is_leader.set(1);
        shared.proposals.inc("committed");
        shared.ticks.add("fired", 3);
        shared.executions.inc("success");
        shared.settle_refused.inc("cursor");
        shared.tick_lateness_seconds.observe(0.003);
        shared.clock_skew_seconds.set(-0.25);
        let page = metrics.encode();
        for line in [
            "punctual_build_info{version=\"0.1.0\"} 1",
            "punctual_raft_is_leader 1",
            "punctual_raft_term 0",
            "punctual_raft_applied_index 0",
            "punctual_raft_elections_total 0",
            "punctual_snapshots_installed_total 0",
            "punctual_snapshots_built_total 0",
            "punctual_checkpoints_total 0",
            "punctual_proposals_total{result=\"committed\"} 1",
            "punctual_ticks_total{verdict=\"fired\"} 3",
            "punctual_executions_total{status=\"success\"} 1",
            "punctual_executions_running 0",
            "punctual_tick_lateness_seconds_count 1",
            "punctual_tick_lateness_seconds_bucket{le=\"0.005\"} 1",
            "punctual_settle_refused_total{reason=\"cursor\"} 1",
            "punctual_stale_fence_total 0",
            "punctual_tasks 0",
            "punctual_log_fsyncs_total 0",
            "punctual_clock_skew_seconds -0.25",
            "punctual_clock_agreed 0",
            "# EOF",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
