"""Processes that answer from the database of the test and from a cache that the test may break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.events.workers import database_url
from tests.example.site import ROOT

SECONDS = 0.2
"""The timeouts that docs/caching.md recommends."""


def caches_at(url: str, **options: Any) -> dict[str, Any]:
    """`CACHES` as docs/caching.md has them, at this address."""
    options = {"SOCKET_CONNECT_TIMEOUT": SECONDS, "SOCKET_TIMEOUT": SECONDS, **options}
    return {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url, "OPTIONS": options}}


def start(module: str, caches: Any, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
    """`python -m module`, on this test's database."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "DJANGO_SETTINGS_MODULE": "tests.cache.processes.site_settings",
        "PM_TEST_DATABASE_URL": database_url(),
        "PM_TEST_CACHES": json.dumps(caches),
    }
    return subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment, text=True, **streams)
