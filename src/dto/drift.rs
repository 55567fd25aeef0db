//! What came of the files of tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rfc3339, Word};

/// The files of the node that answers, against what the cluster has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftView {
    /// The node that answers.
    pub node: String,
    /// The files and folders that it reads.
    pub paths: Vec<String>,
    /// When it read them last; null: it has not yet, or reads none.
    pub read_at: Option<Rfc3339>,
    /// What is wrong with them. Then the definitions of the reading before stay.
    pub problems: Vec<String>,
    /// A hash of the definitions that were read last without problems.
    pub hash: Option<String>,
    /// Whether these definitions are in force in the cluster.
    pub in_force: bool,
    /// A hash of the definitions in force, which may be those of no node any more; null: no node has
    /// proposed any.
    pub hash_in_force: Option<String>,
    /// How many tasks they have.
    pub tasks: u64,
    /// How many calendars they have.
    pub calendars: u64,
    /// What this node changed last to bring the cluster in step with them; null: nothing since it
    /// started.
    pub applied: Option<DriftApplied>,
    /// The nodes that read files.
    pub nodes: Vec<NodeFilesView>,
    /// The tasks and calendars that are not what these definitions say.
    pub items: Vec<DriftItem>,
}

/// What a node changed to bring the cluster in step with its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftApplied {
    /// When it had done that.
    pub at: Rfc3339,
    /// Tasks and calendars that it made.
    pub added: u64,
    /// Those that it changed.
    pub changed: u64,
    /// Those that it disabled, marked deleted or removed.
    pub removed: u64,
    /// Those that could not be made what the files say.
    pub refused: u64,
}

/// What a node read in its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeFilesView {
    /// The node.
    pub node: String,
    /// A hash of the definitions in them; null: it could not read them yet.
    pub hash: Option<String>,
    /// Whether these are in force.
    pub in_force: bool,
    /// Whether the cluster was brought in step with them.
    pub complete: bool,
    /// How many problems its files have.
    pub problems: u32,
}

/// A task or a calendar that is not what the files say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftItem {
    /// Of which kind.
    #[schemars(extend("enum" = ["task", "calendar"]))]
    pub kind: Word,
    /// Its name.
    pub name: String,
    /// How it stands. `missing`: the files have it, the cluster has not. `outdated`: the cluster has
    /// it as other files said. `drifted`: somebody changed it since. `foreign`: it did not come from
    /// files. `deleted`: it carries the deleted mark. `gone`: it came from files that have it no
    /// more.
    #[schemars(extend("enum" = ["missing", "outdated", "drifted", "foreign", "deleted", "gone"]))]
    pub standing: Word,
    /// Where the files have it.
    pub place: Option<String>,
    /// Why it was refused; null: it was not.
    pub refused: Option<String>,
}
