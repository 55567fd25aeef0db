#!/usr/bin/env bash
# cargo 1.95.0: of two checkouts that share a target folder the second is taken for built already.
#
# Their packages lie at different absolute paths, so programs of their own would be expected, or at least
# a new build. Seen: the hash in the file names is made of the path within the workspace, and freshness of
# the times of the sources. Where the sources of the second checkout are older than the build of the
# first, cargo says that all is done, and its program is that of the first checkout. Where they are
# newer, the program of the first checkout is overwritten, below deps/ too, also while it runs.
set -euo pipefail
version=1.95.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
run() { rustup run "$version" "$@" 2>/dev/null || "$@"; }
case $(run cargo --version) in "cargo $version"*) ;; *) echo "cargo is not $version"; exit 2 ;; esac
for checkout in one two; do
    mkdir -p "$checkout/member/src"
    printf '[workspace]\nresolver = "3"\nmembers = ["member"]\n' > "$checkout/Cargo.toml"
    printf '[package]\nname = "member"\nversion = "0.1.0"\nedition = "2024"\n' > "$checkout/member/Cargo.toml"
    printf 'fn main() {\n    println!("%s");\n}\n' "$checkout" > "$checkout/member/src/main.rs"
done
export CARGO_TARGET_DIR="$folder/target"
said() { target/debug/member; }
(cd one && run cargo build --quiet --offline)
one=$(said)
(cd two && run cargo build --quiet --offline)
two=$(said)
touch -d 'now + 1 minute' two/member/src/main.rs
(cd two && run cargo build --quiet --offline)
newer=$(said)
programs=$(find target/debug/deps -name 'member-*' -type f -perm -u+x | wc -l)
echo "built in one: $one; then in two: $two; with newer sources: $newer; programs below deps/: $programs"
[ "$one" = one ] && [ "$two" = one ] && [ "$newer" = two ] && [ "$programs" = 1 ]
