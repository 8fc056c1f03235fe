"""Which request a log line belongs to: its id, from the proxy or made here, in every line and in the answer.

django-pm writes it into the events that the request makes, and gives it back to whoever handles one of them later: a
worker's lines then have it too.
"""

import logging
import time
import uuid
from collections.abc import Callable
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse
from django_pm import context

HEADER = "X-Request-ID"

logger = logging.getLogger("config.requests")


class RequestId(logging.Filter):
    """Tells each line the id of the request that it belongs to; without one it is left away."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let all lines pass."""
        if request_id := context.request_id():
            record.request_id = request_id
        return True


def request_id_middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Give each request its id, and log one line of it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        request_id = given if context.REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        began = time.monotonic()
        with context.in_request(request_id):
            response = get_response(request)
            response[HEADER] = request_id
            logger.info(
                "%s %s",
                request.method,
                quote(request.path),  # no line may begin in it; and without the query, where a search may stand
                extra={"status": response.status_code, "milliseconds": round(1000 * (time.monotonic() - began), 1)},
            )
        return response

    return middleware
