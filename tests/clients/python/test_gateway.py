"""Plain clients of `websockets` through `tidewire gateway`, to backends of `websockets` and of npm's `ws`."""

import asyncio
import json
import os
import unittest

from gateway import HAS_NODE, Gateway, node_backend, python_backend
from server import GUARD_SECONDS
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

CONFIG = """
[[listeners]]
address = "127.0.0.1:0"
[endpoints.plain]
upstreams = ["{url}"]
[endpoints.resumed]
upstreams = ["{url}"]
resume = {{ backoff_max = "100ms", replay = "unconfirmed", bytes_max = "4M" }}
ejection = {{ enabled = false }}
[[routes]]
endpoint = "plain"
path = "/plain/*"
[[routes]]
endpoint = "plain"
header = {{ X-Room = "1" }}
[[routes]]
endpoint = "plain"
query = {{ room = "1" }}
[[routes]]
endpoint = "plain"
subprotocol = "v2.*"
[[routes]]
endpoint = "plain"
host = "*.example.org"
[[routes]]
endpoint = "plain"
cookie = {{ beta = "1" }}
[classic]
enabled = false
"""


def guarded(test):
    async def within(self):
        await asyncio.wait_for(test(self), GUARD_SECONDS)

    return within


class WithBackend:
    """Tests of a sort of backend."""

    start_backend = None

    def setUp(self):
        self.backend = self.start_backend("one")
        self.gateway = Gateway(CONFIG.format(url=self.backend.url))
        self.url = self.gateway.url

    def tearDown(self):
        self.gateway.stop()
        self.backend.stop()

    @guarded
    async def test_m29_every_sort_of_condition(self):
        headers = {"X-Room": "1"}, {"Cookie": "beta=1"}, {"ROUTENAME": "plain"}
        ways = [(f"{self.url}plain/x", {}), (f"{self.url}?room=1", {}), (f"{self.url}?ROUTENAME=Plain", {})]
        ways += [(self.url, {"additional_headers": header}) for header in headers]
        ways += [(self.url, {"subprotocols": ["v2.chat"]})]
        ways += [(f"ws://a.example.org:{self.gateway.port}/", {"host": "127.0.0.1", "port": self.gateway.port})]
        for url, options in ways:
            with self.subTest(url=url, **options):
                async with connect(url, **options) as socket:
                    for message in ("κόσμε", b"\x00\xff", "", b""):
                        await socket.send(message)
                        self.assertEqual(await socket.recv(), message)
                    self.assertEqual(socket.subprotocol, "v2.chat" if "subprotocols" in options else None)
        with self.assertRaises(InvalidStatus) as refused:
            await connect(self.url)
        self.assertEqual(refused.exception.response.status_code, 404)

    @guarded
    async def test_sizes_fragments_and_types(self):
        for name in ("plain", "resumed"):
            async with connect(f"{self.url}?ROUTENAME={name}", max_size=None) as socket:
                for size in (1, 125, 126, 65535, 65536, 1_500_000):
                    payload = os.urandom(size)
                    await socket.send(payload)
                    self.assertEqual(await socket.recv(), payload)
                    # Of a message that is compressed a hundredfold the gateway would take the sender for an attacker.
                    text = payload.hex()[:size]
                    await socket.send([text, "", "é"])
                    self.assertEqual(await socket.recv(), text + "é")
                if name == "resumed":
                    continue
                payload = os.urandom(32 << 20)
                await socket.send(payload)
                self.assertEqual(await socket.recv(), payload)

    @guarded
    async def test_close_codes_and_reasons(self):
        for code, reason in ((1000, ""), (1011, "broken"), (3000, "ö"), (4999, "last")):
            for name in ("plain", "resumed"):
                socket = await connect(f"{self.url}?ROUTENAME={name}")
                await socket.send(f"close {code} {reason}")
                with self.assertRaises(ConnectionClosed):
                    await socket.recv()
                self.assertEqual((socket.close_code, socket.close_reason), (code, reason))

    @guarded
    async def test_a_client_outlives_its_backend(self):
        async with connect(f"{self.url}?ROUTENAME=resumed") as socket:
            for count in range(5):
                await socket.send(f"before {count}")
                self.assertEqual(await socket.recv(), f"before {count}")
                port = self.backend.port
                self.backend.stop()
                for at in range(10):
                    await socket.send(f"while down {at}")
                self.backend = type(self).start_backend("one", port)
                first = await socket.recv()
                # What the backend had echoed, but not confirmed by a pong, comes twice.
                while first in ("while down 9", f"before {count}"):
                    first = await socket.recv()
                self.assertEqual(first, "while down 0")
                for at in range(1, 10):
                    self.assertEqual(await socket.recv(), f"while down {at}")


class ToWebsockets(WithBackend, unittest.IsolatedAsyncioTestCase):
    start_backend = staticmethod(python_backend)

    @guarded
    async def test_compression_is_agreed_on_end_to_end(self):
        async with connect(f"{self.url}?ROUTENAME=plain", max_size=None) as socket:
            names = [extension.name for extension in socket.protocol.extensions]
            self.assertEqual(names, ["permessage-deflate"])
            await socket.send("info")
            self.assertEqual(json.loads(await socket.recv())["extensions"], names)
            message = "".join(f"line {count}\n" for count in range(100_000))
            await socket.send(message)
            self.assertEqual(await socket.recv(), message)


@unittest.skipUnless(HAS_NODE, "node, or its packages in tests/clients/node, are missing")
class ToWs(WithBackend, unittest.IsolatedAsyncioTestCase):
    start_backend = staticmethod(node_backend)


if __name__ == "__main__":
    unittest.main()
