//! The user whose files a data folder has. A command that writes there as another user would leave
//! files that the node cannot open.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};
use rustix::process::geteuid;

use super::exit::{Exit, Failure};

/// Refuses to write to a data folder that is not of this user.
///
/// # Errors
/// The folder is of another user, which the message names.
pub fn expect(folder: &Path) -> Result<(), Failure> {
    let exists = folder.exists();
    let nearest = folder.ancestors().find_map(|path| fs::metadata(path).ok());
    let Some(owner) = nearest.map(|found| found.uid()) else { return Ok(()) };
    if !is_of_another(geteuid().as_raw(), owner, exists) {
        return Ok(());
    }
    let user = match User::from_uid(Uid::from_raw(owner)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("#{owner}"),
    };
    let folder = folder.display();
    let is_theirs = if exists { "is" } else { "would be in a folder" };
    let message = format!(
        "nothing was done: {folder} {is_theirs} of user {user}, and a node that runs as {user} \
         could not open what another user writes there\n  Type the command as {user}, for example \
         with: sudo -u {user} punctual …"
    );
    Err(Failure { exit: Exit::No, message })
}

/// Whether what this user writes to a folder of that one would be of the wrong user. A folder that
/// does not exist yet is in one of that user, which says something only for root: it can write
/// everywhere, and others only where they are meant to.
const fn is_of_another(own: u32, owner: u32, exists: bool) -> bool {
    own != owner && (exists || own == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_another_user_is_left_to_that_user() {
        for (own, owner, exists, refused) in [
            (1_000, 1_000, true, false),
            (0, 0, true, false),
            (0, 1_000, true, true),
            (1_001, 1_000, true, true),
            (1_000, 0, true, true),
            // Not there yet: in a folder of the service's user, of its own, and below /var/lib.
            (0, 1_000, false, true),
            (1_000, 1_000, false, false),
            (1_000, 0, false, false),
            (0, 0, false, false),
        ] {
            assert_eq!(is_of_another(own, owner, exists), refused, "{own} {owner} {exists}");
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
    }
}
