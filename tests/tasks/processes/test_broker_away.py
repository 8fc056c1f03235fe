"""RabbitMQ is frozen, killed, and comes back without what it knew: writes do not notice, and reminders wait for it.

Why writes do not: nothing is published and no connection is made while a request is served. That is what is asserted;
the seconds are printed. `PM_LONG_TESTS=1` keeps it frozen until beat has given up publishing, which takes 20 seconds,
and has it come back with what it knew too.
"""

import json
import statistics
import subprocess
import sys
from contextlib import contextmanager

import pytest
from django.db import connections

from django_pm.mail.sending import CLAIMED_FOR
from django_pm.models import Mail, MailState
from tests.events.workers import LONG, until
from tests.example.site import ROOT
from tests.factories import make_user
from tests.tasks.processes.ledger import Reminders
from tests.tasks.processes.parts import Celery

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

REMINDERS = 10
SECONDS = 60
"""In which workers and beat must have found back to a broker that is there again, and have sent what waited."""


class Writer:
    """What a web server does: see `writer.py`."""

    def __init__(self, process):
        self._process = process

    def tell(self, what):
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def writing(celery, user):
    command = [sys.executable, "-m", "tests.tasks.processes.writer", str(user.pk)]
    with subprocess.Popen(
        command, cwd=ROOT, env=celery.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Writer(process)
        finally:
            process.kill()


@pytest.fixture
def celery(transactional_db, unreliable, sink, tmp_path):
    yield Celery(unreliable.url, sink.port, tmp_path)
    connections.close_all()


def test_writes_do_not_notice_and_reminders_wait(celery, unreliable, sink, capsys):
    reminders, seconds = Reminders(sink), {}

    def all_arrive():
        try:
            until(reminders.is_done, f"reminders: {sink.to()}", SECONDS, pause=0.1)
        except AssertionError:
            # A worker that loses the broker lets go of what it does. A batch that it was sending just then, and nothing
            # else, may wait until the claim has run out.
            if not Mail.objects.filter(state__in=[MailState.CLAIMED, MailState.SENDING]).exists():
                raise
            claim = CLAIMED_FOR.total_seconds()
            until(reminders.is_done, f"a claim to run out: {sink.to()}", claim, pause=0.1)

    def write(how):
        reminders.make(REMINDERS)
        answer = writer.tell("write")
        assert {status // 100 for status in answer["statuses"]} == {2}, answer["statuses"]
        assert (answer["published"], answer["connected"]) == ([], []), how
        seconds[how] = answer["seconds"]

    with celery.worker("pm.mail", "pm.events"), celery.beat() as beat, writing(celery, make_user()) as writer:
        write("there")
        all_arrive()

        unreliable.freeze()
        known = len(beat.said)
        write("frozen")
        if LONG:
            until(lambda: "timed out" in beat.said[known:], "beat to give up", SECONDS, pause=0.1)
        unreliable.thaw()
        all_arrive()

        if LONG:
            unreliable.kill()
            write("killed")
            unreliable.start()
            all_arrive()

        unreliable.kill()
        unreliable.lose_everything()
        write("gone")
        unreliable.start()
        all_arrive()

        noticed = writer.tell("publish")
        assert noticed["published"] == ["django_pm.tasks.relay_events"]
        assert any(str(unreliable.port) in address for address in noticed["connected"])
    audit = reminders.audit()
    with capsys.disabled():
        print(f"\nreminders {audit}")  # noqa: T201
        for how, each in seconds.items():
            print(f"  {len(each)} writes, RabbitMQ {how}: {figures(each)}")  # noqa: T201
    assert (audit.lost, audit.doubled, audit.repeats) == (set(), set(), 0)


def figures(seconds):
    return f"median {statistics.median(seconds) * 1000:.1f} ms, most {max(seconds) * 1000:.1f} ms"
