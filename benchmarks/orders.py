"""A helper process that takes orders from its input and answers each, JSON line by line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.http import root


class Helper:
    """The process, seen from the one that orders."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def order(self, **order: Any) -> dict[str, Any]:
        self.tell(**order)
        return self.answer()

    def tell(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The helper process is gone.")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def helper(module: str, *arguments: str) -> Iterator[Helper]:
    """``python -m module``, ended when its input ends."""
    command = [sys.executable, "-m", module, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=root(), **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Helper(process)
        finally:
            process.stdin.close()
            process.wait(timeout=30)
