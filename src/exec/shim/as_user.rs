//! Starts a command as another user.
//!
//! The standard library can set the user and the group of a new process, but not its supplementary
//! groups; the alternatives are unstable or unsafe. So the shim starts this program once more with
//! the arguments below. The new process switches to the user, which is safe while it has one
//! thread, and executes the command. The arguments before the command's own are only numbers and
//! paths, and every variable is passed under a prefixed name, so none of them affects this program
//! while it is still root.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::wire::{Credentials, Spawn};

/// Separates the arguments that select the shim from the command.
const MARK: [&str; 2] = ["--", "as-user"];
/// Prefix of each variable's name.
const PREFIX: &str = "as_user_";
/// The exit code of shells for a command that cannot be run.
const NOT_RUN: u8 = 126;
/// The exit code of shells for a command that does not exist.
const NOT_FOUND: u8 = 127;

/// A command line that starts this program to run a spawn under other credentials.
pub(super) fn command(spawn: &Spawn, credentials: &Credentials) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let groups: Vec<String> = credentials.groups.iter().map(u32::to_string).collect();
    command
        .arg0("punctual")
        .args(std::env::args_os().skip(1))
        .args(MARK)
        .args([credentials.uid.to_string(), credentials.gid.to_string(), groups.join(",")])
        .args([&spawn.folder, &spawn.program])
        .args(&spawn.argv)
        .env_clear()
        .envs(spawn.env.iter().map(|(name, value)| (format!("{PREFIX}{name}"), value)));
    command
}

/// Parses the arguments of such a start. None: the arguments are those of something else.
pub(super) fn order(arguments: &[OsString]) -> Option<UserCommand> {
    let at = arguments.windows(2).position(|pair| pair == MARK)?;
    let mut rest = arguments.get(at + 2..)?.iter().cloned();
    let mut number = || rest.next()?.to_str()?.parse().ok();
    let (uid, gid) = (number()?, number()?);
    let groups = rest.next()?.to_str()?.to_owned();
    let groups = groups.split(',').filter(|group| !group.is_empty());
    let groups = groups.map(|group| group.parse().ok()).collect::<Option<_>>()?;
    Some(UserCommand {
        credentials: Credentials { uid, gid, groups },
        folder: rest.next()?,
        program: rest.next()?,
        name: rest.next()?,
        arguments: rest.collect(),
    })
}

/// The command to execute and its user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UserCommand {
    credentials: Credentials,
    folder: OsString,
    program: OsString,
    name: OsString,
    arguments: Vec<OsString>,
}

impl UserCommand {
    /// Executes the command. Returns only on an error: prints it to the command's output and
    /// returns the corresponding exit code.
    pub(super) fn carry_out(self) -> ExitCode {
        let (code, why) = self.run();
        let _ = writeln!(io::stderr(), "punctual: {why}");
        ExitCode::from(code)
    }

    fn run(self) -> (u8, String) {
        let shown = self.name.to_string_lossy().into_owned();
        if let Err(error) = take_on(&self.credentials) {
            let uid = self.credentials.uid;
            return (NOT_RUN, format!("cannot become user {uid}: {error}"));
        }
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.as_bytes().strip_prefix(PREFIX.as_bytes())?;
            Some((OsStr::from_bytes(name).to_owned(), value))
        });
        // After the switch of the user, because root may have no access to a network home.
        if let Err(error) = std::env::set_current_dir(&self.folder) {
            let folder = self.folder.to_string_lossy();
            return (NOT_RUN, format!("cannot start `{shown}` in `{folder}`: {error}"));
        }
        let variables: Vec<(OsString, OsString)> = variables.collect();
        let error = Command::new(&self.program)
            .arg0(&self.name)
            .args(&self.arguments)
            .env_clear()
            .envs(variables)
            .exec();
        let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN };
        (code, format!("cannot start `{shown}`: {error}"))
    }
}

/// Switches to the user. The groups come first, because only root can set them.
fn take_on(credentials: &Credentials) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(credentials.uid), Gid::from_raw(credentials.gid));
    let groups: Vec<Gid> = credentials.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_given() {
        let spawn = Spawn {
            id: 1,
            start_by: crate::exec::BootInstant(0),
            program: "/bin/sh".to_owned(),
            argv: ["sh", "-c", "--", "as-user", ""].map(str::to_owned).to_vec(),
            env: vec![("LD_PRELOAD".to_owned(), "/x".to_owned())],
            folder: "/home/a b".to_owned(),
            stdin: String::new(),
            open_files: None,
            user: None,
        };
        let credentials = Credentials { uid: 7, gid: 8, groups: vec![8, 27] };
        let command = command(&spawn, &credentials);
        let arguments: Vec<OsString> = command.get_args().map(OsStr::to_owned).collect();
        let order = order(&arguments).unwrap();
        assert_eq!(order.credentials, credentials);
        assert_eq!(
            (order.folder.to_str(), order.program.to_str()),
            (Some("/home/a b"), Some("/bin/sh"))
        );
        assert_eq!(order.name, "sh");
        assert_eq!(order.arguments, ["-c", "--", "as-user", ""]);
        let names: Vec<&OsStr> = command.get_envs().map(|(name, _)| name).collect();
        assert_eq!(names, ["as_user_LD_PRELOAD"]);
        assert_eq!(super::order(&[OsString::from("shim")]), None);
    }
}
