//! What the cluster knows of files: which set of definitions each node has, and which tasks come from
//! one.

use serde::{Deserialize, Serialize};

use crate::domain::ids::Revision;

/// What a node read in its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesRecord {
    /// A hash of all definitions in them, as it read them last without problems; 0: it never did.
    pub hash: u128,
    /// The number of the set that it proposed, or found in force with the same hash; 0: another set
    /// was in force.
    pub set: Revision,
    /// Whether everything of that set was proposed.
    pub complete: bool,
    /// Problems in its files at its last reading; then `hash` is of an earlier one.
    pub problems: u32,
}

/// The key of the set in force.
pub const IN_FORCE: &str = "files";

/// The set that was begun last. It is in force, whichever nodes have it and are members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRecord {
    /// The hash of its definitions.
    pub hash: u128,
    /// Its number.
    pub set: Revision,
    /// Whether everything of it was proposed.
    pub complete: bool,
}

/// Where the definition of a task comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSource {
    /// A hash of what the files say of it; 0: they have it no more.
    pub hash: u128,
    /// The incarnation that came from there; another one did not.
    pub incarnation: Revision,
    /// The revision whose definition is the one of the files. Another one in force was set by
    /// somebody else.
    pub definition: Revision,
}
