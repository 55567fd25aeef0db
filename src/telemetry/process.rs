//! Process metrics from the kernel, under the names used by the Prometheus client libraries.
//! Metrics that need `/proc` are omitted on systems without it.

use std::fs;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::metrics::add;

/// Registers metrics of the current resource usage.
pub(super) fn register(registry: &mut Registry) {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let cpu: Counter<f64, AtomicU64> =
        add(registry, "process_cpu_seconds", "Processor time that the process has used");
    cpu.inc_by(spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9);
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        gauge(registry, "process_max_fds", "File descriptors that the process may open", limit);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of the descriptors belongs to this directory listing.
        let open = (open.count() as u64).saturating_sub(1);
        gauge(registry, "process_open_fds", "File descriptors that the process has open", open);
    }
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    let Some(stat) = Stat::read(&stat) else { return };
    let resident = stat.resident_pages.saturating_mul(rustix::param::page_size() as u64);
    gauge(registry, "process_resident_memory_bytes", "Memory of the process in RAM", resident);
    let virt = stat.virtual_bytes;
    gauge(registry, "process_virtual_memory_bytes", "Address space of the process", virt);
    if let Some(boot) = fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text)) {
        let started: Gauge<f64, AtomicU64> =
            add(registry, "process_start_time_seconds", "Unix time when the process was started");
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        started.set(boot as f64 + stat.started_ticks as f64 / ticks as f64);
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge = add(registry, name, help);
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// The relevant fields of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// Parses the line. The second field is the program name in parentheses, which may contain any
    /// character.
    fn read(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(") ")?;
        // The first element is field 3 of proc(5).
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.trim().parse().ok();
        Some(Self {
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Boot time of the machine, in Unix seconds.
fn boot_time(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_line_is_read_whatever_the_program_is_called() {
        let line =
            "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 3 0 0 20 0 9 0 4242 1048576 77 1844\n";
        let stat = Stat { started_ticks: 4_242, virtual_bytes: 1_048_576, resident_pages: 77 };
        assert_eq!(Stat::read(line), Some(stat));
        assert_eq!(Stat::read("7 (a"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000));
    }
}
