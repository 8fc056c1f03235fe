"""What the hub does with sockets that come while it is reading, and when something in it fails."""

import asyncio
import threading

import pytest

from django_pm.realtime import hub, reading
from django_pm.realtime.authentication import Credential
from django_pm.realtime.hub import Hub
from django_pm.realtime.protocol import frame
from django_pm.realtime.reading import Found, News, Place, Sight, Welcome
from tests.factories import make_task

pytestmark = pytest.mark.postgres

HERE, NEXT = Place("e", 5), Place("e", 6)


class StandIn:
    """A socket that notes what it is told."""

    def __init__(self, user_id):
        self.credential = Credential(user_id)
        self.joined_in = 0
        self.places = {}
        self.told = []

    def allows(self, project_id):
        return True

    def deliver(self, news):
        self.told.append(("deliver", news.place))

    def miss(self, news):
        self.told.append(("miss", news.place))


def test_who_comes_while_events_are_read_reads_them_for_themselves(monkeypatch):
    """They were not asked about, and their welcome was older: without this they would miss what the others are told."""

    async def run():
        here = Hub()
        monkeypatch.setattr(here, "_begin", lambda: None)
        welcome = Welcome(Sight({1}, listed=True), {1: HERE}, True, {1: HERE})
        early, late = StandIn(user_id=1), StandIn(user_id=2)
        here.join(early, welcome)

        async def read(question, *arguments):
            here.join(late, welcome)
            return [Found(HERE, News(1, HERE, NEXT, [frame("event", seq=6)], 9, seen_by={1}))], set()

        monkeypatch.setattr(here._threads, "ask_for_turn", read)
        await here._turn()
        return early.told, late.told, here.places

    early, late, places = asyncio.run(run())
    assert early == [("deliver", NEXT)]
    assert late == [("miss", NEXT)]
    assert places == {1: NEXT}


def test_the_hub_begins_again_if_it_stops(site, owner, project, monkeypatch, caplog):
    stopped = threading.Event()
    turns = Hub._turns

    async def stop_once(self):
        if not stopped.is_set():
            stopped.set()
            raise RuntimeError("as no hub should")
        await turns(self)

    monkeypatch.setattr(Hub, "_turns", stop_once)
    with site.socket(owner) as socket:
        socket.frame("welcome")
        make_task(project)
        assert socket.frame("task.created")["seq"] == 3
    assert stopped.is_set()
    assert "The hub stopped; starting it again." in caplog.text


def test_a_turn_that_fails_is_tried_again(site, owner, project, monkeypatch, caplog):
    failures = iter([ZeroDivisionError("as no turn should")])
    look = reading.look

    def fail_once(question):
        for failure in failures:
            raise failure
        return look(question)

    monkeypatch.setattr(reading, "look", fail_once)
    monkeypatch.setattr(hub, "BACK_OFF_SECONDS", 0.1)
    with site.socket(owner) as socket:
        socket.frame("welcome")
        make_task(project)
        assert socket.frame("task.created")["seq"] == 3
    assert "Reading for the sockets failed; trying again." in caplog.text
