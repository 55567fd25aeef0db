//! The requests and attempts of this node, counted against its slots.
//!
//! A request for a grant holds a slot from the moment it is made. The slot is free again when the
//! request is refused, when its attempt ends, or after a time limit. A grant needs a round trip
//! through the log. If only running attempts counted, a node would request everything that is due
//! at the same time.
//!
//! A request is kept longer than its slot, because the time to start counts from the first request.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::clock::BootInstant;
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::{Millis, Timestamp};

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AskPurpose {
    /// The claim of a tick, with its grant.
    Claim(TaskKey, Timestamp),
    /// The grant of an existing execution.
    Start(ExecutionId),
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    first: BootInstant,
    last: BootInstant,
    holds: bool,
}

/// The decision on a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrantVerdict {
    /// Run it. The time is that of its first request.
    Carry(BootInstant),
    /// Return it, because another attempt has its slot.
    Full,
    /// Request it again, because this process does not know when it was first requested.
    Forgotten,
}

/// The requests and attempts of this process.
#[derive(Debug)]
pub(super) struct SlotTable {
    limit: usize,
    asks: BTreeMap<AskPurpose, Ask>,
    /// Number of requests that hold a slot.
    reserved: usize,
    running: usize,
    /// Number of executions that wait for a slot. Ticks that become due do not overtake them.
    waiting: usize,
    /// Whether nothing more is begun here, because the process ends.
    closed: bool,
}

impl Default for SlotTable {
    fn default() -> Self {
        let limit = usize::MAX;
        let asks = BTreeMap::new();
        Self { limit, asks, reserved: 0, running: 0, waiting: 0, closed: false }
    }
}

impl SlotTable {
    /// Sets the maximum number of concurrent attempts.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Sets the number of executions that wait for a slot.
    pub fn set_waiting(&mut self, waiting: usize) {
        self.waiting = waiting;
    }

    /// The number of executions that wait for a slot.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether there is a free slot for another request.
    pub fn has_room(&self) -> bool {
        let taken = if bug!("slots-not-reserved") { 0 } else { self.reserved };
        !self.closed && taken.saturating_add(self.running) < self.limit
    }

    /// Makes no further requests. What was not begun by now is given back.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Registers a request, which then holds a slot. False: there is no free slot, and the request
    /// must not be made.
    pub fn ask(&mut self, purpose: AskPurpose, now: BootInstant) -> bool {
        let held = self.holds(purpose);
        let claim = matches!(purpose, AskPurpose::Claim(..));
        let overtakes = claim && self.waiting > 0 && self.limit < usize::MAX;
        if !held && (!self.has_room() || overtakes) {
            return false;
        }
        let ask = self.asks.entry(purpose).or_insert(Ask { first: now, last: now, holds: false });
        ask.last = now;
        if bug!("ttl-from-last-proposal") {
            ask.first = now;
        }
        self.reserved += usize::from(!ask.holds);
        ask.holds = true;
        true
    }

    /// Whether a request is kept.
    pub fn knows(&self, purpose: AskPurpose) -> bool {
        self.asks.contains_key(&purpose)
    }

    /// Whether a request holds a slot.
    pub fn holds(&self, purpose: AskPurpose) -> bool {
        self.asks.get(&purpose).is_some_and(|ask| ask.holds)
    }

    /// Whether claims of a task's ticks are kept.
    pub fn has_claims(&self, task: TaskKey) -> bool {
        self.asks.range(claims(task, Timestamp(i64::MAX))).next().is_some()
    }

    /// Whether a request made within this time is still open.
    pub fn open(&self, purpose: AskPurpose, now: BootInstant, within: Millis) -> bool {
        self.asks.get(&purpose).is_some_and(|ask| ask.holds && now.since(ask.last) < within)
    }

    /// Frees the slot of a request that had no result.
    pub fn release(&mut self, purpose: AskPurpose) {
        if let Some(ask) = self.asks.get_mut(&purpose).filter(|ask| ask.holds) {
            ask.holds = false;
            self.reserved -= 1;
        }
    }

    /// After a change of a task's ticks, frees the slots of its claims after a time, except the
    /// kept ones.
    pub fn release_claims(
        &mut self,
        task: TaskKey,
        after: Timestamp,
        kept: impl Fn(Timestamp) -> bool,
    ) {
        let all = self.asks.range_mut(claims(task, Timestamp(i64::MAX)));
        let gone = |purpose: &AskPurpose| matches!(purpose, AskPurpose::Claim(_, tick) if *tick > after && !kept(*tick));
        for (_, ask) in all.filter(|(purpose, ask)| ask.holds && gone(purpose)) {
            ask.holds = false;
            self.reserved -= 1;
        }
    }

