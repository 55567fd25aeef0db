#!/usr/bin/env bash
# Power cuts: what a disk holds at a random moment must hold all that was acknowledged before.
#
#   cluster-tests/power-cuts.sh [COPIES [CONTROLS]]        25 and 5 of each part, if not said
#
# An ext4 lies in an image file on an XFS. A writer (src/storage/crashtest.rs) runs on the ext4;
# at a random moment the image is cloned, which XFS does at one blow: the clone is what a disk
# without a volatile cache holds when the power goes. It is mounted, so that ext4 replays its
# journal, and what was acknowledged before the clone must be there. The clone then becomes the
# disk, the writer goes on upon it and meets the next cut; every fifth begins with an empty one.
#
# The parts are the Raft log (`log`) and the checkpoint store (`store`), each alone, because on
# ext4 an fsync of one file commits what is known of all others. The controls are the same with a
# writer that syncs nothing: the model must find losses in most of them, or it has no teeth.
#
# Needs root, loop devices and mkfs.xfs (Debian: xfsprogs); where they lack it says `skipped`.
set -euo pipefail
cd "$(dirname "$0")/.."

copies=${1:-25}
controls=${2:-5}
# Copies in a row on one disk, and the longest time that a writer has, in milliseconds.
row=5
writes_max_ms=700
# A writer that has acknowledged nothing after this is broken.
first_ack_ms=30000

# With STRICT=1 nothing may be left out.
skip() {
    echo "power cuts: skipped: $1"
    [ "${STRICT-}" != 1 ] || exit 1
    exit 0
}

if [ -z "${POWER_CUTS_INSIDE:-}" ]; then
    [ "$(uname -s)" = Linux ] || skip "this is not Linux"
    [ "$(id -u)" = 0 ] || skip "only root may mount"
    for tool in mkfs.xfs mkfs.ext4 unshare losetup; do
        command -v "$tool" >/dev/null || skip "there is no $tool"
    done
    [ -e /dev/loop-control ] || skip "there are no loop devices"
    # With mounts of its own: whatever ends this script, they end with it, and the loop devices too.
    unshare --mount --propagation private true 2>/dev/null || skip "mounts cannot be kept apart"
    # The whole workspace, as the other tests are built: a part of it would be built anew.
    binary=$(cargo test --workspace --lib --no-run --locked --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\/punctual-[^"]*\)".*/\1/p' | tail -n 1)
    [ -x "$binary" ] || { echo "power cuts: the test binary was not built"; exit 1; }
    POWER_CUTS_INSIDE=$binary exec unshare --mount --propagation private "$BASH" "$0" "$@"
fi
binary=$POWER_CUTS_INSIDE

work=$(mktemp -d "${TMPDIR:-/tmp}/punctual-power-XXXXXX")
writer=
finish() {
    if [ -n "$writer" ]; then
        kill -9 "$writer" 2>/dev/null || true
    fi
    wait
    for place in "$work/disk" "$work/xfs"; do
        if mountpoint -q "$place"; then
            umount "$place" || umount -l "$place"
        fi
    done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

mkdir "$work/xfs" "$work/disk"
truncate -s 4G "$work/xfs.image"
mkfs.xfs -q -m reflink=1 "$work/xfs.image" || skip "mkfs.xfs failed"
mount -o loop "$work/xfs.image" "$work/xfs" 2>/dev/null || skip "an XFS image cannot be mounted"
truncate -s 1G "$work/xfs/empty"
mkfs.ext4 -q -F "$work/xfs/empty"
mount -o loop "$work/xfs/empty" "$work/disk" 2>/dev/null || skip "an ext4 image cannot be mounted"
umount "$work/disk"

millis() {
    local now=${EPOCHREALTIME/[.,]/}
    echo $((now / 1000))
}

promise() {
    sed -n 's/^acked //p' "$work/said" | tail -n 1
}

# Writes part $1 on $work/xfs/disk for a while, cuts the power: the clone is $work/xfs/cut, and
# $promised what was acknowledged before it. $2: `NO_SYNC` for a writer that syncs nothing.
cut() {
    local part=$1 begun
    mount -o loop "$work/xfs/disk" "$work/disk"
    : >"$work/said"
    env ${2:+PUNCTUAL_CRASH_$2=1} PUNCTUAL_CRASH="$part" PUNCTUAL_CRASH_DIR="$work/disk/data" \
        "$binary" --exact storage::crashtest::child --nocapture >"$work/said" 2>"$work/wrong" &
    writer=$!
    begun=$(millis)
    until [ -n "$(promise)" ]; do
        if ! kill -0 "$writer" 2>/dev/null || (($(millis) - begun > first_ack_ms)); then
            echo "power cuts: the writer of the $part acknowledges nothing"
            cat "$work/said" "$work/wrong"
            exit 1
        fi
        sleep 0.01
    done
    sleep "$(printf '0.%03d' $((RANDOM % writes_max_ms)))"
    kill -0 "$writer" 2>/dev/null || { echo "power cuts: the writer of the $part ended"; exit 1; }
    promised=$(promise)
    cp --reflink=always "$work/xfs/disk" "$work/xfs/cut"
    kill -9 "$writer"
    wait "$writer" 2>/dev/null || true
    writer=
    umount "$work/disk"
    mv "$work/xfs/cut" "$work/xfs/disk"
}

# Whether part $1 holds what was promised.
holds() {
    local code=0
    mount -o loop "$work/xfs/disk" "$work/disk"
    env PUNCTUAL_CRASH="check-$1:$promised" PUNCTUAL_CRASH_DIR="$work/disk/data" \
        "$binary" --exact storage::crashtest::child --nocapture >"$work/check" 2>&1 || code=$?
    umount "$work/disk"
    return "$code"
}

# So many copies ($2) of a part ($1); sets $lost, and prints what was lost.
copies_of() {
    local part=$1 count=$2 mode=${3:-} at
    lost=0
    for ((at = 0; at < count; at++)); do
        if ((at % row == 0)) || [ -n "$mode" ]; then
            cp --reflink=always "$work/xfs/empty" "$work/xfs/disk"
        fi
        cut "$part" "$mode"
        if ! holds "$part"; then
            lost=$((lost + 1))
            [ -n "$mode" ] || { echo "lost of the $part, promised $promised:"; cat "$work/check"; }
            cp --reflink=always "$work/xfs/empty" "$work/xfs/disk"
        fi
    done
}

failed=0
for part in log store; do
    begun=$SECONDS
    copies_of "$part" "$copies"
    echo "power cuts: $part: $copies copies, $lost with a loss, $((SECONDS - begun)) s"
    ((lost == 0)) || failed=1
    begun=$SECONDS
    copies_of "$part" "$controls" NO_SYNC
    echo "power cuts: $part without syncs: $controls copies, $lost with a loss," \
        "$((SECONDS - begun)) s"
    ((2 * lost > controls || controls == 0)) || { echo "the model has no teeth"; failed=1; }
done
exit "$failed"
