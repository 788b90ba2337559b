"""The real server with the Python package `websockets`.

Run with `SERVER_BIN=... python -m unittest` in this directory.
"""

import asyncio
import json
import unittest

from server import GUARD_SECONDS, Server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

CHATTY = "[chat]\nsend_back = true\ndelivery_status = true\n"
CLIENTS = 200
MESSAGES_EACH = 50


def text(sender, recipient, content, data=None) -> str:
    return json.dumps({"type": "text", "sender": sender, "recipients": [recipient], "text": content, "data": data})


async def next_text(client) -> dict:
    """The next message of type text; receipts in between are skipped."""
    while True:
        message = json.loads(await client.recv())
        if message["type"] == "text":
            return message


class Exchange(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.server = await self.enterAsyncContext(Server(CHATTY, echo=True))

    def client(self, user, **options):
        return connect(f"{self.server.messaging}?id={user}", **options)

    async def guarded(self, work):
        return await asyncio.wait_for(work, GUARD_SECONDS)

    async def test_two_users_exchange_messages(self):
        async def work():
            async with self.client(1) as one, self.client("bob") as bob:
                await one.send(text(1, "bob", "hello", {"ref": "a"}))
                got = await next_text(bob)
                self.assertEqual((got["sender"], got["recipients"], got["text"]), (1, ["bob"], "hello"))
                self.assertEqual(got["data"], {"ref": "a"})
                copy = await next_text(one)
                self.assertEqual(copy["id"], got["id"])
                receipt = json.loads(await one.recv())
                self.assertEqual(receipt["type"], "notification_received")
                self.assertEqual((receipt["data"]["id"], receipt["data"]["recipient"]), (got["id"], "bob"))

        await self.guarded(work())

    async def test_the_missed_arrives_in_order(self):
        async def work():
            async with self.client(1) as one:
                for number in range(100):
                    await one.send(text(1, 2, str(number)))
                for _ in range(100):
                    await next_text(one)
            async with self.client(2) as two:
                self.assertEqual([(await next_text(two))["text"] for _ in range(100)], [str(n) for n in range(100)])

        await self.guarded(work())

    async def test_fragments_and_binary_are_read_like_text(self):
        async def work():
            async with self.client(1) as one, self.client(2) as two:
                await one.send(iter(text(1, 2, "in pieces")))
                await one.send(text(1, 2, "binary").encode())
                for expected in ("in pieces", "binary"):
                    got = await two.recv()
                    self.assertIsInstance(got, str)
                    self.assertEqual(json.loads(got)["text"], expected)

        await self.guarded(work())

    async def test_an_offer_of_permessage_deflate_is_answered_by_the_rules(self):
        # The package offers it by default. Declined, the answer has no such header and frames are plain; the package
        # fails the handshake when an answer breaks the rules of the negotiation.
        async def work():
            async with self.client(1, compression="deflate") as one, self.client(2, compression="deflate") as two:
                self.assertNotIn("Sec-WebSocket-Extensions", one.response.headers)
                self.assertEqual(one.protocol.extensions, [])
                content = "compressible " * 10_000
                await one.send(text(1, 2, content))
                self.assertEqual((await next_text(two))["text"], content)

        await self.guarded(work())

    async def test_errors_close_with_code_and_reason(self):
        async def work():
            async with connect(self.server.messaging) as nobody:
                with self.assertRaises(ConnectionClosed) as caught:
                    await nobody.recv()
            self.assertEqual((caught.exception.rcvd.code, caught.exception.rcvd.reason), (4000, "Id required in query parameter: ?id={id}"))
            async with self.client(1) as one:
                await one.send("{}")
                with self.assertRaises(ConnectionClosed) as caught:
                    await one.recv()
            self.assertEqual(
                (caught.exception.rcvd.code, caught.exception.rcvd.reason),
                (4001, "Invalid payload. $.type must be a string"),
            )

        await self.guarded(work())

    async def test_a_ping_gets_its_pong(self):
        async def work():
            async with self.client(1) as one:
                # Resolves only for a pong with the same payload.
                await (await one.ping(b"tide"))

        await self.guarded(work())

    async def test_echo_returns_kind_and_bytes(self):
        async def work():
            async with connect(self.server.echo, max_size=None) as client:
                for message in ("ü" * (1 << 19), bytes(range(256)) * (1 << 12)):
                    await client.send(message)
                    self.assertEqual(await client.recv(), message)

        await self.guarded(work())


class Ring(unittest.IsolatedAsyncioTestCase):
    async def test_many_clients_in_a_ring_lose_nothing_and_keep_the_order(self):
        # The copies back are left out: each client reads from its left and writes to its right neighbour.
        async with Server("[chat]\nsend_back = false\ndelivery_status = false\n") as server:

            async def member(user):
                right = (user + 1) % CLIENTS
                async with connect(f"{server.messaging}?id={user + 1}", compression=None) as client:

                    async def write():
                        for number in range(MESSAGES_EACH):
                            await client.send(text(user + 1, right + 1, f"{user + 1}:{number}"))

                    writing = asyncio.create_task(write())
                    got = [json.loads(await client.recv()) for _ in range(MESSAGES_EACH)]
                    await writing
                    left = (user - 1) % CLIENTS + 1
                    self.assertEqual([m["text"] for m in got], [f"{left}:{number}" for number in range(MESSAGES_EACH)])
                    return [m["id"] for m in got]

            ids = await asyncio.wait_for(asyncio.gather(*map(member, range(CLIENTS))), GUARD_SECONDS * 2)
            flat = [message_id for some in ids for message_id in some]
            self.assertEqual(len(set(flat)), CLIENTS * MESSAGES_EACH, "every message has its own id")


if __name__ == "__main__":
    unittest.main()
