"""Servers that speak HTTP but no WebSocket behind the gateway, as a wrong address in its file makes them; and busybox's wget as a
health check.

Of the first kind: `python -m http.server` and busybox's httpd (both HTTP/1.0), nginx (its own pages, a redirect, a challenge, its
502), HAProxy (a denial, its 503). Their answers reach the client, with their status, and none of them is ejected for it.
"""

import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from gateway import Gateway
from server import GUARD_SECONDS, Server

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    location /moved {{ return 301 https://elsewhere.example/; }}
    location /private {{ add_header WWW-Authenticate 'Basic realm="x"' always; return 401 "who are you"; }}
    location /down {{ proxy_pass http://127.0.0.1:1; }}
    location / {{ return 404; }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  http-request deny deny_status 429 if {{ path /many }}
  default_backend none
backend none
"""

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Backend:
    """A program that listens on `port`."""

    def __init__(self, plan):
        for _ in range(3):
            # Another process may take the port before it is bound: then with another.
            self.folder = Path(tempfile.mkdtemp(prefix="tidewire-test-"))
            self.port = free_port()
            self.process = subprocess.Popen(plan(self.port, self.folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if self.listens():
                return
            self.stop()
        raise AssertionError("it does not listen")

    def listens(self) -> bool:
        guard = time.monotonic() + GUARD_SECONDS
        while self.process.poll() is None and time.monotonic() < guard:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self.process.poll() is None
            except ConnectionRefusedError:
                time.sleep(0.01)
        return False

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def nginx(port, folder):
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(port=port, folder=folder))
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(file)]


def haproxy(port, folder):
    file = folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port))
    return ["haproxy", "-db", "-f", str(file)]


def python(port, folder):
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port)]


def busybox(port, folder):
    return ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", str(folder)]


ANSWERS = [
    (python, [("/nope", 404, "File not found", {})]),
    (busybox, [("/nope", 404, "404", {})]),
    (
        nginx,
        [
            ("/nope", 404, "nginx", {}),
            ("/moved", 301, "301", {"Location": "https://elsewhere.example/"}),
            ("/private", 401, "who are you", {"WWW-Authenticate": 'Basic realm="x"'}),
            ("/down", 502, "Bad Gateway", {}),
        ],
    ),
    (haproxy, [("/many", 429, "429", {}), ("/nope", 503, "No server is available", {})]),
]


class HttpBackends(unittest.TestCase):
    def ask(self, gateway, path):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=GUARD_SECONDS)
        try:
            connection.request("GET", path, headers=HANDSHAKE)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def test_their_answers_reach_the_client_each_time(self):
        for plan, answers in ANSWERS:
            backend = Backend(plan)
            self.addCleanup(backend.stop)
            for extensions in ("end-to-end", "per-hop"):
                gateway = Gateway(
                    f'[[listeners]]\naddress = "127.0.0.1:0"\n[endpoints.e]\nupstreams = ["ws://127.0.0.1:{backend.port}/"]\n'
                    f'extensions = "{extensions}"\n[[routes]]\nendpoint = "e"\npath = "/*"\nupstream_path = "request"\n'
                )
                try:
                    for _ in range(10):
                        for path, status, part, fields in answers:
                            with self.subTest(program=plan.__name__, path=path, extensions=extensions):
                                found, body, headers = self.ask(gateway, path)
                                self.assertEqual(found, status, body)
                                self.assertIn(part, body)
                                for name, value in fields.items():
                                    self.assertEqual(headers[name], value)
                finally:
                    gateway.stop()


class Probes(unittest.IsolatedAsyncioTestCase):
    def wget(self, *arguments):
        command = ["busybox", "wget", "-q", "-O", "-", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=GUARD_SECONDS)

    async def test_busybox_wget_finds_server_and_gateway_healthy(self):
        async with Server() as server:
            for url in (server.urls["rest"], server.urls["web chat"]):
                found = self.wget(f"{url}health")
                self.assertEqual((found.returncode, found.stdout), (0, '{"status":"ok"}'), found.stderr)
                # As a container's health check often does.
                self.assertEqual(self.wget("--spider", f"{url}health").returncode, 0)
                self.assertEqual(self.wget("--header", "Host: lb.example", f"{url}health").returncode, 0)
            answer = self.wget(
                "--header", "Content-Type: application/json",
                "--post-data", '{"type":"text","sender":0,"recipients":[7],"text":"x"}',
                f"{server.urls['rest']}send-message",
            )
            self.assertIn('"success":true', answer.stdout, answer.stderr)
        gateway = Gateway('[[listeners]]\naddress = "127.0.0.1:0"\n[endpoints.e]\nupstreams = ["ws://127.0.0.1:1/"]\n')
        try:
            found = self.wget(gateway.url.replace("ws:", "http:") + "healthz")
            self.assertEqual((found.returncode, found.stdout), (0, "ok\n"), found.stderr)
        finally:
            gateway.stop()


if __name__ == "__main__":
    unittest.main()
