//! The rules of lines, each of which can be taken out of the model.

/// One rule that stands between lines and a broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum LineGuard {
    Room,
    Waits,
    Session,
    ReportFence,
    LostAfter,
    EndSession,
    Restored,
    Silence,
    First,
    OwnSession,
    Once,
    Ttl,
    Kill,
}

impl LineGuard {
    /// All of them: those of the state first, then those of nodes.
    pub(super) const ALL: [Self; 13] = [
        Self::Room,
        Self::Waits,
        Self::Session,
        Self::ReportFence,
        Self::LostAfter,
        Self::EndSession,
        Self::Restored,
        Self::Silence,
        Self::First,
        Self::OwnSession,
        Self::Once,
        Self::Ttl,
        Self::Kill,
    ];

    /// The rule in words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Room => "start: the line has room",
            Self::Waits => "start: the execution waits",
            Self::Session => "start: the session is live and its node works",
            Self::ReportFence => "finish, lose: the fence is current",
            Self::LostAfter => "lose: not before lost_after",
            Self::EndSession => "NodeUp ends the attempts of the former session",
            Self::Restored => "a checkpoint brings back who holds places",
            Self::Silence => "leader: only a silent node is down",
            Self::First => "node: asks for the first that waits",
            Self::OwnSession => "node: takes only grants to its session",
            Self::Once => "node: starts a grant once",
            Self::Ttl => "node: a grant lasts for one TTL from its proposal",
            Self::Kill => "node: kills its work when it is silent for long",
        }
    }
}

/// Which guards stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineGuards(u16);

impl LineGuards {
    /// All of them.
    pub(super) const ALL: Self = Self(u16::MAX);

    /// All but one.
    pub(super) const fn without(removed: LineGuard) -> Self {
        Self(!(1 << removed as u16))
    }

    /// Whether one stands.
    pub(super) const fn has(self, guard: LineGuard) -> bool {
        self.0 & (1 << guard as u16) != 0
    }
}
