//! The library has no global state. One process may contain several nodes, and an embedding program
//! decides what they share. State belongs to a value that a node owns.

use super::source::{SourceFile, name_at, words};
use super::{complain, complaints, hold};

/// Allowed global items: file, name, reason.
const ALLOWED: [(&str, &str, &str); 5] = [
    ("api/routes/table.rs", "ROUTES", "a table of constants"),
    ("bugs.rs", "ON", "the feature `seeded-bugs`, which no shipped program has"),
    ("domain/time.rs", "PARSER", "a parser without state"),
    ("life/simulation.rs", "CURRENT", "the feature `simulation`: the process of the running task"),
    ("main.rs", "ALLOCATOR", "the binary's own"),
];

/// `static` items. Thread-locals and once cells need such an item, so they are found too.
fn globals(file: &SourceFile) -> Vec<String> {
    let code = &file.own;
    let items = words(code, "static").filter(|&at| !code[..at].ends_with('\''));
    let wrong = items.filter_map(|at| {
        let name = code[at + "static".len()..].trim_start();
        let name = name.strip_prefix("mut ").unwrap_or(name);
        let name = name_at(name, 0);
        let known = ALLOWED.iter().any(|(path, item, _)| (*path, *item) == (&file.path, name));
        (!known).then(|| complain(file, at, format!("`{name}` belongs to a value of the node")))
    });
    wrong.collect()
}

#[test]
fn the_library_keeps_nothing_in_the_process() {
    hold(globals);
}

#[test]
fn the_rule_of_globals_complains() {
    for (path, text, found) in [
        ("ops/context.rs", "static SCANS: Semaphore = Semaphore::const_new(32);", 1),
        ("exec/mod.rs", "static A: LazyLock<B> = LazyLock::new(B::new);", 1),
        ("exec/mod.rs", "pub(crate) static A: OnceLock<B> = OnceLock::new();", 1),
        ("exec/mod.rs", "fn f() -> &'static B { static A: OnceLock<B> = OnceLock::new(); &A }", 1),
        ("exec/mod.rs", "std::thread_local!(pub static A: RefCell<B> = B::new(););", 1),
        ("exec/mod.rs", "fn f() { static mut N: u8 = 0; }", 1),
        ("exec/mod.rs", "thread_local! {\n static A: Cell<u8> = const { Cell::new(0) };\n}", 1),
        ("exec/mod.rs", "fn f(x: &'static str, y: impl Fn() + 'static) {}", 0),
        ("exec/mod.rs", "struct A { core: OnceLock<B> }", 0),
        ("exec/mod.rs", "#[cfg(test)]\nmod t { static A: AtomicU8 = AtomicU8::new(0); }", 0),
        ("bugs.rs", "static ON: OnceLock<String> = OnceLock::new();", 0),
        ("bugs.rs", "static OFF: OnceLock<String> = OnceLock::new();", 1),
    ] {
        assert_eq!(complaints(globals, path, text), found, "{path}: {text}");
    }
}
