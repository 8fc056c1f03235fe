"""Python's search for garbage, where it finds none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unsearched() -> Iterator[None]:
    """Let Python search for no unreachable cycles meanwhile.

    Whoever makes a thousand rows has it search through them again and again, and in the end through all that the
    process holds; yet all of them go when the last reference does. To be used where that is soon.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
