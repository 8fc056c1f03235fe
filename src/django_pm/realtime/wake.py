"""Tells the hubs that something was committed: in this process directly, in others through the channel layer.

Only ever a hint. The writer hands it to a thread and goes on at once, whatever state the layer's server is in; what
cannot be sent in a moment is dropped, and the hubs find the events by looking.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterable
from typing import Any

from django_pm.realtime import layer
from django_pm.realtime.hub import wake_all
from django_pm.services.findings import Check, also
from django_pm.signals import events_committed

logger = logging.getLogger(__name__)

SEND_SECONDS = 1.0
REST_SECONDS = 5.0
"""How long the layer is left alone after it failed."""


class Publisher:
    """A thread that sends hints through the channel layer; made anew in a process that was forked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: set[Any] = set()
        self._woken = threading.Event()
        self._process = 0

    def publish(self, project_ids: Iterable[Any]) -> None:
        """Have the hubs of other processes look; returns at once."""
        with self._lock:
            self._pending.update(project_ids)
            if self._process != os.getpid():
                self._process = os.getpid()
                threading.Thread(target=self._run, name="django-pm-wake", daemon=True).start()
        self._woken.set()

    def _run(self) -> None:
        # Waits outside the loop, and not in a thread of an executor: those are waited for when the process ends.
        with asyncio.Runner() as runner:
            while self._woken.wait():
                self._woken.clear()
                with self._lock:
                    keys, self._pending = self._pending, set()
                try:
                    runner.run(self._send(keys))
                except Exception:
                    logger.warning("The channel layer passes on no wake-ups; events arrive by polling.", exc_info=True)
                    time.sleep(REST_SECONDS)

    async def _send(self, keys: set[Any]) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await layer.send(keys)


_publisher = Publisher()


def wake(sender: Any, project_ids: set[Any], **kwargs: Any) -> None:
    """Receives ``events_committed``."""
    wake_all(project_ids)
    if layer.reaches_others():
        _publisher.publish(project_ids)


def connect() -> None:
    """Called once, when the app is ready."""
    events_committed.connect(wake, dispatch_uid="django_pm.realtime.wake")
    also(Check(layer.NAME, layer.look))
