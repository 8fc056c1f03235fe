"""`kill -9` of what does the work, at any moment, while reminders and reports go through: nothing is lost or doubled.

A message may come a second time, with the same Message-ID, if whoever sent it was killed before it could note that the
server had taken it. A worker does one thing at a time here, so that is at most one message for each worker killed.
`PM_LONG_TESTS=1` makes it 300 kills, in rounds of 500 reminders and 50 reports, instead of 9 among 180 and 18.
"""

import os
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack, suppress

import pytest
from django.db import connections

from django_pm.models import Mail, MailState
from tests.events.workers import LONG, until
from tests.tasks.processes.ledger import Reminders, Reports
from tests.tasks.processes.parts import Celery

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

ROUNDS, KILLS = (12, 25) if LONG else (1, 9)
EACH_TIME = {Reminders: 20, Reports: 2}
CLAIM = 6
SECONDS = 120
"""In which a round must come to an end, once nobody is killed any more."""

VICTIMS = ("child", "worker", "beat")


def kill(victim, parts, draw):
    """Kill -9 one of them at any moment; a child, its worker starts again, and whatever else has ended, we do."""
    part = parts[-1] if victim == "beat" else draw.choice(parts[:-1])
    until(lambda: supervise(parts) and (victim == "beat" or part.children), f"a {victim} to kill", SECONDS)
    time.sleep(draw.uniform(0, 1))
    if victim != "child":
        part.kill()
    for pid in part.children if victim == "child" else []:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    supervise(parts)


def supervise(parts):
    for part in parts:
        part.supervise()
    return True


@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_lost_or_doubled(transactional_db, broker, sink, tmp_path, number, capsys):
    seed = random.randrange(10**9) if LONG else number  # noqa: S311 (a draw, no secret)
    draw = random.Random(seed)  # noqa: S311
    sink.pace = lambda: draw.uniform(0, 0.08)
    celery = Celery(broker, sink.port, tmp_path, claim=CLAIM)
    promises = [promise(sink) for promise in EACH_TIME]
    kills, hits = Counter(), 0
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            made = (celery.worker("pm.mail", "pm.reports"), celery.worker("pm.mail", "pm.reports"), celery.beat())
            parts = [stack.enter_context(part) for part in made]
            for turn in range(KILLS):
                for promise in promises:
                    promise.make(EACH_TIME[type(promise)])
                victim = VICTIMS[turn % 3]
                kill(victim, parts, draw)
                kills[victim] += 1
                hits += victim != "beat" and Mail.objects.filter(state=MailState.SENDING).exists()
            until(lambda: supervise(parts) and all(each.is_done() for each in promises), "an end", SECONDS, pause=0.1)
    finally:
        celery.forget()
        connections.close_all()
    audits = {promise.name: promise.audit() for promise in promises}
    with capsys.disabled():
        said = ", ".join(f"{count} of a {victim}" for victim, count in kills.items())
        print(f"\nround {number} (seed {seed}), {time.monotonic() - began:.0f} s; {said}, {hits} with mail in hand")  # noqa: T201
        for name, audit in audits.items():
            print(f"  {name} {audit}")  # noqa: T201
    assert not any(audit.lost or audit.doubled for audit in audits.values())
    assert sum(audit.repeats for audit in audits.values()) <= kills["child"] + kills["worker"]
    assert set(Mail.objects.values_list("state", flat=True)) == {MailState.SENT}
