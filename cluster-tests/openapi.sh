#!/usr/bin/env bash
# Sends requests made from /openapi.json to a cluster of three nodes, and holds each answer against
# the document: no status, code or shape that it does not tell, and of the 5xx only the 503 and 504
# of the contract. Links between the routes make sequences of requests.
#
#   PUNCTUAL=target/debug/punctual cluster-tests/openapi.sh [EXAMPLES]
#
# EXAMPLES is how many each route gets in a phase; 5 makes more than 10,000 requests in all. One
# worker: on Python 3.11 several of them meet a fault of the interpreter.
# schemathesis comes from PyPI into a virtual environment below target/. Where PyPI is not reached,
# nothing is tested, and STRICT=1 makes that a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

schemathesis=4.32.5
examples=${1:-5}
requests_min=2000
http=${OPENAPI_PORT:-18741}
peer=$((http - 1000))

skip() {
    echo "skipped: $1"
    if [ "${STRICT:-0}" = 1 ]; then exit 1; fi
    exit 0
}

program=${PUNCTUAL:-}
if [ -z "$program" ]; then
    cargo build --locked --quiet --bin punctual
    program=${CARGO_TARGET_DIR:-target}/debug/punctual
fi
program=$(realpath "$program")

root=$PWD
environment=$(realpath -m "${CARGO_TARGET_DIR:-target}")/schemathesis-$schemathesis
if [ ! -x "$environment/bin/schemathesis" ]; then
    command -v python3 >/dev/null || skip "there is no python3"
    python3 -m venv "$environment" || skip "python3 makes no virtual environment"
    timeout 300 "$environment/bin/pip" install --quiet --disable-pip-version-check \
        "schemathesis==$schemathesis" || skip "PyPI is not reached"
fi

work=$(mktemp -d)
nodes=()
stop() {
    for node in "${nodes[@]}"; do kill "$node" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap stop EXIT

# Shell actions stay off: what a task does is made up by the test.
for id in 1 2 3; do
    {
        echo '[cluster]'
        echo 'name = "openapi"'
        for member in 1 2 3; do
            echo '[[cluster.member]]'
            echo "id = $member"
            echo "peer = \"127.0.0.1:$((peer + member))\""
            echo "http = \"http://127.0.0.1:$((http + member))\""
        done
        echo '[node]'
        echo "id = $id"
        echo "data_dir = \"$work/n$id\""
        echo '[http]'
        echo "listen = \"127.0.0.1:$((http + id))\""
        echo '[peer]'
        echo "listen = \"127.0.0.1:$((peer + id))\""
    } >"$work/n$id.toml"
    "$program" serve --config "$work/n$id.toml" >"$work/n$id.log" 2>&1 &
    nodes+=($!)
done

ready() { curl -fs "http://127.0.0.1:$((http + $1))/readyz" >/dev/null; }
for _ in $(seq 300); do
    if ready 1 && ready 2 && ready 3; then break; fi
    sleep 0.2
done
ready 1 && ready 2 && ready 3 || { tail -n 20 "$work"/*.log; exit 1; }

# What it keeps beside its report goes with the rest. The streams of a task's executions and of events
# have no end, so there is no answer to look at. The process of a removed member ends.
cd "$work"
code=0
"$environment/bin/schemathesis" --config-file "$root/cluster-tests/schemathesis.toml" \
    run "http://127.0.0.1:$((http + 1))/openapi.json" \
    --phases examples,coverage,fuzzing,stateful --max-examples "$examples" \
    --exclude-operation-id followExecutionsOfTask --exclude-operation-id followEvents \
    --exclude-operation-id removeMember \
    --workers 1 --generation-deterministic --continue-on-failure --no-color \
    --report json --report-json-path "$work/report.json" | tee "$work/said" || code=$?
generated=$(sed -nE 's/^ *([0-9]+) generated.*/\1/p' "$work/said")
[ "${generated:-0}" -ge "$requests_min" ] || { echo "only ${generated:-0} requests"; exit 1; }
for id in 1 2 3; do
    ready "$id" || { echo "node $id does not answer any more"; tail -n 50 "$work/n$id.log"; exit 1; }
    # A handler that panics is a fault, whatever it answered.
    ! grep -n "panicked" "$work/n$id.log" || exit 1
done
exit "$code"
