"""The console examples of TCP, TLS, runtimes and timers, with sockets of Python, openssl and socat.

`ASIO_SERVICE`, `ASIO_TIMER`, `TCP_CHAT_SERVER`, `TCP_CHAT_CLIENT`, `SSL_CHAT_SERVER` and `SSL_CHAT_CLIENT` name the binaries.
"""

import asyncio
import os
import shutil
import ssl
import subprocess
import tempfile
import unittest
from pathlib import Path

from server import GUARD_SECONDS
from toolkit import Example, port_of

SERVICE = os.environ.get("ASIO_SERVICE")
TIMER = os.environ.get("ASIO_TIMER")
TCP_SERVER = os.environ.get("TCP_CHAT_SERVER")
TCP_CLIENT = os.environ.get("TCP_CHAT_CLIENT")
SSL_SERVER = os.environ.get("SSL_CHAT_SERVER")
SSL_CLIENT = os.environ.get("SSL_CHAT_CLIENT")
GREETING = "Hello from {} chat! Please send a message or '!' to disconnect the client!"


class Member:
    """A client of the chat, made of Python's streams."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def join(cls, port: int, name: str = "TCP", **options) -> "Member":
        member = cls(*await asyncio.open_connection("127.0.0.1", port, **options))
        await member.hears(GREETING.format(name))
        return member

    async def hears(self, text: str) -> None:
        heard = await asyncio.wait_for(self.reader.readexactly(len(text)), GUARD_SECONDS)
        assert heard.decode() == text, heard

    async def says(self, text: str) -> None:
        self.writer.write(text.encode())
        await self.writer.drain()

    async def hears_the_end(self) -> None:
        assert await asyncio.wait_for(self.reader.read(), GUARD_SECONDS) == b""
        self.writer.close()


@unittest.skipUnless(SERVICE and TIMER, "ASIO_SERVICE and ASIO_TIMER are not set")
class Alone(unittest.IsolatedAsyncioTestCase):
    async def test_the_service_prints_its_order(self):
        async with Example(SERVICE) as example:
            lines = await example.output()
        # What is queued before the thread begins is up to the system: 2 is the main thread's.
        numbers = [line.split()[0] for line in lines]
        first = ["1.1", "1.2", "1.2.1", "1.3"]
        second = ["2.1", "2.2", "2.2.1", "2.3"]
        self.assertEqual([it for it in numbers if it in first], first)
        self.assertEqual([it for it in numbers if it in second], second)
        self.assertEqual(sorted(numbers), sorted([*first, *second, "1", "2", "1.3.1", "2.3.1"]))
        self.assertLess(numbers.index("1.3"), numbers.index("1.3.1"))
        self.assertEqual(numbers[-1], "2.3.1")

    async def test_the_timer_expires_twice_and_is_cancelled(self):
        async with Example(TIMER) as example:
            expired, cancelled = "Asio timer was expired!", "Asio timer was canceled!"
            self.assertEqual(await example.output(), [expired, expired, cancelled])


@unittest.skipUnless(TCP_SERVER and TCP_CLIENT, "TCP_CHAT_SERVER and TCP_CHAT_CLIENT are not set")
class TcpChat(unittest.IsolatedAsyncioTestCase):
    async def test_everybody_hears_everything(self):
        async with Example(TCP_SERVER, 0) as server:
            port = await port_of(server)
            members = [await Member.join(port) for _ in range(13)]
            await members[0].says("hello")
            for member in members:
                await member.hears("hello")
            await server.type("from the console")
            for member in members:
                await member.hears("(admin) from the console")
            await members[0].says("!")
            for member in members:
                await member.hears("!")
            await members[0].hears_the_end()
            await members[1].says("still here")
            for member in members[1:]:
                await member.hears("still here")
            await server.type("!")
            for member in members[1:]:
                await member.hears_the_end()
            # It was started with port 0, which picks another one.
            line = await server.until("Listening on ")
            again = await Member.join(int(line.rsplit(":", 1)[1]))
            await again.says("!")
            await again.hears("!")
            await again.hears_the_end()
            await server.stop()

    async def test_a_wrong_argument_is_told(self):
        done = subprocess.run([TCP_SERVER, "many"], capture_output=True, text=True, timeout=GUARD_SECONDS)
        self.assertEqual(done.returncode, 2)
        self.assertIn("port", done.stderr)

    async def test_the_client_talks_reconnects_and_stops(self):
        members = asyncio.Queue()
        accept = lambda *streams: members.put_nowait(Member(*streams))
        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with Example(TCP_CLIENT, "127.0.0.1", port) as client:
                for _ in range(2):  # the second after it was lost
                    member = await asyncio.wait_for(members.get(), GUARD_SECONDS)
                    await member.says("welcome")
                    await client.until("welcome")
                    await client.type("hello")
                    await member.hears("hello")
                    member.writer.close()
                member = await asyncio.wait_for(members.get(), GUARD_SECONDS)
                await client.until("connected a new session")
                await client.type("!")
                await member.hears_the_end()
                member = await asyncio.wait_for(members.get(), GUARD_SECONDS)
                await client.stop()
                await member.hears_the_end()

    @unittest.skipUnless(shutil.which("socat"), "socat is not installed")
    async def test_socat_sends_a_line_and_its_end(self):
        async with Example(TCP_SERVER, 0) as server:
            port = await port_of(server)
            command = ["socat", "-t", "30", "-", f"TCP:127.0.0.1:{port}"]
            # Its input ends at once: the answer comes all the same.
            done = await asyncio.to_thread(
                subprocess.run, command, input=b"hello", capture_output=True, timeout=GUARD_SECONDS
            )
            self.assertEqual(done.stdout.decode(), GREETING.format("TCP") + "hello")


@unittest.skipUnless(SSL_SERVER and SSL_CLIENT, "SSL_CHAT_SERVER and SSL_CHAT_CLIENT are not set")
@unittest.skipUnless(shutil.which("openssl"), "openssl is not installed")
class SslChat(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        path = Path(cls.folder.name)
        cls.ca, cls.certificate, cls.key = path / "ca.pem", path / "server.pem", path / "server.key"
        openssl = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
        new_key = ["-newkey", "rsa:2048", "-days", "30"]
        openssl("req", "-x509", *new_key, "-nodes", "-keyout", path / "ca.key", "-out", cls.ca, "-subj", "/CN=example.com")
        # As the recipe has it: the key behind a passphrase.
        request = path / "server.csr"
        passphrase = ["-aes256", "-pass", "pass:qwerty"]
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", *passphrase, "-out", cls.key)
        openssl("req", "-new", "-key", cls.key, "-passin", "pass:qwerty", "-out", request, "-subj", "/CN=server.example.com")
        extensions = path / "extensions"
        extensions.write_text("subjectAltName=DNS:server.example.com")
        signer = ["-CA", cls.ca, "-CAkey", path / "ca.key", "-set_serial", "01", "-days", "30", "-extfile", extensions]
        openssl("x509", "-req", "-in", request, *signer, "-out", cls.certificate)

    async def test_python_and_openssl_talk_through_our_server(self):
        async with Example(SSL_SERVER, 0, self.certificate, self.key) as server:
            port = await port_of(server)
            trust = ssl.create_default_context(cafile=self.ca)
            member = await Member.join(port, "SSL", ssl=trust, server_hostname="server.example.com")
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", self.ca, "-quiet"]
            command += ["-verify_return_error", "-verify_hostname", "server.example.com"]
            pipe = asyncio.subprocess.PIPE
            other = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
            self.addCleanup(lambda: other.returncode is None and other.kill())
            greeting = GREETING.format("SSL").encode()
            heard = await asyncio.wait_for(other.stdout.readexactly(len(greeting)), GUARD_SECONDS)
            self.assertEqual(heard, greeting)
            await member.says("hello")
            await member.hears("hello")
            self.assertEqual(await asyncio.wait_for(other.stdout.readexactly(5), GUARD_SECONDS), b"hello")
            await server.stop()
            # With TLS's own end: Python takes a cut for an error.
            await member.hears_the_end()
            self.assertEqual(await asyncio.wait_for(other.stdout.read(), GUARD_SECONDS), b"")
            await asyncio.wait_for(other.wait(), GUARD_SECONDS)

    async def test_our_client_talks_to_openssl(self):
        command = ["openssl", "s_server", "-accept", "0", "-cert", self.certificate, "-key", self.key]
        command += ["-pass", "pass:qwerty", "-naccept", "1"]
        pipe = asyncio.subprocess.PIPE
        server = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        self.addCleanup(lambda: server.returncode is None and server.kill())

        async def until(part: bytes) -> bytes:
            while True:
                line = await asyncio.wait_for(server.stdout.readline(), GUARD_SECONDS)
                self.assertTrue(line, f"s_server ended before {part}")
                if part in line:
                    return line

        port = int((await until(b"ACCEPT")).decode().rsplit(":", 1)[1])
        async with Example(SSL_CLIENT, "127.0.0.1", port, self.ca) as client:
            await client.until("connected a new session")
            server.stdin.write(b"welcome\n")
            await client.until("welcome")
            await client.type("hello")
            await client.stop()
            await until(b"hello")


if __name__ == "__main__":
    unittest.main()
