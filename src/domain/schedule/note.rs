//! What a preview says about a tick that a clock change touches.

use std::fmt;

use jiff::civil::DateTime;

use super::Fold;
use super::zone::{self, Jump};
use crate::domain::time::Timestamp;

/// A tick as a preview shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedTick {
    /// The tick.
    pub at: Timestamp,
    /// The same instant on the zone's clocks, with the offset: `2026-03-08T03:00:00-04:00`.
    pub local: String,
    /// The daylight-saving rule that decided it, if one did.
    pub note: Option<Note>,
}

/// The daylight-saving rule that touches a tick; its `Display` is a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// `dst.gap` = `shift`: the tick stands for a local time that does not exist.
    Shifted {
        /// The first local time that the tick stands for.
        local: DateTime,
        /// The change of the clocks.
        jump: ClockChange,
    },
    /// A local time between the tick before and this one does not exist, and nothing stands for
    /// it.
    LeftOut {
        /// The first local time left out.
        local: DateTime,
        /// The change of the clocks.
        jump: ClockChange,
        /// Because the schedule follows elapsed time; else because `dst.gap` = `skip`.
        elapsed: bool,
    },
    /// The tick's local time exists twice.
    Repeated {
        /// That local time.
        local: DateTime,
        /// The change of the clocks.
        jump: ClockChange,
        /// Which of the two the tick is.
        pass: Pass,
        /// The policy that chose it; none: the schedule follows elapsed time.
        fold: Option<Fold>,
    },
}

/// Which of two equal local times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The earlier.
    First,
    /// The later.
    Second,
}

/// What the local clocks show at the moment they are changed.
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

/// A local date and time without seconds that are zero.
struct Shown(DateTime);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        write!(f, "{date} {:02}:{:02}", time.hour(), time.minute())?;
        if time.second() == 0 { Ok(()) } else { write!(f, ":{:02}", time.second()) }
    }
}

/// The rule that lets a repeated local time tick.
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
