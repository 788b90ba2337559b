"""The library's server with the client of `websockets`, the library's client with a server of `websockets`; both with
and without compression.
"""

import asyncio
import os
import unittest
from urllib.parse import parse_qs, urlsplit

from library import CLIENT, SERVER, EchoServer, run_client
from server import GUARD_SECONDS
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

MIB = 1 << 20
SIZES = [0, 1, 125, 126, 127, 65535, 65536, MIB]
# Text as people compress it: what repeats too much is a bomb to the library (`DeflateConfig::ratio_max`).
PAYLOADS = ["".join(f"{i * 7919 % 100003}: tide and wire, " for i in range(size // 20 + 1))[:size] for size in SIZES]
PAYLOADS += [os.urandom(size) for size in SIZES]
PAYLOADS.append("κόσμε 潮 😀 " * 2000)

# What may be asked for as a client, and agreed on as a server.
WINDOWS = [{}, {"server_no_context_takeover": True, "client_no_context_takeover": True}]
WINDOWS += [{"server_max_window_bits": bits, "client_max_window_bits": bits} for bits in (9, 12, 15)]


def in_fragments(payload, count):
    size = len(payload) // count + 1
    return [payload[start : start + size] for start in range(0, max(len(payload), 1), size)]


def is_compressed(connection) -> bool:
    return len(connection.protocol.extensions) > 0


async def exchange(case: unittest.TestCase, connection) -> None:
    for payload in PAYLOADS:
        await connection.send(payload)
        case.assertEqual(await connection.recv(), payload)
        await connection.send(in_fragments(payload, 4))
        case.assertEqual(await connection.recv(), payload)
    await asyncio.wait_for(await connection.ping(os.urandom(125)), GUARD_SECONDS)


@unittest.skipUnless(SERVER, "LIBRARY_SERVER is not set")
class AgainstTheServer(unittest.IsolatedAsyncioTestCase):
    async def check(self, server, compressed, **options):
        async with connect(server.url, max_size=2 * MIB, **options) as connection:
            self.assertEqual(is_compressed(connection), compressed)
            await exchange(self, connection)
            await connection.close(4321, "enough")
            self.assertEqual(connection.close_code, 4321)

    async def test_without_compression(self):
        async with EchoServer() as plain, EchoServer("--deflate") as deflate:
            for server in (plain, deflate):
                await asyncio.wait_for(self.check(server, False, compression=None), GUARD_SECONDS)
            await asyncio.wait_for(self.check(plain, False), GUARD_SECONDS)

    async def test_with_compression(self):
        async with EchoServer("--deflate") as server:
            for windows in WINDOWS:
                with self.subTest(windows):
                    extensions = [ClientPerMessageDeflateFactory(**windows)]
                    work = self.check(server, True, compression=None, extensions=extensions)
                    await asyncio.wait_for(work, GUARD_SECONDS)

    async def test_close_codes_are_echoed(self):
        async with EchoServer("--deflate") as server:
            for code in (1000, 1001, 1003, 1007, 1008, 1011, 3000, 4999):
                async with connect(server.url) as connection:
                    await connection.close(code, "r" * 123)
                    self.assertEqual(connection.close_code, code)


@unittest.skipUnless(CLIENT, "LIBRARY_CLIENT is not set")
class AgainstTheClient(unittest.IsolatedAsyncioTestCase):
    async def check(self, options, compressed, **settings):
        """A server with three cases, as the client expects them."""
        ended, seen = [], set()

        async def run(connection):
            seen.add(is_compressed(connection))
            url = urlsplit(connection.request.path)
            if url.path == "/getCaseCount":
                await connection.send("3")
            elif url.path == "/runCase":
                number = parse_qs(url.query)["case"][0]
                if number == "1":
                    await exchange(self, connection)
                    await connection.close(3000, "enough")
                    ended.append(connection.close_code)
                elif number == "2":
                    await connection.send(in_fragments("κόσμε" * 1000, 50))
                    self.assertEqual(await connection.recv(), "κόσμε" * 1000)
                    await connection.close(1001, "r" * 123)
                    ended.append(connection.close_code)
                else:
                    await connection.send(b"\xff", text=True)
                    with self.assertRaises(ConnectionClosed) as closed:
                        await connection.recv()
                    ended.append(closed.exception.rcvd.code)

        async with serve(run, "127.0.0.1", 0, max_size=2 * MIB, **settings) as server:
            port = server.sockets[0].getsockname()[1]
            await run_client(f"ws://127.0.0.1:{port}", *options)
        self.assertEqual(ended, [3000, 1001, 1007])
        self.assertEqual(seen, {compressed})

    async def test_without_compression(self):
        await self.check([], False, compression=None)
        await self.check(["--deflate"], False, compression=None)
        await self.check([], False)

    async def test_with_compression(self):
        for windows in WINDOWS:
            with self.subTest(windows):
                extensions = [ServerPerMessageDeflateFactory(**windows)]
                await self.check(["--deflate"], True, compression=None, extensions=extensions)


if __name__ == "__main__":
    unittest.main()
