//! Users by name, from the machine's own list.

use std::fs;

/// The list; users that live elsewhere (LDAP and the like) are not known here.
const LIST: &str = "/etc/passwd";

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
    pub(super) shell: String,
}

/// The user, if this process may act as one.
///
/// # Errors
/// If this process is not root, or there is no such user.
pub(super) fn find(name: &str) -> Result<User, String> {
    if !rustix::process::geteuid().is_root() {
        return Err(format!("user `{name}`: only a node that runs as root can change users"));
    }
    let list = fs::read_to_string(LIST).map_err(|error| format!("{LIST}: {error}"))?;
    search(&list, name).ok_or_else(|| format!("user `{name}` is not in {LIST}"))
}

/// As whom this process can start others beside itself: everybody on the list, if it is root.
pub(in crate::exec) fn names() -> Vec<String> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    named(&fs::read_to_string(LIST).unwrap_or_default())
}

/// Everybody who can be found in a list, by name.
fn named(list: &str) -> Vec<String> {
    let names = list.lines().filter_map(|line| line.split(':').next());
    let mut known: Vec<String> =
        names.filter(|name| search(list, name).is_some()).map(str::to_owned).collect();
    known.sort_unstable();
    known.dedup();
    known
}

fn search(list: &str, name: &str) -> Option<User> {
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next().filter(|found| *found == name && !name.is_empty())?;
        let _password = fields.next()?;
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let _comment = fields.next()?;
        let home = fields.next().filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
        let shell = fields.next().filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh").to_owned();
        Some(User { name: found.to_owned(), uid, gid, home, shell })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let list = "root:x:0:0:root:/root:/bin/bash\nbad:x:x:1::/:\nww:x:1:1::/:\n\
                    www:x:33:34:w:/var/www:\nbare:x:5:6::";
        let www = search(list, "www").unwrap();
        assert_eq!((www.uid, www.gid), (33, 34));
        assert_eq!((www.home.as_str(), www.shell.as_str()), ("/var/www", "/bin/sh"));
        assert_eq!(search(list, "bare").unwrap().home, "/");
        assert_eq!(named(list), ["bare", "root", "ww", "www"]);
        for none in ["", "bad", "w", "nobody", "root:x"] {
            assert_eq!(search(list, none), None, "{none}");
        }
    }
}
