"""A Redis of a test's own, to freeze and to kill."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.example.site import lasting_port, wait_until_it_listens

HOST = "127.0.0.1"


class Redis:
    """A server of the test's own. It keeps nothing beyond its end, unless it is told to `SAVE`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = lasting_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self.log = folder / "redis.log"
        self._folder, self._options = folder, options
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [*command, "--dir", str(self._folder), *self._options], stdout=output, stderr=subprocess.STDOUT
            )
        wait_until_it_listens(self.port, self.process, self.log)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def hang_up(self) -> None:
        """Close the connections of all clients."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            for kind in ("pubsub", "normal"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


@contextmanager
def own_redis(*options: str) -> Iterator[Redis]:
    assert shutil.which("redis-server"), "redis-server is not installed: scripts/ensure_services.sh does that"
    with tempfile.TemporaryDirectory() as folder:
        redis = Redis(Path(folder), *options)
        try:
            yield redis
        finally:
            redis.kill()
