"""Unix sockets: curl, socat, nginx and `websockets` with `tidewire serve` and `tidewire gateway`, in front and behind."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from gateway import Program
from server import GUARD_SECONDS
from websockets.asyncio.client import connect, unix_connect
from websockets.asyncio.server import unix_serve

SERVER = """
data_dir = "{folder}/data"
[server]
listen = "unix:{folder}/chat.sock"
socket_mode = "0666"
trusted_proxies = ["unix"]
echo = true
[rest]
listen = "unix:{folder}/rest.sock"
socket_mode = "0666"
"""

GATEWAY = """
access_log = "{folder}/access.log"
[[listeners]]
address = "unix:{folder}/gateway.sock"
socket_mode = "0666"
trusted_proxies = ["unix"]
[admin]
address = "unix:{folder}/admin.sock"
[endpoints.echo]
upstreams = ["unix:{folder}/chat.sock:/echo"]
[endpoints.python]
upstreams = ["unix:{folder}/python.sock:/a"]
[endpoints.nginx]
upstreams = ["unix:{folder}/nginx.sock:/echo"]
"""

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  proxy_http_version 1.1;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection "upgrade";
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  server {{
    listen unix:{folder}/nginx.sock;
    location / {{ proxy_pass http://unix:{folder}/chat.sock; }}
    location /gateway/ {{ proxy_pass http://unix:{folder}/gateway.sock:/; }}
  }}
}}
"""


def curl(socket: str, url: str, *arguments: str) -> str:
    command = ["curl", "-sS", "--max-time", str(GUARD_SECONDS), "--unix-socket", socket, *arguments, url]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def guarded(test):
    async def within(self):
        await asyncio.wait_for(test(self), GUARD_SECONDS)

    return within


class UnixSockets(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        # nginx's workers are users of their own, and the path has to be short.
        self.folder = tempfile.mkdtemp(prefix="tw-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.things = []
        self.server = self.start("rest", "serve", SERVER)
        self.gateway = self.start("gateway", "gateway", GATEWAY)

    def start(self, label: str, command: str, config: str) -> Program:
        file = Path(self.folder, f"{command}.toml")
        file.write_text(config.format(folder=self.folder))
        binary = os.environ.get("SERVER_BIN")
        assert binary, "SERVER_BIN must hold the path of the tidewire binary"
        program = Program(label, binary, command, "--config", str(file))
        self.things.append(program.stop)
        return program

    def tearDown(self):
        for stop in reversed(self.things):
            stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}.sock"

    async def nginx(self):
        file = Path(self.folder, "nginx.conf")
        file.write_text(NGINX.format(folder=self.folder))
        process = subprocess.Popen(["nginx", "-p", self.folder, "-e", "stderr", "-c", str(file)])
        self.things.append(lambda: (process.terminate(), process.wait()))
        while not os.path.exists(self.path("nginx")):
            assert process.poll() is None, "nginx ended"
            await asyncio.sleep(0)

    async def echoes(self, socket: str, url: str) -> None:
        async with unix_connect(self.path(socket), url) as client:
            for message in ["text", b"bytes", "x" * 100_000]:
                await client.send(message)
                self.assertEqual(await client.recv(), message)

    def records(self):
        lines = Path(self.folder, "access.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def test_curl_asks_every_listener(self):
        self.assertIn("ok", curl(self.path("chat"), "http://localhost/health"))
        self.assertIn("success", curl(self.path("rest"), "http://localhost/stats"))
        self.assertIn("ok", curl(self.path("gateway"), "http://localhost/healthz"))
        status = json.loads(curl(self.path("admin"), "http://localhost/api/v1/status"))
        self.assertEqual(status["listeners"][0]["address"], f"unix:{self.path('gateway')}")
        refused = curl(self.path("rest"), "http://evil.example/stats", "-o", "/dev/null", "-w", "%{http_code}")
        self.assertEqual(refused, "421", "open to everybody: only localhost may be asked for")

    @guarded
    async def test_clients_of_websockets_talk_to_the_server_and_through_the_gateway(self):
        await self.echoes("chat", "ws://localhost/echo")
        await self.echoes("gateway", "ws://localhost/?ROUTENAME=echo")
        while not self.records():
            await asyncio.sleep(0)
        self.assertEqual(self.records()[0]["client"], "unix:")

    @guarded
    async def test_a_backend_of_websockets_listens_on_a_unix_socket(self):
        async def serve(connection):
            await connection.send(f"{connection.request.path} {connection.request.headers['Host']}")

        async with unix_serve(serve, self.path("python")):
            async with unix_connect(self.path("gateway"), "ws://localhost/?ROUTENAME=python&b=c") as client:
                self.assertEqual(await client.recv(), "/a?b=c localhost")

    @guarded
    async def test_nginx_stands_in_front_by_unix_sockets_and_is_a_backend_by_one(self):
        await self.nginx()
        await self.echoes("nginx", "ws://localhost/echo")
        await self.echoes("nginx", "ws://chat.example/echo")  # by the Host of a trusted proxy
        await self.echoes("nginx", "ws://localhost/gateway/?ROUTENAME=echo")
        await self.echoes("gateway", "ws://localhost/?ROUTENAME=nginx")

    @guarded
    async def test_socat_makes_a_port_of_a_unix_socket(self):
        command = ["socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork,reuseaddr", f"UNIX-CONNECT:{self.path('chat')}"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.things.append(lambda: (process.terminate(), process.wait(), process.stderr.close()))
        line = next(line for line in process.stderr if "listening on" in line)
        port = line.strip().rsplit(":", 1)[1]
        async with connect(f"ws://127.0.0.1:{port}/echo") as client:
            await client.send("through socat")
            self.assertEqual(await client.recv(), "through socat")


if __name__ == "__main__":
    unittest.main()
