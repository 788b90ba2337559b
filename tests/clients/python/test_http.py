"""The library's HTTP and chat programs, with curl, `http.client`, `websockets`, and with each other.

`HTTP_EXAMPLES` names the folder of the examples `http_server`, `http_client`, `https_server`, `https_client`,
`ws_chat_server`, `ws_chat_client`, `wss_chat_server` and `wss_chat_client`.
"""

import asyncio
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import unittest

import websockets

from server import GUARD_SECONDS

EXAMPLES = os.environ.get("HTTP_EXAMPLES")
GREETING = "Hello from WebSocket chat! Please send a message or '!' to disconnect the client!"


class Program:
    """An example at work: what it prints is read line by line, what is typed is written."""

    def __init__(self, name: str, *arguments: str):
        self.arguments = [os.path.join(EXAMPLES, name), *arguments]
        self.output = ""

    async def __aenter__(self) -> "Program":
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*self.arguments, stdin=pipe, stdout=pipe)
        return self

    async def __aexit__(self, *_) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def until(self, pattern: str) -> re.Match:
        """Reads on until this has been printed; what was printed up to it is forgotten."""
        while not (found := re.search(pattern, self.output)):
            more = await asyncio.wait_for(self.process.stdout.read(4096), GUARD_SECONDS)
            assert more, f"expected {pattern!r}, not only {self.output!r}"
            self.output += more.decode()
        self.output = self.output[found.end() :]
        return found

    async def port(self) -> int:
        port = await self.until(r"server port: (\d+)\n")
        await self.until("Press Enter to stop the server or '!' to restart the server...\n")
        return int(port[1])

    def type(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n".encode())

    async def stop(self) -> None:
        self.type("")
        await asyncio.wait_for(self.process.wait(), GUARD_SECONDS)
        assert self.process.returncode == 0


async def run(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), GUARD_SECONDS)
    assert process.returncode == 0, f"{arguments}: {process.returncode}"
    return output.decode(errors="replace")


async def curl(*arguments: str) -> str:
    return await run("curl", "--silent", "--show-error", "--noproxy", "*", *arguments)


