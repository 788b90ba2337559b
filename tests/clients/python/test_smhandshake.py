"""SocketMaster's dialect (docs/protocols/smhandshake.md) with the client of `websockets`, in both of its forms.

GATEWAY_URL names a gateway with two endpoints, `endpoint1` and `endpoint2`, that echo; without it one is started that is
configured by a config.ini.
"""

import asyncio
import json
import os
import unittest

from gateway import Gateway, python_backend
from server import GUARD_SECONDS
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

URL = os.environ.get("GATEWAY_URL")
STARTED = []


def setUpModule():
    global URL
    if URL:
        return
    STARTED.extend(python_backend(name) for name in ("one", "two"))
    sections = (f"[Endpoint{at}]\nName = endpoint{at}\nPort = {backend.port}\n" for at, backend in enumerate(STARTED, 1))
    STARTED.append(Gateway("\n".join(sections), ".ini", ("--verbose",)))
    URL = STARTED[-1].url


def tearDownModule():
    for program in reversed(STARTED):
        program.stop()


def in_json(event, data=None, route=None):
    members = {"event": event, "data": data, "route": route}
    known = {key: value for key, value in members.items() if value is not None}
    return json.dumps(known, separators=(",", ":"), ensure_ascii=False)


def relaxed(event, data=None, route=None):
    return f"{{event: {event}}}" if data is None else f"{{event: {event}, data: {data}}}"


def guarded(test):
    """Runs the test in both forms, each with a hang guard."""

    async def both(self):
        for form in (in_json, relaxed):
            with self.subTest(form=form.__name__):
                await asyncio.wait_for(test(self, form), GUARD_SECONDS)

    return both


class SmHandshake(unittest.IsolatedAsyncioTestCase):
    async def ask(self, socket, message, answer):
        await socket.send(message)
        self.assertEqual(await socket.recv(), answer)

    async def shake_hands(self, socket, form, *names):
        await self.ask(socket, form("SMHandshake", "SYN"), form("SMHandshake", "SYN/ACK"))
        await socket.send(form("SMHandshake", "ACK"))
        for name in names:
            await self.ask(socket, form("SMHandshake", name), form("SMHandshake", "ACK", name))
        await self.ask(socket, form("SMHandshakeEnd"), form("SMHandshakeEnd", "ACK"))

    @guarded
    async def test_m08_the_whole_dialogue(self, form):
        async with connect(URL) as socket:
            await self.shake_hands(socket, form, "Endpoint1", "Endpoint2")
            for name in ("Endpoint1", "Endpoint2", "endpoint1"):
                message = f"ROUTENAME={name}\nto {name}"
                await self.ask(socket, message, message)

    @guarded
    async def test_m23_other_ways_to_write_the_same(self, form):
        texts = {
            in_json: ['{ "data" : "SYN" ,"id":[1,{}], "event":"SMHandshake"}', '{"event":"SMHandshake","data":"\\u0041CK"}'],
            relaxed: ["{event:SMHandshake,data:SYN}", "{'event' : \"SMHandshake\" , data : 'ACK' }"],
        }
        async with connect(URL) as socket:
            syn, ack = texts[form]
            await self.ask(socket, syn, form("SMHandshake", "SYN/ACK"))
            await socket.send(ack)
            await self.ask(socket, form("SMHandshakeEnd", "x"), form("SMHandshakeEnd", "ACK"))

    @guarded
    async def test_m27_a_wrong_order_is_told_then_closed(self, form):
        async with connect(URL) as socket:
            await self.ask(socket, form("SMHandshake", "SYN"), form("SMHandshake", "SYN/ACK"))
            text = "out of order; expected SMHandshake with ACK"
            await self.ask(socket, form("SMHandshakeEnd"), form("SMError", text))
            with self.assertRaises(ConnectionClosed):
                await socket.recv()
            self.assertEqual((socket.close_code, socket.close_reason), (4400, text))

    @guarded
    async def test_m28_messages_without_a_route_are_refused_one_by_one(self, form):
        async with connect(URL) as socket:
            await self.shake_hands(socket, form)
            text = "no such route; expected a configured name - route Other"
            for message in ("ROUTENAME=Other\nx", b"ROUTENAME=Other\r\nx"):
                await self.ask(socket, message, form("SMError", text, "Other"))
            await socket.send("hello")
            self.assertIn("no route; expected", await socket.recv())
            await self.ask(socket, "ROUTENAME=Endpoint1\nx", "ROUTENAME=Endpoint1\nx")

    @guarded
    async def test_m30_types_fragments_and_sizes(self, form):
        async with connect(URL) as socket:
            await self.shake_hands(socket, form)
            for size in (0, 1, 125, 126, 65535, 65536, 500_000):
                payload = os.urandom(size)
                # The empty line keeps a payload that begins with a line end.
                await self.ask(socket, b"ROUTENAME=Endpoint2\n\n" + payload, b"ROUTENAME=Endpoint2\n" + payload)
                text = "é" * (size // 2)
                pieces = ["ROUTE", "NAME=Endpoint2", "\n", text]
                await self.ask(socket, pieces, f"ROUTENAME=Endpoint2\n{text}")


if __name__ == "__main__":
    unittest.main()
