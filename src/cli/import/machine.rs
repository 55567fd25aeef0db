//! What an import has to know of the machine that it runs on.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

/// The machine's users.
const PASSWD: &str = "/etc/passwd";

/// Whose crontab it is, if the file does not say: the one who imports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Of the login.
    pub name: String,
    /// The folder in which cron starts the jobs.
    pub home: String,
}

/// The name by which a node on this machine is selected.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user of this process, if it is in the machine's list and the home is there.
#[must_use]
pub fn owner() -> Option<Owner> {
    let list = std::fs::read_to_string(PASSWD).ok()?;
    let owner = find(&list, rustix::process::getuid().as_raw())?;
    Path::new(&owner.home).is_dir().then_some(owner)
}

fn find(list: &str, uid: u32) -> Option<Owner> {
    list.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (name, home) = (fields.first()?, fields.get(5)?);
        let same = fields.get(2)?.parse() == Ok(uid);
        (same && home.starts_with('/'))
            .then(|| Owner { name: (*name).to_owned(), home: (*home).to_owned() })
    })
}

/// Whether this process may take on other users.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the nodes of this machine run as root; none: none of them is here.
#[must_use]
pub fn nodes_are_root(nodes: &[Value], hostname: &str) -> Option<bool> {
    let mut here = nodes
        .iter()
        .filter(|node| node.get("hostname").and_then(Value::as_str) == Some(hostname))
        .filter_map(|node| node.get("pid")?.as_u64())
        .filter_map(|pid| std::fs::metadata(format!("/proc/{pid}")).ok())
        .map(|process| process.uid() == 0)
        .peekable();
    here.peek()?;
    Some(here.all(|root| root))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn users_are_found_by_number() {
        let list = "root:x:0:0:root:/root:/bin/sh\nbad\na:x:7:7::relative:\nb:x:8:8::/b:";
        let name = |uid| find(list, uid).map(|owner| owner.name);
        assert_eq!(name(0).as_deref(), Some("root"));
        assert_eq!(name(8).as_deref(), Some("b"));
        assert_eq!(name(7), None);
        assert_eq!(name(9), None);
    }

    #[test]
    fn nodes_are_judged_by_their_processes() {
        let node = |host: &str, pid: u32| json!({"hostname": host, "pid": pid});
        let own = node("here", std::process::id());
        let root = Some(rustix::process::geteuid().is_root());
        assert_eq!(nodes_are_root(&[own.clone(), node("there", 1)], "here"), root);
        assert_eq!(nodes_are_root(&[node("here", u32::MAX)], "here"), None);
        assert_eq!(nodes_are_root(&[own], "there"), None);
    }
}
