//! References in definitions that are resolved by the node that runs the attempt.
//!
//! `${env:NAME}` is a variable of the node's environment, `${file:PATH}` a text file on its disk
//! without the line end at its end. A second dollar sign in front keeps either as it is written.
//! All other text, `${HOME}` of a shell script included, is left alone. What a reference yields is
//! not looked at again.

use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// The largest file that a reference may name.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// Variables of the node's own configuration, which may hold its secrets.
const OWN_PREFIX: &str = "PUNCTUAL__";

/// The text with its references replaced.
///
/// # Errors
/// A sentence that names the reference, never its value.
pub(super) async fn resolve(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        let Some((kind, name, after)) = split(reference) else {
            out.push_str(before);
            out.push_str("${");
            rest = reference.get(2..).unwrap_or_default();
            continue;
        };
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str(reference.strip_suffix(after).unwrap_or_default());
        } else {
            out.push_str(before);
            out.push_str(&value(kind, name).await?);
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[derive(Clone, Copy)]
enum Kind {
    Env,
    File,
}

/// Splits `${kind:name}after`.
fn split(reference: &str) -> Option<(Kind, &str, &str)> {
    let (kind, rest) = if let Some(rest) = reference.strip_prefix("${env:") {
        (Kind::Env, rest)
    } else {
        (Kind::File, reference.strip_prefix("${file:")?)
    };
    let (name, after) = rest.split_once('}')?;
    Some((kind, name, after))
}

async fn value(kind: Kind, name: &str) -> Result<String, String> {
    match kind {
        Kind::Env if name.starts_with(OWN_PREFIX) => {
            Err(format!("${{env:{name}}}: the node's own settings are not handed out"))
        }
        Kind::Env => std::env::var(name)
            .map_err(|_error| format!("${{env:{name}}}: not set in this node's environment")),
        Kind::File => file(name).await.map_err(|why| format!("${{file:{name}}}: {why}")),
    }
}

async fn file(path: &str) -> Result<String, String> {
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(FILE_MAX_BYTES + 1)
        .read_to_string(&mut text)
        .await
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err("larger than 1 MiB".to_owned());
    }
    // A secret's file ends with a line end that is not part of the secret.
    let bare = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
    Ok(bare.map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn references_are_replaced_and_all_else_is_left_alone() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all("päss ${env:PATH}\r\n".as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let home = std::env::var("PATH").unwrap();
        for (text, expected) in [
            ("", String::new()),
            ("plain $ { } $$ ${", "plain $ { } $$ ${".to_owned()),
            ("echo ${HOME} ${x:-y} ${env", "echo ${HOME} ${x:-y} ${env".to_owned()),
            ("a ${env:PATH} b", format!("a {home} b")),
            ("a $${env:PATH} b", "a ${env:PATH} b".to_owned()),
            ("$${HOME}", "$${HOME}".to_owned()),
            (&format!("Bearer ${{file:{path}}}!"), "Bearer päss ${env:PATH}!".to_owned()),
            (&format!("$${{file:{path}}}${{env:PATH}}"), format!("${{file:{path}}}{home}")),
        ] {
            assert_eq!(resolve(text).await.unwrap(), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_resolved_is_named() {
        for (text, part) in [
            ("${env:PUNCTUAL_NO_SUCH_VARIABLE}", "${env:PUNCTUAL_NO_SUCH_VARIABLE}: not set"),
            ("${env:PUNCTUAL__CLUSTER__SECRET}", "not handed out"),
            ("${file:/no/such/file}", "${file:/no/such/file}: No such file"),
            ("${file:/}", "${file:/}: "),
            ("${file:/dev/zero}", "larger than 1 MiB"),
        ] {
            let error = resolve(text).await.unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
