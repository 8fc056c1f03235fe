"""What the tests of this folder share: sending raw JSON, walking pages, comparing rows before and after."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection
from rest_framework.test import APIClient

from django_pm.models import ApiToken, Comment, Membership, Project, Task

DUE = "2030-05-01T12:00:00Z"
MOST_PAGES = 60


def send(
    client: Any, method: str, path: str, body: Any = b"", content_type: str = "application/json", **headers: str
) -> Any:
    """Send `body` as it is if it is bytes, else as JSON in pure ASCII: so NULs and lone surrogates travel escaped.

    `headers` are spelt as the test client has them: `HTTP_IF_MATCH`.
    """
    raw = body if isinstance(body, bytes) else json.dumps(body).encode("ascii")
    return client.generic(method, path, raw, content_type=content_type, **headers)


def as_token(token: ApiToken | str) -> APIClient:
    """A client that signs in with a token, made by `make_token`, or with the bare secret."""
    secret = token if isinstance(token, str) else token.secret
    return APIClient(raise_request_exception=False, HTTP_AUTHORIZATION=f"Bearer {secret}")


def at_once(*requests: Callable[[], Any]) -> list[Any]:
    """Run the callables in a thread each, started together, and return what they return, in their order."""
    barrier = threading.Barrier(len(requests))

    def run(request: Callable[[], Any]) -> Any:
        try:
            barrier.wait(timeout=30)
            return request()
        finally:
            connection.close()  # each thread has one of its own, and the test database could not be dropped

    with ThreadPoolExecutor(len(requests)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, request) for request in requests]]


def shown(obj: Any) -> Any:
    """The primary key of `obj` as JSON shows it."""
    return obj.pk if isinstance(obj.pk, int) else str(obj.pk)


def new_task(project: Any, **fields: Any) -> dict[str, Any]:
    """The least body that makes a task."""
    return {"project": project.pk, "title": "Dig", "due_date": DUE, **fields}


def as_floats(value: Any) -> Any:
    """`value` with every number a double, all that JSON promises: PostgreSQL gives 1e30 back as an integer."""
    if isinstance(value, dict):
        return {name: as_floats(part) for name, part in value.items()}
    if isinstance(value, list):
        return [as_floats(part) for part in value]
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    except OverflowError:  # an integer that is no double: then it must be the same integer
        return value


def assert_refused(response: Any, *fields: str, status: int = 400) -> None:
    """The answer is a refusal that names exactly these fields, each with a list of sentences."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    body = response.json()
    assert set(body) == set(fields), body
    for messages in body.values():
        assert isinstance(messages, list)
        assert all(isinstance(message, str) and message for message in messages)


def ids(response: Any) -> list[Any]:
    """The ids of one page, in its order."""
    assert response.status_code == 200, (response.status_code, response.content[:500])
    return [row["id"] for row in response.json()["results"]]


def walk(client: Any, url: str, way: str = "next") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each page from `url` on, as (url, body), following `way` (`next` or `previous`) until it is null."""
    following: str | None = url
    for _ in range(MOST_PAGES):
        if not following:
            return
        response = client.get(following)
        assert response.status_code == 200, (response.status_code, response.content[:500])
        body = response.json()
        yield following, body
        following = body[way]
    raise AssertionError(f"{MOST_PAGES} pages from {url}, and no end")


def pages(client: Any, url: str, way: str = "next") -> Iterator[list[Any]]:
    """The ids of each page of that walk."""
    for _url, body in walk(client, url, way):
        yield [row["id"] for row in body["results"]]


def everything_stored() -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables: a refused request must leave this as it was."""
    return {
        model.__name__: list(model.objects.order_by("pk").values()) for model in (Project, Task, Comment, Membership)
    }
