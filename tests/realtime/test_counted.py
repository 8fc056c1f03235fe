"""A process that serves sockets alone, as docs/monitoring.md has it: what it answers machines, and what it counts."""

import asyncio
import time

import httpx
import pytest
from asgiref.testing import ApplicationCommunicator
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from django_pm import measures
from django_pm.health import instruments, readiness
from django_pm.health.asgi import with_health
from django_pm.realtime.asgi import only_sockets, with_notifications
from tests.factories import make_user
from tests.realtime.conftest import PATIENCE

TOKEN = "scrape-me"


@pytest.fixture
def application(settings):
    settings.DJANGO_PM = {**settings.DJANGO_PM, "METRICS_TOKEN": TOKEN, "SOCKETS_PER_USER": 2}
    instruments.connect()
    readiness.forget()
    yield with_notifications(with_health(only_sockets))
    readiness.forget()
    measures.listen(None)


def ask(site, path, method="GET", **headers):
    return httpx.request(method, site.origin + path, headers=headers, trust_env=False, timeout=PATIENCE)


class TestWithHealth:
    def test_it_is_alive(self, site):
        answer = ask(site, "/healthz")
        assert (answer.status_code, answer.text) == (200, "alive\n")

    def test_it_is_ready(self, site):
        answer = ask(site, "/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready")

    def test_it_is_down_when_the_database_is(self, site, monkeypatch):
        check = readiness.ESSENTIAL[0]
        monkeypatch.setattr(
            readiness, "ESSENTIAL", [check._replace(look=lambda: 1 / 0), *readiness.ESSENTIAL[1:]], raising=True
        )
        answer = ask(site, "/readyz")
        assert (answer.status_code, answer.json()["components"]["database"]) == (503, "failing")
        assert ask(site, "/healthz").status_code == 200

    def test_its_numbers_are_for_who_shows_the_token(self, site):
        assert ask(site, "/metrics").status_code == 401
        assert ask(site, "/metrics", Authorization=f"Bearer {TOKEN}").status_code == 200

    @pytest.mark.parametrize("path", ["/", "/tasks/", "/healthz/", "/pm/healthz", "/healthz/metrics", "//metrics"])
    def test_it_answers_nothing_else(self, site, path):
        assert ask(site, path, Authorization=f"Bearer {TOKEN}").status_code == 426

    def test_nobody_changes_anything_there(self, site):
        assert ask(site, "/healthz", method="POST").status_code == 403

    @pytest.mark.parametrize(("path", "status"), [("/pm/healthz", 200), ("/healthz", 200), ("/pm/tasks/", 426)])
    def test_below_a_prefix_too(self, db, application, path, status):
        """Where the server says that the site is mounted at `/pm`; some say it and leave it out of the path."""

        async def begin():
            scope = {"type": "http", "method": "GET", "path": path, "root_path": "/pm", "headers": []}
            communicator = ApplicationCommunicator(application, scope)
            await communicator.send_input({"type": "http.request"})
            start = await communicator.receive_output(PATIENCE)
            await communicator.receive_output(PATIENCE)
            await communicator.wait(PATIENCE)
            return start["status"]

        assert asyncio.run(begin()) == status


class Counts:
    """What is told of the sockets, asked of the server that has them."""

    def __init__(self, site):
        self.site = site
        self.before = self.now()

    def now(self):
        text = ask(self.site, "/metrics", Authorization=f"Bearer {TOKEN}").text
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in ("django_pm_sockets_open", "django_pm_sockets_closed_total")
        }

    def become(self, **wanted):
        """Wait until so many more are open, and were closed in these ways, and no others."""
        until = time.monotonic() + PATIENCE
        wanted = {("django_pm_sockets_closed_total", key.replace("_", " ")): value for key, value in wanted.items()} | {
            ("django_pm_sockets_open",): wanted.get("open", 0)
        }
        wanted.pop(("django_pm_sockets_closed_total", "open"), None)
        while (more := self.more()) != {key: value for key, value in wanted.items() if value}:
            assert time.monotonic() < until, (more, wanted)
            time.sleep(0.02)

    def more(self):
        return {
            key: value - self.before.get(key, 0)
            for key, value in self.now().items()
            if value != self.before.get(key, 0)
        }


class TestSockets:
    def test_those_that_are_open(self, site, owner):
        counts = Counts(site)
        with site.socket(owner) as one:
            one.frame("welcome")
            counts.become(open=1)
            with site.socket(owner) as other:
                other.frame("welcome")
                counts.become(open=2)
            counts.become(open=1, by_client=1)
        counts.become(by_client=2)

    def test_those_that_were_refused(self, site, owner):
        counts = Counts(site)
        with site.socket() as socket:
            assert socket.closed() == 4401
        with pytest.raises(InvalidStatus), site.socket(owner, origin="https://evil.example"):
            pass
        with site.socket(owner) as one, site.socket(owner) as two:
            one.frame("welcome")
            two.frame("welcome")
            with site.socket(owner) as third:
                assert third.closed() == 4429
            counts.become(open=2, **{"4401": 1, "4429": 1, "foreign_origin": 1})

    def test_one_that_we_close(self, site):
        user = make_user()
        counts = Counts(site)
        with site.socket(user) as socket:
            socket.frame("welcome")
            user.is_active = False
            user.save()
            assert socket.closed() == 4401
            counts.become(**{"4401": 1})
