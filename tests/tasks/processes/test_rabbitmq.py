"""The whole way on real parts: PostgreSQL, RabbitMQ, two beats, Celery workers, a mail server."""

import os
import signal
import threading
from contextlib import ExitStack

import pytest

from django_pm.models import Mail, MailState
from tests.events.workers import until
from tests.tasks.processes.ledger import remind_of
from tests.tasks.processes.parts import START_SECONDS

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def is_all_sent(number):
    return Mail.objects.filter(state=MailState.SENT).count() == number


def test_each_is_reminded_once_with_two_beats_and_two_workers(celery, sink):
    remind_of(20)
    with ExitStack() as stack:
        for part in (celery.worker("pm.mail"), celery.worker("pm.mail", "pm.events"), celery.beat(), celery.beat()):
            stack.enter_context(part)
        until(lambda: is_all_sent(20), "20 reminders", START_SECONDS)
        remind_of(1)
        until(lambda: is_all_sent(21), "the one that came late")
    assert sorted(sink.to()) == sorted(f"reminded{n}@example.org" for n in range(21))
    assert not Mail.objects.filter(repeated=True).exists()


def test_what_is_queued_is_sent_at_once_not_at_the_next_tick(celery, sink):
    remind_of(3)
    with celery.worker("pm.mail"):
        celery.tick("send_due_reminders")
        until(lambda: is_all_sent(3), "3 reminders", START_SECONDS)
    assert len(sink.to()) == 3


def test_a_worker_that_is_killed_while_the_server_takes_a_message(celery, sink):
    """The message comes again with the same Message-ID, since nobody could note that it had been taken."""
    remind_of(3)
    taken, go_on = threading.Event(), threading.Event()
    sink.hold(taken, go_on)
    with celery.beat():
        with celery.worker("pm.mail") as worker:
            until(taken.is_set, "a message to arrive", START_SECONDS)
            os.killpg(worker.pid, signal.SIGKILL)
        go_on.set()
        with celery.worker("pm.mail"):
            until(lambda: is_all_sent(3), "3 reminders", START_SECONDS)
    ids = [message["Message-ID"] for message in sink.messages]
    assert (len(ids), len(set(ids))) == (4, 3)
    assert set(sink.to()) == {f"reminded{n}@example.org" for n in range(3)}
    print(f"{len(ids)} deliveries of {len(set(ids))} messages with 1 kill")  # noqa: T201
