//! The form of files: the module comment, the length of files and functions, and forbidden
//! leftovers. The rules also apply to tests unless stated otherwise.

use super::source::{SourceFile, is_word, item_end, line, name_at, words};
use super::{complain, complaints, hold};

/// Maximum number of lines of a file, without test code.
const FILE_LINES_MAX: usize = 500;
/// Maximum number of lines of a function, from its name to its closing brace.
const FN_LINES_MAX: usize = 70;

/// Temporary code. The words are split here so that the rule does not find itself.
const LEFT_OVERS: [&str; 5] =
    ["todo!", "unimplemented!", "dbg!", concat!("FIX", "ME"), concat!("XX", "X")];

fn introduced(file: &SourceFile) -> Vec<String> {
    let introduced = file.text.starts_with("//! ");
    (!introduced).then(|| complain(file, 0, "begins without `//! `")).into_iter().collect()
}

/// Test code is not counted.
fn file_length(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().count() - file.test_lines;
    let long = lines > FILE_LINES_MAX;
    long.then(|| complain(file, 0, format!("{lines} lines of at most {FILE_LINES_MAX}")))
        .into_iter()
        .collect()
}

/// Test functions are exempt.
fn fn_length(file: &SourceFile) -> Vec<String> {
    let code = &file.own;
    // `fn(u8)` is a type, `fn name` begins an item.
    let begins = words(code, "fn").filter(|&at| code[at..].starts_with("fn "));
    let long = begins.filter_map(|at| {
        let lines = line(code, item_end(code, at)) - line(code, at) + 1;
        let name = name_at(code, at + "fn ".len());
        let what = format!("`{name}` has {lines} lines of at most {FN_LINES_MAX}");
        (lines > FN_LINES_MAX).then(|| complain(file, at, what))
    });
    long.collect()
}

fn left_over(file: &SourceFile) -> Vec<String> {
    let mut wrong = Vec::new();
    for word in LEFT_OVERS {
        // Macros are searched in code only, words in comments too.
        let text = if word.ends_with('!') { &file.code } else { &file.text };
        let found = text.match_indices(word).filter(|(at, _)| !text[..*at].ends_with(is_word));
        wrong.extend(
            found.map(|(at, _)| {
                format!("src/{}:{}: `{word}` is left over", file.path, line(text, at))
            }),
        );
    }
    wrong
}

#[test]
fn files_say_what_they_are() {
    hold(introduced);
}

#[test]
fn files_are_short() {
    hold(file_length);
}

#[test]
fn functions_are_short() {
    hold(fn_length);
}

#[test]
fn nothing_is_left_over() {
    hold(left_over);
}

#[test]
fn the_rules_of_form_complain() {
    assert_eq!(complaints(introduced, "a.rs", "//! What it is.\n"), 0);
    assert_eq!(complaints(introduced, "a.rs", "use std::fmt;\n"), 1);

    let lines = |count: usize| "a();\n".repeat(count);
    let with_tests = format!("{}#[cfg(test)]\nmod t {{\n{}}}\n", lines(500), lines(500));
    assert_eq!(complaints(file_length, "a.rs", &lines(500)), 0);
    assert_eq!(complaints(file_length, "a.rs", &lines(501)), 1);
    assert_eq!(complaints(file_length, "a.rs", &with_tests), 0);

    let function = |count: usize| format!("fn f(x: [u8; 4]) {{\n{}}}\n", lines(count));
    assert_eq!(complaints(fn_length, "a.rs", &function(68)), 0);
    assert_eq!(complaints(fn_length, "a.rs", &function(69)), 1);
    assert_eq!(complaints(fn_length, "a.rs", &format!("fn g();\n{}", function(68))), 0);
    let in_tests = format!("#[cfg(test)]\nmod t {{\n{}}}\n", function(90));
    assert_eq!(complaints(fn_length, "a.rs", &in_tests), 0);

    for word in LEFT_OVERS {
        assert_eq!(complaints(left_over, "a.rs", &format!("fn f() {{ {word}(x) }}")), 1, "{word}");
    }
    assert_eq!(complaints(left_over, "a.rs", &format!("// {} this", LEFT_OVERS[3])), 1);
    assert_eq!(complaints(left_over, "a.rs", "fn f() { my_dbg!(x) }"), 0);
}
