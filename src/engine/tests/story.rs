//! Runs the stories in `testscripts/`.
//!
//! A script begins with a sentence of purpose. Blocks follow: lines of what happens, a line `----`,
//! and what the decision cores of node n1 want done about it. `BLESS=1` writes the answers anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::world::EngineWorld;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/testscripts")
}

#[test]
fn the_stories_of_the_engine_are_told_as_written() {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the scripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 25, "{} scripts", paths.len());
    let differs: Vec<String> = paths.iter().filter_map(|path| difference(path)).collect();
    assert!(differs.is_empty(), "\n{}\nIf that is right, set BLESS=1.", differs.join("\n"));
}

/// Where a script differs from what happens now; it is rewritten instead where `BLESS` is set.
fn difference(path: &Path) -> Option<String> {
    let wanted = std::fs::read_to_string(path).expect("a script");
    let found = tell(&wanted, &path.display().to_string());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, found).expect("a writable tree");
        return None;
    }
    let same = wanted.lines().zip(found.lines()).take_while(|(one, other)| one == other).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("<end>").to_owned();
    let (path, at) = (path.display(), same + 1);
    let what = || format!("{path}:{at}:\n  wanted {}\n  found  {}", line(&wanted), line(&found));
    (wanted != found).then(what)
}

/// The script with the answers as they are now.
fn tell(script: &str, name: &str) -> String {
    let mut world = EngineWorld::default();
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
                    let told = answers.get_or_insert_default();
                    let lines = world.line(text, &format!("{name}:{}", at + 1));
                    if !lines.is_empty() {
                        writeln!(told, "{text}: {}", lines.join("; ")).unwrap();
                    }
                }
            }
        }
    }
    assert!(answers.is_none(), "{name}: lines without an answer at the end");
    out
}