    /// Handles a grant: its request is done, and its attempt counts.
    pub fn granted(&mut self, execution: ExecutionId, claim: Option<AskPurpose>) -> GrantVerdict {
        let start = self.take(AskPurpose::Start(execution));
        let claim = claim.and_then(|claim| self.take(claim));
        let Some(first) = start.or(claim).map(|ask| ask.first) else {
            return GrantVerdict::Forgotten;
        };
        let held = [start, claim].into_iter().flatten().any(|ask| ask.holds);
        // The slots of the requests are free again here, so a grant that held one finds it.
        if !held && !self.has_room() {
            return GrantVerdict::Full;
        }
        self.running += 1;
        GrantVerdict::Carry(first)
    }

    /// Handles a grant for an attempt that is over.
    pub fn over(&mut self, execution: ExecutionId, claim: Option<AskPurpose>) {
        let _start = self.take(AskPurpose::Start(execution));
        let _claim = claim.and_then(|claim| self.take(claim));
    }

    /// An attempt ended, or could not be started.
    pub fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Removes the claims of a task's ticks up to `settled` that were not granted to this node. The
    /// grants of the others are still expected.
    pub fn settled(
        &mut self,
        task: TaskKey,
        settled: Timestamp,
        granted: impl Fn(Timestamp) -> bool,
    ) {
        let over: Vec<AskPurpose> = self
            .asks
            .range(claims(task, settled))
            .map(|(purpose, _)| *purpose)
            .filter(|purpose| matches!(purpose, AskPurpose::Claim(_, tick) if !granted(*tick)))
            .collect();
        for purpose in over {
            self.take(purpose);
        }
    }

    /// Frees the slots of requests that are too old.
    pub fn expire(&mut self, now: BootInstant, after: Millis) {
        for ask in self.asks.values_mut().filter(|ask| ask.holds) {
            if now.since(ask.last) >= after {
                ask.holds = false;
                self.reserved -= 1;
            }
        }
    }

    /// Removes old requests that can have no effect any more. A request whose proposal may still be
    /// applied is kept, however old it is.
    pub fn forget(&mut self, now: BootInstant, after: Millis, open: impl Fn(&AskPurpose) -> bool) {
        let stays = |purpose: &AskPurpose, ask: &Ask| {
            ask.holds || now.since(ask.first) < after || open(purpose)
        };
        self.asks.retain(|purpose, ask| stays(purpose, ask));
    }

    fn take(&mut self, purpose: AskPurpose) -> Option<Ask> {
        let ask = self.asks.remove(&purpose)?;
        self.reserved -= usize::from(ask.holds);
        Some(ask)
    }
}

