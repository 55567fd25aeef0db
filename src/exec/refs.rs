//! References in definitions, resolved by the node that runs the attempt.
//!
//! `${env:NAME}` is a variable of the node's environment. `${file:PATH}` is a text file on its
//! disk, without the final line end. A second dollar sign in front leaves either unresolved. All
//! other text, such as `${HOME}` in a shell script, is left alone. Resolved text is not scanned
//! again.
//!
//! Everyone who may edit a task chooses its references, and the task's action can send the values
//! anywhere. So only variables and files that the node's settings list are resolved. A file is
//! checked by its real path, after all links, before it is opened: opening a device can have
//! effects, and opening a FIFO waits for its other end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat, fstat, fstatfs, open};
use tokio::sync::Semaphore;

use crate::config;
use crate::domain::task::{Action, HttpAction, ShellAction};

/// The largest file that a reference can name.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// Maximum number of concurrent file reads. A disk that does not respond, such as a network disk,
/// blocks at most this number of threads.
pub(super) const READERS: usize = 8;

/// Resolves the references that the settings allow.
pub(super) struct RefResolver {
    rules: Arc<RefRules>,
    pub(super) readers: Arc<Semaphore>,
}

/// The references that may be resolved.
struct RefRules {
    settings: config::RefSettings,
    /// The folder of the node's own files.
    data_dir: PathBuf,
}

impl RefResolver {
    pub(super) fn new(settings: config::RefSettings, data_dir: PathBuf) -> Self {
        let rules = Arc::new(RefRules { settings, data_dir });
        Self { rules, readers: Arc::new(Semaphore::new(READERS)) }
    }

    /// Returns the action with all its references resolved.
    ///
    /// # Errors
    /// A sentence with the reference, but never its value.
    pub(super) async fn action(&self, action: &Action) -> Result<Action, String> {
        Ok(match action {
            Action::Shell(shell) => {
                let mut argv = Vec::with_capacity(shell.argv.len());
                for argument in &shell.argv {
                    argv.push(self.resolve(argument).await?);
                }
                let env = self.values(&shell.env).await?;
                Action::Shell(ShellAction { argv, env, ..shell.clone() })
            }
            Action::Http(http) => {
                let headers = self.values(&http.headers).await?;
                let body = match &http.body {
                    Some(body) => Some(self.resolve(body).await?),
                    None => None,
                };
                Action::Http(HttpAction { headers, body, ..http.clone() })
            }
            Action::Executor(_) | Action::Func { .. } => action.clone(),
        })
    }

