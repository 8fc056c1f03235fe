"""Which request a log line belongs to: its id, from the proxy or made here, in every line and in the answer."""

import logging
import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-ID"
SANE = re.compile(r"[A-Za-z0-9_-]{8,40}")

logger = logging.getLogger("config.requests")
_current: ContextVar[str] = ContextVar("request_id", default="")


class RequestId(logging.Filter):
    """Tells each line the id of the request that is being answered; without one it is left away."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let all lines pass."""
        if request_id := _current.get():
            record.request_id = request_id
        return True


def request_id_middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Give each request its id, and log one line of it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        request_id = given if SANE.fullmatch(given) else uuid.uuid4().hex
        token = _current.set(request_id)
        began = time.monotonic()
        try:
            response = get_response(request)
            response[HEADER] = request_id
            logger.info(
                "%s %s",
                request.method,
                request.path,  # without the query, where a search or an address may stand
                extra={"status": response.status_code, "milliseconds": round(1000 * (time.monotonic() - began), 1)},
            )
        finally:
            _current.reset(token)
        return response

    return middleware
