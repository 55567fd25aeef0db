#!/usr/bin/env python3
"""Measures the web page of a cluster: how long its pages take, and what open pages cost.

The nodes must run and be started with `serve --bench`, which adds a function that does nothing:

    punctual serve --bench --set node.data_dir=DIR &
    cluster-tests/page-speed.py --node 127.0.0.1:8080 --load 1000000 --fast 1000
    cluster-tests/page-speed.py --node 127.0.0.1:8080 --pid PID --open 100

`--load N` creates N tasks: `--fast M` of them tick each second, the others once a month. Then each kind
of page is asked for over one kept connection, and p50, p99 and the bytes on the wire are printed.
`--open N` opens the streams of N pages as a browser does: each page is asked for again when its stream
says that it has changed. The CPU time of the node (`--pid`, on this machine) over `--seconds` is printed
with and without them, and how late the ticks of the bench function start (`/bench/starts`).
"""
import argparse
import gzip
import http.client
import json
import threading
import time

GROUPS = ["backup", "report", "sync", "index", "clean", "mail", "export", "check"]
HEADERS = {"accept": "text/html", "accept-encoding": "gzip"}


def body(number, fast):
    action = {"func": {"id": "bench-noop"}}
    if number < fast:
        return {"name": f"tick-{number:04}", "schedule": {"interval": "1s"}, "action": action}
    cron = f"{number % 60} {number // 60 % 24} {1 + number // 1440 % 28} * *"
    name = f"{GROUPS[number % 8]}-{number:07}"
    return {"name": name, "schedule": {"cron": cron}, "action": action}


def load(node, count, fast):
    def part(begin, end):
        connection = http.client.HTTPConnection(node, timeout=120)
        for at in range(begin, end, 5000):
            items = [body(number, fast) for number in range(at, min(at + 5000, end))]
            connection.request("POST", "/api/v1/tasks/batch", json.dumps({"items": items}),
                               {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{answer.status}: {text[:300]}")

    begun, step = time.time(), (count + 3) // 4
    parts = [threading.Thread(target=part, args=(at, min(at + step, count)))
             for at in range(0, count, step)]
    for one in parts:
        one.start()
    for one in parts:
        one.join()
    print(f"{count} tasks created in {time.time() - begun:.0f} s")


def ask(connection, path):
    begun = time.perf_counter()
    connection.request("GET", path, headers=HEADERS)
    answer = connection.getresponse()
    packed = answer.read()
    took = (time.perf_counter() - begun) * 1000
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}")
    plain = gzip.decompress(packed) if answer.getheader("content-encoding") == "gzip" else packed
    return took, len(packed), plain


def some(values, part):
    return values[min(len(values) - 1, int(len(values) * part))]


def measure(node, paths, seconds):
    print(f"{'page':44} {'times':>6} {'first':>8} {'p50 ms':>8} {'p99 ms':>8} {'max':>8} {'wire':>8} {'plain':>8}")
    for path in paths:
        connection = http.client.HTTPConnection(node, timeout=120)
        first = ask(connection, path)[0]
        times, end = [], time.time() + seconds
        while time.time() < end:
            took, wire, plain = ask(connection, path)
            times.append(took)
            time.sleep(0.01)
        times.sort()
        print(f"{path:44} {len(times):6} {first:8.1f} {some(times, .5):8.1f} {some(times, .99):8.1f} "
              f"{times[-1]:8.1f} {wire:8} {len(plain):8}", flush=True)


def starts(node):
    connection = http.client.HTTPConnection(node, timeout=30)
    connection.request("GET", "/bench/starts")
    answer = connection.getresponse()
    text = answer.read()
    return json.loads(text) if answer.status == 200 else []


def cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


class OpenPage(threading.Thread):
    def __init__(self, node, path, stop):
        super().__init__(daemon=True)
        self.node, self.path, self.stop, self.times = node, path, stop, []

    def run(self):
        pages = http.client.HTTPConnection(self.node, timeout=60)
        ask(pages, self.path)
        stream = http.client.HTTPConnection(self.node, timeout=60)
        stream.request("GET", "/live?path=" + self.path.replace("/", "%2F"))
        lines = stream.getresponse()
        while not self.stop.is_set():
            if lines.readline().strip() == b"event: changed":
                self.times.append(ask(pages, self.path)[0])


def window(node, pid, seconds):
    starts(node)
    begun, before = time.time(), cpu(pid)
    late = []
    while time.time() < begun + seconds:
        time.sleep(1)
        late += [start[2] / 1000 for start in starts(node) if start[1] is not None]
    used = (cpu(pid) - before) / (time.time() - begun) * 100
    late.sort()
    lag = f"p50 {some(late, .5):.1f} p99 {some(late, .99):.1f} ms of {len(late)}" if late else "-"
    return used, lag


def open_pages(node, pid, paths, count, seconds):
    print(f"without open pages: {'%.1f %% of a core; lag %s' % window(node, pid, seconds)}", flush=True)
    for name, kinds in [("pages of each kind", paths), ("overviews", ["/"])]:
        stop = threading.Event()
        pages = [OpenPage(node, kinds[at % len(kinds)], stop) for at in range(count)]
        for page in pages:
            page.start()
        time.sleep(5)
        for page in pages:
            page.times.clear()
        used = window(node, pid, seconds)
        times = sorted(took for page in pages for took in page.times)
        asked = f"{len(times) / seconds:.1f}/s, p99 {some(times, .99):.0f} ms" if times else "none"
        print(f"{count} {name}: {'%.1f %% of a core; lag %s' % used}; pages {asked}", flush=True)
        stop.set()
        time.sleep(6)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--node", default="127.0.0.1:8080")
    options.add_argument("--load", type=int, default=0)
    options.add_argument("--fast", type=int, default=0)
    options.add_argument("--pid", type=int)
    options.add_argument("--open", type=int, default=0)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--skip-pages", action="store_true")
    asked = options.parse_args()
    if asked.load:
        load(asked.node, asked.load, asked.fast)
    connection = http.client.HTTPConnection(asked.node, timeout=60)
    connection.request("GET", "/api/v1/tasks?limit=1")
    dormant = json.loads(connection.getresponse().read())["items"][0]["name"]
    connection.request("POST", f"/api/v1/tasks/{dormant}/trigger", "{}", {"content-type": "application/json"})
    execution = "/executions/" + json.loads(connection.getresponse().read())["id"]
    paths = ["/", "/tasks", "/tasks?q=backup-*", "/tasks?q=backup-09*", "/tasks?q=999", "/tasks?q=nothing",
             "/tasks?sort=next", "/tasks?sort=last", f"/tasks/{dormant}", "/tasks/tick-0001", execution,
             "/executions", "/failed", "/nodes", "/executors", "/calendars", "/week"]
    if not asked.skip_pages:
        measure(asked.node, paths, asked.seconds)
    if asked.open:
        kinds = ["/", "/tasks", f"/tasks/{dormant}", "/tasks/tick-0001", "/nodes"]
        open_pages(asked.node, asked.pid, kinds, asked.open, asked.seconds)


main()
