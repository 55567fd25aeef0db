//! Users of the machine, from any configured name service.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::{Gid, Uid, User, getgrouplist};
use rustix::process::geteuid;
use tokio::sync::Semaphore;

use crate::exec::shim::wire::Credentials;

/// Maximum number of concurrent lookups. An unresponsive directory service blocks that many
/// threads.
const LOOKUPS_MAX: usize = 8;

/// The user of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnixUser {
    pub(super) name: String,
    pub(super) home: String,
    pub(super) shell: String,
    /// The identity of the command's process. None: the user of this process.
    pub(super) credentials: Option<Credentials>,
}

impl UnixUser {
    /// The folder in which commands of this user run: the home folder if it exists, else `/`, as
    /// with cron. Service users often have no home folder.
    pub(super) fn folder(&self) -> String {
        if Path::new(&self.home).is_dir() { self.home.clone() } else { "/".to_owned() }
    }
}

/// Looks up users, a few at a time, on threads that may block.
pub(super) struct UserLookup {
    permits: Arc<Semaphore>,
}

impl Default for UserLookup {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl UserLookup {
    /// The user of this name, if this process can run commands as that user.
    ///
    /// # Errors
    /// There is no such user, or this process cannot run commands as that user.
    pub(super) async fn find(&self, name: &str) -> Result<UnixUser, String> {
        let name = name.to_owned();
        self.look_up(move || named(&name)).await?
    }

    /// The user of this process. If the machine does not know the user, its numeric id is the name.
    ///
    /// # Errors
    /// The lookup panicked.
    pub(super) async fn own(&self) -> Result<UnixUser, String> {
        self.look_up(own_now).await
    }

    async fn look_up<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|error| error.to_string())?;
        let looking = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            look()
        });
        looking.await.map_err(|error| error.to_string())
    }
}

fn named(name: &str) -> Result<UnixUser, String> {
    let found = User::from_name(name)
        .map_err(|error| format!("user `{name}` cannot be looked up: {error}"))?
        .ok_or_else(|| format!("this machine has no user `{name}`"))?;
    let own = geteuid().as_raw();
    if found.uid.as_raw() == own {
        return Ok(person(found, None));
    }
    if own != 0 {
        return Err(format!(
            "user `{name}`: only a node that runs as root, or as that user, can run this"
        ));
    }
    let name_c = CString::new(name).map_err(|error| error.to_string())?;
    let groups = getgrouplist(&name_c, found.gid)
        .map_err(|error| format!("the groups of user `{name}` cannot be looked up: {error}"))?;
    let credentials = Credentials {
        uid: found.uid.as_raw(),
        gid: found.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
    };
    Ok(person(found, Some(credentials)))
}

fn own_now() -> UnixUser {
    let uid = geteuid().as_raw();
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(found)) => person(found, None),
        Ok(None) | Err(_) => UnixUser {
            name: uid.to_string(),
            home: "/".to_owned(),
            shell: SHELL.to_owned(),
            credentials: None,
        },
    }
}

/// The users as whom this process can start commands, sorted: all users of the machine if it runs
/// as root, else only its own. None: the machine also uses other name services, which have no
/// lists.
pub(in crate::exec) fn names() -> Option<Vec<String>> {
    if !geteuid().is_root() {
        return Some(vec![own_now().name]);
    }
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    knows_files_only(&read(SOURCES)).then(|| named_in(&read(LIST)))
}

/// Whether the machine looks up users only in its own files.
fn knows_files_only(sources: &str) -> bool {
    let line = sources.lines().find_map(|line| line.trim_start().strip_prefix("passwd:"));
    let named = line.unwrap_or("files").split('#').next().unwrap_or_default();
    named
        .split_whitespace()
        .filter(|word| !word.starts_with('['))
        .all(|word| matches!(word, "files" | "compat" | "db" | "systemd"))
}

fn named_in(list: &str) -> Vec<String> {
    let whole = |line: &&str| {
        let fields: Vec<&str> = line.split(':').collect();
        let number = |at: usize| fields.get(at).is_some_and(|text| text.parse::<u32>().is_ok());
        number(2) && number(3)
    };
    let names = list.lines().filter(whole).filter_map(|line| line.split(':').next());
    let mut names: Vec<String> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The configuration file of the machine's name services.
const SOURCES: &str = "/etc/nsswitch.conf";
/// The file with the users of the machine.
const LIST: &str = "/etc/passwd";
/// The default shell of a user.
const SHELL: &str = "/bin/sh";

fn person(user: User, credentials: Option<Credentials>) -> UnixUser {
    let or = |text: String, instead: &str| if text.is_empty() { instead.to_owned() } else { text };
    UnixUser {
        name: user.name,
        home: or(user.dir.display().to_string(), "/"),
        shell: or(user.shell.display().to_string(), SHELL),
        credentials,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_listed_where_files_are_all_there_is() {
        let list = "root:x:0:0:root:/root:/bin/bash\nbad:x:x:1::/:\n:x:3:3::/:\n\
                    www:x:33:34:w:/var/www:\nbare:x:5:6::\n+::::::";
        assert_eq!(named_in(list), ["bare", "root", "www"]);
        for (sources, files) in [
            ("", true),
            ("# passwd: ldap\npasswd:   files systemd # ldap", true),
            ("group: sss\npasswd: files [SUCCESS=return] compat", true),
            ("passwd: files sss", false),
            ("passwd: ldap", false),
        ] {
            assert_eq!(knows_files_only(sources), files, "{sources}");
        }
        let own = own_now().name;
        assert!(names().is_none_or(|names| names.contains(&own)));
    }

    #[tokio::test]
    async fn users_are_found_by_their_whole_name() {
        let users = UserLookup::default();
        let own = users.own().await.unwrap();
        assert_eq!(own.credentials, None);
        assert_eq!(users.find(&own.name).await.unwrap(), own);
        for none in ["", "no such user", "root:x"] {
            let error = users.find(none).await.unwrap_err();
            assert!(error.contains("has no user"), "{none}: {error}");
        }
        let other = users.find("daemon").await;
        if geteuid().is_root() {
            let daemon = other.unwrap().credentials.unwrap();
            assert_eq!((daemon.uid, daemon.gid), (1, 1));
            assert!(daemon.groups.contains(&1));
        } else {
            assert!(other.unwrap_err().contains("only a node that runs as root"));
        }
    }
}
