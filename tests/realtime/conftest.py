"""A real server on a real socket: uvicorn, in a thread of its own, over the database of the test."""

import json
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from django.core.asgi import get_asgi_application
from django.db import connections
from django.test import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from django_pm.realtime.asgi import with_notifications
from tests.realtime.frames import check

HOST = "127.0.0.1"
PATIENCE = 15


class Address:
    """Where a server answers, and the sockets that tests open to it."""

    def __init__(self, port):
        self.port = port
        self._sessions = {}

    def sign_in(self, *users):
        """Before the first socket opens: SQLite refuses who looks up one session while another is written."""
        for user in users:
            if user.pk not in self._sessions:
                self._sessions[user.pk] = session_of(user)

    @property
    def origin(self):
        return f"http://{HOST}:{self.port}"

    @contextmanager
    def socket(self, user=None, *, path="/ws/notifications/", query="", origin="", headers=None):
        """A socket, signed in by a session of `user` if one is given. With None for `origin` it is no browser's."""
        headers = dict(headers or {})
        if user is not None:
            self.sign_in(user)
            headers["Cookie"] = f"sessionid={self._sessions[user.pk]}"
        url = f"ws://{HOST}:{self.port}{path}{query}"
        origin = self.origin if origin == "" else origin
        with connect(url, origin=origin, additional_headers=headers, open_timeout=PATIENCE) as websocket:
            yield Socket(websocket)


class Site(Address):
    """A server in a thread of the tests. It may be stopped, and come back where it was."""

    def __init__(self, application):
        super().__init__(0)
        self.application = application

    def start(self):
        config = uvicorn.Config(self.application, host=HOST, port=self.port, log_level="warning", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        until = time.monotonic() + PATIENCE
        while not self.server.started:
            assert time.monotonic() < until
            assert self.thread.is_alive()
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def stop(self):
        self.server.should_exit = True
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


class Socket:
    """What a client sees, frame by frame."""

    def __init__(self, websocket):
        self.websocket = websocket

    def send(self, frame):
        """A frame as the document has it, or a text or bytes that are none."""
        self.websocket.send(frame if isinstance(frame, (str, bytes)) else json.dumps(check(frame, from_client=True)))

    def receive(self, until):
        """The next frame, judged by the document. Raises ``TimeoutError``."""
        return check(json.loads(self.websocket.recv(timeout=max(0.01, until - time.monotonic()))))

    def frame(self, *kinds):
        """The next frame; with `kinds`, the next of one of these, heartbeats passed over."""
        until = time.monotonic() + PATIENCE
        while True:
            frame = self.receive(until)
            if not kinds or frame["type"] in kinds:
                return frame
            assert frame["type"] == "heartbeat", (kinds, frame)

    def frames(self, number):
        """The next ones that are no heartbeats."""
        found = []
        while len(found) < number:
            if (frame := self.frame())["type"] != "heartbeat":
                found.append(frame)
        return found

    def events_until(self, done):
        """Events as they come, until `done(event)`."""
        found = []
        while True:
            frame = self.frame()
            if "seq" in frame:
                found.append(frame)
                if done(frame):
                    return found

    def is_quiet(self, seconds=1.5):
        """Whether nothing but heartbeats comes for a while, longer than the hub takes to look and to sweep."""
        until = time.monotonic() + seconds
        while True:
            try:
                frame = self.receive(until)
            except TimeoutError:
                return True
            if frame["type"] != "heartbeat":
                return False

    def closed(self):
        """The code that the server closes with."""
        until = time.monotonic() + PATIENCE
        try:
            while True:
                self.receive(until)
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else None


def session_of(user):
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


@pytest.fixture
def application():
    """What is served."""
    return with_notifications(get_asgi_application())


@pytest.fixture
def site(transactional_db, application):
    site = Site(application)
    site.start()
    yield site
    site.stop()
    connections.close_all()
