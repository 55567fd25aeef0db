//! The formats that a process writes and may propose: its level, the kinds of commands, the layout
//! of records. They are fixed for a version of the software. Only a simulated process may use those
//! of another version.

use crate::domain::machine::envelope::Commands;
use crate::domain::machine::{Command, LEVEL, State};

use super::replica::{DigestMark, ProposeError};

/// The formats that a process writes and may propose.
#[derive(Clone, Copy, Debug)]
pub struct Formats {
    /// The level that the process announces.
    pub level: u16,
    /// The highest level of any kind of command.
    pub newest: u16,
    /// The level of a kind of command.
    pub level_of: fn(u16) -> u16,
    /// The layout of its records, which is part of their digest.
    pub layout: u16,
}

impl Formats {
    /// The formats of this version.
    pub const SOFTWARE: Self =
        Self { level: LEVEL, newest: LEVEL, level_of: Command::level_of, layout: State::LAYOUT };

    /// Checks packed commands against the level of the cluster.
    ///
    /// # Errors
    /// [`ProposeError::NeedsUpgrade`] if one of them is above it.
    pub(super) fn check(&self, commands: &[u8], cluster: u16) -> Result<(), ProposeError> {
        // If the cluster supports all commands, there is nothing to check.
        if cluster >= self.newest {
            return Ok(());
        }
        let above = Commands::new(commands)
            .filter_map(|packed| Some((self.level_of)(packed.ok()?.kind)))
            .find(|needed| *needed > cluster);
        above.map_or(Ok(()), |needed| Err(ProposeError::NeedsUpgrade { needed, cluster }))
    }

    /// The digest of a state at an index, with its layout. The digest of a state depends on the
    /// layout.
    pub(super) fn mark(&self, state: &State, index: u64) -> DigestMark {
        let digest = state.digest() ^ u128::from(self.layout ^ State::LAYOUT);
        DigestMark { index, layout: self.layout, digest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::NodeId;
    use crate::domain::machine::command::{OfNode, SetScheduler};
    use crate::domain::machine::envelope;

    #[test]
    fn kinds_above_the_level_of_the_cluster_are_refused() {
        let mut commands = Vec::new();
        let scheduler = Command::Scheduler(SetScheduler { on: true });
        envelope::pack(&mut commands, &scheduler, "", None);
        let remove = Command::NodeRemove(OfNode { node: NodeId::new(1, 1) });
        envelope::pack(&mut commands, &remove, "", None);
        let level_of = |kind| if kind == 24 { 2 } else { 1 };
        let formats = Formats { level: 2, newest: 2, level_of, ..Formats::SOFTWARE };
        assert_eq!(remove.kind(), 24);
        let refused = Err(ProposeError::NeedsUpgrade { needed: 2, cluster: 1 });
        assert_eq!(formats.check(&commands, 1), refused);
        assert_eq!(formats.check(&commands, 2), Ok(()));
        assert_eq!(Formats::SOFTWARE.check(&commands, 1), Ok(()));
    }

    #[test]
    fn a_mark_says_its_layout_and_another_layout_has_another_digest() {
        let state = State::default();
        let ours = Formats::SOFTWARE.mark(&state, 1_024);
        assert_eq!((ours.layout, ours.digest), (State::LAYOUT, state.digest()));
        let other = Formats { layout: State::LAYOUT + 1, ..Formats::SOFTWARE };
        let theirs = other.mark(&state, 1_024);
        assert!(theirs.layout != ours.layout && theirs.digest != ours.digest);
    }
}
