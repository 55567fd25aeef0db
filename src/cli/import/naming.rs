//! Generates name parts for unnamed jobs: from the file, and from the program in the command.

use std::path::Path;

/// Maximum length of a name part.
const PART_CHARS_MAX: usize = 60;
/// Commands that only check a condition or prepare the main command.
const GUARDS: [&str; 22] = [
    "test", "[", "[[", "command", "type", "which", "hash", "cd", "true", "false", ":", "sleep",
    "export", "set", "unset", ".", "source", "umask", "ulimit", "trap", "read", "local",
];
/// Keywords of the shell.
const KEYWORDS: [&str; 16] = [
    "if", "then", "elif", "else", "fi", "while", "until", "for", "do", "done", "case", "in",
    "esac", "time", "!", "function",
];
/// Commands that run the command given as their argument.
const WRAPPERS: [&str; 13] = [
    "exec",
    "nice",
    "ionice",
    "nohup",
    "sudo",
    "env",
    "chronic",
    "timeout",
    "flock",
    "setsid",
    "chrt",
    "systemd-cat",
    "doas",
];
/// Wrappers whose first operand is their own, such as a time or a lock.
const WITH_OPERAND: [&str; 2] = ["timeout", "flock"];
/// Options of wrappers that take a separate value.
const WITH_VALUE: [&str; 3] = ["-u", "-g", "-t"];
/// Programs that run the file or text in their arguments.
const INTERPRETERS: [&str; 11] =
    ["sh", "bash", "dash", "ksh", "zsh", "su", "perl", "python", "python3", "php", "ruby"];
/// File name suffixes without information.
const ENDINGS: [&str; 3] = [".cron", ".crontab", ".txt"];
/// Characters allowed in names besides letters and digits.
const PUNCTUATION: &str = "._-:@+";

/// The name part of a file. Standard input becomes `crontab`.
#[must_use]
pub fn file_part(path: &Path) -> String {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("-") | None => "crontab".to_owned(),
        Some(name) => {
            let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
            stem.filter(|stem| !stem.is_empty()).unwrap_or(name).to_owned()
        }
    }
}

/// The base name of the main program in a command.
#[must_use]
pub fn program(command: &str) -> String {
    let mut guard = None;
    for words in simple_commands(command) {
        let Some(found) = Found::in_words(&words) else { continue };
        if found.guard {
            guard.get_or_insert(found.name);
        } else {
            return found.name;
        }
    }
    guard.unwrap_or_else(|| "job".to_owned())
}

/// The program of one simple command.
struct Found {
    name: String,
    guard: bool,
}

impl Found {
    fn in_words(words: &[String]) -> Option<Self> {
        let mut words = words.iter().map(String::as_str).peekable();
        loop {
            let word = words.next()?;
            let base = base(word);
            if is_assignment(word) || KEYWORDS.contains(&word) {
                continue;
            }
            let redirection = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
            if redirection.starts_with(['<', '>']) {
                if redirection.trim_start_matches(['<', '>', '&']).is_empty() {
                    words.next();
                }
                continue;
            }
            if WRAPPERS.contains(&base) {
                while let Some(option) = words.next_if(|next| is_option(next)) {
                    if WITH_VALUE.contains(&option) {
                        words.next();
                    }
                }
                if WITH_OPERAND.contains(&base) {
                    words.next();
                }
                continue;
            }
            let rest: Vec<&str> = words.collect();
            return Some(Self::of_program(base, &rest));
        }
    }

    fn of_program(base: &str, rest: &[&str]) -> Self {
        let guard = GUARDS.contains(&base);
        let inline = rest.iter().position(|word| matches!(*word, "-c" | "-e"));
        if INTERPRETERS.contains(&base) {
            let text = inline.and_then(|at| rest.get(at + 1));
            if let Some(text) = text.filter(|text| text.contains("sleep")) {
                return Self { name: clean(text), guard: true };
            }
            let shell = base.ends_with("sh") || base == "su";
            if let Some(text) = text.filter(|_| shell) {
                return Self { name: program(text), guard };
            }
            let script = rest.iter().find(|word| !word.starts_with('-'));
            if let Some(script) = script.filter(|word| text.is_none() && word.contains(['/', '.']))
            {
                return Self { name: clean(self::base(script)), guard };
            }
        }
        Self { name: clean(base), guard }
    }
}