    async fn values(
        &self,
        map: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, String> {
        let mut out = BTreeMap::new();
        for (name, value) in map {
            out.insert(name.clone(), self.resolve(value).await?);
        }
        Ok(out)
    }

    /// The text with its references replaced.
    async fn resolve(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, reference) = rest.split_at(at);
            let Some((kind, name, after)) = split(reference) else {
                out.push_str(before);
                out.push_str("${");
                rest = reference.get(2..).unwrap_or_default();
                continue;
            };
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str(reference.strip_suffix(after).unwrap_or_default());
            } else {
                out.push_str(before);
                out.push_str(&self.value(kind, name).await?);
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    async fn value(&self, kind: RefKind, name: &str) -> Result<String, String> {
        match kind {
            RefKind::Env if !self.rules.settings.names(name) => {
                Err(format!("${{env:{name}}}: actions.refs.env of this node does not allow it"))
            }
            RefKind::Env => std::env::var(name)
                .map_err(|_error| format!("${{env:{name}}}: not set in this node's environment")),
            RefKind::File => {
                self.file(name.to_owned()).await.map_err(|why| format!("${{file:{name}}}: {why}"))
            }
        }
    }

    async fn file(&self, path: String) -> Result<String, String> {
        let readers = Arc::clone(&self.readers);
        let permit = readers.acquire_owned().await.map_err(|error| error.to_string())?;
        let rules = Arc::clone(&self.rules);
        let reading = tokio::task::spawn_blocking(move || {
            let _while_it_reads = permit;
            rules.read(Path::new(&path))
        });
        reading.await.map_err(|error| error.to_string())?
    }
}

impl RefRules {
    /// The content of a file, if it is allowed.
    fn read(&self, path: &Path) -> Result<String, String> {
        // Check the path as written first, so that not even the existence of a forbidden file is
        // visible.
        if !config::is_plain(path) {
            return Err("must be an absolute path without `..`".to_owned());
        }
        if !self.settings.files.iter().any(|files| files.cover(path)) {
            return Err("actions.refs.files of this node does not allow it".to_owned());
        }
        let no_file = |error: rustix::io::Errno| std::io::Error::from(error).to_string();
        let place = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(no_file)?;
        let stat = fstat(&place).map_err(no_file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err("is no regular file".to_owned());
        }
        let link = format!("/proc/self/fd/{}", place.as_raw_fd());
        let real = std::fs::read_link(&link)
            .map_err(|error| format!("cannot tell where it lies: {error}"))?;
        self.allow(&place, &real, &stat)?;
        // Open the same file by its descriptor, because the path may have changed.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(open(link.as_str(), flags, Mode::empty()).map_err(no_file)?);
        let mut text = String::new();
        file.take(FILE_MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        if text.len() as u64 > FILE_MAX_BYTES {
            return Err("larger than 1 MiB".to_owned());
        }
        // A file with a secret ends with a line end that is not part of the secret.
        let bare = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
        Ok(bare.map(str::to_owned).unwrap_or(text))
    }

    /// Checks a regular file by its real path.
    fn allow(&self, place: &OwnedFd, real: &Path, stat: &Stat) -> Result<(), String> {
        let kernel = config::KERNEL_FOLDERS.iter().any(|folder| real.starts_with(folder))
            || fstatfs(place).is_ok_and(|system| system.f_type == PROC_SUPER_MAGIC);
        let data_dir = self.data_dir.canonicalize().unwrap_or_else(|_| self.data_dir.clone());
        if kernel || real.starts_with(data_dir) || self.is_secret(stat) {
            return Err("is never handed out, whatever actions.refs.files says".to_owned());
        }
        let files = self.settings.files.iter().filter_map(config::RefFiles::resolved);
        if files.into_iter().any(|files| files.cover(real)) {
            return Ok(());
        }
        let real = real.display();
        Err(format!("leads to {real}, which actions.refs.files of this node does not allow"))
    }

    /// Whether it is a file with the node's own secrets, under any name.
    fn is_secret(&self, stat: &Stat) -> bool {
        self.settings.secret_files.iter().any(|secret| {
            std::fs::metadata(secret)
                .is_ok_and(|secret| (secret.dev(), secret.ino()) == (stat.st_dev, stat.st_ino))
        })
    }
}

#[derive(Clone, Copy)]
enum RefKind {
    Env,
    File,
}

/// Splits `${kind:name}after`.
fn split(reference: &str) -> Option<(RefKind, &str, &str)> {
    let (kind, rest) = if let Some(rest) = reference.strip_prefix("${env:") {
        (RefKind::Env, rest)
    } else {
        (RefKind::File, reference.strip_prefix("${file:")?)
    };
    let (name, after) = rest.split_once('}')?;
    Some((kind, name, after))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refs(folder: &Path, files: &[&str], env: &[&str]) -> RefResolver {
        let settings = config::RefSettings {
            files: files.iter().map(|text| config::RefFiles::parse(text).unwrap()).collect(),
            env: env.iter().map(|text| config::actions::RefNames::parse(text).unwrap()).collect(),
            secret_files: vec![folder.join("etc/secret")],
            secret_env: Vec::new(),
        };
        RefResolver::new(settings, folder.join("data"))
    }

    /// A folder with a data folder, and `etc/` with a secret and some files.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["data", "etc"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        for (name, text) in [
            ("outside", "outside"),
            ("data/identity", "identity"),
            ("etc/secret", "secret"),
            ("etc/key", "päss ${env:PATH}\r\n"),
        ] {
            std::fs::write(path.join(name), text).unwrap();
        }
        std::fs::write(path.join("etc/large"), vec![b'x'; (1 << 20) + 1]).unwrap();
        std::fs::hard_link(path.join("etc/secret"), path.join("etc/twin")).unwrap();
        for (target, name) in [
            ("../outside", "out"),
            ("../data/identity", "own"),
            ("/proc/self/environ", "environ"),
            ("key", "link"),
        ] {
            symlink(target, path.join("etc").join(name)).unwrap();
        }
        let fifo = path.join("etc/fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        folder
    }

