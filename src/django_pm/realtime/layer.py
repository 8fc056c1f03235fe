"""The channel layer, as far as it is used: hints from process to process that something was committed.

Channels is imported where it is needed: a process that only serves HTTP, on a site without a layer, does without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from django.conf import settings

from django_pm.services.findings import Finding, amiss, fine, told

logger = logging.getLogger(__name__)

GROUP = "django_pm.events"
MOST_NAMED = 500
"""More projects than this are not named one by one: whoever polls finds them."""

REST_SECONDS = 5.0
LEAVE_SECONDS = 1.0
LOOK_SECONDS = 1.0
NAME = "channel layer"
RENEWED_EVERY_SECONDS = 3600
"""Membership of a group expires (after a day, by default); it is renewed long before."""


def reaches_others() -> bool:
    """Whether there is a layer that other processes hear."""
    if not getattr(settings, "CHANNEL_LAYERS", None):
        return False
    try:
        from channels.layers import InMemoryChannelLayer

        layer = _layer()
    except Exception:  # whatever a site's settings lead to: nobody needs it so much as to fail without it
        logger.warning("CHANNEL_LAYERS is no use; events arrive by polling.", exc_info=True)
        return False
    return not isinstance(layer, (InMemoryChannelLayer, type(None)))


async def send(project_ids: Iterable[Any]) -> None:
    """One message to the hubs of all processes."""
    keys = list(project_ids)
    if len(keys) <= MOST_NAMED:
        await _layer().group_send(GROUP, {"type": "django_pm.wake", "projects": keys})


def look() -> Finding:
    """Whether the layer passes a message on; for ``manage.py pm_doctor`` and ``/readyz``."""
    if not reaches_others():
        return fine(NAME, "none that other processes hear: events arrive by polling")
    try:
        asyncio.run(_knock())
    except Exception as error:  # whatever the client of a layer's server raises
        return amiss(
            NAME, told(error), "Start its server, or correct CHANNEL_LAYERS. Events arrive by polling meanwhile."
        )
    return fine(NAME, "passes messages on")


async def _knock() -> None:
    """A message to a group in which nobody is."""
    async with asyncio.timeout(LOOK_SECONDS):
        await _layer().group_send(f"{GROUP}.nobody", {"type": "django_pm.nothing"})


async def listen(hear: Callable[[Iterable[Any]], None]) -> None:
    """Call ``hear`` with the projects of every message, for ever; a layer that fails is tried again."""
    while True:
        try:
            await _listen_for_a_while(hear)
        except Exception:
            logger.warning("The channel layer is away; events arrive by polling.", exc_info=True)
            await asyncio.sleep(REST_SECONDS)


async def _listen_for_a_while(hear: Callable[[Iterable[Any]], None]) -> None:
    layer = _layer()
    channel = await layer.new_channel()
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(RENEWED_EVERY_SECONDS):
                await layer.group_add(GROUP, channel)
                while True:
                    hear((await layer.receive(channel))["projects"])
    finally:
        # Every message is kept for every member of the group, also for one that nobody listens to any more.
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await layer.group_discard(GROUP, channel)


def _layer() -> Any:
    from channels.layers import get_channel_layer

    return get_channel_layer()
