//! Converts local times to instants. Every schedule with local times uses this search.
//!
//! The search walks segments: periods in which the zone keeps its offset. Inside a segment, local
//! time and instants differ by a constant, so their order is the same. The gap and fold policies
//! only matter at the two ends of a segment.

use jiff::tz::TimeZone;

use super::note::{Note, Pass};
use super::pattern::{LocalSecs, Pattern};
use super::zone::{self, Jump, MAX_OFFSET, ZoneSegment};
use super::{Dst, Fold, Gap};

/// Local times of a zone, with the policies for clock changes.
#[derive(Clone, Debug)]
pub(super) struct LocalTicks {
    /// The local times.
    pub(super) pattern: Pattern,
    /// The zone.
    pub(super) zone: TimeZone,
    /// `None`: the schedule follows elapsed time, and every instant whose local time matches is a
    /// tick.
    pub(super) dst: Option<Dst>,
}

impl LocalTicks {
    /// The first tick from `from` to `until` (inclusive), in seconds since 1970. Adds the number of
    /// inspected segments and dates to `steps`.
    pub(super) fn first_from(&self, from: i64, until: i64, steps: &mut u32) -> Option<i64> {
        let mut at = from;
        while at <= until {
            *steps += 1;
            let segment = zone::segment(&self.zone, at);
            let jumped_here = segment.start.filter(|start| start.at == at);
            if self.is(Gap::Shift)
                && jumped_here.is_some_and(|jump| self.left_out(jump, steps).is_some())
            {
                return Some(at);
            }
            let (earliest, behind) = self.window(&segment, at);
            let local = self.pattern.first_from(earliest, until + MAX_OFFSET, steps);
            if let Some(local) = local.filter(|local| *local < behind) {
                return Some(local - segment.offset).filter(|tick| *tick <= until);
            }
            let end = segment.end?;
            // After this jump the clock shows local times that lie before the start of the search
            // above.
            let goes_back = end.at + end.before.min(end.after) < earliest;
            at = match local {
                _ if goes_back => end.at,
                // No earlier instant has a local time this late.
                Some(local) => end.at.max(local - MAX_OFFSET),
                None => return None,
            };
        }
        None
    }

    /// How a clock change affected the tick at `tick`, or which local time between `after` and the
    /// tick it omitted.
    pub(super) fn note(&self, after: i64, tick: i64) -> Option<Note> {
        let segment = zone::segment(&self.zone, tick);
        let mut steps = 0;
        if let Some(jump) = segment.start.filter(|start| start.at == tick && self.is(Gap::Shift))
            && let Some(local) = self.left_out(jump, &mut steps)
        {
            return Some(Note::Shifted { local: zone::civil(local), jump: jump.into() });
        }
        let local = tick + segment.offset;
        let repeated = |(from, to): (i64, i64)| (from..to).contains(&local);
        let second = segment.start.filter(|jump| jump.fold().is_some_and(repeated));
        let first = segment.end.filter(|jump| jump.fold().is_some_and(repeated));
        if let Some(jump) = second.or(first) {
            let pass = if second.is_some() { Pass::Second } else { Pass::First };
            let fold = self.dst.map(|dst| dst.fold);
            return Some(Note::Repeated {
                local: zone::civil(local),
                jump: jump.into(),
                pass,
                fold,
            });
        }
        if self.is(Gap::Shift) {
            return None;
        }
        let elapsed = self.dst.is_none();
        zone::jumps(&self.zone, after, tick).find_map(|jump| {
            let local = zone::civil(self.left_out(jump, &mut steps)?);
            Some(Note::LeftOut { local, jump: jump.into(), elapsed })
        })
    }

    /// Whether this is the gap policy.
    fn is(&self, gap: Gap) -> bool {
        self.dst.is_some_and(|dst| dst.gap == gap)
    }

    /// The first local time of the pattern that the jump skips.
    fn left_out(&self, jump: Jump, steps: &mut u32) -> Option<LocalSecs> {
        let (from, to) = jump.gap()?;
        self.pattern.first_from(from, to - 1, steps)
    }

    /// The local times that are ticks within a segment, starting at instant `at`: from `.0`
    /// (inclusive) to `.1` (exclusive).
    fn window(&self, segment: &ZoneSegment, at: i64) -> (LocalSecs, LocalSecs) {
        let mut from = at + segment.offset;
        let mut to = segment.end.map_or(i64::MAX, |end| end.at + segment.offset);
        match self.dst.map(|dst| dst.fold) {
            Some(Fold::First) => {
                if let Some((_, ticked)) = segment.start.and_then(Jump::fold) {
                    from = from.max(ticked);
                }
            }
            Some(Fold::Second) => {
                if let Some((later, _)) = segment.end.and_then(Jump::fold) {
                    to = to.min(later);
                }
            }
            Some(Fold::Both) | None => {}
        }
        (from, to)
    }
}