def certificates(folder: str) -> None:
    """An authority, and a certificate for localhost, as `server.pem` and `ca.crt`."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=example.com")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"]
    openssl(*new, "-x509", "-keyout", "server.key", "-out", "server.crt", "-subj", "/CN=server.example.com", *signed)
    server = pathlib.Path(folder, "server.pem")
    server.write_text(pathlib.Path(folder, "server.crt").read_text() + pathlib.Path(folder, "server.key").read_text())
    server.chmod(0o600)


@unittest.skipUnless(EXAMPLES, "HTTP_EXAMPLES is not set")
class HttpPrograms(unittest.IsolatedAsyncioTestCase):
    async def test_the_cache_answers_every_method(self):
        async with Program("http_server", "0") as server:
            port = await server.port()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GUARD_SECONDS)

            async def ask(method: str, url: str, body: str | None = None):
                def exchange():
                    connection.request(method, url, body)
                    response = connection.getresponse()
                    return response.status, response.read().decode(), response

                status, text, response = await asyncio.to_thread(exchange)
                return status, text, response.getheader

            self.assertEqual((await ask("PUT", "/api/cache?key=a%20b", "hello"))[:2], (200, ""))
            self.assertEqual((await ask("POST", "/any/url", "second"))[:2], (200, ""))
            status, text, field = await ask("GET", "/api/cache?key=a%20b")
            self.assertEqual((status, text), (200, "hello"))
            self.assertEqual(field("Content-Type"), "text/plain; charset=UTF-8")
            self.assertEqual((await ask("GET", "/any/url"))[1], "second")
            _, text, field = await ask("GET", "/api/cache")
            self.assertEqual(json.loads(text), [{"key": "/any/url", "value": "second"}, {"key": "a b", "value": "hello"}])
            self.assertEqual(field("Content-Type"), "application/json; charset=UTF-8")
            self.assertEqual((await ask("DELETE", "/any/url"))[:2], (200, "second"))
            missing = "cache value was not found for the key: x"
            self.assertEqual((await ask("GET", "/api/cache?key=x"))[:2], (404, f"Required {missing}"))
            self.assertEqual((await ask("DELETE", "/api/cache?key=x"))[:2], (404, f"Deleted {missing}"))
            self.assertEqual((await ask("HEAD", "/api/cache"))[:2], (200, ""))
            status, _, field = await ask("OPTIONS", "/api/cache")
            self.assertEqual((status, field("Allow")), (200, "HEAD,GET,POST,PUT,DELETE,OPTIONS,TRACE"))
            status, text, field = await ask("TRACE", "/traced")
            self.assertEqual((status, field("Content-Type")), (200, "message/http"))
            self.assertTrue(text.startswith("TRACE /traced HTTP/1.1\r\nHost: 127.0.0.1:"), text)
            self.assertEqual((await ask("PATCH", "/api/cache"))[:2], (405, "Unsupported HTTP method: PATCH"))
            await server.until(r"Request method: PUT\nRequest URL: /api/cache\?key=a%20b\nRequest protocol: HTTP/1.1\n")
            await server.until("Request body:5\nhello\n")
            connection.close()
            server.type("!")
            await server.until("Server restarting...Done!\n")
            self.assertEqual((await curl(f"http://127.0.0.1:{port}/api/cache")).strip(), "[]")
            await server.stop()
            await server.until("Server stopping...Done!\n")

    async def test_curl_gets_files_ranges_and_what_has_changed(self):
        with tempfile.TemporaryDirectory() as folder:
            content = "".join(f"line {number}\n" for number in range(10_000))
            pathlib.Path(folder, "a.txt").write_text(content)
            async with Program("http_server", "0", folder) as server:
                url = f"http://127.0.0.1:{await server.port()}/api/a.txt"
                for version in ["--http1.1", "--http2-prior-knowledge"]:
                    self.assertEqual(await curl(version, url), content)
                    self.assertEqual(await curl(version, "--range", "7-13", url), content[7:14])
                    head = (await curl(version, "--head", url)).lower()
                    self.assertIn("content-type: text/plain; charset=utf-8\r\n", head)
                    self.assertIn("cache-control: max-age=3600\r\n", head)
                    self.assertIn(f"content-length: {len(content)}\r\n", head)
                    etag = re.search(r"etag: (.*)\r\n", head)[1]
                    status = ["--output", os.devnull, "--write-out", "%{http_code} %{http_version}", version]
                    again = await curl(*status, "--header", f"If-None-Match: {etag}", url)
                    self.assertEqual(again, "304 1.1" if version == "--http1.1" else "304 2")
                    behind = await curl(*status, "--range", "1000000-", url)
                    self.assertTrue(behind.startswith("416 "), behind)
                pathlib.Path(folder, "a.txt").write_text("changed")
                while await curl(url) != "changed":
                    pass
                climbing = url.replace("a.txt", "../../../../../../../etc/hostname")
                self.assertIn("not found for the key", await curl("--path-as-is", climbing))

    async def test_the_page_of_the_api_needs_no_other_server(self):
        async with Program("http_server", "0") as server:
            base = f"http://127.0.0.1:{await server.port()}/api"
            page = await curl(f"{base}/index.html")
            self.assertNotIn("//unpkg", page)
            for name in re.findall(r'(?:src|href)="\./([^"]+)"', page):
                self.assertEqual(await curl("--output", os.devnull, "--write-out", "%{http_code}", f"{base}/{name}"), "200")
            self.assertIn("/api/openapi.yaml", await curl(f"{base}/swagger-initializer.js"))
            self.assertTrue((await curl(f"{base}/openapi.yaml")).startswith("openapi: 3.0.0\n"))

    async def test_the_client_sends_what_is_typed(self):
        async with Program("http_server", "0") as server:
            port = str(await server.port())
            async with Program("http_client", "127.0.0.1", port) as client:
                await client.until(f"HTTP server address: 127.0.0.1\nHTTP server port: {port}\n\n")
                await client.until("Press Enter to stop the client or '!' to reconnect the client...\n")
                client.type("put /api/cache?key=a some words")
                await client.until(r"Status: 200\nStatus phrase: OK\nProtocol: HTTP/1.1\nHeaders: \d+\n")
                client.type("GET /api/cache?key=a")
                await client.until("Body:10\nsome words\n")
                for typed, answer in [
                    ("GET", "HTTP method and URL must be entered!\n"),
                    ("POST /api/cache", "HTTP method, URL and body must be entered!\n"),
                    ("FETCH /api/cache", "Unknown HTTP method: FETCH\n"),
                    ("!", "Client reconnecting...Done!\n"),
                    ("DELETE /api/cache?key=a", "some words\n"),
                    ("OPTIONS /", "Allow: HEAD,GET,POST,PUT,DELETE,OPTIONS,TRACE\n"),
                    ("TRACE /", "TRACE / HTTP/1.1\r\n"),
                    ("HEAD /", "Body:0\n"),
                ]:
                    client.type(typed)
                    await client.until(re.escape(answer))
                await server.stop()
                client.type("GET /")
                await client.until("Connection failed! ")
                await client.stop()

    async def test_https_agrees_on_a_version_and_is_verified(self):
        with tempfile.TemporaryDirectory() as folder:
            certificates(folder)
            www = tempfile.mkdtemp(dir=folder)
            async with Program("https_server", "0", www, folder) as server:
                port = await server.port()
                url = f"https://localhost:{port}/api/cache"
                trust = ["--cacert", f"{folder}/ca.crt"]
                for offered, agreed in [("--http2", "2"), ("--http1.1", "1.1")]:
                    output = ["--output", os.devnull, "--write-out", "%{http_version}"]
                    self.assertEqual(await curl(*trust, *output, offered, url), agreed)
                with self.assertRaises(AssertionError):
                    await curl(url)
                async with Program("https_client", "localhost", str(port), folder) as client:
                    client.type("GET /api/cache?key=x")
                    await client.until("Status: 404\nStatus phrase: Not Found\nProtocol: HTTP/2.0\n")
                    await client.stop()
                await server.stop()

    async def test_every_client_of_the_chat_is_greeted_and_hears_everybody(self):
        with tempfile.TemporaryDirectory() as folder:
            certificates(folder)
            trust = ssl.create_default_context(cafile=f"{folder}/ca.crt")
            for name, scheme, context in [("ws", "ws", None), ("wss", "wss", trust)]:
                page = os.path.join(folder, "www")
                os.makedirs(page, exist_ok=True)
                pathlib.Path(page, "index.html").write_text("the page")
                async with Program(f"{name}_chat_server", "0", page, folder) as server:
                    port = await server.port()
                    await self.chat(server, f"{scheme}://localhost:{port}/", context)
                    fetched = await curl(
                        "--cacert", f"{folder}/ca.crt", f"{scheme.replace('ws', 'http')}://localhost:{port}/chat/index.html"
                    )
                    self.assertEqual(fetched, "the page")
                    await self.console(server, f"{name}_chat_client", str(port), folder)
                    await server.stop()

    async def chat(self, server: Program, url: str, context: ssl.SSLContext | None) -> None:
        async def receive(socket) -> str:
            return await asyncio.wait_for(socket.recv(), GUARD_SECONDS)

        subprotocols = ["chat", "superchat"]
        options = {"ssl": context, "proxy": None}
        sockets = await asyncio.gather(*(websockets.connect(url, **options) for _ in range(20)))
        self.assertEqual([await receive(socket) for socket in sockets], [GREETING] * 20)
        for socket in sockets:
            await socket.send("ready")
        # Who has heard itself is in the room.
        for socket in sockets:
            while await receive(socket) != "ready":
                pass
        server.type("to all")
        await sockets[0].send("last")
        for socket in sockets:
            heard = set()
            while not {"(admin) to all", "last"} <= heard:
                heard.add(await receive(socket))
        await sockets[1].send("!")
        for socket in sockets[:2]:
            while await receive(socket) != "!":
                pass
        with self.assertRaises(websockets.ConnectionClosedOK) as closed:
            await receive(sockets[1])
        self.assertEqual(closed.exception.rcvd.code, 1000)
        for socket in sockets:
            await socket.close()

    async def console(self, server: Program, name: str, port: str, folder: str) -> None:
        async with Program(name, "localhost", port, folder) as client:
            await client.until("Client connecting...Done!\n")
            await client.until(f"Incoming: {re.escape(GREETING)}\n")
            client.type("from the console")
            await client.until("Incoming: from the console\n")
            server.type("!")
            await client.until("disconnected a session")
            await client.until(f"Incoming: {re.escape(GREETING)}\n")
            client.type("!")
            await client.until("Client reconnecting...Done!\n")
            await client.until(f"Incoming: {re.escape(GREETING)}\n")
            await client.stop()
            await client.until("Client disconnecting...Done!\n")


if __name__ == "__main__":
    assert shutil.which("curl") and shutil.which("openssl"), "curl and openssl are needed"
    unittest.main()
