"""What the hub does with sockets that come while it is reading."""

import asyncio

from django_pm.realtime.authentication import Credential
from django_pm.realtime.hub import Hub
from django_pm.realtime.reading import News, Place, Welcome

HERE, NEXT = Place("e", 5), Place("e", 6)


class StandIn:
    """A socket that notes what it is told."""

    def __init__(self, user_id):
        self.credential = Credential(user_id)
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
        hub = Hub()
        monkeypatch.setattr(hub, "_begin", lambda: None)
        welcome = Welcome({1}, {1: HERE}, complete=True)
        early, late = StandIn(user_id=1), StandIn(user_id=2)
        hub.join(early, welcome)

        async def read(question, *arguments):
            if question != hub._news:
                return set()
            hub.join(late, welcome)
            return [News(1, HERE, NEXT, [(6, "frame")], asked={1}, seen_by={1})]

        monkeypatch.setattr(hub, "_ask", read)
        await hub._turn()
        return early.told, late.told, hub.places

    early, late, places = asyncio.run(run())
    assert early == [("deliver", NEXT)]
    assert late == [("miss", NEXT)]
    assert places == {1: NEXT}
