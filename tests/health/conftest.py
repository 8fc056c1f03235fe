"""What the tests of probes and metrics share."""

import pytest
from django.db import connection, connections
from prometheus_client.parser import text_string_to_metric_families

from django_pm import measures
from django_pm.health import instruments, readiness
from tests.redis_server import own_redis

TOKEN = "scrape-me"


@pytest.fixture(autouse=True)
def _nothing_remembered():
    readiness.forget()
    yield
    readiness.forget()


@pytest.fixture
def probe(client):
    """`probe()`: the answer of `/readyz` to somebody who never heard of what another was told."""

    def ask(*, forget=True):
        if forget:
            readiness.forget()
        answer = client.get("/readyz")
        return answer.status_code, answer.json()["status"], answer.json()["components"]

    return ask


@pytest.fixture
def elsewhere(monkeypatch):
    """`elsewhere(port)`: where new connections look for the database. SQLite finds no file there."""

    def move(port):
        where = connections.settings["default"]
        monkeypatch.setitem(where, "PORT", str(port))
        if connection.vendor == "sqlite":
            monkeypatch.setitem(where, "NAME", f"/nowhere/{port}")
        else:
            monkeypatch.setitem(where, "HOST", "127.0.0.1")

    return move


@pytest.fixture
def listening(settings):
    """The site asks for metrics."""
    settings.DJANGO_PM = {**settings.DJANGO_PM, "METRICS_TOKEN": TOKEN}
    instruments.connect()
    yield
    measures.listen(None)


@pytest.fixture
def scrape(listening, client):
    """`scrape()`: the page as Prometheus reads it, `{(name, labels): value}`."""

    def ask():
        families = text_string_to_metric_families(scraped(client))
        return {
            (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    return ask


def scraped(client):
    """The page as it is."""
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.content.decode()


@pytest.fixture(scope="session")
def redis():
    """One to freeze and to kill."""
    with own_redis() as found:
        yield found
