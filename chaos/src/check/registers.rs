//! A task's revision is a linearizable register: writes are the changes in the log, reads are the
//! responses to clients. The test uses zones (Gibbons and Korach, 1997): the zone of a value
//! extends from the first return to the last call that involves it. No forward zone may overlap
//! another forward zone, and no backward zone may lie within a forward one.
//!
//! Only names that are never cleaned up are judged, because a free name does not have a distinct
//! value each time.

use std::collections::BTreeMap;

use super::history::{ClientRequest, HistoryEvent, Returned};
use super::judge::{Findings, Run};

const REGISTERS: &str = "tasks are linearizable registers";
/// The initial value, which no call writes: the name is free.
const FREE: u64 = 0;

/// The zone of one value.
#[derive(Default)]
struct Zone {
    /// When its write was called. `None` if it was never written.
    written: Option<u64>,
    first_return: Option<u64>,
    last_call: u64,
    reads: u32,
}

struct RegisterCall<'a> {
    at: u64,
    asked: ClientRequest,
    task: &'a str,
    key: Option<&'a str>,
}

/// Judges this property.
pub fn judge(run: &Run, findings: &mut Findings) {
    let mut calls = BTreeMap::new();
    let mut returns = BTreeMap::new();
    for record in &run.records {
        match &record.event {
            HistoryEvent::Call { call, asked, task, key } => {
                let (task, key) = (task.as_str(), key.as_deref());
                calls.insert(*call, RegisterCall { at: record.at, asked: *asked, task, key });
            }
            HistoryEvent::Return { call, returned } => {
                returns.insert(*call, (record.at, returned));
            }
            _ => {}
        }
    }
    let written = &run.model.revisions;
    let mut names: BTreeMap<&str, BTreeMap<u64, Zone>> = BTreeMap::new();
    for (number, call) in calls.iter().filter(|(_, call)| call.task.starts_with("name-")) {
        let zones = names.entry(call.task).or_default();
        let returned = returns.get(number);
        if call.asked == ClientRequest::Read {
            read(zones, call, returned);
        } else if let Some(value) = call.key.and_then(|key| written.get(key)) {
            let zone = zones.entry(*value).or_default();
            zone.written = Some(call.at);
            zone.last_call = zone.last_call.max(call.at);
            // A call with an unknown outcome may take effect at any later time.
            if let Some((at, Returned::Answer { .. })) = returned {
                zone.first_return = Some(zone.first_return.map_or(*at, |first| first.min(*at)));
            }
        }
    }
    for (name, mut zones) in names {
        let free = zones.entry(FREE).or_default();
        (free.written, free.first_return) = (Some(0), Some(0));
        findings.judge(REGISTERS, zones.len() as u64);
        if let Some((at, what)) = fault(&zones) {
            findings.complain(at, REGISTERS, Some(name), format!("{name}: {what}"));
        }
    }
}

fn read(
    zones: &mut BTreeMap<u64, Zone>,
    call: &RegisterCall<'_>,
    returned: Option<&(u64, &Returned)>,
) {
    let Some((at, Returned::Answer { status, revision, .. })) = returned else { return };
    let value = match (status, revision) {
        (200, Some(revision)) => *revision,
        (404, _) => FREE,
        _ => return,
    };
    let zone = zones.entry(value).or_default();
    zone.reads += 1;
    zone.last_call = zone.last_call.max(call.at);
    zone.first_return = Some(zone.first_return.map_or(*at, |first| first.min(*at)));
}

/// Why these zones are not a history of one register.
fn fault(zones: &BTreeMap<u64, Zone>) -> Option<(u64, String)> {
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    for (value, zone) in zones {
        let Some(first) = zone.first_return else { continue };
        let Some(written) = zone.written else {
            return Some((first, format!("revision {value} was read, and nobody wrote it")));
        };
        if first < written {
            return Some((first, format!("revision {value} was read before it was written")));
        }
        if first < zone.last_call {
            forward.push((first, zone.last_call, *value));
        } else {
            backward.push((zone.last_call, first, *value));
        }
    }
    forward.sort_unstable();
    for pair in forward.windows(2) {
        if let [(_, end, one), (begin, _, other)] = pair
            && begin < end
        {
            return Some((*end, format!("revisions {one} and {other} were current by turns")));
        }
    }
    for (begin, end, value) in backward {
        let at = forward.partition_point(|(first, ..)| *first < begin);
        let before = at.checked_sub(1).and_then(|at| forward.get(at));
        if let Some((_, last, other)) = before
            && end < *last
        {
            let what = format!("revision {value} came and went while {other} was current");
            return Some((end, what));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(written: u64, first_return: u64, last_call: u64) -> Zone {
        Zone { written: Some(written), first_return: Some(first_return), last_call, reads: 1 }
    }

    #[test]
    fn values_one_after_the_other_are_a_register() {
        let zones = BTreeMap::from([(1, zone(0, 5, 9)), (2, zone(8, 12, 20))]);
        assert_eq!(fault(&zones), None);
    }

    #[test]
    fn values_by_turns_are_none() {
        let zones = BTreeMap::from([(1, zone(0, 5, 15)), (2, zone(8, 12, 20))]);
        assert!(fault(&zones).is_some());
    }

    #[test]
    fn a_value_within_the_time_of_another_is_none() {
        let zones = BTreeMap::from([(1, zone(0, 5, 30)), (2, zone(10, 14, 10))]);
        assert!(fault(&zones).is_some());
    }

    #[test]
    fn nothing_is_read_that_nobody_wrote_or_before() {
        let phantom = Zone { written: None, ..zone(0, 5, 9) };
        assert!(fault(&BTreeMap::from([(1, phantom)])).is_some());
        assert!(fault(&BTreeMap::from([(1, zone(7, 5, 7))])).is_some());
    }
}
