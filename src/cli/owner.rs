//! The user whose files a data folder has. A command that writes there as another user would leave
//! files that the node cannot open.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};
use rustix::process::geteuid;

use super::exit::{Exit, Failure};

/// Refuses to write to a data folder as root if it is of another user, and to one that this user may
/// not look into. Other users write only where they are meant to.
///
/// # Errors
/// The folder is of another user, which the message names, or cannot be looked into.
pub fn expect(folder: &Path) -> Result<(), Failure> {
    let refused = |message: String| Err(Failure { exit: Exit::No, message });
    let shown = folder.display();
    match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return refused(format!(
                "nothing was done: {shown}: {error}\n  Type the command as the user of the node"
            ));
        }
        Ok(_) | Err(_) => {}
    }
    // A node may run as root in a folder of another user, where it has left files.
    let identity = fs::metadata(folder.join("identity")).ok();
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let nearest = || whole.ancestors().find_map(|path| fs::metadata(path).ok());
    let Some(owner) = identity.or_else(nearest).map(|found| found.uid()) else { return Ok(()) };
    if !is_of_another(geteuid().as_raw(), owner) {
        return Ok(());
    }
    let (user, sudo) = match User::from_uid(Uid::from_raw(owner)) {
        Ok(Some(user)) => (user.name.clone(), user.name),
        Ok(None) | Err(_) => (format!("#{owner}"), format!("'#{owner}'")),
    };
    let is_theirs = if folder.exists() { "is" } else { "would be in a folder" };
    refused(format!(
        "nothing was done: {shown} {is_theirs} of user {user}, and a node that runs as {user} could \
         not open what root writes there\n  Type the command as {user}, for example with: sudo -u \
         {sudo} punctual …, or give the folder to root"
    ))
}

/// Whether what this user writes to a folder of that one would be of the wrong user.
const fn is_of_another(own: u32, owner: u32) -> bool {
    own == 0 && owner != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_another_user_is_left_to_that_user() {
        // Others write where they may: a volume of root's with a group of theirs, for example.
        for (own, owner, refused) in
            [(0, 1_000, true), (0, 0, false), (1_000, 1_000, false), (1_000, 0, false)]
        {
            assert_eq!(is_of_another(own, owner), refused, "{own} {owner}");
        }
    }

    #[test]
    fn the_message_names_the_user() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(expect(folder.path()), Ok(()));
        if !geteuid().is_root() {
            crate::skip::skipped("only root can give a folder to another user");
            return;
        }
        let nobody = User::from_name("nobody").unwrap().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(nobody.uid.as_raw()), None).unwrap();
        for path in [folder.path().to_owned(), folder.path().join("n1")] {
            let message = expect(&path).unwrap_err().message;
            assert!(message.contains("of user nobody"), "{message}");
            assert!(message.contains("sudo -u nobody"), "{message}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // A node that runs as root has been there.
        fs::write(folder.path().join("identity"), "").unwrap();
        assert_eq!(expect(folder.path()), Ok(()));
    }
}
