//! The properties that must hold.

/// A property of the contract. A violation ends the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ModelProperty {
    OneExecution,
    OneVerdict,
    Forward,
    InForce,
    Inactive,
    Quiet,
    LiveSession,
    Granted,
    Fence,
    Acknowledged,
    Replay,
    OneStart,
}

impl ModelProperty {
    /// All properties.
    pub(super) const ALL: [Self; 12] = [
        Self::OneExecution,
        Self::OneVerdict,
        Self::Forward,
        Self::InForce,
        Self::Inactive,
        Self::Quiet,
        Self::LiveSession,
        Self::Granted,
        Self::Fence,
        Self::Acknowledged,
        Self::Replay,
        Self::OneStart,
    ];

    /// Its bit in a set.
    pub(super) const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OneExecution => "one execution per (incarnation, tick)",
            Self::OneVerdict => "one verdict per tick",
            Self::Forward => "cursor only forward",
            Self::InForce => "ticks of the schedule in force",
            Self::Inactive => "no claim while deleted or paused",
            Self::Quiet => "what passed while inactive never fires",
            Self::LiveSession => "running attempts have a live session",
            Self::Granted => "no start without an applied grant",
            Self::Fence => "no start of an old fence",
            Self::Acknowledged => "no start after an acknowledged wait",
            Self::Replay => "replay starts nothing",
            Self::OneStart => "one start per tick",
        }
    }

    /// Its definition.
    pub(super) const fn definition(self) -> &'static str {
        match self {
            Self::OneExecution => "a claim of a tick is accepted once, in whichever incarnation",
            Self::OneVerdict => {
                "each tick up to the cursor has exactly one verdict, which never changes, and no \
                 tick after it has one"
            }
            Self::Forward => "no entry moves the cursor back",
            Self::InForce => "a claimed tick is one of the definition in force when it is settled",
            Self::Inactive => "no claim, and no new fence, is accepted while the task is inactive",
            Self::Quiet => "a tick that was due by the resume or reuse never fires",
            Self::LiveSession => "each attempt that the state shows running is of a live session",
            Self::Granted => "a node starts what its own applied log grants to its own session",
            Self::Fence => {
                "the started fence is current, and running, in what the node has applied"
            }
            Self::Acknowledged => {
                "1.1 TTL after the entry that deletes or pauses nothing starts until an entry that \
                 undoes it"
            }
            Self::Replay => {
                "nothing starts of an entry that stands before the process's own NodeUp"
            }
            Self::OneStart => "at most once, over all nodes, processes, fences and incarnations",
        }
    }
}
