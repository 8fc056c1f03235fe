"""A server that does what a test says, for pm-client.js in a page: sockets and HTTP, on a clock that the test moves."""

import json
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, WebSocketRoute

from tests.example.site import ROOT

ORIGIN = "http://pm.test"
SCRIPT = ROOT / "src" / "django_pm" / "static" / "django_pm" / "pm-client.js"

START = """
  (options) => {
    window.heard = [];
    window.client = new PMClient(options);
    for (const name of ["event", "reset", "access_gained", "access_lost"]) {
      client.on(name, (detail) => heard.push(detail));
    }
    client.on("state", (state) => heard.push(state));
    client.connect();
  }
"""


def event(seq: int, project: Any = 5) -> dict[str, Any]:
    """An event, as far as a client looks at it."""
    return {"type": "task.created", "id": f"{project}-{seq}", "project": project, "seq": seq, "changes": {}}


class Socket:
    """One socket, seen from the server."""

    def __init__(self, route: WebSocketRoute) -> None:
        self.route = route
        self.query = parse_qs(urlsplit(route.url).query)
        self.frames: list[dict[str, Any]] = []
        self.closed = False
        route.on_message(lambda text: self.frames.append(json.loads(text)))
        route.on_close(lambda *_: setattr(self, "closed", True))

    def send(self, *frames: Any) -> None:
        """Send each, as JSON unless it is text already."""
        for frame in frames:
            self.route.send(frame if isinstance(frame, str) else json.dumps(frame))

    def close(self, code: int) -> None:
        self.route.close(code=code)

    @property
    def resume(self) -> dict[str, Any]:
        """The `resume` that came."""
        (frame,) = [frame for frame in self.frames if frame["type"] == "resume"]
        return frame


class FakeServer:
    """Where the page's sockets end up, and its requests, answered by `answer(path, query)` with a status and a body."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sockets: list[Socket] = []
        self.requests: list[str] = []
        self.answer: Callable[[str, dict[str, list[str]]], tuple[int, Any]] = lambda path, query: (404, {})
        self.on_connect: Callable[[Socket], None] = lambda socket: None
        page.clock.install(time=0)
        page.route(f"{ORIGIN}/**", self._request)
        page.route_web_socket("ws://pm.test/**", self._connected)
        page.goto(ORIGIN)
        page.add_script_tag(content=SCRIPT.read_text())
        # The pauses are then their upper bounds, and can be read.
        page.evaluate("""() => {
          Math.random = () => 0.999999;
          const set = setTimeout;
          window.timers = [];
          window.setTimeout = (call, ms) => { timers.push(Math.round(ms)); return set(call, ms); };
        }""")
        page.clock.pause_at(1000)

    def _request(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        if url.path == "/":
            route.fulfill(body="<!doctype html>", content_type="text/html")
            return
        self.requests.append(url.path)
        status, body = self.answer(url.path, parse_qs(url.query))
        route.fulfill(status=status, json=body)

    def _connected(self, route: WebSocketRoute) -> None:
        socket = Socket(route)
        self.sockets.append(socket)
        self.on_connect(socket)

    def until(self, condition: Callable[[], Any]) -> Any:
        """What `condition` says, as soon as it is true; the clock of the page stands still meanwhile."""
        for _ in range(2000):
            if found := condition():
                return found
            self.page.evaluate(
                "new Promise((resolve) => { const c = new MessageChannel(); c.port1.onmessage = resolve; "
                "c.port2.postMessage(0); })"
            )
        raise AssertionError("It did not happen.")

    def start(self, **options: Any) -> None:
        """Have the page make a client and connect it."""
        self.page.evaluate(START, options)

    def socket(self, number: int = 1) -> Socket:
        """The socket with this number, as soon as it is there."""
        self.until(lambda: len(self.sockets) >= number)
        return self.sockets[number - 1]

    def welcomed(self, number: int = 1, heads: Any = None, epoch: str = "a", **fields: Any) -> Socket:
        """The same, greeted; its client has answered."""
        socket = self.socket(number)
        heads = {"5": 17} if heads is None else heads
        welcome = {"type": "welcome", "protocol": 1, "epoch": dict.fromkeys(heads, epoch), "heads": heads}
        socket.send({**welcome, "complete": True, "heartbeat": 25, **fields})
        self.until(lambda: any(frame["type"] == "resume" for frame in socket.frames))
        return socket

    def live(self, number: int = 1, **welcome: Any) -> Socket:
        """The same, with nothing missed."""
        socket = self.welcomed(number, **welcome)
        socket.send({"type": "resumed", "replayed": 0})
        self.until(lambda: self.state() == "live")
        return socket

    def pass_time(self, seconds: float) -> None:
        self.page.clock.run_for(int(seconds * 1000))

    def eventually(self, condition: Callable[[], Any], seconds: float = 60, step: float = 0.25) -> None:
        """Let time pass until `condition` is true."""
        for _ in range(int(seconds / step)):
            if condition():
                return
            self.pass_time(step)
        raise AssertionError("It did not happen.")

    def state(self) -> Any:
        return self.page.evaluate("client.state")

    def heard(self, count: int) -> list[Any]:
        """What listeners heard so far, apart from states: at least so much."""
        self.until(lambda: len(self.heard_so_far()) >= count)
        found = self.heard_so_far()
        assert len(found) == count, found
        return found

    def heard_so_far(self) -> list[Any]:
        return [each for each in self.page.evaluate("heard") if not isinstance(each, str)]

    def timers(self, of: Collection[int]) -> list[int]:
        """The times that the client has waited for or is waiting for, in ms, among these."""
        return [ms for ms in self.page.evaluate("timers") if ms in of]

    def states(self) -> list[str]:
        return [each for each in self.page.evaluate("heard") if isinstance(each, str)]
