"""Runs one piece of work in a fresh process and tells its time and peak memory.

A peak that earlier work has left in this process would hide the one that is asked for. Time and resident memory are
taken without tracemalloc, which makes everything slower, so work that can be repeated is run once for each.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple


class Probe(NamedTuple):
    """When it began (``time.monotonic``); seconds; bytes above what the process held before the work, as the kernel and
    as Python count them.
    """

    began: float
    seconds: float
    resident: int
    traced: int


def probe(function: str, *, traced: bool, **arguments: Any) -> Probe:
    """Call ``"module:function"`` with ``arguments`` (JSON's types) in a process of its own."""
    task = json.dumps({"function": function, "traced": traced, "arguments": arguments})
    command = [sys.executable, "-m", "benchmarks.probe", task]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=_root()).stdout
    return Probe(**json.loads(output.splitlines()[-1]))


def _root() -> Path:
    return Path(__file__).resolve().parent.parent


def _resident(name: str) -> int:
    """A figure of the kernel's about this process, in bytes: ``VmRSS`` is now, ``VmHWM`` the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def _work(task: dict[str, Any]) -> Probe:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django

    django.setup()
    module, _colon, name = task["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    from django.db import connection

    connection.ensure_connection()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: start-up is not part of it
    before = _resident("VmRSS")
    if task["traced"]:
        tracemalloc.start()
    began, start = time.monotonic(), time.perf_counter()
    function(**task["arguments"])
    seconds = time.perf_counter() - start
    traced = tracemalloc.get_traced_memory()[1] if task["traced"] else 0
    return Probe(began, seconds, _resident("VmHWM") - before, traced)


if __name__ == "__main__":
    print(json.dumps(_work(json.loads(sys.argv[1]))._asdict()))
