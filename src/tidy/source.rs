//! Source files as seen by the rules: comments and literals blanked out, test code separated.
//!
//! This parser supports only what the rules need: comments, literals, brackets and `#[cfg(test)]`.

use std::fs;
use std::path::{Path, PathBuf};

/// One file below `src/`.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Path relative to `src/`, with `/` as separator.
    pub path: String,
    /// The original text.
    pub text: String,
    /// The text with spaces in place of comments and literals. Line numbers do not change.
    pub code: String,
    /// The same without test code.
    pub own: String,
    /// The child modules that it declares, with true for test-only modules.
    pub mounts: Vec<(String, bool)>,
    /// Number of lines of test code.
    pub test_lines: usize,
}

impl SourceFile {
    /// A file with this text.
    pub fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let (own, tests, test_lines) = split(&code);
        let mounted = |(code, test): (&str, bool)| {
            let names = code.lines().filter_map(mount).map(|name| (name, test));
            names.collect::<Vec<_>>()
        };
        let mounts = [(own.as_str(), false), (tests.as_str(), true)].map(mounted).concat();
        Self { path: path.to_owned(), text: text.to_owned(), code, own, mounts, test_lines }
    }

    /// The top-level module that contains the file.
    pub fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The folder of its child modules. Empty for `src/` itself.
    fn folder(&self) -> &str {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
        if matches!(name, "mod" | "lib" | "main") { folder } else { stem }
    }

    /// The two possible files of its child module `name`.
    pub fn child(&self, name: &str) -> [String; 2] {
        let folder = self.folder();
        let place = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        [format!("{place}.rs"), format!("{place}/mod.rs")]
    }

    /// Whether `path` is its child module `name` or below it.
    fn holds(&self, name: &str, path: &str) -> bool {
        let [file, index] = self.child(name);
        path == file || path.starts_with(index.trim_end_matches("mod.rs"))
    }
}

/// All `.rs` files below a folder, sorted by path. Files that are declared for tests only have no
/// code of their own.
pub(super) fn read(src: &Path) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the sources") {
            let path = entry.expect("an entry of the sources").path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(kind) if kind == "rs" => paths.push(path),
                _ => {}
            }
        }
    }
    paths.sort();
    let file = |path: &PathBuf| {
        let name = path.strip_prefix(src).expect("below src").to_string_lossy().replace('\\', "/");
        SourceFile::new(&name, &fs::read_to_string(path).expect("a source file"))
    };
    without_tests(paths.iter().map(file).collect())
}

/// Removes the code of files that are declared for tests only.
pub(super) fn without_tests(mut files: Vec<SourceFile>) -> Vec<SourceFile> {
    let for_tests: Vec<bool> = files
        .iter()
        .map(|file| {
            files.iter().any(|parent| {
                let mut mounts = parent.mounts.iter().filter(|(_, test)| *test);
                mounts.any(|(name, _)| parent.holds(name, &file.path))
            })
        })
        .collect();
    for (file, test) in files.iter_mut().zip(for_tests) {
        if test {
            file.own.clear();
            file.test_lines = file.text.lines().count();
        }
    }
    files
}

