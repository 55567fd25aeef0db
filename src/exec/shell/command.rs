//! From a shell action to what the shim needs: references resolved, environment put together, the
//! program found.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::{Access, access};

use super::passwd;
use crate::domain::task::ShellAction;
use crate::exec::attempt::Attempt;
use crate::exec::refs::resolve;
use crate::exec::shim::wire::Spawn;

/// What a command gets of the node's own environment: enough to find programs and speak the
/// machine's language, nothing that could be a secret.
const INHERITED: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ",
    "TMPDIR",
];
/// Where programs are looked for if nothing else is said.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// "No such file or directory".
const ENOENT: i32 = 2;

/// Puts a spawn order together; its id is the link's to give.
///
/// # Errors
/// A sentence that names what stands in the way.
pub(super) async fn prepare(
    action: &ShellAction,
    attempt: &Attempt,
    data_dir: &Path,
) -> Result<Spawn, String> {
    let mut argv = Vec::with_capacity(action.argv.len());
    for argument in &action.argv {
        argv.push(resolve(argument).await?);
    }
    let user = action.user.as_deref().map(passwd::find).transpose()?;
    let mut env = base();
    if let Some(user) = &user {
        env.extend([
            ("HOME".to_owned(), user.home.clone()),
            ("USER".to_owned(), user.name.clone()),
            ("LOGNAME".to_owned(), user.name.clone()),
            ("SHELL".to_owned(), user.shell.clone()),
        ]);
    }
    for (name, value) in &action.env {
        env.insert(name.clone(), resolve(value).await?);
    }
    // Last: who the attempt is cannot be written over.
    env.extend(attempt.environment().map(|(name, value)| (name.to_owned(), value)));
    let folder = match (&action.cwd, &user) {
        (Some(folder), _) => folder.clone(),
        (None, Some(user)) if Path::new(&user.home).is_dir() => user.home.clone(),
        // Users of services often have none; cron runs their jobs here.
        (None, Some(_)) => "/".to_owned(),
        (None, None) => data_dir.to_str().ok_or("the data folder's name is no text")?.to_owned(),
    };
    check(&argv, &env)?;
    let name = argv.first().ok_or("the command is empty")?;
    let path = env.get("PATH").map_or(PATH, String::as_str);
    let program =
        find(name, path).ok_or_else(|| format!("program `{name}` not found in {path}"))?;
    Ok(Spawn {
        id: 0,
        start_by: attempt.start_by,
        program,
        argv,
        env: env.into_iter().collect(),
        folder,
        stdin: action.stdin.clone(),
        user: user.map(|user| (user.uid, user.gid)),
    })
}

/// Says what the system's refusal to start the command means.
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

fn base() -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect();
    env.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    env
}

/// The system takes no zero bytes, and no `=` in a variable's name.
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

/// The program's path: as it stands if it has a slash, else the first that can be run.
fn find(name: &str, path: &str) -> Option<String> {
    if name.contains('/') {
        return Some(name.to_owned());
    }
    let folders = path.split(':').filter(|folder| !folder.is_empty() && !name.is_empty());
    folders
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| access(path.as_str(), Access::EXEC_OK).is_ok() && !Path::new(path).is_dir())
}
