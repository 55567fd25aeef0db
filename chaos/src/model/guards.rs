//! The guards of the contract. Each can be removed from the model.

/// A rule that prevents the violation of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ModelGuard {
    Cursor,
    Session,
    Revision,
    Activity,
    Close,
    Carry,
    EndSession,
    AskFence,
    AskSession,
    AskOwn,
    AskActivity,
    AskLate,
    FirstNotLast,
    FirstNotApply,
    FirstKept,
    Ttl,
    Remember,
    Applied,
    GateFence,
    GateActivity,
    OwnSession,
    Replay,
    Once,
    Wait,
}

impl ModelGuard {
    /// All guards, in the order in which a tick passes them.
    pub(super) const ALL: [Self; 24] = [
        Self::Cursor,
        Self::Session,
        Self::Revision,
        Self::Activity,
        Self::Close,
        Self::Carry,
        Self::EndSession,
        Self::AskFence,
        Self::AskSession,
        Self::AskOwn,
        Self::AskActivity,
        Self::AskLate,
        Self::FirstNotLast,
        Self::FirstNotApply,
        Self::FirstKept,
        Self::Ttl,
        Self::Remember,
        Self::Applied,
        Self::GateFence,
        Self::GateActivity,
        Self::OwnSession,
        Self::Replay,
        Self::Once,
        Self::Wait,
    ];

    /// A description of the rule.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Cursor => "settle: `after` is the cursor",
            Self::Session => "settle, ask: the session is live",
            Self::Revision => "settle: the revision is the task's",
            Self::Activity => "settle: a claim needs an active task",
            Self::Close => "edits close what is unsettled",
            Self::Carry => "force-add: ticks begin after the former cursor",
            Self::EndSession => "NodeUp ends the attempts of the former session",
            Self::AskFence => "ask again: refused with an old fence",
            Self::AskSession => "ask again: refused for an attempt of another session",
            Self::AskOwn => "node: asks again only for attempts of its session",
            Self::AskActivity => "ask again: refused once deleted or paused",
            Self::AskLate => "node: asks again only for what it can start no more",
            Self::FirstNotLast => "TTL from the first proposal (else: the last)",
            Self::FirstNotApply => "TTL from the first proposal (else: apply)",
            Self::FirstKept => "a first proposal stays noted (else: is forgotten)",
            Self::Ttl => "a grant lasts for one TTL",
            Self::Remember => "remembering no proposal, a node starts nothing",
            Self::Applied => "acts on applied state (else: on the answer)",
            Self::GateFence => "gate: the fence is current",
            Self::GateActivity => "gate: not deleted, not paused",
            Self::OwnSession => "node: takes only grants to its session",
            Self::Replay => "node: acts on nothing before its NodeUp",
            Self::Once => "node: starts a grant once",
            Self::Wait => "delete, pause: acknowledged after 1.1 TTL",
        }
    }
}

/// The set of active guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guards(u32);

impl Guards {
    /// All guards.
    pub(super) const ALL: Self = Self(u32::MAX);

    /// All guards except these.
    pub(super) fn without(removed: &[ModelGuard]) -> Self {
        removed.iter().fold(Self::ALL, |all, guard| Self(all.0 & !(1 << *guard as u32)))
    }

    /// Whether a guard is active.
    pub(super) const fn has(self, guard: ModelGuard) -> bool {
        self.0 & (1 << guard as u32) != 0
    }
}