/// The name in `mod name;`.
fn mount(line: &str) -> Option<String> {
    let (before, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
    let visible = before.is_empty() || (before.starts_with("pub") && before.ends_with(' '));
    (visible && name.chars().all(is_word)).then(|| name.to_owned())
}

/// The line number of a byte position, counted from 1.
pub(super) fn line(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Whether a character may be part of a name.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Positions of `name` as a whole word, or as a path whose ends are whole words.
pub(super) fn words<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(name).map(|(at, _)| at).filter(move |&at| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Positions at which a path begins with `root`.
pub(super) fn words_before<'a>(code: &'a str, root: &'a str) -> impl Iterator<Item = usize> + 'a {
    let name = root.trim_end_matches(':');
    words(code, name).filter(move |&at| code[at..].starts_with(root) && begins_path(code, at))
}

/// Whether the word at a position is the first of its path. In `::name` it is.
pub(super) fn begins_path(code: &str, at: usize) -> bool {
    code[..at].strip_suffix("::").is_none_or(|before| !before.ends_with(|c| is_word(c) || c == '>'))
}

pub(super) fn name_at(code: &str, at: usize) -> &str {
    let rest = &code[at..];
    &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
}

/// The end of the item that begins at `from`: after its body or its semicolon.
pub(super) fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' if depth <= 1 => return from + at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return from + at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Code with the lines of test code blanked, the test code, and its number of lines.
fn split(code: &str) -> (String, String, usize) {
    const MARK: &str = "#[cfg(test)]";
    let (mut own, mut tests, mut lines, mut done) = (String::new(), String::new(), 0, 0);
    while let Some(begin) = code[done..].find(MARK).map(|at| done + at) {
        let end = item_end(code, begin + MARK.len());
        let line_ends = code[begin..end].matches('\n').count();
        own.push_str(&code[done..begin]);
        own.push_str(&"\n".repeat(line_ends));
        tests.push_str(&code[begin..end]);
        tests.push('\n');
        lines += line_ends + 1;
        done = end;
    }
    own.push_str(&code[done..]);
    (own, tests, lines)
}

/// The text with spaces in place of comments and the content of literals.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let length = if is_word(before) { None } else { raw_length(rest) }
            .or_else(|| comment_length(rest))
            .or_else(|| quoted_length(rest));
        match length {
            Some(length) => {
                let hidden = rest[..length].chars();
                out.extend(hidden.map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = &rest[length..];
                before = ' ';
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
                before = c;
            }
        }
    }
    out
}

fn comment_length(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

/// Length of `r"…"`, `r#"…"#` and similar literals.
fn raw_length(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let inner = body.trim_start_matches('#');
    let hashes = body.len() - inner.len();
    let inner = inner.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(rest.len() - inner.len() + length)
}

/// Length of `"…"` and `'c'`, but not of a lifetime.
fn quoted_length(rest: &str) -> Option<usize> {
    let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let inner = &rest[1..];
    if quote == '\'' && !inner.starts_with('\\') {
        let c = inner.chars().next()?.len_utf8();
        return inner[c..].starts_with('\'').then_some(c + 2);
    }
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 2),
            _ => {}
        }
    }
    Some(rest.len())
}

#[test]
fn comments_and_literals_are_blanked() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("a\"b // c") + d"#, "f(           ) + d"),
        ("r#\"a\" b\"# + c", "          + c"),
        ("bar\"x\"", "bar   "),
        ("'x' + '\\'' + b", "    +      + b"),
        ("&'a str, 'b'", "&'a str,    "),
        ("\"é\n\"", "  \n "),
    ] {
        assert_eq!(blank(text), code, "{text}");
    }
}

#[test]
fn test_code_is_set_apart() {
    let text =
        "mod a;\n#[cfg(test)]\nmod tests;\nfn f() {}\n#[cfg(test)]\nmod t {\n fn g() {}\n}\n";
    let file = SourceFile::new("x/mod.rs", text);
    assert_eq!(file.mounts, [("a".to_owned(), false), ("tests".to_owned(), true)]);
    assert!(file.own.contains("fn f") && !file.own.contains("fn g"));
    assert_eq!(file.own.lines().count(), file.code.lines().count());
    assert_eq!(file.test_lines, 6);
    let mut files = vec![file];
    let others = ["x/tests.rs", "x/tests/deep.rs", "x/testing.rs"];
    files.extend(others.map(|path| SourceFile::new(path, "fn h() {}")));
    let files = without_tests(files);
    let with_code: Vec<&str> =
        files.iter().filter(|file| !file.own.is_empty()).map(|file| file.path.as_str()).collect();
    assert_eq!(with_code, ["x/mod.rs", "x/testing.rs"]);
}

#[test]
fn a_child_lies_beside_a_mod_file_and_below_any_other() {
    for (parent, name, path, is_child) in [
        ("lib.rs", "x", "x.rs", true),
        ("lib.rs", "x", "x/mod.rs", true),
        ("lib.rs", "x", "y/x.rs", false),
        ("x/mod.rs", "y", "x/y.rs", true),
        ("x/mod.rs", "y", "x/yy.rs", false),
        ("x/y.rs", "z", "x/y/z.rs", true),
        ("x/y.rs", "z", "x/z.rs", false),
    ] {
        assert_eq!(
            SourceFile::new(parent, "").holds(name, path),
            is_child,
            "{parent} {name} {path}"
        );
    }
}

#[test]
fn words_are_whole() {
    let found: Vec<usize> = words("sled unsled sled_x x::sled", "sled").collect();
    assert_eq!(found, [0, 22]);
    assert_eq!(words("use std::fs;", "std::fs").count(), 1);
    assert_eq!(words("use std::fs_x;", "std::fs").count(), 0);
}
