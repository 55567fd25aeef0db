//! Notes in previews for ticks affected by a clock change.

use std::fmt;

use jiff::civil::DateTime;

use super::Fold;
use super::zone::{self, Jump};
use crate::domain::time::Timestamp;

/// A tick as shown in a preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedTick {
    /// The tick.
    pub at: Timestamp,
    /// The same instant in local time with offset: `2026-03-08T03:00:00-04:00`.
    pub local: String,
    /// The daylight-saving rule that affected the tick, if any.
    pub note: Option<Note>,
}

/// The daylight-saving rule that affected a tick. `Display` writes a full sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// `dst.gap` = `shift`: the tick replaces a local time that does not exist.
    Shifted {
        /// The first local time that the tick replaces.
        local: DateTime,
        /// The clock change.
        jump: ClockChange,
    },
    /// A local time between the previous tick and this one does not exist, and no tick replaces it.
    LeftOut {
        /// The first omitted local time.
        local: DateTime,
        /// The clock change.
        jump: ClockChange,
        /// True if the schedule follows elapsed time, false if `dst.gap` = `skip`.
        elapsed: bool,
    },
    /// The tick's local time exists twice.
    Repeated {
        /// That local time.
        local: DateTime,
        /// The clock change.
        jump: ClockChange,
        /// Which of the two occurrences is the tick.
        pass: Pass,
        /// The policy that selected it. `None`: the schedule follows elapsed time.
        fold: Option<Fold>,
    },
}

/// Which of two equal local times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The earlier one.
    First,
    /// The later one.
    Second,
}

/// The local times directly before and after a clock change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// Before the change.
    pub from: DateTime,
    /// After the change.
    pub to: DateTime,
}

impl From<Jump> for ClockChange {
    fn from(jump: Jump) -> Self {
        Self { from: zone::civil(jump.at + jump.before), to: zone::civil(jump.at + jump.after) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shifted { local, jump } => write!(
                f,
                "{} does not exist, {jump}; dst.gap = shift: the first instant after the gap",
                Shown(*local)
            ),
            Self::LeftOut { local, jump, elapsed: false } => write!(
                f,
                "before this tick {} is left out: it does not exist, {jump}; dst.gap = skip",
                Shown(*local)
            ),
            Self::LeftOut { local, jump, elapsed: true } => write!(
                f,
                "before this tick {} does not exist, {jump}; the schedule follows elapsed time, so \
                 nothing is added",
                Shown(*local)
            ),
            Self::Repeated { local, jump, pass, fold } => {
                let (pass, policy) = (pass, PolicyOf(*fold));
                write!(f, "{pass} pass of {}, which exists twice, {jump}; {policy}", Shown(*local))
            }
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

impl fmt::Display for ClockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clocks go from {} to {}", Shown(self.from), Shown(self.to))
    }
}

/// Displays a local date and time; seconds are omitted if zero.
pub struct Shown(pub DateTime);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        write!(f, "{date} {:02}:{:02}", time.hour(), time.minute())?;
        if time.second() == 0 { Ok(()) } else { write!(f, ":{:02}", time.second()) }
    }
}

/// Displays the policy under which a repeated local time is a tick.
struct PolicyOf(Option<Fold>);

impl fmt::Display for PolicyOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(Fold::First) => "dst.fold = first",
            Some(Fold::Second) => "dst.fold = second",
            Some(Fold::Both) => "dst.fold = both",
            None => "the schedule follows elapsed time, so both passes tick",
        })
    }
}
