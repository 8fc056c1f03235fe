"""An answer without Django."""

from __future__ import annotations

from typing import Any

CONSTANT = b"[" + b",".join([b'"0123456789"'] * 1_600) + b"]"
"""About as long as a page of 50 tasks."""


def application(environ: Any, start_response: Any) -> list[bytes]:
    """The least that a WSGI application can do."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(CONSTANT)))])
    return [CONSTANT]
