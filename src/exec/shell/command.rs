//! Converts a shell action to a spawn order for the shim: resolves user, folder and program, and
//! builds the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::user::{UnixUser, UserLookup};
use crate::domain::task::ShellAction;
use crate::exec::attempt::GrantedAttempt;
use crate::exec::shim::wire::Spawn;

/// Variables that a command inherits from the node: those needed to find programs and for the
/// locale, and none that could be a secret.
const INHERITED: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ",
    "TMPDIR",
];
/// The default `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// "No such file or directory".
const ENOENT: i32 = 2;

/// The node's folders that commands need.
#[derive(Clone)]
pub(in crate::exec) struct Folders {
    /// The data folder.
    pub(in crate::exec) data: PathBuf,
    /// The default working folder of commands. It may be inside the data folder.
    pub(in crate::exec) work: PathBuf,
}

impl Folders {
    /// Checks a working folder that a command names. It must not be in the data folder, so that
    /// relative paths do not hit the node's files. Whether it exists is checked by the spawn.
    fn allowed(&self, folder: &str) -> Result<String, String> {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let named = real(Path::new(folder));
        if named.starts_with(real(&self.data)) && !named.starts_with(real(&self.work)) {
            let work = self.work.display();
            return Err(format!(
                "`cwd` `{folder}` lies in the node's data folder, of which only `{work}` may be a \
                 working folder"
            ));
        }
        Ok(folder.to_owned())
    }

    fn work(&self) -> Result<String, String> {
        let work = self.work.to_str().ok_or("the work folder's name is no text")?;
        Ok(work.to_owned())
    }
}

/// Builds the spawn order of a resolved action. The connection assigns its id. `own` is the node's
/// own user.
///
/// # Errors
/// A sentence with the cause.
pub(super) async fn prepare(
    action: &ShellAction,
    attempt: &GrantedAttempt,
    users: &UserLookup,
    own: &UnixUser,
    folders: &Folders,
) -> Result<Spawn, String> {
    let argv = action.argv.clone();
    let user = match &action.user {
        Some(name) => Some(users.find(name).await?),
        None => None,
    };
    let mut env = base(own, |name| std::env::var(name).ok());
    env.extend(user.iter().flat_map(identity));
    env.extend(action.env.clone());
    // Last, so that the action cannot override the identity of the attempt.
    env.extend(attempt.environment());
    check(&argv, &env)?;
    let name = argv.first().ok_or("the command is empty")?.clone();
    let path = env.get("PATH").map_or(PATH, String::as_str).to_owned();
    let (cwd, home, folders) =
        (action.cwd.clone(), user.as_ref().map(UnixUser::folder), folders.clone());
    // An unresponsive file system blocks only this thread.
    let found = tokio::task::spawn_blocking(move || {
        let folder = match (cwd, home) {
            (Some(folder), _) => folders.allowed(&folder)?,
            (None, Some(home)) => home,
            (None, None) => folders.work()?,
        };
        let program =
            locate(&name, &path).ok_or_else(|| format!("program `{name}` not found in {path}"))?;
        Ok::<_, String>((folder, program))
    });
    let (folder, program) = found.await.map_err(|error| error.to_string())??;
    Ok(Spawn {
        id: 0,
        start_by: attempt.start_by,
        program,
        argv,
        env: env.into_iter().collect(),
        folder,
        stdin: action.stdin.clone(),
        open_files: None,
        user: user.and_then(|user| user.credentials),
    })
}

/// Explains why the system refused to start the command.
pub(super) fn refusal(
    action: &ShellAction,
    folder: &str,
    code: Option<i32>,
    error: &str,
) -> String {
    let name = action.argv.first().map_or("", String::as_str);
    if !Path::new(folder).is_dir() {
        return format!("cannot start `{name}` in `{folder}`: it is no folder");
    }
    if code == Some(ENOENT) {
        return format!("cannot start `{name}`: the program, or its interpreter, does not exist");
    }
    format!("cannot start `{name}` in `{folder}`: {error}")
}

/// The base environment of every command: the inherited variables of the node, and defaults from
/// the node's own user for the variables about the user.
fn base(own: &UnixUser, node: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = identity(own).into();
    env.insert("PATH".to_owned(), PATH.to_owned());
    let inherited = INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), node(name)?)))
        .filter(|(_name, value)| !value.is_empty());
    env.extend(inherited);
    env
}

fn identity(user: &UnixUser) -> [(String, String); 4] {
    [("HOME", &user.home), ("USER", &user.name), ("LOGNAME", &user.name), ("SHELL", &user.shell)]
        .map(|(name, value)| (name.to_owned(), value.clone()))
}

/// The system rejects zero bytes, and `=` in a variable's name.
fn check(argv: &[String], env: &BTreeMap<String, String>) -> Result<(), String> {
    if argv.iter().any(|argument| argument.contains('\0')) {
        return Err("an argument contains a zero byte".to_owned());
    }
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("`{name}` cannot be the name of an environment variable"));
        }
        if value.contains('\0') {
            return Err(format!("the environment variable `{name}` contains a zero byte"));
        }
    }
    Ok(())
}

/// The program's path. Unchanged if it has a slash, else the first executable in `PATH`.
fn locate(name: &str, path: &str) -> Option<String> {
    if name.contains('/') {
        return Some(name.to_owned());
    }
    let folders = path.split(':').filter(|folder| !folder.is_empty() && !name.is_empty());
    folders
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| access(path.as_str(), Access::EXEC_OK).is_ok() && !Path::new(path).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_always_has_a_user_a_shell_and_a_path() {
        let own = UnixUser {
            name: "svc".to_owned(),
            home: "/srv".to_owned(),
            shell: "/bin/false".to_owned(),
            credentials: None,
        };
        let shown = |node: &[(&str, &str)]| {
            let node: BTreeMap<_, _> = node.iter().copied().collect();
            let env = base(&own, |name| node.get(name).map(|value| (*value).to_owned()));
            env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        let path = format!("PATH={PATH}");
        assert_eq!(shown(&[]), format!("HOME=/srv LOGNAME=svc {path} SHELL=/bin/false USER=svc"));
        assert_eq!(
            shown(&[("HOME", "/h"), ("PATH", "/p"), ("LANG", ""), ("TZ", "UTC"), ("AWS_KEY", "k")]),
            "HOME=/h LOGNAME=svc PATH=/p SHELL=/bin/false TZ=UTC USER=svc"
        );
    }
}
