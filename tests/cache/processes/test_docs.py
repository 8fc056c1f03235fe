"""What docs/evidence/redis.txt shows of a Redis is what a Redis is told."""

import re
import threading

import pytest
import redis as client_of_redis
from django.core.checks import run_checks

from tests import factories
from tests.cache.processes.test_stampede import Crowd
from tests.cache.test_docs import sample
from tests.example.site import ROOT

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.django_db(transaction=True)]

EXCERPT = (ROOT / "docs" / "evidence" / "redis.txt").read_text()
DIGEST = re.compile(r"answer:[0-9a-f]+…?")


class Monitor:
    """What is told to a Redis meanwhile, as its command MONITOR has it."""

    def __init__(self, url):
        self.lines = []
        # However long nothing is told: on a busy machine the processes take their time to start.
        self._client = client_of_redis.Redis.from_url(url, socket_timeout=None)
        self._monitor = self._client.monitor()
        self._monitor.__enter__()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        for said in self._monitor.listen():
            if said["command"] == "PING end":
                return
            if "django_pm" in said["command"]:
                self.lines.append(said["command"])

    def end(self):
        self._client.execute_command("PING", "end")
        self._thread.join(10)
        self._monitor.connection.disconnect()
        self._client.close()
        return self.lines


def shape(line):
    """A command without its digest, the pickled list, and the prefix of the example site's keys."""
    line = DIGEST.sub("answer:#", line).replace(" example:", " :")
    return re.sub(r"^(SET \S+#) .*( PX \d+)$", r"\1 …\2", line)


def test_the_excerpt(own_redis):
    user = factories.make_user()
    task = factories.make_task(factories.make_project(user), title="Dig")
    monitor = Monitor(own_redis.url)
    for title in ("", "", "Dig deeper"):
        if title:
            task.title = title
            task.save()
        crowd = Crowd(own_redis.url, user, "/tasks/", 1, seconds=0)
        crowd.wait("ready")
        crowd.go()
        crowd.result()
    lines = monitor.end()
    print("\n" + "\n".join(lines))  # noqa: T201
    shown = [line for line in EXCERPT.splitlines() if line and not line.startswith("#")]
    assert [shape(line) for line in shown] == [shape(line) for line in lines]
    first, second = lines[0], lines[-1]
    assert DIGEST.search(first)[0] != DIGEST.search(second)[0]


def test_the_settings_are_what_the_check_wants(settings):
    settings.CACHES = sample("CACHES = {")["CACHES"]
    assert [problem for problem in run_checks(include_deployment_checks=True) if problem.id == "django_pm.W005"] == []
