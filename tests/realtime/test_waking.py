"""What was committed in one process is heard at once in another, with a layer; and without one, a moment later."""

import asyncio
import threading

import pytest

from django_pm.models import Task
from django_pm.realtime import layer, wake
from tests.factories import make_project, make_task

pytestmark = pytest.mark.postgres


@pytest.fixture
def slow_hub(monkeypatch):
    """A hub that looks rarely, so that only a wake-up can explain an event that comes soon."""
    monkeypatch.setattr("django_pm.realtime.hub.POLL_SECONDS", 60)


def test_a_commit_in_this_process_wakes_the_hub(slow_hub, site, owner, project):
    with site.socket(owner) as socket:
        socket.frame("welcome")
        make_task(project)
        assert socket.frame()["type"] == "task.created"


def test_without_any_wake_up_events_come_by_looking(monkeypatch, site, owner, project):
    monkeypatch.setattr(wake, "wake_all", lambda project_ids: None)
    with site.socket(owner) as socket:
        socket.frame("welcome")
        make_task(project)
        assert socket.frame()["type"] == "task.created"


def test_a_writer_does_not_wait_for_a_layer_that_hangs(monkeypatch, transactional_db):
    """The hint goes to a thread: while the first is still being sent, any number of writes are made."""
    begun, ended = threading.Event(), threading.Event()

    async def hang(project_ids):
        begun.set()
        while not ended.is_set():
            await asyncio.sleep(0.01)

    monkeypatch.setattr(wake, "SEND_SECONDS", 60)
    monkeypatch.setattr(layer, "reaches_others", lambda: True)
    monkeypatch.setattr(layer, "send", hang)
    try:
        project = make_project()
        assert begun.wait(10)
        for _ in range(20):
            make_task(project)
        assert Task.objects.count() == 20
        assert not ended.is_set()
    finally:
        ended.set()
