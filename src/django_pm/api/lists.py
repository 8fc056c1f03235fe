"""How a list is answered: from what is kept if it may be kept, from the rows else.

Both ways, and for whoever asks, the bytes are the same. What a list shows depends on its question (path, parameters,
the classes that answer) and on the state of the projects it can show; ``cache/answers.py`` holds the two against each
other. What depends on anything else is not kept:

- a list that is asked for with a parameter which is relative to now, or which is not known here;
- a list of whom it is not worth while for (``cache/worth.py``);
- a list of a host's subclass, unless it says of itself ``is_cached = True``: it may show what no event tells of;
- a list of ours that ``as_view`` was given options for, such as a serializer: the same;
- anything that is read inside a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import status
from rest_framework.mixins import ListModelMixin
from rest_framework.response import Response

import django_pm
from django_pm.access import sight_of
from django_pm.api import rows as columns
from django_pm.api.conditional import is_unchanged
from django_pm.api.pagination import KeysetPagination
from django_pm.api.renderers import MEDIA_TYPE, FastJSONRenderer, is_plain
from django_pm.cache.answers import Answers, Outcome
from django_pm.cache.local import LocalStore
from django_pm.cache.shared import SharedStore
from django_pm.cache.worth import Worth
from django_pm.conf import app_settings
from django_pm.events import feed
from django_pm.events.snapshots import snapshot
from django_pm.measures import ANSWERS
from django_pm.models import Project

REPRESENTATION = 1
"""Goes up when the same rows come to be represented otherwise: servers of two versions share a cache for a while."""

MOST_PROJECTS = 1_000
"""A list that can show more projects is not kept: to read their versions takes as long as to read the list."""

ANSWERING = {
    "list",
    "dispatch",
    "finalize_response",
    "paginator",
    "paginate_queryset",
    "get_paginated_response",
    "get_serializer",
}
"""Methods of a view through which a list passes on its way in the REST framework, and not here."""

OPTIONS = {
    "queryset",
    "serializer_class",
    "filterset_class",
    "filter_backends",
    "ordering_fields",
    "default_ordering",
    "relative_parameters",
    "cache_version",
}
"""What ``as_view(…)`` may have given to one URL: such a view is as good as a subclass."""

PAGING = {"cursor", "page_size", "count", "ordering"}

answers = Answers(LocalStore(), SharedStore())
"""What this process keeps, and what it has in common with the others."""

worth = Worth()
HITS = {Outcome.LOCAL, Outcome.SHARED, Outcome.UNCHANGED}


def answer(view: Any) -> HttpResponseBase:
    """The list that ``view`` is asked for, for ``view.request``."""
    reading = ListReading(view)
    if not reading.is_plain:
        response: Response = ListModelMixin.list(view, view.request)
        return response
    if not reading.may_be_kept:
        ANSWERS.note(1, Outcome.BYPASS.value)
        return _response(reading.make(), "", Outcome.BYPASS)
    request = view.request
    wants_any = request.headers.get("If-None-Match", "").strip() == "*"
    found = answers.find(reading.question(), reading, lambda tag: not wants_any and is_unchanged(request, f'"{tag}"'))
    reading.note(found.outcome)
    if found.outcome is Outcome.UNCHANGED or (wants_any and found.tag):
        headers = {"ETag": f'"{found.tag}"', **_told(found.outcome)}
        return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return _response(found.body, found.tag, found.outcome)


def _response(body: bytes, tag: str, outcome: Outcome) -> HttpResponse:
    headers = {"ETag": f'"{tag}"'} if tag else {}
    return HttpResponse(body, content_type=MEDIA_TYPE, headers={**headers, **_told(outcome)})


def _told(outcome: Outcome) -> dict[str, str]:
    return {"X-Cache": outcome.value} if settings.DEBUG else {}


class ListReading:
    """One reading of one list; see ``cache.answers.Reading``."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self._request = view.request
        self._project_key: Any = None
        self._is_too_much = False
        self._is_filed = False
        """Whether what is read now is going to be filed under the versions of its projects."""

    @property
    def is_plain(self) -> bool:
        """Whether pages and bytes are made as we make them, by nothing that a host has put in their place."""
        request, view = self._request, self._view
        if not is_plain(request.accepted_media_type) or not _answers_as_we_do(type(view)):
            return False
        return type(request.accepted_renderer) is FastJSONRenderer and type(view.paginator) is KeysetPagination

    @property
    def may_be_kept(self) -> bool:
        """Whether the answer depends on the question and the projects alone. What it must know for that it asks now."""
        view = self._view
        if not (app_settings.RESPONSE_CACHE and vars(type(view)).get("is_cached")):
            return False
        if not OPTIONS.isdisjoint(vars(view)):
            return False
        connection = connections[feed.database()]
        if connection.in_atomic_block or not connection.get_autocommit():
            return False
        if not self._request.query_params.keys() <= _known_parameters(view):
            return False
        self._project_key = view.only_project()
        if not worth.is_worth(self._reader):
            return False
        view.sight = sight_of(self._request.user)
        return True

    @property
    def _reader(self) -> tuple[Any, Any]:
        return self._request.user.pk, self._project_key

    def note(self, outcome: Outcome) -> None:
        """Remember whether it was worth while."""
        if not self._is_too_much:
            worth.note(self._reader, hit=outcome in HITS)

    def question(self) -> str:
        """All that decides about the answer but the state of the projects."""
        view, request = self._view, self._request
        serializer = view.get_serializer_class()
        asked = sorted((name, values) for name, values in request.query_params.lists())
        classes = [f"{cls.__module__}.{cls.__qualname__}" for cls in (type(view), serializer)]
        versions = [django_pm.__version__, REPRESENTATION, view.cache_version]
        # A query that means the same may come back in links as another one: in raw UTF-8 instead of escaped, say.
        return json.dumps([versions, classes, asked, view.paginator.link_to(request, "")])

    def vector(self) -> Any:
        sight, one = self._view.sight, self._project_key
        projects = sight.seen() if one is None else sight.narrow(Project.objects.filter(pk=one))
        try:
            found = feed.vector(projects, at_most=MOST_PROJECTS)
            # Those that had no stream have one by now: all who ask for them at once need not make a list each.
            return feed.vector(projects, at_most=MOST_PROJECTS) if found is None else found
        except feed.TooMany:
            self._is_too_much = True
            worth.note_too_much(self._reader)
            return None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with snapshot(feed.database()):
            self._view.look_again()
            self._project_key = self._view.only_project()  # a task may have moved since, and its comments with it
            self._is_filed = True
            try:
                yield
            finally:
                self._is_filed = False

    def make(self) -> bytes:
        view = self._view
        body = view.paginator.envelope(self.data())
        rendered: bytes = self._request.accepted_renderer.render(body, None, view.get_renderer_context())
        return rendered

    def data(self) -> Any:
        """The representations of one page; ``view.paginator`` knows its neighbours then."""
        view = self._view
        rows = view.filter_queryset(self._rows())
        found = columns.columns_of(view.get_serializer([], many=True), rows)
        if found is None:
            return view.get_serializer(view.paginate_queryset(rows), many=True).data
        view.paginator.columns = found.sources
        return columns.represent(found, view.paginate_queryset(rows), rows.db)

    def _rows(self) -> QuerySet[Any]:
        view = self._view
        rows: QuerySet[Any] = view.get_queryset()
        if not self._is_filed:
            return rows
        if self._project_key is not None:
            rows = rows.filter(**{rows.model.project_lookup: self._project_key})
        return rows.using(feed.database())  # where the versions are read: a replica may be behind


_ours: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def _answers_as_we_do(cls: type) -> bool:
    """Whether no class of a host's has a hand in the page or in the answer, which it may want to add to."""
    if cls not in _ours:
        known = ("django_pm.api.", "rest_framework.", "django.")
        hosts = [base for base in cls.__mro__ if not base.__module__.startswith(known)]
        _ours[cls] = all(vars(base).keys().isdisjoint(ANSWERING) for base in hosts)
    return _ours[cls]


def _known_parameters(view: Any) -> set[str]:
    """The parameters that decide about a list, and only by the state of its projects."""
    is_filtered = any(issubclass(backend, DjangoFilterBackend) for backend in view.filter_backends)
    filters = getattr(view, "filterset_class", None) if is_filtered else None
    return PAGING | (filters.base_filters.keys() if filters else set()) - view.relative_parameters
