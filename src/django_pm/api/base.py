"""What every view of this API does the same way: who is asked, what is locked, how a refusal is told.

A request is walked in one direction: parse, find what the user may see (404), ask what the user may do to it (403),
validate (400), ask about what the values would make of it (403), write in one transaction under the row's lock, and
answer with the object as a reader would get it now.
"""

from __future__ import annotations

import logging
import sqlite3
from types import SimpleNamespace
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, InterfaceError, OperationalError, connections, router, transaction
from django.db.models import QuerySet
from django.db.models.signals import post_save, pre_save
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, PermissionDenied, ValidationError
from rest_framework.metadata import BaseMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from django_pm import access, context
from django_pm.api import idempotency, lists
from django_pm.api.authentication import SCHEME, ApiTokenAuthentication, bearer_of
from django_pm.api.conditional import entity_tag, is_conditional, is_unchanged, require_seen
from django_pm.api.fields import parse_key
from django_pm.api.filters import DeclaredFilters
from django_pm.api.openapi import ApiSchema
from django_pm.api.pagination import KeysetPagination
from django_pm.api.parsers import StrictJSONParser
from django_pm.api.renderers import FastJSONRenderer
from django_pm.api.throttling import RequestThrottle
from django_pm.conf import app_settings
from django_pm.exceptions import AlreadyMember, Conflict, NotAllowed
from django_pm.models import recorder
from django_pm.models.base import ProjectObject
from django_pm.services.transactions import without_transaction

logger = logging.getLogger(__name__)

ORIGIN = "api"

AWAY = frozenset({"57P01", "57P02", "57P03", "53300"})
"""What PostgreSQL says when it is stopped, has crashed, is starting, or takes nobody more."""


class DatabaseAway(APIException):
    """Whether a write took effect is not known: its commit may have been what got no answer."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "database_away"
    default_detail = _lazy("The database does not answer. Try again later.")
    wait = 2
    """Seconds, for ``Retry-After``."""


class ConflictError(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class PlainMetadata(BaseMetadata):
    """OPTIONS names the view and nothing else: choices and related objects could tell what the reader may not see."""

    def determine_metadata(self, request: Request, view: Any) -> dict[str, Any]:
        return {"name": view.get_view_name(), "parses": ["application/json"], "renders": ["application/json"]}


class JSONNegotiation(DefaultContentNegotiation):
    """By the Accept header alone: DRF's ``?format=`` would make a parameter that is none of ours a 404."""

    settings: Any = SimpleNamespace(URL_FORMAT_OVERRIDE=None)

    def get_accept_list(self, request: Request) -> list[str]:
        accepted: list[str] = super().get_accept_list(request)
        return [media_type for media_type in accepted if media_type] or ["*/*"]


