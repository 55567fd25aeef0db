#!/usr/bin/env bash
# maud 0.27.0: an element of `html!` that has classes in the short form (`.point`) and an attribute
# `class=(…)` as well compiles without a warning and is written with the attribute twice. The classes
# are neither joined nor refused. HTML keeps the first attribute of a name, so what the expression
# yields has no effect. Classes that are computed are written `.(…)`, which joins them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cargo init --quiet --name twice .
cargo add --quiet maud@=0.27.0
cat >src/main.rs <<'RUST'
use maud::html;

fn main() {
    let kind = "failed";
    println!("{}", html! { circle.point class=(kind) {} }.into_string());
    println!("{}", html! { circle.point.(kind) {} }.into_string());
}
RUST
out=$(cargo run --quiet 2>&1)
echo "$out"
expected='<circle class="point" class="failed"></circle>
<circle class="point failed"></circle>'
[ "$out" = "$expected" ]
