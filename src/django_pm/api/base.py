"""What every view of this API does the same way: who is asked, what is locked, how a refusal is told.

A request is walked in one direction: parse, find what the user may see (404), ask what the user may do to it (403),
validate (400), ask about what the values would make of it (403), write in one transaction under the row's lock, and
answer with the object as a reader would get it now.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, OperationalError, connections, router, transaction
from django.db.models import QuerySet
from django.db.models.signals import post_save, pre_save
from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.openapi import AutoSchema
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, PermissionDenied, ValidationError
from rest_framework.metadata import BaseMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from django_pm import access, context
from django_pm.api.fields import parse_key
from django_pm.api.pagination import KeysetPagination
from django_pm.api.parsers import StrictJSONParser
from django_pm.exceptions import AlreadyMember, Conflict, NotAllowed
from django_pm.models import recorder
from django_pm.models.base import ProjectObject

ORIGIN = "api"


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
    """What every view of this API has: JSON only, signed-in users only, and writes that say who made them."""

    renderer_classes = [JSONRenderer]
    parser_classes = [StrictJSONParser]
    permission_classes = [IsAuthenticated]
    metadata_class = PlainMetadata
    content_negotiation_class = JSONNegotiation
    schema = AutoSchema()

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        """Under a host's ``ATOMIC_REQUESTS`` too, a view opens its own transactions: a reader must be able to number a
        stream, and an answer must not be sent before its write has been committed."""
        view = super().as_view(*args, **kwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        # The user is known only once DRF has authenticated the request, so the recorder asks when it writes.
        with context.acting(lambda: self.request.user, origin=ORIGIN):
            return super().dispatch(request, *args, **kwargs)

    def get_visible(self, rows: QuerySet[Any], key: str) -> Any:
        """The row with this key if the user may see it; raises the one 404 that tells nothing more."""
        try:
            return access.visible(self.request.user, rows).get(pk=parse_key(rows.model, key))
        except (ValueError, ObjectDoesNotExist):
            raise NotFound from None

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(_as_api_error(exc))


class ProjectObjectViewSet(BaseAPIView, GenericViewSet):
    """The five verbs over one model that lives in projects. Subclasses say which rows, and what a new one would be."""

    pagination_class = KeysetPagination
    filter_backends = [DjangoFilterBackend]

    derived_fields: dict[str, Any] = {}
    """What is represented of other rows, such as counts, each with its value for a new object."""

    ordering_fields: dict[str, str] = {"created_at": "created_at", "updated_at": "updated_at"}
    default_ordering = "-created_at"

    # What a subclass says

    def rows(self) -> QuerySet[Any]:
        """The rows of this view as they are represented, not yet narrowed to what the user may see."""
        return self.queryset.all()

    def candidate(self, values: dict[str, Any]) -> ProjectObject:
        """An unsaved instance of what ``values`` would make, for the policy to judge."""
        raise NotImplementedError

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save()

    def perform_update(self, serializer: BaseSerializer) -> None:
        serializer.save()

    def perform_destroy(self, instance: Any) -> None:
        instance.delete()

    # Finding

    def get_queryset(self) -> QuerySet[Any]:
        return access.visible(self.request.user, self.rows())

    def get_object(self) -> Any:
        return self.get_visible(self.rows(), self.kwargs["id"])

    def get_locked(self, *, for_delete: bool = False) -> Any:
        """The object of this URL, its row locked until the transaction ends.

        The weaker lock lets concurrent inserts of children go on; a delete takes the full one.
        """
        fully = for_delete and self.model.deleted_fully_locked
        rows = self.rows().using(self.using).select_for_update(of=("self",), no_key=not fully)
        instance = self.get_visible(rows, self.kwargs["id"])
        instance.locked_row = recorder.values_of(instance)
        return instance

    @property
    def using(self) -> str:
        return router.db_for_write(self.model)

    @property
    def model(self) -> type[ProjectObject]:
        return self.queryset.model

    # The verbs

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self.get_serializer(self.get_object()).data)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        data = request.data  # read before the transaction begins: a slow client must not hold it open
        with transaction.atomic(using=self.using):
            serializer = self.get_serializer(data=data)
            serializer.is_valid(raise_exception=True)
            access.require(request.user, "add", self.candidate(serializer.validated_data))
            self.perform_create(serializer)
            return self.written(serializer, status.HTTP_201_CREATED)

    def update(self, request: Request, *args: Any, partial: bool = False, **kwargs: Any) -> Response:
        data = request.data  # before the transaction, as in create()
        with transaction.atomic(using=self.using):
            instance = self.get_locked()
            access.require(request.user, "change", instance)
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
            access.require(request.user, "delete", instance)
            self.perform_destroy(instance)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def authorise_change(self, instance: Any, values: dict[str, Any]) -> None:
        """Ask the policy about what ``values`` would make of ``instance``, where that matters."""

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
        return Response(serializer.to_representation(instance), status=code)

    def is_read_differently(self, serializer: BaseSerializer) -> bool:
        """Whether the row may read otherwise than ``serializer.instance`` does, which has just been written.

        A host's handler may have written the row as well, and PostgreSQL has its own form for the numbers in JSON.
        """
        if pre_save.has_listeners(self.model) or post_save.has_listeners(self.model):
            return True
        return any(isinstance(value, (dict, list)) and value for value in serializer.validated_data.values())


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
    return exc


def _is_lost_race(exc: Exception) -> bool:
    """Whether PostgreSQL gave this transaction up for another one (deadlock, serialization failure)."""
    return isinstance(exc, OperationalError) and getattr(exc.__cause__, "sqlstate", None) in {"40P01", "40001"}
