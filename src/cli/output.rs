//! Everything that a command prints goes through here: data on standard output, talk on standard
//! error. There are no colours, so there is nothing for `NO_COLOR` to switch off.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

use super::local::LocalClock;
use super::table::Table;
use super::yaml;

/// The form of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// As the API answers.
    Json,
    /// The same, one item on each line.
    Jsonl,
    /// The same as YAML.
    Yaml,
}

/// Where and how a command prints.
pub struct Output {
    format: Format,
    headers: bool,
    clock: LocalClock,
    data: Box<dyn Write + Send>,
    talk: Box<dyn Write + Send>,
}

impl Output {
    /// Prints to the process's own streams.
    #[must_use]
    pub fn standard(format: Format, headers: bool, clock: LocalClock) -> Self {
        let (data, talk) = (Box::new(io::stdout()), Box::new(io::stderr()));
        Self { format, headers, clock, data, talk }
    }

    /// Prints to these.
    #[must_use]
    pub fn to(
        format: Format,
        clock: LocalClock,
        data: Box<dyn Write + Send>,
        talk: Box<dyn Write + Send>,
    ) -> Self {
        Self { format, headers: true, clock, data, talk }
    }

    /// The clock by which times are shown.
    #[must_use]
    pub fn clock(&self) -> &LocalClock {
        &self.clock
    }

    /// Whether people read the data.
    #[must_use]
    pub fn for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Says something beside the data, on a line of its own.
    pub fn say(&mut self, text: &str) {
        // With nobody listening there is nobody to tell.
        let _unheard = writeln!(self.talk, "{text}");
    }

    /// Asks for a word beside the data.
    pub fn ask(&mut self, text: &str) {
        let _unheard = write!(self.talk, "{text} ").and_then(|()| self.talk.flush());
    }

    /// Prints bytes as they are, whatever the form.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.data.write_all(bytes)?;
        self.data.flush()
    }

    /// Prints one thing: the text for people, else the value.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn one(
        &mut self,
        value: &Value,
        text: impl FnOnce(&LocalClock) -> String,
    ) -> io::Result<()> {
        let shown = match self.format {
            Format::Table => text(&self.clock),
            Format::Json => format!("{value:#}\n"),
            Format::Jsonl => format!("{value}\n"),
            Format::Yaml => yaml::write(value),
        };
        let end = if shown.is_empty() || shown.ends_with('\n') { "" } else { "\n" };
        write!(self.data, "{shown}{end}")?;
        self.data.flush()
    }

    /// Prints many things: a table for people, else the whole answer, else an item on each line.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn many(
        &mut self,
        whole: &Value,
        items: &[Value],
        table: impl FnOnce(&LocalClock) -> Table,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => {
                let table = table(&self.clock);
                if table.is_empty() {
                    self.say("nothing to show");
                    return Ok(());
                }
                write!(self.data, "{}", table.render(self.headers))?;
            }
            Format::Jsonl => {
                for item in items {
                    writeln!(self.data, "{item}")?;
                }
            }
            Format::Json | Format::Yaml => return self.one(whole, |_clock| String::new()),
        }
        self.data.flush()
    }
}
