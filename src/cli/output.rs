//! The output of all commands: data on standard output, messages and questions on standard error.
//! There are no colours, so `NO_COLOR` has no effect.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::local::LocalClock;
use super::table::Table;
use crate::config::yaml;
use crate::domain::time::Timestamp;

/// Terminal sequence that clears the screen and moves the cursor to the top left.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J\x1b[3J";

/// Carriage return, and the terminal sequence that clears the rest of the line.
const CLEAR_LINE: &[u8] = b"\r\x1b[K";
/// Work on fewer things shows no progress.
const PROGRESS_FROM: usize = 10;
/// Cells of a progress bar.
const BAR_CELLS: usize = 20;

/// The output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for humans.
    #[default]
    Table,
    /// JSON, as in the API response.
    Json,
    /// JSON, one item per line.
    Jsonl,
    /// YAML, as in the API response.
    Yaml,
}

/// Where and how a command prints.
pub struct Output {
    format: Format,
    headers: bool,
    clock: LocalClock,
    data: Box<dyn Write + Send>,
    talk: Box<dyn Write + Send>,
    /// Whether the data goes to a terminal, which interprets control characters.
    terminal: bool,
    /// Whether messages go to a terminal, so that progress is shown there.
    live: bool,
    /// Whether a progress bar is on the last line of the terminal.
    bar: bool,
    /// Source of answers to questions. `None` if the session is not interactive.
    answers: Option<Box<dyn BufRead + Send>>,
    /// Whether the next output clears the screen first.
    redraw: bool,
    /// The blocks of which the output is made, if there are several.
    blocks: Option<ShownBlocks>,
}

/// One block for each of several things that a command is about.
#[derive(Default)]
struct ShownBlocks {
    /// What the block is about that is printed now.
    name: String,
    /// What programs are given in the end.
    items: Vec<Value>,
}

impl Output {
    /// Prints to the standard streams of the process.
    #[must_use]
    pub fn standard(format: Format, headers: bool, clock: LocalClock) -> Self {
        let (data, talk) = (Box::new(io::stdout()), Box::new(io::stderr()));
        let (terminal, live) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let answers: Option<Box<dyn BufRead + Send>> = match io::stdin().is_terminal() {
            true => Some(Box::new(BufReader::new(io::stdin()))),
            false => None,
        };
        let (bar, redraw, blocks) = (false, false, None);
        Self { format, headers, clock, data, talk, terminal, live, bar, answers, redraw, blocks }
    }

    /// Prints to these writers.
    #[must_use]
    #[cfg(test)]
    pub fn to(
        format: Format,
        clock: LocalClock,
        data: Box<dyn Write + Send>,
        talk: Box<dyn Write + Send>,
    ) -> Self {
        let (terminal, live, bar, headers) = (false, false, false, true);
        let (answers, redraw, blocks) = (None, false, None);
        Self { format, headers, clock, data, talk, terminal, live, bar, answers, redraw, blocks }
    }

    /// Answers questions with these lines.
    #[cfg(test)]
    pub fn answer(&mut self, lines: &'static str) {
        self.answers = Some(Box::new(lines.as_bytes()));
    }

    /// Behaves as if the data went to a terminal.
    #[cfg(test)]
    pub fn on_terminal(&mut self) {
        self.terminal = true;
    }

    /// Behaves as if messages went to a terminal.
    #[cfg(test)]
    pub fn talk_on_terminal(&mut self) {
        self.live = true;
    }

    /// Sets the instant relative to which times are shown. The next output replaces the content of
    /// the terminal.
    pub fn redraw(&mut self, now: Timestamp) {
        self.clock = self.clock.at(now);
        self.redraw = self.terminal;
    }

    /// Shows on a terminal how many of several things are done. The next output takes its place.
    pub fn progress(&mut self, done: usize, all: usize, nouns: &str) {
        if !self.live || all < PROGRESS_FROM {
            return;
        }
        let bar = bar(done, all, nouns);
        let _unseen = self
            .talk
            .write_all(CLEAR_LINE)
            .and_then(|()| write!(self.talk, "{bar}"))
            .and_then(|()| self.talk.flush());
        self.bar = true;
    }

    /// Takes a progress bar away, and clears the screen if requested.
    fn clear(&mut self) {
        if std::mem::take(&mut self.bar) {
            let _unseen = self.talk.write_all(CLEAR_LINE).and_then(|()| self.talk.flush());
        }
        if std::mem::take(&mut self.redraw) {
            let _unseen = self.data.write_all(CLEAR).and_then(|()| self.data.flush());
        }
    }

    /// The clock for displaying times.
    #[must_use]
    pub fn clock(&self) -> &LocalClock {
        &self.clock
    }

    /// Whether the output is the human-readable table format.
    #[must_use]
    pub fn for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Prints a message on its own line on standard error.
    pub fn say(&mut self, text: &str) {
        self.clear();
        // A failed write to standard error cannot be reported.
        let _unheard = writeln!(self.talk, "{text}");
    }

    /// Tells people that there is nothing of a kind, such as `tasks`. Programs see an empty list.
    pub fn nothing(&mut self, what: &str) {
        self.say(&format!("no {what}"));
    }

    /// From now on there is a block for each of several things. Programs get one list of them.
    pub fn begin_blocks(&mut self) {
        self.blocks = Some(ShownBlocks::default());
    }

