#!/usr/bin/env python3
"""An executor in Python, with the standard library only.

    python3 examples/executor.py http://127.0.0.1:8080 127.0.0.1:9092
    punctual run python-hello -p who=world --wait
    punctual run python-sleep -p seconds=60

An executor answers POST /execute with 202 and reports the end to the callback_url of the request.
POST /stop and a health check are welcome. A real executor has work of its own in `work`.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TASKS = ["python-hello", "python-sleep"]
# The attempts that run, by execution and fence, each with its switch to stop.
RUNNING = {}
LOCK = threading.Lock()
# The nodes are asked directly, whatever proxy the environment names.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(url, body):
    """Sends JSON; the status of the answer."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with HTTP.open(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def call_back(url, body):
    """Reports the end until a node answers. 400 to 499 is final: the attempt no longer counts."""
    for _ in range(600):
        try:
            status = post(url, body)
            if status < 500:
                print("callback of", body["execution_id"], status, file=sys.stderr, flush=True)
                return
        except OSError:
            pass
        time.sleep(1)


def work(task, parameters, stopped):
    """The work itself: status and result."""
    if task == "python-hello":
        return "success", f"hello {parameters.get('who', 'nobody')}"
    if stopped.wait(float(parameters.get("seconds", 1))):
        return "failed", "stopped"
    return "success", "slept"


def carry_out(request, key, stopped):
    try:
        status, result = work(request["task_name"], request.get("parameters") or {}, stopped)
    except Exception as error:  # Whatever it is: the execution has failed, and says why.
        status, result = "failed", repr(error)
    with LOCK:
        del RUNNING[key]
    logs = f"{request['task_name']} was carried out in Python"
    body = {"execution_id": key[0], "status": status, "result": result, "logs": logs}
    call_back(request["callback_url"], body)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of the cluster."""

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if self.path == "/health" else 404, "healthy")

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        request = json.loads(self.rfile.read(length) or b"{}")
        if self.path == "/execute":
            self.execute(request)
        elif self.path == "/stop":
            self.stop(request)
        else:
            self.answer(404, "no such path")

    def execute(self, request):
        if request.get("task_name") not in TASKS:
            # A refusal is a known failure: the task may be retried, here or elsewhere.
            return self.answer(404, "no such task")
        key = (request["execution_id"], request.get("fence", 0))
        with LOCK:
            # The same attempt may be sent twice; it is carried out once.
            new = key not in RUNNING
            stopped = RUNNING.setdefault(key, threading.Event())
        if new:
            arguments = (request, key, stopped)
            threading.Thread(target=carry_out, args=arguments, daemon=True).start()
        return self.answer(202, "accepted")

    def stop(self, request):
        with LOCK:
            found = [event for key, event in RUNNING.items() if key[0] == request["execution_id"]]
        for event in found:
            event.set()
        self.answer(202 if found else 404, "")

    def log_message(self, *_arguments):
        pass


def register(server, url):
    """Registers until a node takes it. The probes of the cluster keep it online from then on."""
    body = {
        "executor_id": "python-example-1",
        "executor_name": "python-example",
        "executor_url": url,
        "health_check_url": f"{url}/health",
        "tasks": [{"name": name} for name in TASKS],
    }
    while True:
        try:
            status = post(f"{server}/api/v1/executors/register", body)
            if status < 300:
                print("registered", file=sys.stderr, flush=True)
                return
            # 409: the last process with this id had another address, and is not known to be gone.
            if status not in (409, 503, 504):
                sys.exit(f"the registration was refused with {status}")
        except OSError as error:
            print("not registered yet:", error, file=sys.stderr, flush=True)
        time.sleep(1)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: executor.py SERVER_URL LISTEN_ADDRESS")
    server, (host, port) = sys.argv[1], sys.argv[2].rsplit(":", 1)
    httpd = ThreadingHTTPServer((host, int(port)), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    register(server, f"http://{host}:{httpd.server_address[1]}")
    threading.Event().wait()


if __name__ == "__main__":
    main()