class BaseAPIView(APIView):
    """What every view of this API has: JSON only, signed-in users only, and writes that say who made them.

    People sign in as the host has it, scripts with a token of ours as well; the host's throttles count beside ours.
    """

    renderer_classes = [FastJSONRenderer]
    parser_classes = [StrictJSONParser]
    permission_classes = [IsAuthenticated]
    metadata_class = PlainMetadata
    content_negotiation_class = JSONNegotiation
    versioning_class = None  # a host's own would look for its versions in our paths and parameters
    schema = ApiSchema()

    is_for_readers = False
    """Whether a token that may only read may use every method: none of them changes what anybody can read."""

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        """Under a host's ``ATOMIC_REQUESTS`` too, a view opens its own transactions: a reader must be able to number a
        stream, and an answer must not be sent before its write has been committed."""
        return without_transaction(super().as_view(*args, **kwargs))

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        # The user is known only once DRF has authenticated the request, so the recorder asks when it writes.
        with context.acting(lambda: self.request.user, origin=ORIGIN):
            return super().dispatch(request, *args, **kwargs)

    def get_authenticators(self) -> list[Any]:
        ours = [ApiTokenAuthentication()] if app_settings.API_TOKENS else []
        return [*ours, *super().get_authenticators()]

    def get_authenticate_header(self, request: Any) -> str | None:
        if bearer_of(request) is not None:
            return f'{SCHEME} realm="api", error="invalid_token"'
        hosts = super().get_authenticators()  # what people are asked for, and whether that is a 401, is the host's
        return hosts[0].authenticate_header(request) if hosts else None

    def get_throttles(self) -> list[Any]:
        return [RequestThrottle(), *super().get_throttles()]

    def perform_authentication(self, request: Request) -> None:
        """Count whoever asks, signed in or not, before anybody is refused: guesses of credentials are limited too."""
        try:
            super().perform_authentication(request)
        finally:
            super().check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """Nothing more: DRF would count here, when those who are not signed in have been refused already."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        reads = request.method in SAFE_METHODS or self.is_for_readers
        if not reads and access.grant_of(request.user).read_only:
            raise NotAllowed(_("This token may only read."))

    def get_visible(self, rows: QuerySet[Any], key: str) -> Any:
        """The row with this key if the user may see it; raises the one 404 that tells nothing more."""
        return get_or_404(access.visible(self.request.user, rows), key)

    def handle_exception(self, exc: Exception) -> Response:
        """As DRF, but without giving up a transaction, which it does under ``ATOMIC_REQUESTS``.

        Around our views there is none of the request. What there may be is that of a host's ``TestCase``: it goes on.
        """
        going_on = [each for each in connections.all(True) if each.in_atomic_block and not each.needs_rollback]
        response = super().handle_exception(_as_api_error(exc))
        for connection in going_on:
            connection.set_rollback(False)
        return response


class ObjectViewSet(BaseAPIView, GenericViewSet):
    """The five verbs over one model. Subclasses say which rows, who may do what, and what a new one would be."""

    pagination_class = KeysetPagination
    filter_backends: list[Any] = []

    derived_fields: dict[str, Any] = {}
    """What is represented of other rows, such as counts, each with its value for a new object."""

    ordering_fields: dict[str, str] = {}
    default_ordering = ""

    is_cached = False
    """Whether lists may be kept (``cache/``). Not inherited: a subclass may show what no event tells of."""

    cache_version = 1
    """To be raised by a host whose subclass represents the same rows otherwise than before."""

    relative_parameters: frozenset[str] = frozenset()
    """Query parameters whose meaning changes as time goes by."""

    sight: access.Sight | None = None
    """What the user sees, while several statements have to agree about it."""

    # What a subclass says

    def rows(self) -> QuerySet[Any]:
        """The rows of this view as they are represented, not yet narrowed to what the user may see."""
        return self.queryset.all()

    def narrowed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of ``rows`` that the user may see."""
        raise NotImplementedError

    def require(self, verb: access.Verb, obj: Any) -> None:
        """Raise ``NotAllowed`` unless the user may do ``verb`` to ``obj``, a row or a candidate."""
        raise NotImplementedError

    def candidate(self, values: dict[str, Any]) -> Any:
        """An unsaved instance of what ``values`` would make, for ``require`` to judge."""
        raise NotImplementedError

    def authorise_creation(self) -> None:
        """Ask the policy before the body is looked at, where the URL says enough."""

    def authorise_change(self, instance: Any, values: dict[str, Any]) -> None:
        """Ask the policy about what ``values`` would make of ``instance``, where that matters."""

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save()

    def perform_update(self, serializer: BaseSerializer) -> None:
        serializer.save()

    def perform_destroy(self, instance: Any) -> None:
        instance.delete()

    # Finding

    def get_queryset(self) -> QuerySet[Any]:
        return self.narrowed(self.rows())

    def get_object(self) -> Any:
        return get_or_404(self.get_queryset(), self.kwargs["id"])

    def get_locked(self, *, for_delete: bool = False) -> Any:
        """The object of this URL, its row locked until the transaction ends."""
        rows = self.rows().using(self.using).select_for_update(of=("self",))
        return get_or_404(self.narrowed(rows), self.kwargs["id"])

    @property
    def using(self) -> str:
        return router.db_for_write(self.model)

    @property
    def model(self) -> Any:
        return self.queryset.model

    # The verbs

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return lists.answer(self)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        answer = self.represented(self.get_object())
        if is_unchanged(request, answer["ETag"]):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": answer["ETag"]})
        require_seen(request, answer["ETag"])
        return answer

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        data = request.data  # read before the transaction begins: a slow client must not hold it open
        with transaction.atomic(using=self.using):
            record = idempotency.claim(request, data)
            if record is not None and record.object_id:
                instance = get_or_404(self.narrowed(self.rows().using(self.using)), record.object_id)
                return self.represented(instance, status.HTTP_201_CREATED, {idempotency.REPLAYED: "true"})
            self.authorise_creation()
            serializer = self.get_serializer(data=data)
            serializer.is_valid(raise_exception=True)
            self.require("add", self.candidate(serializer.validated_data))
            self.perform_create(serializer)
            if record is not None:
                idempotency.complete(record, serializer.instance)
            return self.written(serializer, status.HTTP_201_CREATED)

    def update(self, request: Request, *args: Any, partial: bool = False, **kwargs: Any) -> Response:
        data = request.data  # before the transaction, as in create()
        with transaction.atomic(using=self.using):
            instance = self.get_locked()
            self.require("change", instance)
            self.require_seen(instance)
            serializer = self.get_serializer(instance, data=data, partial=partial)
            serializer.is_valid(raise_exception=True)
            self.authorise_change(instance, serializer.validated_data)
            self.perform_update(serializer)
            return self.written(serializer, status.HTTP_200_OK)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.update(request, *args, partial=True, **kwargs)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic(using=self.using):
            instance = self.get_locked(for_delete=True)
            self.require("delete", instance)
            self.require_seen(instance)
            self.perform_destroy(instance)
        return Response(status=status.HTTP_204_NO_CONTENT)

    # Answering

    def require_seen(self, instance: Any) -> None:
        """Raise ``PreconditionFailed`` if the client made the write depend on another state of the locked row."""
        if is_conditional(self.request):
            require_seen(self.request, self.represented(instance)["ETag"])

    def represented(
        self, instance: Any, code: int = status.HTTP_200_OK, headers: dict[str, str] | None = None
    ) -> Response:
        """The answer that holds ``instance``, with the tag of this representation."""
        data = self.get_serializer().to_representation(instance)
        return Response(data, status=code, headers={"ETag": entity_tag(data, self.derived_fields), **(headers or {})})

    def written(self, serializer: BaseSerializer, code: int) -> Response:
        """The answer to a write: the object as a reader would get it now, counts and database defaults included."""
        instance = serializer.instance
        if self.is_read_differently(serializer):
            try:
                instance = self.rows().using(self.using).get(pk=instance.pk)
            except ObjectDoesNotExist:  # what it belongs to was deleted while we waited for it
                raise NotFound from None
        elif code == status.HTTP_201_CREATED:
            vars(instance).update(self.derived_fields)
        return self.represented(instance, code)

    def is_read_differently(self, serializer: BaseSerializer) -> bool:
        """Whether the row may read otherwise than ``serializer.instance`` does, which has just been written.

        A host's handler may have written the row as well, and PostgreSQL has its own form for the numbers in JSON.
        """
        if pre_save.has_listeners(self.model) or post_save.has_listeners(self.model):
            return True
        return any(isinstance(value, (dict, list)) and value for value in serializer.validated_data.values())


