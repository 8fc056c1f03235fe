"""The database dies while its disk has not got what it said it had, and comes back: who sends knows what was sent.

And it stands still while who sends dies.

This is a PostgreSQL of the test's own. What writes to its disk by and by is frozen, so that what is not waited for is
lost for certain when it crashes, while the mail server thinks about a message.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from django_pm.mail.journal import UNSURE
from django_pm.models import MailState
from tests.events.workers import until
from tests.example.site import ROOT
from tests.postgres_server import PostgreSQL, programs

pytestmark = pytest.mark.postgres

NUMBER = 30
SETTINGS = ("fsync=on", "synchronous_commit=on", "autovacuum=off", "bgwriter_lru_maxpages=0")


class Cluster(PostgreSQL):
    """A server that may crash."""

    def start(self):
        super().start()
        with psycopg.connect(self.url) as connection:
            writer = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
            (self._writer,) = writer.fetchone()
        os.kill(self._writer, signal.SIGSTOP)

    def crash(self):
        """One of its processes is killed: it throws all others out, and away what it has in memory, and recovers."""
        os.kill(self._writer, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{self._writer}").exists(), "the end of it")
        until(self.answers, "it to be back", 60, pause=0.1)

    def go_on(self):
        """Let those who have been stopped."""
        for pid in self.served_by():
            os.kill(pid, signal.SIGCONT)

    def serves_nobody(self):
        return not self.served_by()

    def served_by(self):
        """Its processes that serve others."""
        others = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        with psycopg.connect(self.url) as connection:
            return [pid for (pid,) in connection.execute(others)]

    def states(self):
        with psycopg.connect(self.url) as connection:
            return Counter(state for (state,) in connection.execute("SELECT state FROM django_pm_mail"))


@pytest.fixture
def cluster():
    place = programs()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), place, SETTINGS)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def send(cluster, sink, pooled, program, *arguments):
    """Have a process do so, and wait for its end."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "PM_TEST_DATABASE_URL": cluster.url,
        "PM_TEST_POOLED": pooled,
        "PM_TEST_SMTP_PORT": str(sink.port),
    }
    command = [sys.executable, "-m", f"tests.mail.{program}", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize(
    ("at", "pooled"),
    [
        pytest.param(UNSURE // 2, "", id="in the middle of a batch"),
        pytest.param(UNSURE, "", id="when the disk is to be waited for"),
        pytest.param(UNSURE // 2, "1", id="in the middle of a batch, pooled"),
        pytest.param(NUMBER, "1", id="with its last message, pooled"),
    ],
)
def test_nothing_is_sent_twice_while_the_sender_lives(cluster, sink, at, pooled):
    seen = []

    def crash():
        if len(sink.messages) == at:
            before = cluster.states()
            cluster.crash()
            seen.extend([before, cluster.states()])

    sink.pace = crash
    ended = send(cluster, sink, pooled, "surviving", str(NUMBER))
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)

    before, after = seen
    assert before[MailState.SENT] == at - 1
    assert after[MailState.SENT] < before[MailState.SENT]  # the database has forgotten some
    assert bool(found["error"]) == (at < NUMBER)  # what is left to do then is left to the next
    assert found["then"] == ({MailState.SENT: NUMBER - at} if at < NUMBER else {})
    assert len(sink.to()) == len(set(sink.to())) == NUMBER
    assert cluster.states() == {MailState.SENT: NUMBER}


def test_what_was_written_to_it_is_noted_though_who_wrote_it_is_killed(cluster, sink):
    """It stands still when a note comes. The answer is not waited for, and nobody is there any more to read it."""
    killed = send(cluster, sink, "", "crashing", "noted to a database that stands still", "3", "4")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(sink.messages) == 2
    assert cluster.states() == {MailState.SENT: 1, MailState.SENDING: 1, MailState.CLAIMED: 2}
    cluster.go_on()
    until(cluster.serves_nobody, "it to notice")
    assert cluster.states() == {MailState.SENT: 2, MailState.SENDING: 1, MailState.CLAIMED: 1}
