//! Log output: text or JSON lines, on standard error or in rotating files.
//!
//! Only the binary uses this module. A program that embeds the library installs its own subscriber.
//! A separate thread writes the lines, so that a full pipe or a slow disk never blocks consensus.
//! If that thread is 128,000 lines behind, further lines are dropped.

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Compact, DefaultFields, Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::flood::Flood;

/// Log options of the binary.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The node's name, written to every line.
    pub node: String,
    /// Filter directives in the syntax of `tracing`: `warn,punctual=info`.
    pub directives: String,
    /// The line format. `None`: text on a terminal, otherwise JSON.
    pub form: Option<LineFormat>,
    /// The log file. `None`: standard error.
    pub file: Option<LogFile>,
}

/// The line format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// Human-readable text.
    Text,
    /// One JSON object per line.
    Json,
}

/// A rotating log file.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// Its path. The start time of each file is appended to the name.
    pub path: PathBuf,
    /// The rotation interval.
    pub every: Every,
    /// Number of files to keep; 0 keeps all.
    pub keep: usize,
}

/// The rotation interval of log files (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// No rotation.
    Never,
    /// One minute.
    Minute,
    /// One hour.
    Hour,
    /// One day.
    Day,
    /// One week.
    Week,
}

/// Why the log cannot be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is invalid.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The file cannot be opened.
    #[error("log.file: {0}")]
    File(String),
    /// The log of this process is already set up.
    #[error("the log is already set up")]
    Twice,
    /// The log has ended.
    #[error("the log has ended")]
    Ended,
}

/// The running log. Dropping it flushes pending lines.
pub struct RunningLog {
    filter: reload::Handle<Targets, Registry>,
    _writer: WorkerGuard,
}

impl RunningLog {
    /// Sets up the log of this process.
    ///
    /// # Errors
    /// The filter is invalid, the file cannot be opened, or the log is already set up.
    pub fn start(options: &LogOptions) -> Result<Self, LogError> {
        let terminal = options.file.is_none() && io::stderr().is_terminal();
        let form =
            options.form.unwrap_or(if terminal { LineFormat::Text } else { LineFormat::Json });
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (lines, guard) = match &options.file {
            None => tracing_appender::non_blocking(io::stderr()),
            Some(file) => tracing_appender::non_blocking(open(file)?),
        };
        let filter = filter(&options.directives)?;
        let (subscriber, filter) = subscriber::<NonBlocking>(options, form, color, filter, lines);
        subscriber.try_init().map_err(|_error| LogError::Twice)?;
        Ok(Self { filter, _writer: guard })
    }

    /// Changes the filter.
    ///
    /// # Errors
    /// The filter is invalid. The previous filter stays in effect.
    pub fn reload(&self, directives: &str) -> Result<(), LogError> {
        self.filter.reload(filter(directives)?).map_err(|_error| LogError::Ended)
    }
}

fn filter(directives: &str) -> Result<Targets, LogError> {
    Ok(directives.parse()?)
}

fn open(file: &LogFile) -> Result<RollingFileAppender, LogError> {
    let error = |rule: &str| LogError::File(format!("{}: {rule}", file.path.display()));
    let name = file.path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| error("must be the path of a file"))?;
    let folder = file.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    // The appender reports an error if the folder does not exist yet, so it is created first.
    std::fs::create_dir_all(folder).map_err(|cause| error(&cause.to_string()))?;
    let rotation = match file.every {
        Every::Never => Rotation::NEVER,
        Every::Minute => Rotation::MINUTELY,
        Every::Hour => Rotation::HOURLY,
        Every::Day => Rotation::DAILY,
        Every::Week => Rotation::WEEKLY,
    };
    let mut builder = RollingFileAppender::builder().rotation(rotation).filename_prefix(name);
    if file.keep > 0 && file.every != Every::Never {
        builder = builder.max_log_files(file.keep);
    }
    builder.build(folder).map_err(|cause| error(&cause.to_string()))
}

/// The subscriber and the handle of its filter.
fn subscriber<W>(
    options: &LogOptions,
    form: LineFormat,
    color: bool,
    filter: Targets,
    lines: W,
) -> (impl Subscriber + Send + Sync, reload::Handle<Targets, Registry>)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_ansi(color);
    let node = options.node.clone();
    let flood = Flood::default();
    let seen = flood.clone();
    let layer = match form {
        LineFormat::Text => {
            let format = TextLine { node, flood, format: Format::default().compact() };
            layer.fmt_fields(DefaultFields::new()).event_format(format).boxed()
        }
        LineFormat::Json => {
            let format = Format::default().json().flatten_event(true);
            let format = JsonLine { node, flood, format };
            layer.fmt_fields(JsonFields::new()).event_format(format).boxed()
        }
    };
    // The filter is directly on the registry, so that the handle's type does not depend on other
    // layers.
    (tracing_subscriber::registry().with(filter).with(seen).with(layer), handle)
}

/// `n1 2026-… INFO punctual::consensus: …`
struct TextLine {
    node: String,
    flood: Flood,
    format: Format<Compact>,
}

