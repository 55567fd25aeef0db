//! The control socket: how a second terminal reaches the first one's nodes. One line is asked, one
//! answered.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::children::Children;

/// A question is asked and answered within this.
const LIMIT: Duration = Duration::from_secs(20);

/// One socket per user and first port.
fn path(port: u16) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("punctual-dev-{user}-{port}.sock"))
}

/// Takes the socket away.
pub(super) fn forget(port: u16) {
    let _gone = std::fs::remove_file(path(port));
}

/// Serves the socket; returns only when it cannot.
pub(super) async fn serve(port: u16, children: Arc<Mutex<Children>>) -> io::Error {
    let path = path(port);
    // A socket that nobody listens on is left over from a dev cluster that was killed.
    if UnixStream::connect(&path).await.is_err() {
        forget(port);
    }
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            let why = format!("a dev cluster with --port {port} runs already ({error})");
            return io::Error::other(why);
        }
    };
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return error,
        };
        let children = Arc::clone(&children);
        tokio::spawn(async move {
            let _gone = timeout(LIMIT, answer(stream, &children)).await;
        });
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

/// Asks the dev cluster that has this first port.
pub(super) async fn ask(port: u16, line: &str) -> io::Result<String> {
    let asking = async {
        let stream = UnixStream::connect(path(port)).await?;
        let (read, mut write) = stream.into_split();
        write.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(read).read_line(&mut answer).await?;
        Ok(answer.trim_end().to_owned())
    };
    timeout(LIMIT, asking).await.map_err(io::Error::from)?
}
