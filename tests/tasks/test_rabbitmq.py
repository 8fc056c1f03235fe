"""The whole way on real parts: PostgreSQL, RabbitMQ, two beats, Celery workers, a mail server."""

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.utils import timezone
from kombu import Connection

from django_pm.models import Mail, MailState
from django_pm.services.jobs import QUEUES
from tests.events.workers import until
from tests.factories import make_project, make_task, make_user
from tests.realtime.processes.servers import ROOT, database_url

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

BROKER = os.environ.get("PM_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")


class Celery:
    """Processes of the test host's Celery app, with queues of their own."""

    def __init__(self, port, folder):
        self.prefix = f"test{uuid.uuid4().hex}."
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PM_TEST_DATABASE_URL": database_url(),
            "PM_TEST_RABBITMQ_URL": BROKER,
            "PM_TEST_QUEUES": self.prefix,
            "PM_TEST_SMTP_PORT": str(port),
            "PM_TEST_BEAT": "0.5",
            "PM_TEST_CLAIM": "2",
        }

    @contextmanager
    def running(self, *arguments):
        log = Path(self.folder, f"{uuid.uuid4().hex}.log")
        command = [sys.executable, "-m", "celery", "-A", "tests.testsite.celery", *arguments]
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print(log.read_text()[-4000:])  # noqa: T201 -- shown if the test fails

    def worker(self, *queues):
        names = ",".join(self.prefix + queue for queue in queues)
        options = ["--pool", "prefork", "--concurrency", "1", "--without-gossip", "--without-mingle"]
        return self.running("worker", "-Q", names, "-n", f"{uuid.uuid4().hex}@here", "-l", "info", *options)

    def beat(self):
        return self.running("beat", "-l", "info", "--schedule", str(Path(self.folder, uuid.uuid4().hex)))

    def forget(self):
        with Connection(BROKER) as connection:
            channel = connection.channel()
            for queue in (*QUEUES, "celery"):
                channel.queue_delete(self.prefix + queue)


@pytest.fixture
def broker():
    """`scripts/run_tests.py` says where it is; a plain pytest does without, if it is not at the usual place."""
    try:
        with Connection(BROKER, connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=0)
    except OSError as error:
        if "PM_TEST_RABBITMQ_URL" in os.environ:
            raise
        pytest.skip(f"needs RabbitMQ: {error}")


@pytest.fixture
def celery(transactional_db, broker, sink, tmp_path):
    made = Celery(sink.port, tmp_path)
    yield made
    made.forget()
    connections.close_all()


def remind(number):
    """So many tasks that are due soon, each somebody else's."""
    address = get_user_model().get_email_field_name()
    for n in range(number):
        user = make_user(f"user{n}", **{address: f"user{n}@example.org"})
        make_task(make_project(user), assignee=user, due_date=timezone.now() + dt.timedelta(hours=1))


def is_all_sent(number):
    return Mail.objects.filter(state=MailState.SENT).count() == number


def test_each_is_reminded_once_with_two_beats_and_two_workers(celery, sink):
    remind(20)
    with ExitStack() as stack:
        for part in (celery.worker("pm.mail"), celery.worker("pm.mail", "pm.events"), celery.beat(), celery.beat()):
            stack.enter_context(part)
        until(lambda: is_all_sent(20), "20 reminders")
        remind_again = make_user("late", **{get_user_model().get_email_field_name(): "late@example.org"})
        make_task(make_project(remind_again), assignee=remind_again, due_date=timezone.now() + dt.timedelta(hours=2))
        until(lambda: is_all_sent(21), "the one that came late")
    assert sorted(sink.to()) == sorted([*(f"user{n}@example.org" for n in range(20)), "late@example.org"])
    assert not Mail.objects.filter(repeated=True).exists()


def test_a_worker_that_is_killed_while_the_server_takes_a_message(celery, sink):
    """The message comes again with the same Message-ID, since nobody could note that it had been taken."""
    remind(3)
    taken, go_on = threading.Event(), threading.Event()
    sink.hold(taken, go_on)
    with celery.beat():
        with celery.worker("pm.mail") as worker:
            until(taken.is_set, "a message to arrive")
            os.killpg(worker.pid, signal.SIGKILL)
        go_on.set()
        with celery.worker("pm.mail"):
            until(lambda: is_all_sent(3), "3 reminders")
    ids = [message["Message-ID"] for message in sink.messages]
    assert (len(ids), len(set(ids))) == (4, 3)
    assert set(sink.to()) == {f"user{n}@example.org" for n in range(3)}
    print(f"{len(ids)} deliveries of {len(set(ids))} messages with 1 kill")  # noqa: T201
