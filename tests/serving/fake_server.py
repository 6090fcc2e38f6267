"""A stand-in server for tests, in a process of its own: `fake_server.py HOST PORT [WORKERS_FILE]`.

It answers /health, and writes the number of a worker that it started into WORKERS_FILE.
"""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()


def main(host: str, port: str, workers: str | None = None) -> None:
    if workers:
        worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(workers).write_text(str(worker.pid))
    print("listening", flush=True)
    HTTPServer((host, int(port)), Answers).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
