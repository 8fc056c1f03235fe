"""The containers of docker-compose.yml, made from this checkout and started for these tests."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import urllib.request
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.example.site import ROOT, Browser, lasting_port
from tests.stack.running import PASSWORD, until

STARTED = 300
"""Seconds in which containers that are there already have to be healthy, on a slow machine too."""

USER = "ada"
TOKEN = "what-Prometheus-shows"


class Composed:
    """What `docker compose up` starts, under a name and on ports of its own."""

    def __init__(self) -> None:
        self.port, mail = lasting_port(), lasting_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.browser = Browser(self.url)
        self._mail = f"http://127.0.0.1:{mail}/api/v1/messages"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
        self.environment = kept | {
            "COMPOSE_PROJECT_NAME": f"pm-{secrets.token_hex(4)}",
            "COMPOSE_PROFILES": "mailpit",
            "TAG": "first",
            "GATEWAY_PORT": str(self.port),
            "MAILPIT_PORT": str(mail),
            **{
                name: secrets.token_urlsafe(40)
                for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "REDIS_PASSWORD")
            },
            # As docs/deployment.md has it for trying it on a machine of one's own.
            "HTTPS": "0",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "SITE_URL": self.url,
            "EMAIL_HOST": "mailpit",
            "EMAIL_PORT": "1025",
            "DEFAULT_FROM_EMAIL": "Projects <projects@example.com>",
            "BEAT_SECONDS": "1",
            "METRICS_TOKEN": TOKEN,
            "THROTTLE_USER": "100000/s",
        }

    def run(self, *command: str, **variables: str) -> str:
        """What a command prints that has to succeed."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
        return done.stdout

    def compose(self, *arguments: str) -> str:
        return self.run("docker", "compose", *arguments)

    def manage(self, *arguments: str) -> str:
        return self.compose(
            "exec", "-T", "-e", f"DJANGO_SUPERUSER_PASSWORD={PASSWORD}", "api", "python", "manage.py", *arguments
        )

    def containers(self) -> list[dict[str, Any]]:
        """Those that run."""
        return [json.loads(line) for line in self.compose("ps", "--format", "json").splitlines()]

    def is_whole(self) -> bool:
        """Whether all run, and none has not yet said that it is healthy, or cannot."""
        asked = [each for each in self.containers() if each["Service"] not in ("beat", "mailpit")]
        return len(asked) >= 11 and all(each["Health"] == "healthy" for each in asked)

    def is_ready(self) -> bool:
        """Whether the gateway has somebody behind it who can work."""
        try:
            return self.browser.ask("/readyz").status == 200
        except OSError:
            return False

    def subjects(self) -> list[str]:
        """Of the mail that has come to mailpit."""
        with urllib.request.urlopen(self._mail, timeout=10) as answer:  # noqa: S310 (its own address)
            return [message["Subject"] for message in json.load(answer)["messages"]]


@cache
def missing() -> str:
    """Why there is nothing to test on."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return f"`{' '.join(command)}` fails: these tests need a Docker engine with its plugin Compose"
    return ""


@pytest.fixture(scope="package")
def composed() -> Iterator[Composed]:
    if missing():
        pytest.fail(missing())
    composed = Composed()
    try:
        composed.compose("up", "--build", "--detach")
        until(composed.is_whole, "all are healthy", STARTED, pause=1)
        composed.manage("createsuperuser", "--noinput", "--username", USER, "--email", "ada@example.com")
        yield composed
    finally:
        composed.compose("down", "--volumes", "--timeout", "1")
