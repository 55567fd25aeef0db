#!/usr/bin/env bash
# sled 0.34.7: `generate_id` goes on two million higher after each open, also after a clean close.
#
# The ids rise by one within a process, and one would expect the next process to go on where the last
# one ended. Seen: 0 to 2, then 2,000,000 and up, then 4,000,000 and up. They stay unique and rising, so
# nothing breaks; but whoever packs them into 32 bits runs out after some two thousand restarts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
sled = "=0.34.7"
TOML
cat > src/main.rs <<'RUST'
fn main() {
    let mut firsts = Vec::new();
    for _ in 0..3 {
        let store = sled::open("store").expect("a store");
        let ids: Vec<u64> = (0..3).map(|_| store.generate_id().expect("an id")).collect();
        println!("{ids:?}");
        firsts.push(ids[0]);
        store.flush().expect("a flush");
    }
    std::process::exit(i32::from(firsts != [0, 2_000_000, 4_000_000]));
}
RUST
cargo run --quiet
