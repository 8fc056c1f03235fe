"""What is asked of the network, without asking it: generators that want a request sent or a pause made.

``resources`` and ``feed`` build on these; ``clients`` drives them, once with ``await`` and once without. So every
decision is made in one place, and a test can play network and clock.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

import httpx

from django_pm.client import retries
from django_pm.client.errors import ConnectionFailed, NotFound, PmError, Throttled, UnexpectedAnswer, class_of, sentence
from django_pm.client.objects import ApiObject
from django_pm.client.retries import Retry

logger = logging.getLogger("django_pm.client")

T = TypeVar("T")
O = TypeVar("O", bound=ApiObject)  # noqa: E741 -- an object

KEY_HEADER = "Idempotency-Key"
ETAG = "ETag"


@dataclass(frozen=True)
class Request:
    """One request: ``path`` is relative to the API. What may be private is not in the repr."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The path as it stands in messages."""
        return f"/{self.path}"


# What a generator may ask for


@dataclass(frozen=True)
class Send:
    """Send this and hand me the answer, or throw me the ``httpx.RequestError``; wait ``seconds`` at most for each part
    of it."""

    request: Request
    seconds: float


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Give(Generic[T]):
    """Hand these to whoever iterates."""

    items: Sequence[T]


Steps: TypeAlias = Generator[Send | Pause, Any, T]
"""Steps that end in a value."""

Stream: TypeAlias = Generator[Send | Pause | Give[T], Any, None]
"""Steps that give values on the way."""


@dataclass(frozen=True)
class Outcome:
    """The last answer. ``in_doubt``: an earlier attempt got none, and may have been acted on."""

    response: httpx.Response
    in_doubt: bool

    @property
    def status(self) -> int:
        return self.response.status_code


# Sending


def exchange(request: Request, retry: Retry) -> Steps[Outcome]:
    """Send until there is an answer that will stand; raise ``ConnectionFailed`` if there is none.

    Repeating is safe for every request of this client. Reading changes nothing. A POST carries its key, the same each
    time. PUT, PATCH and DELETE set what is to be: done twice they lead where doing it once leads, and what a repeat
    answers after the first went through (404, 412) is for the caller to understand by ``in_doubt``.
    """
    began = retry.clock()
    in_doubt = False
    attempt = 0
    while True:
        attempt += 1
        left = retry.deadline - (retry.clock() - began)
        try:
            response: httpx.Response = yield Send(request, max(left, 0.001))
        except httpx.RequestError as error:
            in_doubt = in_doubt or retries.may_have_arrived(error)
            reason = type(error).__name__
            pause = None
            if retries.is_passing(error):
                pause = retry.pause(attempt, retry.deadline - (retry.clock() - began), None)
            if pause is None:
                # What could not be written is quoted by httpx, a header with the token in it perhaps.
                cause = None if isinstance(error, httpx.LocalProtocolError) else error
                told = f"{reason}: {cause}" if cause else reason
                times = "" if attempt == 1 else f" (attempt {attempt})"
                failure = ConnectionFailed(request.method, request.shown, None, told + times)
                failure.perhaps_written = in_doubt and request.method != "GET"
                raise failure from cause
        else:
            # A 409 to a POST means that the first attempt is still at work, or that somebody was quicker.
            busy = response.status_code in retries.PASSING or (response.status_code == 409 and request.method == "POST")
            if not busy:
                return Outcome(response, in_doubt)
            reason = str(response.status_code)
            left = retry.deadline - (retry.clock() - began)
            pause = retry.pause(attempt, left, retries.retry_after(response))
            if pause is None:
                return Outcome(response, in_doubt)
            in_doubt = in_doubt or response.status_code in retries.GATEWAY
        logger.info("%s %s: %s; trying again in %.1f s", request.method, request.shown, reason, pause)
        yield Pause(pause)


# Asking


def get(path: str, params: Iterable[tuple[str, str]] = ()) -> Request:
    return Request("GET", path, tuple(params), headers={"Accept": "application/json"})


