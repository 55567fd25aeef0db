#!/usr/bin/env bash
# systemd 252 (Debian 12): `systemd-analyze verify UNIT` ends with 0 although it printed that it
# ignores lines of that unit.
#
# A misspelt key, a value that its key does not take and a key in the wrong section are each printed
# ("Unknown key …, ignoring", "Failed to parse …, ignoring"), and the exit code stays 0. It becomes 1
# with --recursive-errors=yes, or =no, an option that by its description is about the units that the
# unit depends on. A check in CI that looks at the exit code of the plain command passes a unit whose
# `Restart=` is ignored.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
version=252.38-1~deb12u1
apt-get download -qq "systemd=$version" "libsystemd-shared=$version" 2>/dev/null
for package in ./*.deb; do
    dpkg-deb -x "$package" root
done
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu/systemd:$folder/root/usr/lib/x86_64-linux-gnu
analyze=$folder/root/usr/bin/systemd-analyze
"$analyze" --version | head -1

# verify NAME PLAIN OPTION WORDS LINES…: the exit codes without and with the option, and what is said.
verify() {
    local unit=$folder/$1.service plain=0 strict=0 lax=0 said
    printf '%s\n' '[Service]' ExecStart=/bin/true "${@:5}" > "$unit"
    said=$("$analyze" verify --man=no "$unit" 2>&1) || plain=$?
    "$analyze" verify --man=no --recursive-errors=yes "$unit" 2>/dev/null || strict=$?
    "$analyze" verify --man=no --recursive-errors=no "$unit" 2>/dev/null || lax=$?
    echo "$1: exit $plain, with the option $strict and $lax: ${said##*/}"
    if [ "$plain,$strict,$lax" != "$2,$3,$3" ] || [[ $said != *"$4"* ]]; then
        echo "it was: exit $2, with the option $3 twice, and \"$4\""
        exit 1
    fi
}

verify good 0 0 "" Restart=on-failure
verify misspelt 0 1 "Unknown key 'Restrat'" Restrat=on-failure
verify value 0 1 "Failed to parse" Restart=sometimes
verify section 0 1 "Unknown key 'Restart' in section [Unit]" '[Unit]' Restart=always
