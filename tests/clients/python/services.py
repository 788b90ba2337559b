"""Starts the servers that events are passed on to, on free ports and in folders of their own, and reads what they have got.

Each is a process of the test, can be killed and started again with what it has stored, and is gone with its folder. A program
that refuses to run as root is started as the user of its Debian package.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import nats
import pika

SECRET = "canary-7f3a-secret"
WRONG = "canary-wrong-91c2"


def free_port() -> int:
    """Not one of those that the system gives to clients: it has to be free too while the server is away."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def postgres_program(name: str) -> str:
    """The newest version that Debian has installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(found[-1]) if found else shutil.which(name) or name


class Service:
    """A server; `await start()` returns when it answers."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tw-", dir="/tmp"))
        self.port = free_port()
        self.process = None

    def spawn(self, *command: str, user: str = "", **env: str) -> subprocess.Popen:
        log = open(self.folder / "log", "ab")
        if user and os.geteuid() == 0:
            command = ("setpriv", "--reuid", user, "--regid", user, "--clear-groups", *command)
        environment = os.environ | {"HOME": str(self.folder)} | env
        with log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)

    async def answers(self, ask) -> None:
        """Asks until there is an answer; the guard of the test ends it otherwise."""
        while True:
            assert self.process.poll() is None, f"ended:\n{(self.folder / 'log').read_text(errors='replace')[-4000:]}"
            try:
                return await asyncio.to_thread(ask)
            except Exception:
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        """Without a word, with all its children."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str, stdin: str = "", **env: str) -> str:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=os.environ | env)
        if done.returncode != 0:
            raise RuntimeError(done.stderr + done.stdout)
        return done.stdout


class Redis(Service):
    name = "redis"
    # The client cannot know whether a command has arrived whose reply has not.
    is_once = False
    refusal = "OOM"

    def __init__(self, mode: str = "queue"):
        super().__init__()
        self.mode = mode

    def table(self, password: str = SECRET) -> str:
        return f'[targets.redis]\nport = {self.port}\npassword = "{password}"\nmode = "{self.mode}"\n'

    async def start(self, password: str = SECRET) -> None:
        self.process = self.spawn(
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--requirepass", password,
            "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        )
        self.password = password
        await self.answers(lambda: self.ask("PING"))

    def ask(self, *command: str) -> str:
        answer = self.run("redis-cli", "--json", "-p", str(self.port), *command, REDISCLI_AUTH=self.password)
        if answer.startswith("error:"):
            raise RuntimeError(answer)
        return json.loads(answer)

    async def events(self) -> list:
        if self.mode == "stream":
            return [json.loads(fields[7]) for _, fields in self.ask("XRANGE", "tidewire_events", "-", "+")]
        return [json.loads(each) for each in self.ask("LRANGE", "wsserver_events_queue", "0", "-1")]

    async def accept(self, password: str) -> None:
        self.ask("CONFIG", "SET", "requirepass", password)
        self.password = password

    async def refuse(self) -> None:
        self.ask("CONFIG", "SET", "maxmemory", "1")

    async def take(self) -> None:
        self.ask("CONFIG", "SET", "maxmemory", "0")


class Postgres(Service):
    name = "postgres"
    is_once = True
    refusal = "read-only"

    def table(self, password: str = SECRET) -> str:
        return f'[targets.postgres]\nport = {self.port}\ndatabase = "postgres"\nuser = "tide"\npassword = "{password}"\n'

    async def start(self) -> None:
        data = self.folder / "data"
        if not data.exists():
            if os.geteuid() == 0:
                shutil.chown(self.folder, "postgres", "postgres")
            init = self.spawn(postgres_program("initdb"), "-D", str(data), "-U", "admin", "-A", "scram-sha-256", "--pwfile", self.password_file(), user="postgres")
            assert await asyncio.to_thread(init.wait) == 0, (self.folder / "log").read_text()
            await self.run_server(data)
            self.sql(f"CREATE USER tide PASSWORD '{SECRET}'")
            self.sql(
                "CREATE TABLE tidewire_events (id text PRIMARY KEY, kind text NOT NULL, time timestamptz NOT NULL, "
                "user_id text NOT NULL, sequence bigint NOT NULL, event jsonb NOT NULL, at bigserial)"
            )
            self.sql("GRANT INSERT, SELECT ON tidewire_events TO tide; GRANT USAGE ON tidewire_events_at_seq TO tide")
        else:
            (data / "postmaster.pid").unlink(missing_ok=True)
            await self.run_server(data)

    def password_file(self) -> str:
        file = self.folder / "password"
        file.write_text("admin")
        file.chmod(0o644)
        return str(file)

    async def run_server(self, data: Path) -> None:
        self.process = self.spawn(
            postgres_program("postgres"), "-D", str(data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
            "-c", f"unix_socket_directories={self.folder}", user="postgres",
        )
        await self.answers(lambda: self.sql("SELECT 1"))

    def sql(self, statement: str) -> str:
        return self.run(
            "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "admin", "-d", "postgres", "-XAtqc", statement, PGPASSWORD="admin"
        )

    async def events(self) -> list:
        return [json.loads(line) for line in self.sql("SELECT event FROM tidewire_events ORDER BY at").splitlines()]

    async def accept(self, password: str) -> None:
        self.sql(f"ALTER USER tide PASSWORD '{password}'")
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tide'")

    async def refuse(self) -> None:
        self.sql("ALTER USER tide SET default_transaction_read_only = on")
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tide'")

    async def take(self) -> None:
        self.sql("ALTER USER tide SET default_transaction_read_only = off")
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tide'")


class Mysql(Service):
    name = "mysql"
    is_once = True
    refusal = "read-only"

    def table(self, password: str = SECRET) -> str:
        return f'[targets.mysql]\nport = {self.port}\ndatabase = "tide"\nuser = "tide"\npassword = "{password}"\n'

    async def start(self) -> None:
        data = self.folder / "data"
        options = ["--no-defaults", f"--datadir={data}", f"--socket={self.folder}/sock"]
        is_new = not data.exists()
        if os.geteuid() == 0:
            options.append("--user=root")
        if is_new:
            init = self.spawn("mariadb-install-db", *options, "--skip-test-db", "--auth-root-authentication-method=normal")
            assert await asyncio.to_thread(init.wait) == 0, (self.folder / "log").read_text()
        self.process = self.spawn("mariadbd", *options, f"--port={self.port}", "--bind-address=127.0.0.1")
        await self.answers(lambda: self.sql("SELECT 1"))
        if is_new:
            self.sql(
                "CREATE DATABASE tide; CREATE TABLE tide.tidewire_events (id varchar(64) PRIMARY KEY, kind varchar(16) NOT NULL, "
                "time datetime(3) NOT NULL, user_id varchar(255) NOT NULL, sequence bigint unsigned NOT NULL, event json NOT NULL, "
                "at bigint NOT NULL AUTO_INCREMENT UNIQUE) CHARACTER SET utf8mb4;"
                f"CREATE USER tide@'127.0.0.1' IDENTIFIED BY '{SECRET}'; GRANT INSERT, UPDATE, SELECT ON tide.* TO tide@'127.0.0.1'"
            )

    def sql(self, statement: str) -> str:
        return self.run("mariadb", "--no-defaults", f"--socket={self.folder}/sock", "-uroot", "-N", "-r", "-e", statement)

    async def events(self) -> list:
        return [json.loads(line) for line in self.sql("SELECT event FROM tide.tidewire_events ORDER BY at").splitlines()]

    async def drop(self) -> None:
        for line in self.sql("SELECT id FROM information_schema.processlist WHERE user = 'tide'").split():
            self.run("sh", "-c", f"mariadb --no-defaults --socket={self.folder}/sock -uroot -e 'KILL {line}' || true")

    async def accept(self, password: str) -> None:
        self.sql(f"ALTER USER tide@'127.0.0.1' IDENTIFIED BY '{password}'")
        await self.drop()

    async def refuse(self) -> None:
        self.sql("SET GLOBAL read_only = 1")

    async def take(self) -> None:
        self.sql("SET GLOBAL read_only = 0")


class RabbitMq(Service):
    name = "amqp"
    is_once = False
    refusal = None

    def __init__(self):
        super().__init__()
        self.epmd = None
        self.seen = []
        self.ports = {"ERL_EPMD_PORT": str(free_port()), "RABBITMQ_DIST_PORT": str(free_port())}

    def table(self, password: str = SECRET) -> str:
        return f'[targets.amqp]\nport = {self.port}\nuser = "tide"\npassword = "{password}"\nrouting_key = "events"\n'

    async def start(self) -> None:
        is_new = self.epmd is None
        if is_new:
            self.epmd = self.spawn("epmd", "-address", "127.0.0.1", **self.ports)
            (self.folder / "rabbitmq.conf").write_text(
                f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users = none\nload_definitions = {self.folder}/definitions.json\n"
            )
            user = {"password": SECRET, "tags": ""}
            right = {"vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
            queue = {"vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
            definitions = {
                "vhosts": [{"name": "/"}],
                "users": [user | {"name": "tide"}, user | {"name": "reader"}],
                "permissions": [right | {"user": "tide"}, right | {"user": "reader"}],
                "queues": [queue | {"name": "events"}],
            }
            (self.folder / "definitions.json").write_text(json.dumps(definitions))
        self.process = self.spawn("/usr/lib/rabbitmq/bin/rabbitmq-server", **self.environment())
        await self.answers(lambda: self.connect().close())

    def environment(self) -> dict:
        return self.ports | {
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "HOME": str(self.folder),
            # One thread is enough for a test, and starts sooner.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }

    def control(self, *command: str) -> str:
        return self.run("/usr/lib/rabbitmq/bin/rabbitmqctl", *command, **self.environment())

    def connect(self):
        credentials = pika.PlainCredentials("reader", SECRET)
        parameters = pika.ConnectionParameters("127.0.0.1", self.port, credentials=credentials, socket_timeout=5)
        return pika.BlockingConnection(parameters)

    async def events(self) -> list:
        """Takes them out of the queue."""
        with self.connect() as connection:
            channel = connection.channel()
            while (got := channel.basic_get("events", auto_ack=True))[0] is not None:
                assert got[1].delivery_mode == 2
                self.seen.append(json.loads(got[2]))
        return self.seen

    async def accept(self, password: str) -> None:
        await asyncio.to_thread(self.control, "change_password", "tide", password)

    def remove(self) -> None:
        self.kill()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()
        super().remove()


class Nats(Service):
    name = "nats"
    is_once = True
    refusal = "maximum messages"

    def table(self, password: str = SECRET) -> str:
        return f'[targets.nats]\nservers = ["127.0.0.1:{self.port}"]\nuser = "tide"\npassword = "{password}"\n'

    async def start(self, password: str = SECRET) -> None:
        self.password = password
        (self.folder / "nats.conf").write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.folder}/data" }}\n'
            f'authorization {{ user: tide, password: "{password}" }}\n'
        )
        self.process = self.spawn("nats-server", "-c", str(self.folder / "nats.conf"))
        await self.answers(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close())
        while True:
            try:
                async with await self.connect() as client:
                    await client.jetstream().account_info()
                    break
            except Exception:
                await asyncio.sleep(0.05)
        await self.bound(-1)

    async def connect(self):
        return await nats.connect(f"nats://127.0.0.1:{self.port}", user="tide", password=self.password, allow_reconnect=False)

    async def bound(self, messages: int) -> None:
        config = nats.js.api.StreamConfig(
            name="EVENTS", subjects=["tidewire.events.>"], max_msgs=messages, discard=nats.js.api.DiscardPolicy.NEW
        )
        async with await self.connect() as client:
            stream = client.jetstream()
            try:
                await stream.update_stream(config)
            except nats.js.errors.NotFoundError:
                await stream.add_stream(config)

    async def events(self) -> list:
        async with await self.connect() as client:
            stream = client.jetstream()
            last = (await stream.stream_info("EVENTS")).state.last_seq
            return [json.loads((await stream.get_msg("EVENTS", seq)).data) for seq in range(1, last + 1)]

    async def accept(self, password: str) -> None:
        self.kill()
        await self.start(password)

    async def refuse(self) -> None:
        async with await self.connect() as client:
            state = (await client.jetstream().stream_info("EVENTS")).state
        await self.bound(max(state.messages, 1))

    async def take(self) -> None:
        await self.bound(-1)
