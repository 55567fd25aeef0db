//! Tests of all three file formats.

use std::path::Path;

use serde_json::{Value, json};

use super::{DefinitionFile, parse as documents, read};

/// The only document of a text.
fn parse(text: &str, end: &str) -> Result<Value, String> {
    let mut all = documents(text, end)?;
    assert!(all.len() < 2, "{all:?}");
    Ok(all.pop().unwrap_or_default())
}

#[test]
fn three_languages_say_the_same() {
    let wanted = json!({"name": "a", "schedule": {"cron": "*/5 * * * *"}, "on": true, "n": 3});
    let yaml = "# a task\nname: a\nschedule:\n  cron: '*/5 * * * *'\non: true\nn: 3\n";
    let toml = "name = 'a'\non = true\nn = 3\n[schedule]\ncron = '*/5 * * * *'\n";
    let json = r#"{"name": "a", "schedule": {"cron": "*/5 * * * *"}, "on": true, "n": 3}"#;
    for (text, end) in [(yaml, "yaml"), (toml, "toml"), (json, "json"), (json, "")] {
        assert_eq!(parse(text, end).unwrap(), wanted, "{end}");
    }
}

#[test]
fn what_cannot_be_read_says_where() {
    for (text, end, wanted) in [
        ("a: [1", "yml", "line"),
        ("a = ", "toml", "line 1"),
        ("{\"a\": 1, \"a\": 2}", "json", "at /a"),
        ("a: 1\na: 2", "yaml", "line 2"),
    ] {
        let error = parse(text, end).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    assert!(read(Path::new("/does/not/exist.yaml")).unwrap_err().contains("exist.yaml"));
}

#[test]
fn yaml_scalars_are_kept_as_they_are_written() {
    for (written, kept) in [
        ("012", json!("012")),
        ("0777", json!("0777")),
        ("08", json!("08")),
        ("-012", json!("-012")),
        ("1_000", json!("1_000")),
        ("no", json!("no")),
        ("on", json!("on")),
        ("y", json!("y")),
        ("Off", json!("Off")),
        ("true", json!(true)),
        ("false", json!(false)),
        ("null", json!(null)),
        ("~", json!(null)),
        ("0", json!(0)),
        ("-7", json!(-7)),
        ("12", json!(12)),
        ("18446744073709551615", json!(u64::MAX)),
        ("0.5", json!(0.5)),
        ("1e3", json!(1000.0)),
        ("02:30", json!("02:30")),
        ("2026-12-01", json!("2026-12-01")),
        ("2026-12-01T09:00:00Z", json!("2026-12-01T09:00:00Z")),
        ("0 0 * * *", json!("0 0 * * *")),
        ("'20180814033133082000'", json!("20180814033133082000")),
        ("1.2.3", json!("1.2.3")),
        ("0x1F", json!(31)),
    ] {
        let text = format!("parameters: {{a: [{written}]}}\nnext: {written}\n");
        let wanted = json!({"parameters": {"a": [kept]}, "next": kept});
        assert_eq!(parse(&text, "yaml").unwrap(), wanted, "{written}");
    }
    assert_eq!(parse("on: push\nno: 1\n", "yaml").unwrap(), json!({"on": "push", "no": 1}));
    let merged = "base: &b {a: 1, n: 2}\nuse:\n  <<: *b\n  n: 3\n";
    assert_eq!(parse(merged, "yaml").unwrap()["use"], json!({"n": 3, "a": 1}));
}

#[test]
fn toml_dates_are_text_where_text_is_wanted() {
    let text = "at = 2026-12-01T09:00:00Z\nday = 2026-12-01\n[parameters]\n\
                zone = 2026-12-01 09:00:00+08:00\ntime = [02:30:00, 1_000, 0x1F, 0.5, -7]\n";
    let wanted = json!({
        "at": "2026-12-01T09:00:00Z",
        "day": "2026-12-01",
        "parameters": {
            "zone": "2026-12-01 09:00:00+08:00",
            "time": ["02:30:00", 1000, 31, 0.5, -7],
        },
    });
    assert_eq!(parse(text, "toml").unwrap(), wanted);
}

#[test]
fn what_would_be_changed_is_refused_with_its_place() {
    let quotes = "write it as text in quotes";
    for (text, end, place, pointer, why) in [
        ("a: 1\np:\n  id: 20180814033133082000\n", "yaml", "line 3, column 7", "/p/id", quotes),
        ("p: [1, {x: 3.14159265358979323846}]\n", "yaml", "line 1, column 12", "/p/1/x", quotes),
        ("p: -9223372036854775809\n", "yaml", "line 1, column 4", "/p", quotes),
        ("p: 1e999\n", "yaml", "line 1, column 4", "/p", quotes),
        ("[p]\nid = 20180814033133082000\n", "toml", "line 2, column 6", "/p/id", quotes),
        ("p = [0.5, 0.10000000000000000001]\n", "toml", "line 1, column 11", "/p/1", quotes),
        ("p = inf\n", "toml", "line 1, column 5", "/p", "leave it out"),
        ("p = { x = nan }\n", "toml", "line 1, column 11", "/p/x", "leave it out"),
        (r#"{"p": {"id": 20180814033133082000}}"#, "json", "line 1, column 14", "/p/id", quotes),
    ] {
        let error = parse(text, end).unwrap_err();
        assert!(error.starts_with(place), "{text}: {error}");
        assert!(error.ends_with(&format!(", at {pointer}")), "{text}: {error}");
        assert!(error.contains(why), "{text}: {error}");
    }
    for text in ["p: .inf\n", "p: .nan\n"] {
        assert!(parse(text, "yaml").unwrap_err().contains("line 1"), "{text}");
    }
}

#[test]
fn what_is_often_not_quoted_is_told_to_be() {
    for (text, place, pointer, advice) in [
        (
            "schedule:\n  cron: */5 * * * *\n",
            "line 2",
            "/schedule/cron",
            "in quotes: \"*/5 * * * *\"",
        ),
        ("schedule:\n  cron: * * * * *\n", "line 2", "/schedule/cron", "\"* * * * *\""),
        ("- name: a\n  cron: @daily\n", "line 2", "/0/cron", "in quotes: \"@daily\""),
        ("- @daily\n", "line 1", "/0", "in quotes: \"@daily\""),
    ] {
        let error = parse(text, "yaml").unwrap_err();
        assert!(error.starts_with(place), "{text}: {error}");
        assert!(error.contains(advice), "{text}: {error}");
        let ends = pointer.is_empty() || error.ends_with(&format!(", at {pointer}"));
        assert!(ends, "{text}: {error}");
    }
}

/// Several documents are in the order of the file. Empty ones are none.
#[test]
fn a_file_may_have_several_documents() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, "---\nname: a\n---\n# nothing\n---\n- name: b\n...\n").unwrap();
    let file = DefinitionFile::read(&path).unwrap();
    assert_eq!(file.documents, [json!({"name": "a"}), json!([{"name": "b"}])]);
    let lines = file.lines();
    assert_eq!(
        (lines.of(0, "/name"), lines.of(1, ""), lines.of(1, "/0/x")),
        (Some(2), Some(6), Some(6))
    );
    let error = read(&path).unwrap_err();
    assert!(
        error.ends_with("a.yaml: line 6: a second document begins; one is meant here"),
        "{error}"
    );
    std::fs::write(&path, "# nothing\n").unwrap();
    assert_eq!(read(&path), Ok(Value::Null));
    assert_eq!(DefinitionFile::read(&path).unwrap().documents, Vec::<Value>::new());
}

