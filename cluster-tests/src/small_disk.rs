//! A small disk for one node: an ext4 image, which can be filled and frozen.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::TestResult;

/// A disk that is mounted until it is dropped.
///
/// Drop it before the cluster that uses it: a node with a frozen disk does not end before the disk
/// is thawed, not even by `kill -9`.
#[derive(Debug)]
pub struct SmallDisk {
    place: PathBuf,
    frozen: bool,
}

impl SmallDisk {
    /// Creates an empty disk of this size in MiB in the file `image` and mounts it at `place`.
    ///
    /// # Errors
    /// The reason why this machine or user cannot. A test that needs the disk is then skipped.
    pub fn mount(image: &Path, place: &Path, mib: u64) -> TestResult<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root may mount".into());
        }
        File::create(image)?.set_len(mib << 20)?;
        fs::create_dir_all(place)?;
        // No blocks are reserved for root, because the node runs as root too.
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(place))?;
        Ok(Self { place: place.to_owned(), frozen: false })
    }

    /// Fills it except for this number of bytes.
    ///
    /// # Errors
    /// It cannot be filled.
    pub fn fill(&self, left: u64) -> TestResult<()> {
        let seen = statvfs(&self.place)?;
        let free = seen.f_bavail.saturating_mul(seen.f_frsize);
        let ballast = File::create(self.ballast())?;
        Ok(fallocate(&ballast, FallocateFlags::empty(), 0, free.saturating_sub(left))?)
    }

    /// Frees the space again.
    ///
    /// # Errors
    /// It was not filled.
    pub fn free(&self) -> TestResult<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }

    /// From now on, writes to it block.
    ///
    /// # Errors
    /// Errors of `fsfreeze`.
    pub fn freeze(&mut self) -> TestResult<()> {
        run(Command::new("fsfreeze").arg("--freeze").arg(&self.place))?;
        self.frozen = true;
        Ok(())
    }

    /// Lets blocked writes continue.
    ///
    /// # Errors
    /// It is not frozen.
    pub fn thaw(&mut self) -> TestResult<()> {
        self.frozen = false;
        run(Command::new("fsfreeze").arg("--unfreeze").arg(&self.place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.frozen {
            let _thawed = self.thaw();
        }
        // Lazily, because a node may still have it open. The loop device is removed with the last
        // user.
        let _gone = run(Command::new("umount").arg("--lazy").arg(&self.place));
    }
}

fn run(command: &mut Command) -> TestResult<()> {
    let ended = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match ended.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&ended.stderr)).into()),
    }
}
