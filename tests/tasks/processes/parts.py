"""Processes that a test may kill: Celery's workers and beat, which do what is due, and RabbitMQ between them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from kombu import Connection

from django_pm.services.jobs import QUEUES
from tests.events.workers import database_url
from tests.example.site import ROOT, lasting_port, wait_until_it_listens

HOST = "127.0.0.1"
START_SECONDS = 90
"""In which what is started does its first work. A node takes five, workers and beats three, and several times that
where others keep the processors busy."""

# Debian's own `rabbitmq-server` becomes the user rabbitmq where it can, and refuses where it cannot.
RABBITMQ_PLACES = f"/usr/lib/rabbitmq/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"


class Part:
    """A worker or a beat: a group of processes that may be killed and started again."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._command, self._environment, self._log = command, environment, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("a") as output:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def pid(self) -> int:
        assert self.process is not None, "it has not been started"
        return self.process.pid

    @property
    def children(self) -> list[int]:
        """Its processes that do the work."""
        try:
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except FileNotFoundError:  # it has ended
            return []

    @property
    def said(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        """All of it, in the middle of whatever it does."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def supervise(self) -> None:
        """Start it again if it has ended: a worker does whose only child dies while both start."""
        if self.process is None or self.process.poll() is not None:
            self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        print(self.said[-4000:])  # noqa: T201 (shown if the test fails)


class Celery:
    """The test host's Celery app at this broker, with queues of its own. A message is claimed for `claim` seconds."""

    def __init__(self, broker: str, smtp_port: int, folder: Path, *, claim: float = 2) -> None:
        self.broker, self.folder = broker, folder
        self.prefix = f"test{uuid.uuid4().hex}."
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PM_TEST_DATABASE_URL": database_url(),
            "PM_TEST_RABBITMQ_URL": broker,
            "PM_TEST_QUEUES": self.prefix,
            "PM_TEST_SMTP_PORT": str(smtp_port),
            "PM_TEST_BEAT": "0.5",
            "PM_TEST_CLAIM": str(claim),
        }

    def _part(self, *arguments: str) -> Part:
        command = [sys.executable, "-m", "celery", "-A", "tests.testsite.celery", *arguments, "-l", "info"]
        return Part(command, self.environment, Path(self.folder, f"{uuid.uuid4().hex}.log"))

    def worker(self, *queues: str) -> Part:
        """One that does one thing at a time, in a child of its own."""
        names = ",".join(self.prefix + queue for queue in queues)
        options = ["--pool", "prefork", "--concurrency", "1", "--without-gossip", "--without-mingle"]
        return self._part("worker", "-Q", names, "-n", f"{uuid.uuid4().hex}@here", *options)

    def beat(self) -> Part:
        return self._part("beat", "--schedule", str(Path(self.folder, uuid.uuid4().hex)))

    def tick(self, job: str) -> None:
        """One tick of the schedule, for this job alone."""
        command = [sys.executable, "-m", "celery", "-A", "tests.testsite.celery", "call", f"django_pm.tasks.{job}"]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def forget(self) -> None:
        """Delete its queues."""
        with Connection(self.broker) as connection:
            channel = connection.channel()
            for queue in (*QUEUES, "celery"):
                channel.queue_delete(self.prefix + queue)


class RabbitMQ:
    """A node of the test's own, and the name server that it asks where nodes are, apart from any other."""

    def __init__(self, folder: Path, server: str) -> None:
        self.port = lasting_port()
        self.url = f"amqp://guest:guest@{HOST}:{self.port}//"
        self.log = folder / "rabbitmq.log"
        self._folder, self._server = folder, server
        names = lasting_port()
        for name, content in {"env.conf": "", "rabbitmq.conf": "", "plugins": "[].\n"}.items():
            (folder / name).write_text(content)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))},
            "HOME": str(folder),  # where its cookie is
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(names),
            "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(lasting_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_NODENAME": "test@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RUNNING_UNDER_SYSTEMD": "true",  # the node is the process itself, not the child of a shell
        }
        self._control = str(Path(server).with_name("rabbitmqctl"))
        self._names = self._run("epmd", "-port", str(names), "-address", HOST)
        self.process: subprocess.Popen[bytes] | None = None

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with self.log.open("a") as output:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start(self) -> None:
        self.process = self._run(self._server)
        wait_until_it_listens(self.port, self.process, self.log, START_SECONDS)

    def control(self, *arguments: str) -> None:
        """Have `rabbitmqctl` do something at this node."""
        assert self._run(self._control, *arguments).wait(START_SECONDS) == 0, self.log.read_text()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def lose_everything(self) -> None:
        """Forget every queue and message, while it is killed."""
        shutil.rmtree(self._folder / "data")

    def end(self) -> None:
        self.kill()
        self._names.kill()
        self._names.wait()

    def _signal(self, number: int) -> None:
        assert self.process is not None, "it has not been started"
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@contextmanager
def own_rabbitmq() -> Iterator[RabbitMQ]:
    server = shutil.which("rabbitmq-server", path=RABBITMQ_PLACES)
    assert server, "rabbitmq-server is not installed: scripts/ensure_services.sh does that"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        node = RabbitMQ(Path(folder), server)
        try:
            node.start()
            yield node
        finally:
            node.end()