fn base(word: &str) -> &str {
    word.rsplit('/').find(|part| !part.is_empty()).unwrap_or(word)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Whether a word after a wrapper is an option of the wrapper or a number for one.
fn is_option(word: &str) -> bool {
    word.starts_with('-') || is_assignment(word) || word.chars().all(|c| c.is_ascii_digit())
}

/// Replaces or removes the characters that are not allowed in a name.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || PUNCTUATION.contains(c) {
            out.push(c);
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    let out: String = out.trim_matches(['-', '.']).chars().take(PART_CHARS_MAX).collect();
    if out.is_empty() { "job".to_owned() } else { out }
}

/// Splits a shell command at its operators. The result is approximate, but sufficient to find a
/// name.
fn simple_commands(command: &str) -> Vec<Vec<String>> {
    let mut out = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None;
    let mut depth = 0_usize;
    let mut before = ' ';
    let mut chars = command.chars().peekable();
    let end = |out: &mut Vec<Vec<String>>, word: &mut String| {
        if let Some(words) = out.last_mut().filter(|_| !word.is_empty()) {
            words.push(std::mem::take(word));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            _ if quote == Some(c) => quote = None,
            _ if quote.is_some() => word.push(c),
            // `$(…)` and `${…}` are parts of a word, whatever they contain.
            '(' | '{' if before == '$' || depth > 0 => depth += 1,
            ')' | '}' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            '\'' | '"' | '`' => quote = Some(c),
            '\\' => word.extend(chars.next()),
            ' ' | '\t' => end(&mut out, &mut word),
            // `2>&1` and `&>file` are redirections.
            '&' if matches!(before, '>' | '<') || chars.peek() == Some(&'>') => word.push(c),
            ';' | '&' | '|' | '(' | ')' | '{' | '}' | '\n' => {
                end(&mut out, &mut word);
                out.push(Vec::new());
            }
            other => word.push(other),
        }
        before = c;
    }
    end(&mut out, &mut word);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::spec::check_name;

    #[test]
    fn the_program_that_a_command_is_about_is_found() {
        for (command, name) in [
            ("/usr/local/bin/backup.sh --full", "backup.sh"),
            ("cd / && run-parts --report /etc/cron.hourly", "run-parts"),
            (
                "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
                "run-parts",
            ),
            (
                "test -e /run/x || SERVICE_MODE=1 /usr/lib/e2fsprogs/e2scrub_all -A -r",
                "e2scrub_all",
            ),
            ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
            (
                "if [ -x /a/checkarray ] && [ $(date +%d) -le 7 ]; then /a/checkarray -q; fi",
                "checkarray",
            ),
            ("[ -x /u/s ] && if [ ! -d /run ]; then /u/lib/sessionclean; fi", "sessionclean"),
            ("test -x /b && perl -e 'sleep int(rand(43200))' && certbot -q renew", "certbot"),
            ("nice -n 19 ionice -c3 /opt/sync", "sync"),
            ("sudo -u www-data /usr/bin/php -f /var/www/cron.php", "cron.php"),
            ("flock -n /run/x.lock timeout 5m /bin/job >/dev/null 2>&1", "job"),
            ("bash -c 'cd /srv && ./deploy --now'", "deploy"),
            ("su backup -c \"/usr/bin/dump\"", "dump"),
            (">/dev/null 2>&1 /bin/echo x", "echo"),
            ("A=\"b c\" x", "x"),
            ("echo ${HOME} `date` $(id -u)", "echo"),
            ("test -f /x", "test"),
            ("python3 -m http.server", "http.server"),
            ("> /tmp/x /bin/echo", "echo"),
            ("${HOME}/bin/x y", "x"),
            (":", ":"),
            ("\"\"", "job"),
            ("/usr/bin/./a b\\ c/Prüfung", "a"),
        ] {
            assert_eq!(program(command), name, "{command}");
        }
    }

    #[test]
    fn parts_of_names_are_names() {
        for text in ["crontab", ".my tab", "", "!", &"f".repeat(300), "web1.example.com"] {
            assert_eq!(check_name(&format!("cron-{}", clean(text))), Ok(()), "{text}");
        }
        assert_eq!(clean(".my tab"), "my-tab");
        assert_eq!(file_part(Path::new("-")), "crontab");
        assert_eq!(file_part(Path::new("/etc/cron.d/php")), "php");
        assert_eq!(file_part(Path::new("backup.cron")), "backup");
    }
}
