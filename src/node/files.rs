//! Reads the files of tasks and calendars: at start, when they change, and when it is asked to.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

#[cfg(feature = "cli")]
use crate::config::watch::FilesWatch;
use crate::ops::Context;
use crate::ops::files::{self, FileSet, FilesOutcome};

/// Without a change, a node looks again this often at whose definitions are in force, and at files
/// that it cannot watch.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// What the cluster did not take is tried again after this.
const RETRY: Duration = Duration::from_millis(500);
/// What changes is read when it has rested for this long.
#[cfg(feature = "cli")]
const REST: Duration = Duration::from_millis(200);
/// But at the latest after this.
#[cfg(feature = "cli")]
const REST_MAX: Duration = Duration::from_secs(2);

/// Makes a node read its files again. Clones ask the same node.
#[derive(Clone, Debug)]
pub struct FilesReload(watch::Sender<u64>);

impl FilesReload {
    pub(super) fn new() -> Self {
        Self(watch::channel(0).0)
    }

    /// Asks the node to read the files of `tasks.path` and `calendars.path`.
    pub fn reload(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// Follows the files of a node.
pub(super) async fn follow(context: Arc<Context>, reload: FilesReload) -> Infallible {
    let mut asked = reload.0.subscribe();
    if context.files.paths().is_empty() {
        // The only node of a cluster tells when there is another one.
        while !matches!(files::tell_none(&context).await, Ok(true)) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        return std::future::pending().await;
    }
    let mut told = FilesNotes::default();
    loop {
        // Watched before they are read, so that no change is missed.
        let mut changes = FileChanges::start(&context, &mut told);
        read(&context, &mut told).await;
        loop {
            let (pause, again) = match files::step(&context).await {
                Ok(outcome) => {
                    told.outcome(outcome);
                    (LOOK_AGAIN, !changes.watched())
                }
                Err(problem) => {
                    tracing::debug!("files: {}", problem.detail());
                    (RETRY, false)
                }
            };
            tokio::select! {
                () = changes.changed() => {
                    changes.rest().await;
                    break;
                }
                _ = asked.changed() => break,
                () = tokio::time::sleep(pause) => if again { break },
            }
        }
    }
}

/// Reads the files, and checks what they define as soon as the state can be read.
async fn read(context: &Arc<Context>, told: &mut FilesNotes) {
    loop {
        let own = Arc::clone(context);
        let reading = tokio::task::spawn_blocking(move || FileSet::read(&own.files)).await;
        let reading = reading.unwrap_or_else(|error| Err(vec![format!("reading: {error}")]));
        if let Err(problems) = &reading {
            // Told also where there is no cluster yet.
            told.problems(problems.clone());
        }
        match files::take(context, reading).await {
            Ok(problems) => return told.problems(problems),
            Err(problem) => tracing::debug!("files: {}", problem.detail()),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// What the log was told last, so that it is told once.
#[derive(Default)]
struct FilesNotes {
    problems: Vec<String>,
    outcome: Option<FilesOutcome>,
    unwatched: Option<String>,
}

impl FilesNotes {
    fn problems(&mut self, problems: Vec<String>) {
        if self.problems == problems {
            return;
        }
        for problem in &problems {
            tracing::error!("{problem}");
        }
        match problems.len() {
            0 => tracing::info!("the files of tasks have no problems any more"),
            count => tracing::error!(
                count,
                "the files of tasks have problems: nothing of them is changed in the cluster"
            ),
        }
        self.problems = problems;
    }

    fn outcome(&mut self, outcome: FilesOutcome) {
        if let FilesOutcome::Different(nodes) = &outcome
            && self.outcome.as_ref() != Some(&outcome)
        {
            let nodes = if nodes.is_empty() { "none".to_owned() } else { nodes.join(", ") };
            tracing::warn!(
                nodes,
                "the files of this node define other tasks than those in force, which these nodes \
                 have; it changes nothing until a definition in its files changes"
            );
        }
        self.outcome = Some(outcome);
    }

    fn unwatched(&mut self, why: Option<String>) {
        if self.unwatched != why
            && let Some(why) = &why
        {
            let seconds = LOOK_AGAIN.as_secs();
            tracing::warn!(
                why,
                "the files of tasks cannot be watched; they are read every {seconds} s"
            );
        }
        self.unwatched = why;
    }
}

/// The changes of the files of a node. One without the command line does not watch them.
struct FileChanges {
    #[cfg(feature = "cli")]
    watch: Option<FilesWatch>,
}

#[cfg(feature = "cli")]
impl FileChanges {
    fn start(context: &Context, told: &mut FilesNotes) -> Self {
        let paths = context.files.paths();
        let watch = FilesWatch::start(paths.iter().map(std::path::PathBuf::as_path));
        told.unwatched(watch.as_ref().err().cloned());
        Self { watch: watch.ok() }
    }

    const fn watched(&self) -> bool {
        self.watch.is_some()
    }

    /// Waits for a change. One that comes while nobody waits is told to who waits next.
    async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until no other change follows.
    async fn rest(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let rest = async { while tokio::time::timeout(REST, watch.changed()).await.is_ok() {} };
        let _restless = tokio::time::timeout(REST_MAX, rest).await;
    }
}

#[cfg(not(feature = "cli"))]
impl FileChanges {
    fn start(_context: &Context, told: &mut FilesNotes) -> Self {
        told.unwatched(Some("built without the feature cli".to_owned()));
        Self {}
    }

    const fn watched(&self) -> bool {
        false
    }

    async fn changed(&mut self) {
        std::future::pending().await
    }

    fn rest(&mut self) -> std::future::Ready<()> {
        std::future::ready(())
    }
}