/// The claims of a task's ticks up to this one.
fn claims(task: TaskKey, last: Timestamp) -> RangeInclusive<AskPurpose> {
    AskPurpose::Claim(task, Timestamp(i64::MIN))..=AskPurpose::Claim(task, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: BootInstant = BootInstant(1_000);

    fn claim(task: u64) -> AskPurpose {
        AskPurpose::Claim(TaskKey(task), Timestamp(60_000))
    }

    fn start(execution: u64) -> AskPurpose {
        AskPurpose::Start(ExecutionId(execution))
    }

    fn of(limit: usize) -> SlotTable {
        let mut slots = SlotTable::default();
        slots.set_limit(limit);
        slots
    }

    #[test]
    fn what_is_asked_for_holds_its_slot_until_it_ends() {
        let mut slots = of(2);
        assert!(slots.ask(claim(1), NOW) && slots.ask(claim(2), NOW));
        assert!(!slots.ask(claim(3), NOW), "there are two requests");
        assert!(slots.ask(claim(1), BootInstant(1_400)), "it is proposed again");
        let granted = slots.granted(ExecutionId(9), Some(claim(1)));
        assert_eq!(granted, GrantVerdict::Carry(NOW), "the first request counts");
        assert!(!slots.ask(start(7), NOW), "one attempt runs, and there is one request");
        slots.ended();
        assert!(slots.ask(start(7), NOW));
        slots.release(start(7));
        slots.release(start(7));
        assert!(slots.ask(start(8), NOW), "a refused request frees its slot, once");
        assert!(!slots.has_room());
    }

    #[test]
    fn a_thousand_at_once_are_asked_for_one_by_one() {
        let mut slots = of(4);
        let mut done = 0;
        let mut waiting: std::collections::VecDeque<u64> = (1..=1_000).collect();
        let mut asked: std::collections::VecDeque<u64> = Default::default();
        while done < 1_000 {
            while let Some(next) = waiting.front().copied().filter(|id| slots.ask(start(*id), NOW))
            {
                waiting.pop_front();
                asked.push_back(next);
            }
            assert!(!asked.is_empty() && asked.len() <= 4, "{}", asked.len());
            let next = ExecutionId(asked.pop_front().unwrap());
            assert_eq!(slots.granted(next, None), GrantVerdict::Carry(NOW));
            slots.ended();
            done += 1;
        }
        assert!(slots.asks.is_empty() && slots.reserved == 0 && slots.running == 0);
    }

    #[test]
    fn a_claim_that_another_won_gives_its_slot_back() {
        let mut slots = of(2);
        assert!(slots.ask(claim(1), NOW) && slots.ask(claim(2), NOW));
        slots.settled(TaskKey(1), Timestamp(59_999), |_| false);
        assert!(!slots.has_room(), "the tick is not settled yet");
        slots.settled(TaskKey(1), Timestamp(60_000), |_| true);
        assert!(!slots.has_room(), "its grant is expected");
        slots.settled(TaskKey(1), Timestamp(60_000), |_| false);
        assert!(slots.has_room() && !slots.knows(claim(1)) && slots.knows(claim(2)));
    }

    #[test]
    fn a_tick_that_is_no_more_gives_its_slot_back() {
        let mut slots = of(3);
        let at = |second: i64| AskPurpose::Claim(TaskKey(1), Timestamp(second * 1_000));
        assert!(slots.ask(at(1), NOW) && slots.ask(at(2), NOW) && slots.ask(at(3), NOW));
        slots.release_claims(TaskKey(2), Timestamp(0), |_| false);
        assert!(!slots.has_room());
        slots.release_claims(TaskKey(1), Timestamp(1_000), |tick| tick == Timestamp(2_000));
        assert!(slots.holds(at(1)) && slots.holds(at(2)) && !slots.holds(at(3)));
        // Its proposal may still be applied, and then it takes a slot if there is one.
        assert_eq!(slots.granted(ExecutionId(9), Some(at(3))), GrantVerdict::Carry(NOW));
        assert!(!slots.has_room());
    }

    #[test]
    fn an_ask_without_an_answer_gives_its_slot_back_and_stays_known() {
        let mut slots = of(1);
        assert!(slots.ask(start(1), NOW));
        slots.expire(BootInstant(5_999), Millis(5_000));
        assert!(!slots.has_room());
        slots.expire(BootInstant(6_000), Millis(5_000));
        assert!(slots.has_room() && !slots.open(start(1), BootInstant(6_000), Millis(9_000)));
        // Another request has taken the slot, so there is none for the late grant.
        assert!(slots.ask(start(2), BootInstant(6_000)));
        assert_eq!(slots.granted(ExecutionId(1), None), GrantVerdict::Full);
        assert_eq!(slots.granted(ExecutionId(1), None), GrantVerdict::Forgotten);
        slots.forget(BootInstant(99_000), Millis(60_000), |_| false);
        assert!(slots.knows(start(2)), "a request that holds a slot is kept");
    }

    #[test]
    fn a_late_grant_that_finds_a_slot_is_carried_out() {
        let mut slots = of(1);
        assert!(slots.ask(start(1), NOW));
        slots.expire(BootInstant(6_000), Millis(5_000));
        assert_eq!(slots.granted(ExecutionId(1), None), GrantVerdict::Carry(NOW));
        assert!(!slots.has_room());
    }

    #[test]
    fn ticks_do_not_overtake_what_waits() {
        let mut slots = of(2);
        slots.set_waiting(1);
        assert!(!slots.ask(claim(1), NOW));
        assert!(slots.ask(start(1), NOW));
        slots.set_waiting(0);
        assert!(slots.ask(claim(1), NOW));
        let mut free = SlotTable::default();
        free.set_waiting(1);
        assert!(free.ask(claim(1), NOW), "without a limit no tick is held back");
    }

    #[test]
    fn a_limit_that_falls_below_what_runs_is_waited_for() {
        let mut slots = of(3);
        for id in 1..=3 {
            assert!(slots.ask(start(id), NOW));
            assert_eq!(slots.granted(ExecutionId(id), None), GrantVerdict::Carry(NOW));
        }
        slots.set_limit(1);
        slots.ended();
        slots.ended();
        assert!(!slots.has_room());
        slots.ended();
        assert!(slots.has_room());
    }
}
