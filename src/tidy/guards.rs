//! No statement acquires the same lock twice. The first guard lives until the end of the statement.
//! If a writer starts to wait in between, the second acquisition waits for that writer: a deadlock.
//! A watch channel of tokio contains such a lock.

use super::source::{SourceFile, is_word};
use super::{complain, complaints, hold};

/// Calls that return a guard.
const LOOKS: [&str; 4] = [".borrow()", ".read()", ".lock()", ".write()"];

/// The expression whose lock is acquired: `core.members` of `core.members.borrow()`.
fn place(code: &str, at: usize) -> &str {
    let head = &code[..at];
    let of_place = |c: char| is_word(c) || matches!(c, '.' | '(' | ')');
    let begin = head.rfind(|c: char| !of_place(c)).map_or(0, |last| last + 1);
    &head[begin..]
}

/// Approximate statements. Match arms and blocks count as separate statements.
fn statements(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    code.split_inclusive([';', '}']).flat_map(|part| part.split_inclusive("=>")).map(move |part| {
        from += part.len();
        (from - part.len(), part)
    })
}

fn looks_twice(file: &SourceFile) -> Vec<String> {
    let mut found = Vec::new();
    for (from, statement) in statements(&file.own) {
        let mut seen = Vec::new();
        for look in LOOKS {
            for (at, _) in statement.match_indices(look) {
                let place = place(statement, at);
                if place.contains('.') && seen.contains(&place) {
                    let what = format!("`{place}` is looked at twice in one statement");
                    found.push(complain(file, from + at, what));
                }
                seen.push(place);
            }
        }
    }
    found
}

#[test]
fn no_statement_looks_behind_one_lock_twice() {
    hold(looks_twice);
}

#[test]
fn the_rule_of_guards_complains() {
    let twice = "fn f() { S { a: self.list.borrow().a(), b: self.list.borrow().b() } }";
    assert_eq!(complaints(looks_twice, "a.rs", twice), 1);
    for fine in [
        "fn f() { let a = self.list.borrow().a(); self.list.borrow().b() }",
        "fn f() { g(self.list.borrow().a(), self.other.borrow().b()) }",
        "fn f() { match x { 1 => self.list.read().a(), _ => self.list.read().b() } }",
    ] {
        assert_eq!(complaints(looks_twice, "a.rs", fine), 0, "{fine}");
    }
}
