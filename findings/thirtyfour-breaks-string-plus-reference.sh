#!/usr/bin/env bash
# thirtyfour 0.38.1: as soon as a crate mentions it, `String + &String` no longer compiles anywhere in
# that crate.
#
# `a + &b` for two strings works because `str` is the only right side that `Add` of String has: the
# compiler then turns `&String` into `&str`. thirtyfour implements `Add<Key>` and `Add<TypingData>` for
# the String of the standard library, for key chords. With three candidates there is no coercion, and
# E0277 says that String cannot be added to &String, in files that have nothing to do with it. A trait
# need not be imported for that. Seen: the same file compiles without the crate, and with it in
# Cargo.toml but unmentioned; one `use` elsewhere in the crate breaks it; `&*b` compiles again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.1.0"
edition = "2024"
[dependencies]
thirtyfour = { version = "=0.38.1", default-features = false }
TOML
joined() { printf 'pub fn joined(a: String, b: String) -> String {\n    a + %s\n}\n' "$1" > src/other.rs; }
# Prints the codes of the errors, or nothing.
errors() { cargo check --quiet --message-format short 2>&1 | grep -oE 'error\[E[0-9]+\]' | sort -u || true; }
joined '&b'
echo 'pub mod other;' > src/lib.rs
unmentioned=$(errors)
printf 'pub mod other;\npub mod browser;\n' > src/lib.rs
echo 'pub use thirtyfour::WebDriver;' > src/browser.rs
mentioned=$(errors)
joined '&*b'
sliced=$(errors)
echo "in Cargo.toml only: [$unmentioned]; mentioned: [$mentioned]; mentioned, with &*b: [$sliced]"
[ -z "$unmentioned" ] && [ "$mentioned" = "error[E0277]" ] && [ -z "$sliced" ]
