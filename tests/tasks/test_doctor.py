"""`pm_doctor` looks at the broker of the app that a site has configured."""

import io
import socket
import time
from contextlib import suppress

import pytest
from celery import Celery
from django.core.management import CommandError, call_command

from django_pm import schedules
from django_pm.services import findings

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_added(monkeypatch):
    monkeypatch.setattr(findings, "_further", {})


def configured(broker, **settings):
    app = Celery("host", broker=broker, set_as_current=False)
    app.conf.update(settings)
    schedules.configure(app)
    return app


def broker_line(*arguments):
    """The line about the broker, without the spaces between its columns; empty where there is none."""
    output = io.StringIO()
    with suppress(CommandError):
        call_command("pm_doctor", *arguments, stdout=output, no_color=True)
    return "".join(" ".join(line.split()) for line in output.getvalue().splitlines() if line[8:].startswith("broker "))


def test_without_an_app_there_is_none():
    assert broker_line() == ""


def test_one_that_is_away():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configured(f"amqp://guest:secret@127.0.0.1:{port}//")
    line = broker_line()
    assert line.startswith(f"broken broker amqp://guest:**@127.0.0.1:{port}//: ")
    assert "Connection refused → Start it, or correct the app's broker_url." in line
    assert "secret" not in line


def test_one_that_says_nothing():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        configured(f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}//")
        began = time.monotonic()
        assert broker_line().startswith("broken broker ")
        assert time.monotonic() - began < 2 * schedules.SOCKET_SECONDS


@pytest.mark.rabbitmq
def test_one_that_answers(broker):
    configured(broker)
    assert broker_line().startswith("ok broker amqp://")
    assert broker_line().endswith(" answers")


@pytest.mark.rabbitmq
def test_one_that_lets_nobody_in(broker):
    address = broker.partition("@")[2]
    configured(f"amqp://guest:wrong@{address}")
    line = broker_line()
    assert line.startswith("broken broker ")
    assert "ACCESS_REFUSED" in line


def test_the_app_of_a_module_that_nobody_has_imported(tmp_path, monkeypatch):
    """`--app yoursite.celery`, for a site whose `manage.py` does without it."""
    (tmp_path / "late_celery.py").write_text(
        "from celery import Celery\n"
        "from django_pm.schedules import configure\n"
        "configure(Celery('host', broker='memory://', set_as_current=False))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert broker_line("--app", "late_celery") == "ok broker memory://:**@localhost// answers"
