"""The servers that a site may have, uvicorn and daphne: the same sockets, and what is different about them."""

import asyncio
import json

import pytest
from django.db import connection
from websockets.exceptions import InvalidMessage, InvalidStatus

from django_pm.events import feed
from tests.events.workers import LONG
from tests.factories import make_project, make_task, make_user
from tests.realtime.conftest import session_of
from tests.realtime.processes.servers import IN_MEMORY, PUBSUB, QUEUES, Follower
from tests.realtime.test_lossless import Client

pytestmark = pytest.mark.postgres

LIMITS = {"uvicorn": ["--ws-max-size", "16384"], "daphne": ["--websocket-max-message-size", "16384"]}
NO_UTF_8 = b"\xff\xfe"
BAD_FRAMES = [NO_UTF_8, b"x", "x" * 16_385, "x" * 1_000_000]
CLIENTS = 200 if LONG else 50
BEFORE, AFTER = 20, 20


@pytest.fixture(params=["uvicorn", "daphne"])
def server(request, servers):
    return servers(request.param)


def test_a_session_and_what_is_written_over_the_api(server, owner, project):
    with server.socket(owner) as socket:
        assert socket.frame("welcome")["heads"] == {str(project.pk): 2}
        task = server.add_task(project, owner)
        event = socket.frame()
        assert (event["type"], event["object"]["id"], event["seq"]) == ("task.created", task["id"], 3)
        make_task(project)
        assert socket.frame()["seq"] == 4


def test_who_may_not(server, owner):
    with server.socket() as socket:
        assert socket.closed() == 4401
    with pytest.raises(InvalidStatus) as refused, server.socket(owner, origin="https://evil.example"):
        pass
    assert refused.value.response.status_code == 403


class TestFrames:
    def closed_after(self, server, owner, frame):
        """The code that the server closes with, None if it just ends the connection."""
        with server.socket(owner) as socket:
            socket.frame("welcome")
            if frame is NO_UTF_8:
                raw = socket.websocket
                with raw.send_context():
                    raw.protocol.send_text(frame)
            else:
                socket.send(frame)
            return socket.closed()

    def test_what_closes(self, servers, owner):
        codes = [self.closed_after(servers("uvicorn"), owner, frame) for frame in BAD_FRAMES]
        assert codes == [1007, 1003, 1009, 1009]

    def test_no_utf_8_at_daphne(self, servers, owner):
        assert self.closed_after(servers("daphne"), owner, NO_UTF_8) is None

    def test_what_we_close_at_daphne(self, servers, owner):
        """It does not send 1003 for an application, so the code is moved to those that it does send."""
        assert self.closed_after(servers("daphne"), owner, b"x") == 4003

    @pytest.mark.parametrize(("kind", "code"), [("uvicorn", 1009), ("daphne", None)])
    def test_where_the_server_itself_has_a_limit(self, servers, owner, kind, code):
        server = servers(kind, *LIMITS[kind])
        assert [self.closed_after(server, owner, "x" * size) for size in (16_385, 1_000_000)] == [code, code]
        with server.socket(owner) as socket:
            socket.frame("welcome")
            socket.send(json.dumps({"type": "ping"}).ljust(16_384))
            assert socket.frame() == {"type": "pong"}


class TestTwoProcesses:
    """What was written in one is heard in the other: at once with a layer that reaches it, else a moment later."""

    @pytest.mark.redis
    @pytest.mark.parametrize("backend", [PUBSUB, QUEUES])
    def test_with_redis(self, servers, layer, project, owner, backend):
        """The other one looks so rarely that only the hint explains that it has heard."""
        with (
            servers.apart(2, layer=layer(backend), pace={"hub.POLL_SECONDS": 600}) as (writer, other),
            Follower(other, owner, project) as follower,
        ):
            assert follower.hears_at_once_from(writer)

    @pytest.mark.parametrize("layer", [None, {"BACKEND": IN_MEMORY}, {"BACKEND": "nowhere.Layer"}])
    def test_without_a_layer_that_reaches_it(self, servers, project, owner, layer):
        one, other = servers("daphne"), servers(layer=layer)
        for writer, reader in [(one, other), (other, one)]:
            with Follower(reader, owner, project) as follower:
                writer.add_task(project, owner)
                assert follower.hears_all()


class Survivor(Client):
    """Follows one server until that is killed, then goes on at another."""

    def __init__(self, first, second, session, seed):
        super().__init__(first, session, seed)
        self.second = second

    async def follow(self, *, until):
        while not until(self):
            try:
                await self.listen(60, until)
            except (OSError, InvalidStatus, InvalidMessage):  # was just connecting
                self.move()
            if self.wrong and "closed with" in self.wrong[-1]:
                self.wrong.pop()
                self.move()

    def move(self):
        self.url = f"ws://127.0.0.1:{self.second.port}/ws/notifications/"
        self.origin = self.second.origin
        self.visits += 1


def test_one_is_killed_while_many_follow(servers):
    with servers.apart() as (doomed,):
        follow_and_kill(doomed, servers("daphne"))


def follow_and_kill(doomed, other):
    users = [make_user() for _ in range(5)]
    projects = [make_project(users[0], dict.fromkeys(users[1:], "viewer")) for _ in range(2)]
    sessions = [session_of(user) for user in users]
    clients = [Survivor(doomed, other, sessions[n % len(users)], n) for n in range(CLIENTS)]
    heads = {}

    async def run():
        following = [
            asyncio.create_task(client.follow(until=lambda each: bool(heads) and each.since == heads))
            for client in clients
        ]
        while not all(client.since for client in clients):
            await asyncio.sleep(0.05)
        for number in range(BEFORE + AFTER):
            if number == BEFORE:
                doomed.kill()
            await asyncio.to_thread(write, number)
        heads.update(await asyncio.to_thread(read_heads))
        async with asyncio.timeout(60):
            await asyncio.gather(*following)

    def write(number):
        make_task(projects[number % 2])
        connection.close()

    def read_heads():
        found = {str(project.pk): feed.read(project.pk, limit=1).head for project in projects}
        connection.close()
        return found

    asyncio.run(run())
    assert [client.wrong for client in clients] == [[]] * CLIENTS
    assert [client.since for client in clients] == [heads] * CLIENTS
    assert {client.received for client in clients} == {BEFORE + AFTER}
    assert all(client.visits for client in clients)
