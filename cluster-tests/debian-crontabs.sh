#!/usr/bin/env bash
# Imports the cron files of Debian packages and compares what comes of each line with our table.
#
#   cluster-tests/debian-crontabs.sh            compare
#   cluster-tests/debian-crontabs.sh --bless    write the table anew, to be looked at as a diff
#
# The packages are fetched into a temporary folder; nothing of them is kept but hashes. A row is
#   package, version, file, line, task, schedule, user, zone, hash of the command, three ticks.
# A package that the archive has in another version than the table is imported all the same, and
# must be understood, but is not compared. Where no Debian archive is reached, nothing is tested.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(cron cron-daemon-common anacron e2fsprogs sysstat mdadm php-common certbot munin-node
    amavisd-new apticron awstats cacti debsecan john leafnode logcheck mailman3-web mrtg munin
    ntpsec-ntpviz popularity-contest rsnapshot roundcube-core tiger)
at_least=8
table=cluster-tests/crontabs/debian.table
from=2026-01-01T00:00:00Z

# With STRICT=1 nothing may be left out.
skip() {
    echo "skipped: $1"
    [ "${STRICT-}" != 1 ] || exit 1
    exit 0
}

bless=false
case "${1-}" in
    "") ;;
    --bless) bless=true ;;
    *) echo "usage: $0 [--bless]" >&2; exit 2 ;;
esac
for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || skip "there is no $tool"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

# The program's own build, or the one that the caller names.
program=${PUNCTUAL:-}
if [ -z "$program" ]; then
    cargo build --locked --quiet --bin punctual
    program=${CARGO_TARGET_DIR:-target}/debug/punctual
fi
program=$(realpath "$program")

# fetch PACKAGE: into $work; fails if the archive does not give it.
fetch() {
    (cd "$work" && timeout 120 apt-get -qq -o APT::Sandbox::User=root download "$1") >/dev/null 2>&1
}

if ! fetch "${packages[0]}"; then
    timeout 300 apt-get -qq update >/dev/null 2>&1 || true
    fetch "${packages[0]}" || skip "no Debian archive is reached"
fi

found=$work/found
refused=0
used=0
: >"$found"
for package in "${packages[@]}"; do
    rm -f "$work"/*.deb
    if ! fetch "$package"; then
        echo "$package: not in this archive"
        continue
    fi
    archive=("$work"/*.deb)
    version=$(dpkg-deb -f "${archive[0]}" Version)
    rm -rf "$work/root"
    dpkg-deb -x "${archive[0]}" "$work/root"
    files=0
    for file in "$work"/root/etc/crontab "$work"/root/etc/cron.d/*; do
        [ -f "$file" ] || continue
        files=$((files + 1))
        code=0
        "$program" import crontab "$file" --system --anywhere --dry-run --fingerprint --tz UTC --from "$from" \
            >"$work/lines" || code=$?
        # 1 says that there is no job in it.
        if [ "$code" -eq 1 ] && [ ! -s "$work/lines" ]; then
            code=0
        fi
        if [ "$code" -ne 0 ]; then
            echo "$package: ${file#"$work/root"} is not understood (exit $code):"
            "$program" import crontab "$file" --system --dry-run --tz UTC 2>&1 >/dev/null || true
            refused=1
        fi
        while IFS= read -r line; do
            printf '%s\t%s\t%s\t%s\n' "$package" "$version" "${file#"$work/root"}" "$line"
        done <"$work/lines" >>"$found"
    done
    if [ "$files" -gt 0 ]; then
        used=$((used + 1))
    fi
done

echo "$used packages with cron files, $(wc -l <"$found") jobs"
if $bless; then
    cp "$found" "$table"
    echo "written: $table"
    exit "$refused"
fi
if [ "$used" -lt "$at_least" ]; then
    skip "the archive has only $used of at least $at_least packages"
fi

# Only packages of the same version can be compared.
key() { cut -f 1,2 "$1" | sort -u; }
key "$table" >"$work/known"
key "$found" >"$work/here"
comm -12 "$work/known" "$work/here" >"$work/same"
comm -13 "$work/known" "$work/here" | sed 's/^/not compared, another version: /'
pick() { awk -F '\t' 'NR == FNR { same[$1 FS $2]; next } ($1 FS $2) in same' "$work/same" "$1"; }
if ! diff <(pick "$table") <(pick "$found"); then
    echo "the import of these lines is not what $table says" >&2
    exit 1
fi
echo "compared: $(wc -l <"$work/same") packages, $(pick "$found" | wc -l) jobs"
exit "$refused"