    /// Begins the block about `name`.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn heading(&mut self, name: &str) -> io::Result<()> {
        let Some(blocks) = &mut self.blocks else { return Ok(()) };
        let before = if blocks.name.is_empty() { "" } else { "\n" };
        name.clone_into(&mut blocks.name);
        match self.format {
            Format::Table => self.bytes(format!("{before}==> {name} <==\n").as_bytes()),
            Format::Json | Format::Jsonl | Format::Yaml => Ok(()),
        }
    }

    /// Ends the blocks, and prints their list.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn end_blocks(&mut self) -> io::Result<()> {
        let ShownBlocks { items, .. } = self.blocks.take().unwrap_or_default();
        if self.for_people() {
            return Ok(());
        }
        let whole = json!({ "items": items });
        self.many(&whole, &items, |_clock| Table::default())
    }

    /// Keeps a value for the list of the blocks. It says which task it is about.
    fn keep(&mut self, value: &Value) -> bool {
        let Some(blocks) = self.blocks.as_mut().filter(|_| self.format != Format::Table) else {
            return false;
        };
        let mut value = value.clone();
        if let Value::Object(fields) = &mut value
            && !fields.contains_key("name")
        {
            fields.entry("task").or_insert_with(|| json!(blocks.name));
        }
        blocks.items.push(value);
        true
    }

    /// Asks a yes/no question on the terminal. `None` if there is no terminal.
    pub fn confirm(&mut self, question: &str) -> Option<bool> {
        let answer = self.ask(question)?.to_ascii_lowercase();
        Some(matches!(answer.as_str(), "y" | "yes"))
    }

    /// Asks a question on the terminal, and gives the line that is typed. `None` if there is no
    /// terminal.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        self.clear();
        let answers = self.answers.as_mut()?;
        let _unheard = write!(self.talk, "{question} ").and_then(|()| self.talk.flush());
        let mut answer = String::new();
        if answers.read_line(&mut answer).is_err() {
            // Half a line is no answer.
            answer.clear();
        }
        Some(answer.trim().to_owned())
    }

    /// Prints bytes unchanged, in every format.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.clear();
        self.data.write_all(bytes)?;
        self.data.flush()
    }

    /// Prints output of a job. On a terminal, control characters are replaced, because they could
    /// move the cursor, change the title or hide text.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn printed(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.terminal {
            true => self.bytes(&harmless(bytes)),
            false => self.bytes(bytes),
        }
    }

    /// Prints one object: text in the table format, otherwise the value.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn one(
        &mut self,
        value: &Value,
        text: impl FnOnce(&LocalClock) -> String,
    ) -> io::Result<()> {
        if self.keep(value) {
            return Ok(());
        }
        self.clear();
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

    /// Prints one of many objects that come one after the other: text in the table format, otherwise
    /// the value, in JSON on a line.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn item(
        &mut self,
        value: &Value,
        text: impl FnOnce(&LocalClock) -> String,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => {
                let line = format!("{}\n", text(&self.clock));
                self.printed(line.as_bytes())
            }
            Format::Json | Format::Jsonl => self.bytes(format!("{value}\n").as_bytes()),
            Format::Yaml => self.bytes(format!("---\n{}", yaml::write(value)).as_bytes()),
        }
    }

    /// Prints a list: a table in the table format, otherwise the whole response, or one item per
    /// line.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn many(
        &mut self,
        whole: &Value,
        items: &[Value],
        table: impl FnOnce(&LocalClock) -> Table,
    ) -> io::Result<()> {
        if self.keep(whole) {
            return Ok(());
        }
        self.clear();
        match self.format {
            Format::Table => {
                let table = table(&self.clock);
                if table.is_empty() {
                    self.nothing(table.what());
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

/// `[#####...............] 1000 of 4000 tasks`
fn bar(done: usize, all: usize, nouns: &str) -> String {
    let full = (done.min(all) * BAR_CELLS).checked_div(all).unwrap_or(BAR_CELLS);
    format!("[{}{}] {done} of {all} {nouns}", "#".repeat(full), ".".repeat(BAR_CELLS - full))
}

/// Replaces control characters other than line ends and tabs with `?`.
fn harmless(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'\n' | b'\t' => out.push(byte),
            b'\r' if rest.peek() == Some(&b'\n') => out.push(byte),
            // U+0080 to U+009F are control characters in some terminals.
            0xC2 if rest.peek().is_some_and(|next| (0x80..0xA0).contains(next)) => {
                rest.next();
                out.push(b'?');
            }
            _ if byte.is_ascii_control() => out.push(b'?'),
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{bar, harmless};

    #[test]
    fn a_bar_fills_from_empty_to_full() {
        for (done, all, shown) in [
            (0, 40, "[....................] 0 of 40 tasks"),
            (39, 40, "[###################.] 39 of 40 tasks"),
            (40, 40, "[####################] 40 of 40 tasks"),
            (0, 0, "[####################] 0 of 0 tasks"),
        ] {
            assert_eq!(bar(done, all, "tasks"), shown);
        }
    }

    #[test]
    fn a_terminal_is_given_nothing_to_obey() {
        for (printed, shown) in [
            ("on time\r\n\tyes\n", "on time\r\n\tyes\n"),
            ("\u{1b}]0;title\u{7}\u{1b}[2J", "?]0;title??[2J"),
            ("50%\r100%", "50%?100%"),
            ("\u{9b}31m\u{a0}报表é", "?31m\u{a0}报表é"),
        ] {
            assert_eq!(harmless(printed.as_bytes()), shown.as_bytes(), "{printed:?}");
        }
        assert_eq!(harmless(b"\xC2"), b"\xC2");
    }
}