#[test]
fn every_language_tells_the_lines_of_its_values() {
    let yaml = "# x\ntasks:\n  - name: a\n    schedule:\n      cron: x\n  -\n    name: b\n    \"a/b\": [1,\n      2]\n";
    let json = "{\n\"tasks\": [\n{\"name\": \"a\",\n\"schedule\": {\n\"cron\": \"x\"}},\n\n\
                {\"name\": \"b\",\n\"a/b\": [1,\n2]}]}";
    let toml = "# x\n\n[[tasks]]\nname = 'a'\nschedule.cron = 'x'\n[[tasks]]\nname = 'b'\n\
                'a/b' = [1,\n2]\n";
    let folder = tempfile::tempdir().unwrap();
    for (text, end, second) in [(yaml, "yaml", 7), (json, "json", 7), (toml, "toml", 6)] {
        let path = folder.path().join(format!("a.{end}"));
        std::fs::write(&path, text).unwrap();
        let lines = DefinitionFile::read(&path).unwrap().lines();
        for (pointer, line) in [
            ("/tasks/0/name", if end == "toml" { 4 } else { 3 }),
            ("/tasks/0/schedule/cron", 5),
            ("/tasks/1", second),
            ("/tasks/1/schedule/at", second),
            ("/tasks/1/a~1b", 8),
            ("/tasks/1/a~1b/1", 9),
        ] {
            assert_eq!(lines.of(0, pointer), Some(line), "{end} {pointer}");
        }
    }
}

/// A file of ten thousand definitions is larger than what the parser takes by default.
#[test]
fn long_files_are_read() {
    let one = "- name: a\n  schedule: {cron: '* * * * *'}\n  labels: {a: b, c: d, e: f}\n  \
               parameters: {a: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}\n";
    let all = parse(&one.repeat(20_000), "yaml").unwrap();
    assert_eq!(all.as_array().map(Vec::len), Some(20_000));
}

#[cfg(feature = "cli")]
#[test]
fn a_text_from_the_network_repeats_nothing() {
    let text = "a: &x [1, 2]\nb: *x\n";
    let told = super::read_text(text).unwrap_err();
    assert!(told.contains("aliases are not used here") && told.contains("line 2"), "{told}");
    let same = super::read_text("a: [1, 2]\nb: 007\n").unwrap();
    assert_eq!(same, serde_json::json!({"a": [1, 2], "b": "007"}));
}
