//! Facts about the local machine that an import needs.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};

use crate::dto::NodeView;

/// Folders in which cron stores the crontabs of users, under their user names.
const SPOOLS: [&str; 3] = ["/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron"];

/// The owner of a crontab if the file does not contain it: the user who runs the import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrontabOwner {
    /// The login name.
    pub name: String,
    /// The home folder, in which cron starts the jobs.
    pub home: String,
}

/// The users of the nodes that will run the tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunsAs {
    /// The nodes are on other machines. Each of them checks it itself.
    Unknown,
    /// These user ids.
    Users(BTreeSet<u32>),
}

impl RunsAs {
    /// The user of this process.
    #[must_use]
    pub fn this() -> Self {
        Self::Users([rustix::process::geteuid().as_raw()].into())
    }

    /// Whether a node can run a job as this user: root and the user itself can. If only some nodes
    /// run as root the result is true, so that the task contains the user and never runs as root.
    #[must_use]
    pub fn can_be(&self, user: &str) -> bool {
        let Self::Users(uids) = self else { return true };
        let wanted = User::from_name(user).ok().flatten().map(|user| user.uid.as_raw());
        uids.contains(&0) || uids.iter().all(|uid| Some(*uid) == wanted)
    }
}

/// The host name by which a node on this machine is selected.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user of this process, if it is known and its home folder exists.
#[must_use]
pub fn owner() -> Option<CrontabOwner> {
    let user = User::from_uid(Uid::current()).ok()??;
    let home = user.dir.to_str().filter(|_| user.dir.is_absolute() && user.dir.is_dir())?;
    Some(CrontabOwner { name: user.name, home: home.to_owned() })
}

/// The user whose crontab this is, if the file is in a crontab folder of cron.
#[must_use]
pub fn spool_user(path: &Path) -> Option<String> {
    let parent = path.parent()?;
    let kept = SPOOLS.iter().any(|spool| parent == Path::new(spool));
    path.file_name()?.to_str().filter(|_| kept).map(str::to_owned)
}

/// The users of the nodes on this machine. `None` if no node runs here.
#[must_use]
pub fn nodes_run_as(nodes: &[NodeView], hostname: &str) -> Option<RunsAs> {
    let here: BTreeSet<u32> = nodes
        .iter()
        .filter(|node| node.hostname == hostname)
        .filter_map(|node| std::fs::metadata(format!("/proc/{}", node.pid)).ok())
        .map(|process| process.uid())
        .collect();
    (!here.is_empty()).then_some(RunsAs::Users(here))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::tests::node;

    #[test]
    fn nodes_are_judged_by_their_processes() {
        let node = |host: &str, pid: u32| -> NodeView {
            let mut node = node("n1");
            node["hostname"] = json!(host);
            node["pid"] = json!(pid);
            serde_json::from_value(node).unwrap()
        };
        let own = node("here", std::process::id());
        assert_eq!(nodes_run_as(&[own.clone(), node("there", 1)], "here"), Some(RunsAs::this()));
        assert_eq!(nodes_run_as(&[node("here", u32::MAX)], "here"), None);
        assert_eq!(nodes_run_as(&[own], "there"), None);
    }

    #[test]
    fn root_can_be_everybody_and_others_themselves() {
        let of = |uids: &[u32]| RunsAs::Users(uids.iter().copied().collect());
        assert!(RunsAs::Unknown.can_be("anybody"));
        assert!(of(&[0]).can_be("daemon") && of(&[0]).can_be("root"));
        assert!(of(&[1]).can_be("daemon") && !of(&[1]).can_be("root"));
        assert!(of(&[0, 2]).can_be("daemon") && !of(&[1, 2]).can_be("daemon"));
        assert!(!of(&[1]).can_be("nobody known here"));
    }

    #[test]
    fn crons_own_folders_say_whose_a_crontab_is() {
        let user = |path: &str| spool_user(Path::new(path));
        assert_eq!(user("/var/spool/cron/crontabs/alice").as_deref(), Some("alice"));
        assert_eq!(user("/var/spool/cron/bob").as_deref(), Some("bob"));
        assert_eq!(user("/home/alice/crontab"), None);
        assert_eq!(user("-"), None);
    }
}
