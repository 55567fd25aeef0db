//! Numbers about this node for Prometheus.
//!
//! Every metric is a field; cloning a [`Metrics`] shares them all. What is a property of the
//! applied state ([`ClusterSeen`]) and what the kernel knows of the process are not kept here but asked
//! for when the page is made.
//!
//! What happens once in the cluster is counted once in the cluster, by the process that proposed
//! it, so that a sum over all nodes is right; what is applied again after a restart was proposed by
//! the process before and is not counted again. Every value that a label can have is there from the
//! start, at 0, so that alerts on an increase also see the first one. Only the series of tasks have
//! names of users in their labels, and they are bounded by `metrics.tasks`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::exposition::{self, MetricsFormat};
use super::process;
use super::seen::{self, ClusterSeen};

/// Upper bounds of tick lateness in seconds: fine around the promise of 50 ms, coarse up to the
/// longest failover.
const LATENESS_SECONDS: [f64; 15] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0];
/// Upper bounds of what takes milliseconds and should not take seconds.
const LATENCY_SECONDS: [f64; 13] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Upper bounds of how long actions run.
const ACTION_SECONDS: [f64; 13] =
    [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0];

/// What becomes of commands.
const RESULTS: [&str; 4] = ["committed", "refused", "not_accepted", "unknown"];
/// What becomes of ticks.
const VERDICTS: [&str; 4] = ["fired", "skipped", "missed", "coalesced"];
/// How executions end.
const STATUSES: [&str; 5] = ["success", "failed", "timeout", "cancelled", "lost"];
/// Why settles are refused: the codes of the refusals.
const SETTLE_REFUSALS: [&str; 10] = [
    "settled",
    "session_ended",
    "revision_mismatch",
    "task_not_found",
    "task_deleted",
    "inactive",
    "order",
    "ahead_of_time",
    "limit_reached",
    "idempotency_key_reused",
];
/// What carries actions out.
const KINDS: [&str; 3] = ["shell", "http", "func"];
/// Classes of HTTP answers.
const CODES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

type Label = [(&'static str, &'static str); 1];

/// A metric per value of one label.
#[derive(Clone, Debug)]
pub struct By<M> {
    label: &'static str,
    family: Family<Label, M, fn() -> M>,
}

impl<M: Clone> By<M> {
    /// The metric of one value.
    pub fn of(&self, value: &'static str) -> M {
        self.family.get_or_create_owned(&[(self.label, value)])
    }
}

impl By<Counter> {
    /// Counts one.
    pub fn inc(&self, value: &'static str) {
        self.of(value).inc();
    }

    /// Counts several.
    pub fn add(&self, value: &'static str, count: u64) {
        self.of(value).inc_by(count);
    }
}

impl By<Gauge> {
    /// Counts one more until what this gives goes away, however that comes about.
    #[must_use]
    pub fn hold(&self, value: &'static str) -> GaugeGuard {
        GaugeGuard::of(&self.of(value))
    }
}

/// One that counts in a gauge.
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// One more in this gauge.
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Defines the metrics of a node: field, type and how it is made, published name, what it is.
macro_rules! metrics {
    ($($field:ident: $kind:ty = $make:expr, $name:literal, $help:literal;)*) => {
        /// The metrics of one node.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Arc<Registry>,
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl Metrics {
            /// All metrics at zero.
            #[must_use]
            pub fn new(version: &str) -> Self {
                let mut registry = Registry::with_prefix("punctual");
                let info = Info::new([("version", version.to_owned())]);
                registry.register("build", "Version of the binary", info);
                $(let $field: $kind = $make(&mut registry, $name, $help);)*
                Self { registry: Arc::new(registry), $($field,)* }
            }
        }
    };
}