impl<S, N> FormatEvent<S, N> for TextLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{} ", self.node)?;
        match self.flood.left_out(event.metadata()) {
            0 => {}
            more => write!(writer, "[{more} of these lines were left out] ")?,
        }
        self.format.format_event(context, writer, event)
    }
}

/// `{"node":"n1","timestamp":"2026-…", …}`
struct JsonLine {
    node: String,
    flood: Flood,
    format: Format<Json>,
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let node = serde_json::Value::from(self.node.as_str());
        // An event's object is never empty, so a comma can follow.
        let rest = line.strip_prefix('{').unwrap_or(&line);
        match self.flood.left_out(event.metadata()) {
            0 => write!(writer, "{{\"node\":{node},{rest}"),
            more => write!(writer, "{{\"node\":{node},\"left_out\":{more},{rest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct WrittenLines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for WrittenLines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl WrittenLines {
        fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
        }
    }

    fn options(directives: &str) -> LogOptions {
        let directives = directives.to_owned();
        LogOptions { node: "n\"1".to_owned(), directives, form: None, file: None }
    }

    #[test]
    fn every_line_names_the_node_in_both_forms() {
        for form in [LineFormat::Text, LineFormat::Json] {
            let lines = WrittenLines::default();
            let writer = lines.clone();
            let options = options("info");
            let filter = filter(&options.directives).unwrap();
            let (subscriber, _handle) =
                subscriber(&options, form, false, filter, move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                let _span = tracing::info_span!("attempt", id = 7).entered();
                tracing::info!(target: "punctual::engine", task = "t\n", "started");
                tracing::debug!("not this");
            });
            let lines = lines.take();
            assert_eq!(lines.len(), 1, "{lines:?}");
            if form == LineFormat::Text {
                assert!(lines[0].starts_with("n\"1 2"), "{lines:?}");
                assert!(lines[0].contains("punctual::engine") && lines[0].contains("started"));
                assert!(lines[0].contains("id=7"), "{lines:?}");
            } else {
                let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
                assert_eq!(line["node"], "n\"1");
                assert_eq!(line["target"], "punctual::engine");
                assert_eq!((&line["message"], &line["task"]), (&"started".into(), &"t\n".into()));
                assert_eq!(line["span"]["id"], 7);
                assert_eq!(line["level"], "INFO");
            }
        }
    }

    #[test]
    fn a_fault_that_comes_back_does_not_fill_the_log() {
        let lines = WrittenLines::default();
        let writer = lines.clone();
        let options = options("info");
        let filter = filter(&options.directives).unwrap();
        let (subscriber, _handle) =
            subscriber(&options, LineFormat::Json, false, filter, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..500 {
                tracing::warn!(target: "punctual::engine", number, "again");
                tracing::info!(target: "punctual::api", number, "a change");
            }
        });
        let lines = lines.take();
        let count = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
        assert_eq!((count("again"), count("a change")), (30, 500));
    }

    #[test]
    fn the_filter_can_be_changed_while_running() {
        let lines = WrittenLines::default();
        let writer = lines.clone();
        let options = options("warn,punctual=info");
        let filter = filter(&options.directives).unwrap();
        let (subscriber, handle) =
            subscriber(&options, LineFormat::Text, false, filter, move || writer.clone());
        let (_never, guard) = tracing_appender::non_blocking(io::sink());
        let log = RunningLog { filter: handle, _writer: guard };
        tracing::subscriber::with_default(subscriber, || {
            let say = || {
                tracing::info!(target: "openraft::core", "library");
                tracing::warn!(target: "openraft::core", "library warning");
                tracing::info!(target: "punctual::engine", "engine");
                tracing::debug!(target: "punctual::consensus", "consensus");
                lines.take().len()
            };
            assert_eq!(say(), 2);
            log.reload("warn,punctual=info,punctual::consensus=debug").unwrap();
            assert_eq!(say(), 3);
            log.reload("warn,punctual=info,openraft=info").unwrap();
            assert_eq!(say(), 3);
            assert!(log.reload("punctual=loud").is_err());
            assert_eq!(say(), 3);
            log.reload("off").unwrap();
            assert_eq!(say(), 0);
        });
    }

    #[test]
    fn files_rotate_in_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/n1.log");
        let file = LogFile { path, every: Every::Day, keep: 2 };
        let mut appender = open(&file).unwrap();
        io::Write::write_all(&mut appender, b"line\n").unwrap();
        let names: Vec<_> = std::fs::read_dir(folder.path().join("logs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 1);
        assert!(names[0].starts_with("n1.log."), "{names:?}");

        let plain = LogFile { path: folder.path().join("plain.log"), every: Every::Never, keep: 2 };
        drop(open(&plain).unwrap());
        assert!(plain.path.exists());
        let bad = LogFile { path: PathBuf::from("/"), every: Every::Day, keep: 2 };
        assert!(matches!(open(&bad), Err(LogError::File(_))));
    }
}