class ProjectObjectViewSet(ObjectViewSet):
    """The verbs over a model that lives in projects: the policy says who sees and may do what."""

    filter_backends = [DeclaredFilters]
    ordering_fields = {"created_at": "created_at", "updated_at": "updated_at"}
    default_ordering = "-created_at"

    def narrowed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        sight = self.sight or access.sight_of(self.request.user)
        return sight.narrow(rows)

    def only_project(self) -> Any:
        """The key of the one project that a list can show; None if it may be any that the user sees."""
        return None

    def look_again(self) -> None:
        """Forget what was found before the list is read in earnest; raise what there is to raise about it now."""

    def require(self, verb: access.Verb, obj: ProjectObject) -> None:
        access.require(self.request.user, verb, obj)

    def get_locked(self, *, for_delete: bool = False) -> Any:
        """The object of this URL, its row locked until the transaction ends.

        The weaker lock lets concurrent inserts of children go on; a delete takes the full one.
        """
        fully = for_delete and self.model.deleted_fully_locked
        rows = self.rows().using(self.using).select_for_update(of=("self",), no_key=not fully)
        instance = get_or_404(self.narrowed(rows), self.kwargs["id"])
        instance.locked_row = recorder.values_of(instance)
        return instance


def get_or_404(rows: QuerySet[Any], key: str) -> Any:
    """The row with this key; raises the one 404 that tells nothing more."""
    try:
        return rows.get(pk=parse_key(rows.model, key))
    except (ValueError, ObjectDoesNotExist):
        raise NotFound from None


def _as_api_error(exc: Exception) -> Exception:
    if isinstance(exc, NotAllowed):
        return PermissionDenied(str(exc))
    if isinstance(exc, AlreadyMember):
        return ValidationError({"user": [str(exc)]})
    if isinstance(exc, Conflict):
        return ConflictError(str(exc))
    if isinstance(exc, IntegrityError) or _is_lost_race(exc):
        # What was there when the input was checked is gone or taken: somebody else was quicker.
        return ConflictError(_("This changed while you wrote. Read it again and retry."))
    if _is_away(exc):
        logger.warning("The database is away: %s", exc)
        return DatabaseAway()
    return exc


def _is_lost_race(exc: Exception) -> bool:
    """Whether PostgreSQL gave this transaction up for another one (deadlock, serialization failure)."""
    return isinstance(exc, OperationalError) and getattr(exc.__cause__, "sqlstate", None) in {"40P01", "40001"}


def _is_away(exc: Exception) -> bool:
    """Whether PostgreSQL cannot be reached, or has ended the connection; without a code it is psycopg that says so.

    Or whether somebody else has written to SQLite for longer than its ``timeout``.
    """
    if getattr(exc.__cause__, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:  # above, it says how
        return True
    if not isinstance(exc, (InterfaceError, OperationalError)) or not hasattr(exc.__cause__, "sqlstate"):
        return False
    code = exc.__cause__.sqlstate
    return code is None or code.startswith("08") or code in AWAY
