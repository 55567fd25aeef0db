//! Golden scripts: each script contains its expected answers, which are compared with the actual
//! ones.
//!
//! A script begins with a sentence about its purpose. Blocks follow: input lines, a line `----`,
//! and the answers. A line that begins with `#` is a comment. `BLESS=1` rewrites the answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::domain::ids::Revision;

/// The object under test of a script. Each script begins with a new one.
pub(crate) trait StoryWorld: Default {
    /// Runs a line and returns the lines of its answer.
    fn line(&mut self, text: &str) -> Vec<String>;
}

/// Runs all scripts of a folder below `src/`. Fails if there are fewer than `at_least`.
pub(crate) fn play<W: StoryWorld>(folder: &str, at_least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the scripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    assert!(paths.len() >= at_least, "{} scripts", paths.len());
    let differs = paths.iter().filter_map(|path| {
        let script = std::fs::read_to_string(path).expect("a script");
        difference(path, &script, &answered::<W>(path, &script))
    });
    let differs: Vec<String> = differs.collect();
    assert!(differs.is_empty(), "{}", differs.join("\n"));
}

/// The script with the actual answers.
fn answered<W: StoryWorld>(path: &Path, script: &str) -> String {
    let mut world = W::default();
    let mut out = String::new();
    let mut answers: Option<String> = None;
    let mut skipping = false;
    for (at, line) in script.lines().enumerate() {
        match line.trim() {
            "----" => {
                out.push_str("----\n");
                out.push_str(&answers.take().unwrap_or_default());
                skipping = true;
            }
            "" => {
                skipping = false;
                out.push('\n');
            }
            _ if skipping => {}
            text => {
                writeln!(out, "{line}").unwrap();
                if !text.starts_with('#') {
                    // Printed so that a panic can be attributed to this line.
                    println!("{}:{}: {text}", path.display(), at + 1);
                    let answers = answers.get_or_insert_default();
                    for answer in world.line(text) {
                        writeln!(answers, "{answer}").unwrap();
                    }
                }
            }
        }
    }
    assert!(answers.is_none(), "{}: lines without an answer at the end", path.display());
    out
}

/// Compares with a golden file, or writes it if `BLESS` is set.
pub(crate) fn golden(path: &Path, found: &str) {
    let wanted = std::fs::read_to_string(path).unwrap_or_default();
    let differs = difference(path, &wanted, found);
    assert!(differs.is_none(), "{}", differs.unwrap_or_default());
}

/// The first difference to a golden file. If `BLESS` is set, the file is written instead.
fn difference(path: &Path, wanted: &str, found: &str) -> Option<String> {
    if wanted == found {
        return None;
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, found).expect("a writable tree");
        return None;
    }
    let same = wanted.lines().zip(found.lines()).take_while(|(one, other)| one == other).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("<end>").to_owned();
    Some(format!(
        "{} differs at line {}:\n  wanted {}\n  found  {}\nIf that is right, set BLESS=1 and review \
         the difference.",
        path.display(),
        same + 1,
        line(wanted),
        line(found),
    ))
}

/// A line of a script: bare words and `key=value` options.
pub(crate) struct ScriptLine {
    pub words: Vec<String>,
    pub options: BTreeMap<String, String>,
}

impl ScriptLine {
    pub fn read(text: &str) -> Self {
        let (mut words, mut options) = (Vec::new(), BTreeMap::new());
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            rest = &rest[start..];
            let mut quoted = false;
            let end = rest.find(|c: char| {
                quoted ^= c == '"';
                c.is_whitespace() && !quoted
            });
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            match word.split_once('=').filter(|(key, _)| !key.contains('"')) {
                Some((key, value)) => {
                    options.insert(key.to_owned(), value.replace('"', ""));
                }
                None => words.push(word.replace('"', "")),
            }
        }
        Self { words, options }
    }

    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word)
    }

    /// A number such as `e9`, `f8`, `r5`.
    pub fn number(text: &str) -> u64 {
        text.trim_start_matches(char::is_alphabetic).parse().unwrap_or_else(|_| panic!("{text}?"))
    }

    /// The number at this position.
    pub fn number_at(&self, at: usize) -> u64 {
        Self::number(self.word(at))
    }

    pub fn revision(&self, key: &str) -> Option<Revision> {
        self.option(key).map(|text| Revision(Self::number(text)))
    }
}