metrics! {
    raft_is_leader: Gauge = add, "raft_is_leader", "1 on the leader, else 0";
    raft_has_leader: Gauge = add,
        "raft_has_leader", "1 while a leader answers the node, else 0";
    raft_leader_since: Gauge<f64, AtomicU64> = add,
        "raft_leader_since_timestamp_seconds",
        "Unix time when the node learned of the leader that it knows, 0 without one";
    raft_leader_changes: Counter = add,
        "raft_leader_changes", "Times that the node learned of another leader";
    raft_term: Gauge = add, "raft_term", "Current term";
    raft_applied_index: Gauge = add, "raft_applied_index", "Last log index applied";
    raft_log_entries: Gauge = add, "raft_log_entries", "Entries that the log holds";
    raft_elections: Counter = add, "raft_elections", "Elections that the node stood in";
    snapshots_installed: Counter = add,
        "snapshots_installed", "Snapshots taken over from another node";
    snapshots_sent: Counter = add, "snapshots_sent", "Snapshots sent to another node";
    checkpoint_seconds: Histogram = histogram(&LATENCY_SECONDS),
        "checkpoint_duration_seconds", "Time to write a checkpoint of the state";
    log_fsyncs: Counter = add, "log_fsyncs", "Log writes that reached the disk";
    commit_seconds: Histogram = histogram(&LATENCY_SECONDS),
        "commit_duration_seconds",
        "Time from proposing a log entry to applying it, on the proposing node";
    proposals: By<Counter> = by("result", &RESULTS, Counter::default),
        "proposals", "Commands proposed by the node, by result";
    ticks: By<Counter> = by("verdict", &VERDICTS, Counter::default),
        "ticks", "Ticks decided by commands of the node, by verdict";
    executions: By<Counter> = by("status", &STATUSES, Counter::default),
        "executions", "Executions ended by commands of the node, by status";
    attempts_repeated: Counter = add,
        "attempts_repeated",
        "Attempts ended by commands of the node that another attempt of the execution follows";
    executions_running: By<Gauge> = by("kind", &KINDS, Gauge::default),
        "executions_running", "Attempts under way on the node, by kind of action";
    action_seconds: By<Histogram> = by("kind", &KINDS, || Histogram::new(ACTION_SECONDS)),
        "action_duration_seconds", "Time that actions took, by kind of action";
    tick_lateness_seconds: Histogram = histogram(&LATENESS_SECONDS),
        "tick_lateness_seconds",
        "Time from the due time of a tick to the start of its execution on the node";
    settle_refused: By<Counter> = by("reason", &SETTLE_REFUSALS, Counter::default),
        "settle_refused", "Decisions about ticks that the cluster refused the node, by reason";
    reports_refused: Counter = add,
        "reports_refused",
        "Reports of attempts refused because of an old fence or an ended session";
    clock_skew_seconds: Gauge<f64, AtomicU64> = add,
        "clock_skew_seconds", "Wall clock of the node minus cluster time";
    clock_agreed: Gauge = add, "clock_agreed", "1 while the clocks of a majority agree, else 0";
    http_requests: By<Counter> = by("code", &CODES, Counter::default),
        "http_requests", "HTTP requests answered, by class of status";
    http_request_seconds: Histogram = histogram(&LATENCY_SECONDS),
        "http_request_duration_seconds",
        "Time from the head of an HTTP request to the head of its answer";
    http_streams: Gauge = add,
        "http_streams", "Streams of output that are open";
    http_event_readers: Gauge = add,
        "http_event_readers", "Streams of events that are open";
    http_requests_in_flight: Gauge = add,
        "http_requests_in_flight", "HTTP requests that are being answered";
}

impl Metrics {
    /// A stream of output is open as long as what this gives.
    #[must_use]
    pub fn output_stream(&self) -> GaugeGuard {
        GaugeGuard::of(&self.http_streams)
    }

    /// A stream of events is open as long as what this gives.
    #[must_use]
    pub fn event_reader(&self) -> GaugeGuard {
        GaugeGuard::of(&self.http_event_readers)
    }

    /// The page of `/metrics`; without a state what depends on one is left out.
    #[must_use]
    pub fn encode(&self, seen: Option<&ClusterSeen>, form: MetricsFormat) -> String {
        let mut registry = Registry::default();
        process::register(&mut registry);
        if let Some(seen) = seen {
            seen::register(registry.sub_registry_with_prefix("punctual"), seen);
        }
        let mut page = String::new();
        // Writing to a string cannot fail; what a metric refuses to write is missing from the page.
        let _complete = encode_registry(&mut page, &self.registry)
            .and_then(|()| encode_registry(&mut page, &registry))
            .and_then(|()| encode_eof(&mut page));
        exposition::finish(page, form)
    }
}

/// A metric at zero, known to the registry.
pub(super) fn add<M: Metric + Clone + Default>(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// A histogram with these upper bounds.
fn histogram(bounds: &'static [f64]) -> impl Fn(&mut Registry, &str, &str) -> Histogram {
    move |registry, name, help| {
        let histogram = Histogram::new(bounds.iter().copied());
        registry.register(name, help, histogram.clone());
        histogram
    }
}

/// A metric for each value of a label, all of them there from the start.
fn by<M>(
    label: &'static str,
    values: &'static [&'static str],
    make: fn() -> M,
) -> impl Fn(&mut Registry, &str, &str) -> By<M>
where
    M: Clone,
    Family<Label, M, fn() -> M>: Metric + Clone,
{
    move |registry, name, help| {
        let family = Family::new_with_constructor(make);
        registry.register(name, help, family.clone());
        let by = By { label, family };
        for value in values {
            let _at_zero = by.of(value);
        }
        by
    }
}

#[cfg(test)]
mod tests;
