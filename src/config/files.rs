//! Files that people write: YAML, TOML or JSON, as values.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::domain::spec::parse_json;

/// A larger file is none that somebody wrote.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file by the end of its name; `-` is standard input, and YAML, of which JSON is a part.
///
/// # Errors
/// A sentence that names the file and the place.
pub fn read(path: &Path) -> Result<Value, String> {
    let shown = path.display();
    let mut text = String::new();
    let reading = if path.as_os_str() == "-" {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    reading.map_err(|error| format!("{shown}: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{shown}: larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    parse(&text, &end.to_ascii_lowercase()).map_err(|error| format!("{shown}: {error}"))
}

/// Whether a file's name says that it is one to read.
#[must_use]
pub fn is_one(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    ["yaml", "yml", "json", "toml"].contains(&end.to_ascii_lowercase().as_str())
}

fn parse(text: &str, end: &str) -> Result<Value, String> {
    match end {
        "json" => parse_json(text).map_err(|problem| problem.message),
        "toml" => toml::from_str::<Value>(text).map_err(|error| error.to_string()),
        _ => serde_saphyr::from_str::<Value>(text).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            ("{\"a\": 1, \"a\": 2}", "json", "a"),
        ] {
            let error = parse(text, end).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        assert!(read(Path::new("/does/not/exist.yaml")).unwrap_err().contains("exist.yaml"));
    }
}