def send(method: str, path: str, values: Any = None, headers: Mapping[str, str] | None = None) -> Request:
    """A request that changes something."""
    every = {"Accept": "application/json", **(headers or {})}
    if values is None:
        return Request(method, path, headers=every)
    body = json.dumps(values, default=plain, allow_nan=False).encode()
    return Request(method, path, body=body, headers={"Content-Type": "application/json", **every})


def path_of(*parts: Any) -> str:
    """The path of these segments; keys are quoted. Raises ``ValueError`` for what is no key."""
    texts = [str(part) for part in parts]
    if any(text in {"", ".", "..", "None"} for text in texts):
        raise ValueError(f"No address: {'/'.join(texts)!r}.")
    return "".join(f"{quote(text, safe='')}/" for text in texts)


def key_of(thing: Any) -> Any:
    """The primary key of ``thing``, an object with one or the key itself."""
    return thing.id if isinstance(thing, ApiObject) else thing  # type: ignore[attr-defined]


def query(**params: Any) -> tuple[tuple[str, str], ...]:
    """Query parameters as the API reads them; None stands for a parameter that is not given."""
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        several = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
        pairs += [(name, text(each)) for each in several if each is not None]
    return tuple(pairs)


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(plain(value) if isinstance(value, (dt.datetime, ApiObject)) else value)


def plain(value: Any) -> Any:
    """``value`` as JSON has it. Raises ``ValueError`` for a time of day that could be anywhere."""
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} says no time zone: use an aware datetime.")
        return value.isoformat()
    if isinstance(value, ApiObject):
        return key_of(value)
    raise TypeError(f"{type(value).__name__} cannot be sent.")


# Understanding


def require(request: Request, outcome: Outcome, status: int) -> None:
    """Raise what fits an answer that is not the one hoped for."""
    if outcome.status != status:
        raise error_of(request, outcome)


def error_of(request: Request, outcome: Outcome) -> PmError:
    response, status = outcome.response, outcome.status
    body = _json(response) if status >= 400 else None  # what succeeded otherwise than expected may hold a secret
    if body is None:
        kind = response.headers.get("Content-Type", "no content type").partition(";")[0]
        detail = _redirect(response) or f"{response.reason_phrase} ({kind})"
    else:
        detail = sentence(body)
    error_class = class_of(status)
    if status == 410 and not (isinstance(body, Mapping) and {"head", "epoch", "reason"} <= set(body)):
        error_class = NotFound  # gone, but no event feed that says where to go on
    error = error_class(request.method, request.shown, status, detail, body)
    # What would not be deleted as it was seen is still there.
    is_settled = request.method == "GET" or (request.method == "DELETE" and status == 412)
    error.perhaps_written = not is_settled and (outcome.in_doubt or status in retries.GATEWAY)
    if isinstance(error, Throttled):
        error.retry_after = retries.retry_after(response)
    return error


def content(request: Request, response: httpx.Response) -> Mapping[str, Any]:
    """The JSON object that the answer holds."""
    body = _json(response)
    if not isinstance(body, Mapping):
        raise UnexpectedAnswer(request.method, request.shown, response.status_code, "The answer is no JSON object.")
    return body


def read(kind: type[O], request: Request, data: Any, **told: Any) -> O:
    """The object that ``data`` describes."""
    try:
        return kind.from_json(data, **told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"The answer describes no {kind.__name__.lower()}: {type(error).__name__} {error}"
        raise UnexpectedAnswer(request.method, request.shown, 200, problem) from error


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _redirect(response: httpx.Response) -> str:
    """Where a redirect leads: never followed, for the credentials would go along."""
    if not response.has_redirect_location:
        return ""
    try:
        target = response.request.url.join(response.headers["Location"])
    except httpx.InvalidURL:
        return "A redirect to nowhere."
    return f"A redirect to {target.copy_with(query=None, fragment=None, username=None, password=None)}, not followed."
