//! Control sockets: they connect a second terminal to the nodes of the first. The protocol is one
//! line of request and one line of response.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::children::Children;

/// Time limit for a request and its response.
const LIMIT: Duration = Duration::from_secs(20);
/// Name of the socket in a data folder.
const NAME: &str = "control.sock";

/// The location of a socket.
#[derive(Clone, Debug)]
pub(super) enum SocketPlace {
    /// In the temporary folder, with the user id and the first port in its name.
    Port(u16),
    /// In this data folder.
    Folder(PathBuf),
}

impl SocketPlace {
    /// The path of the socket. It is valid while the returned file is open.
    fn open(&self) -> io::Result<(PathBuf, Option<File>)> {
        match self {
            Self::Port(port) => {
                let user = rustix::process::getuid().as_raw();
                let name = format!("punctual-dev-{user}-{port}.sock");
                Ok((std::env::temp_dir().join(name), None))
            }
            Self::Folder(folder) => {
                let folder = File::open(folder)?;
                // A socket path is limited to 107 bytes, but a folder's path may be longer.
                let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
                Ok((path.join(NAME), Some(folder)))
            }
        }
    }
}

/// A control socket. Dropping it removes the file.
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    _folder: Option<File>,
}

impl ControlSocket {
    /// Creates the socket.
    ///
    /// # Errors
    /// Another dev cluster uses it, or the location is not writable.
    pub async fn bind(place: &SocketPlace) -> io::Result<Self> {
        let (path, folder) = place.open()?;
        if UnixStream::connect(&path).await.is_ok() {
            return Err(io::Error::other(match place {
                SocketPlace::Port(port) => format!(
                    "a dev cluster with --port {port} runs already\n  Choose another --port, or end \
                     it first."
                ),
                SocketPlace::Folder(folder) => {
                    format!(
                        "a dev cluster with --data {} runs already\n  Choose another --data, or end \
                         it first.",
                        folder.display()
                    )
                }
            }));
        }
        // A socket without a listener was left by a dev cluster that was killed.
        let _gone = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("the control socket cannot be made: {error}"))
        })?;
        Ok(Self { listener, path, _folder: folder })
    }

    /// Serves the socket. Returns only on an error.
    pub async fn serve(&self, children: &Arc<Mutex<Children>>) -> io::Error {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => return error,
            };
            let children = Arc::clone(children);
            tokio::spawn(async move {
                let _gone = timeout(LIMIT, answer(stream, &children)).await;
            });
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

async fn answer(stream: UnixStream, children: &Mutex<Children>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    let answer = match children.lock().await.act(line.trim()).await {
        Ok(done) => format!("ok {done}\n"),
        Err(why) => format!("{why}\n"),
    };
    write.write_all(answer.as_bytes()).await
}

/// Sends a request to the dev cluster of this socket.
pub(super) async fn ask(place: &SocketPlace, line: &str) -> io::Result<String> {
    let asking = async {
        let (path, _folder) = place.open()?;
        let stream = UnixStream::connect(path).await?;
        let (read, mut write) = stream.into_split();
        write.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(read).read_line(&mut answer).await?;
        Ok(answer.trim_end().to_owned())
    };
    timeout(LIMIT, asking).await.map_err(io::Error::from)?
}

#[cfg(test)]
mod tests {
    use super::super::super::children::Flavour;
    use super::*;

    #[tokio::test]
    async fn a_socket_is_found_by_its_folder_and_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(150));
        std::fs::create_dir(&deep).unwrap();
        let place = SocketPlace::Folder(deep.clone());
        assert!(ask(&place, "kill n1").await.is_err(), "there is no listener");
        std::fs::write(deep.join(NAME), "left over").unwrap();
        let control = ControlSocket::bind(&place).await.unwrap();
        let again = ControlSocket::bind(&place).await.err().unwrap().to_string();
        assert!(again.contains("runs already\n  Choose another --data"), "{again}");
        let children = Children::new(&deep, &[(10_000, 9_000)], &Flavour::default()).unwrap();
        let children = Arc::new(Mutex::new(children));
        tokio::select! {
            ended = control.serve(&children) => panic!("{ended}"),
            said = ask(&place, "kill n7") => assert_eq!(said.unwrap(), "there is no node n7; name one from n1 to n1"),
        }
        drop(control);
        assert!(!deep.join(NAME).exists());
        assert!(ControlSocket::bind(&SocketPlace::Folder(deep.join("none"))).await.is_err());
    }
}
