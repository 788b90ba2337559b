"""Events of `tidewire serve` in Redis, PostgreSQL, MariaDB, RabbitMQ and NATS: real servers, which are killed, refuse, and are full."""

import asyncio
import json
import unittest
import urllib.request

from server import Server
from services import SECRET, WRONG, Mysql, Nats, Postgres, RabbitMq, Redis, Service
from websockets.asyncio.client import connect

USERS = ["1", "2", "ann"]
EACH = 60
GUARD_SECONDS = 300
"""Servers of others start in there too; a guard, not a time that anything should take."""

CONFIG = """
[[targets]]
name = "service"
timeout = "5s"
breaker_failures = 1
attempts = 1000
retry_interval = "20ms"
retry_interval_max = "200ms"
"""


class Talk:
    """Users who write to the administrator alone: what only targets get."""

    def __init__(self, server: Server):
        self.server = server

    async def say(self, first: int, count: int) -> None:
        for user in USERS:
            async with connect(f"{self.server.messaging}?id={user}") as client:
                for number in range(first, first + count):
                    sender = int(user) if user.isdigit() else user
                    await client.send(json.dumps({"type": "text", "sender": sender, "recipients": [0], "text": str(number)}))
                # Messages before a ping that is answered have been read.
                await (await client.ping())


class Case:
    """What every service has to do; the tests are those of the classes below."""

    def service(self) -> Service:
        raise NotImplementedError

    async def asyncSetUp(self):
        self.peer = self.service()
        self.addCleanup(self.peer.remove)

    async def begin(self, password: str = SECRET) -> Talk:
        self.server = await self.enterAsyncContext(Server(CONFIG + self.peer.table(password)))
        return Talk(self.server)

    def log(self) -> str:
        return (self.server.data_dir / "stderr.log").read_text()

    async def said(self, text: str) -> None:
        while text.lower() not in self.log().lower():
            await asyncio.sleep(0.02)

    async def delivered(self) -> int:
        """How many events the service has taken, as the server knows."""

        def ask():
            with urllib.request.urlopen(f"{self.server.urls['rest'].rstrip('/')}/v1/events") as answer:
                return json.load(answer)["data"]["targets"][0]["delivered"]

        return await asyncio.to_thread(ask)

    async def arrived(self, each: int) -> list:
        """All events, once the server says that the target has them."""
        while await self.delivered() < each * len(USERS):
            await asyncio.sleep(0.02)
        events = await self.peer.events()
        for user in USERS:
            of_user = [event for event in events if event["user"] == user]
            firsts = list(dict.fromkeys(event["sequence"] for event in of_user))
            self.assertEqual(firsts, list(range(1, each + 1)), f"user {user}\n{self.log()[-3000:]}")
            texts = list(dict.fromkeys(event["message"]["text"] for event in of_user))
            self.assertEqual(texts, [str(number) for number in range(each)])
        if self.peer.is_once:
            self.assertEqual(len(events), len({event["id"] for event in events}))
        return events

    async def test_events_arrive_in_order_though_the_service_is_killed(self):
        async with asyncio.timeout(GUARD_SECONDS):
            await self.peer.start()
            talk = await self.begin()
            await talk.say(0, EACH)
            await self.arrived(EACH)
            self.peer.kill()
            await talk.say(EACH, EACH)
            await self.said("does not work")
            await self.peer.start()
            await talk.say(2 * EACH, EACH)
            await self.arrived(3 * EACH)

    async def test_a_kill_under_load_loses_nothing(self):
        async with asyncio.timeout(GUARD_SECONDS):
            await self.peer.start()
            talk = await self.begin()
            load = asyncio.create_task(talk.say(0, 10 * EACH))
            while not await self.peer.events():
                await asyncio.sleep(0)
            self.peer.kill()
            await self.peer.start()
            await load
            await self.arrived(10 * EACH)

    async def test_wrong_credentials_are_told_in_words_and_lose_nothing(self):
        async with asyncio.timeout(GUARD_SECONDS):
            await self.peer.start()
            talk = await self.begin(WRONG)
            await talk.say(0, EACH)
            await self.said("does not work")
            self.assertRegex(self.log().lower(), "password|credential|authori|authentication")
            await self.peer.accept(WRONG)
            await self.arrived(EACH)
            self.assertNotIn(WRONG, self.log())
            self.assertNotIn(SECRET, self.log())

    async def test_a_service_that_takes_nothing_for_now_loses_nothing(self):
        if self.peer.refusal is None:
            self.skipTest("it is another test's")
        async with asyncio.timeout(GUARD_SECONDS):
            await self.peer.start()
            talk = await self.begin()
            await talk.say(0, EACH)
            await self.arrived(EACH)
            await self.peer.refuse()
            await talk.say(EACH, EACH)
            await self.said(self.peer.refusal)
            await self.peer.take()
            await self.arrived(2 * EACH)


class RedisList(Case, unittest.IsolatedAsyncioTestCase):
    def service(self):
        return Redis()


class RedisAsWsserverFillsIt(unittest.IsolatedAsyncioTestCase):
    async def test_a_list_has_the_messages_alone_and_no_other_kinds(self):
        peer = Redis()
        self.addCleanup(peer.remove)
        async with asyncio.timeout(GUARD_SECONDS):
            await peer.start()
            config = '[[targets]]\nname = "old"\nkinds = ["message", "connected", "disconnected"]\n' + peer.table() + 'format = "classic"\n'
            async with Server(config) as server:
                async with connect(f"{server.messaging}?id=1") as client:
                    for text in ["first", "second"]:
                        await client.send(json.dumps({"type": "text", "sender": 1, "recipients": [0, 7], "text": text, "data": {"a": 1}}))
                while len(values := await peer.events()) < 2:
                    await asyncio.sleep(0.02)
        self.assertEqual([value["text"] for value in values], ["first", "second"])
        for value in values:
            self.assertEqual(list(value), ["data", "id", "recipients", "sender", "text", "timestamp", "type"])
            self.assertEqual((value["sender"], value["recipients"], value["data"]), (1, [0, 7], {"a": 1}))


class RedisStream(Case, unittest.IsolatedAsyncioTestCase):
    def service(self):
        return Redis("stream")


class PostgresTable(Case, unittest.IsolatedAsyncioTestCase):
    def service(self):
        return Postgres()


class MariaDbTable(Case, unittest.IsolatedAsyncioTestCase):
    def service(self):
        return Mysql()


class RabbitMqQueue(Case, unittest.IsolatedAsyncioTestCase):
    def service(self):
        return RabbitMq()


class JetStream(Case, unittest.IsolatedAsyncioTestCase):
    def service(self):
        return Nats()


if __name__ == "__main__":
    unittest.main()