    #[tokio::test]
    async fn references_are_replaced_and_all_else_is_left_alone() {
        let folder = folder();
        let etc = format!("{}/etc/", folder.path().display());
        let path = std::env::var("PATH").unwrap();
        let refs = refs(folder.path(), &[&etc], &["PA*"]);
        for (text, expected) in [
            ("", String::new()),
            ("plain $ { } $$ ${", "plain $ { } $$ ${".to_owned()),
            ("echo ${HOME} ${x:-y} ${env", "echo ${HOME} ${x:-y} ${env".to_owned()),
            ("a ${env:PATH} b", format!("a {path} b")),
            ("a $${env:PATH} b", "a ${env:PATH} b".to_owned()),
            ("$${HOME}", "$${HOME}".to_owned()),
            (&format!("Bearer ${{file:{etc}key}}!"), "Bearer päss ${env:PATH}!".to_owned()),
            (&format!("${{file:{etc}link}}"), "päss ${env:PATH}".to_owned()),
            (&format!("$${{file:{etc}key}}${{env:PATH}}"), format!("${{file:{etc}key}}{path}")),
        ] {
            assert_eq!(refs.resolve(text).await.unwrap(), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn nothing_is_handed_out_but_what_the_settings_name() {
        let folder = folder();
        let root = folder.path().display().to_string();
        let none = refs(folder.path(), &[], &[]);
        let some = refs(folder.path(), &[&format!("{root}/etc/")], &["PUNCTUAL_NO_SUCH_VARIABLE"]);
        let all = refs(folder.path(), &["/"], &["*"]);
        let file = |name: &str| format!("${{file:{root}/{name}}}");
        for (refs, text, part) in [
            (&none, "${env:PATH}".to_owned(), "${env:PATH}: actions.refs.env of this node"),
            (&none, file("etc/key"), "actions.refs.files of this node does not allow it"),
            (&none, file("etc/none"), "actions.refs.files of this node does not allow it"),
            (&some, "${env:PUNCTUAL_NO_SUCH_VARIABLE}".to_owned(), "not set in this node's"),
            (&some, "${env:PATH}".to_owned(), "actions.refs.env"),
            (&some, file("outside"), "actions.refs.files of this node does not allow it"),
            (&some, file("etc/../outside"), "without `..`"),
            (&some, "${file:etc/key}".to_owned(), "absolute"),
            (&some, file("etc/none"), "No such file"),
            (&some, file("etc/out"), "/outside, which actions.refs.files"),
            (&some, file("etc/"), "is no regular file"),
            (&some, file("etc/large"), "larger than 1 MiB"),
            (&some, file("etc/secret"), "never handed out"),
            (&some, file("etc/twin"), "never handed out"),
            (&some, file("etc/own"), "never handed out"),
            (&some, file("etc/environ"), "never handed out"),
            (&all, file("data/identity"), "never handed out"),
            (&all, "${file:/proc/self/environ}".to_owned(), "never handed out"),
            (&all, "${file:/dev/zero}".to_owned(), "is no regular file"),
            (&all, "${env:PUNCTUAL__CLUSTER__SECRET}".to_owned(), "actions.refs.env"),
        ] {
            let error = refs.resolve(&text).await.unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(all.resolve(&file("outside")).await.as_deref(), Ok("outside"));
    }

    #[test]
    fn a_file_that_does_not_answer_is_refused_at_once_and_holds_no_thread() {
        let folder = folder();
        let etc = format!("{}/etc/", folder.path().display());
        // One thread for blocking work. If a read blocked it, the second could not be answered, and
        // the runtime would not end.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let refs = refs(folder.path(), &[&etc], &[]);
        for _ in 0..20 {
            let error =
                runtime.block_on(refs.resolve(&format!("${{file:{etc}fifo}}"))).unwrap_err();
            assert!(error.contains("is no regular file"), "{error}");
        }
        assert_eq!(refs.readers.available_permits(), READERS);
    }
}
