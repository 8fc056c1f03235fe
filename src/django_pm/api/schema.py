"""The OpenAPI document of this API alone, and a page to try it on that loads nothing from elsewhere."""

from __future__ import annotations

import threading
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import translation
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import _load_enum_name_overrides
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from django_pm import __version__
from django_pm.api import pages
from django_pm.api.base import BaseAPIView
from django_pm.api.throttling import RequestThrottle
from django_pm.services.addresses import API, namespace_of


def only_django_pm(endpoints: list[Any], **kwargs: Any) -> list[Any]:
    """Leave a host's own endpoints out of the document; its subclasses of our viewsets stay in."""
    return [endpoint for endpoint in endpoints if issubclass(getattr(endpoint[3], "cls", object), BaseAPIView)]


class SchemaView(SpectacularAPIView):
    """The OpenAPI 3 document of django-pm, as JSON unless YAML is asked for."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes = [RequestThrottle]
    versioning_class = None
    serve_public = True  # whole, whoever asks
    renderer_classes = [OpenApiJsonRenderer, JSONRenderer, OpenApiYamlRenderer]
    custom_settings = {
        "TITLE": "django-pm",
        "VERSION": __version__,
        "DESCRIPTION": "Projects, tasks and comments.",
        "OAS_VERSION": "3.1.0",
        "PREPROCESSING_HOOKS": ["django_pm.api.schema.only_django_pm"],
        "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums"],
        "ENUM_NAME_OVERRIDES": {
            "Status": "django_pm.models.Status",
            "Priority": "django_pm.models.Priority",
            "Role": "django_pm.models.Role",
            "Scope": "django_pm.models.Scope",
            "Condition": "django_pm.models.Condition",
            "Action": "django_pm.models.Action",
            "EventType": "django_pm.event_types.EVENT_TYPES",
            "NotificationReason": "django_pm.models.Reason",
            "WatchLevel": "django_pm.models.Level",
            "ResetReason": "django_pm.exceptions.RESET_REASONS",
        },
        "COMPONENT_SPLIT_REQUEST": True,
        "SCHEMA_PATH_PREFIX": "",
    }

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The same for everybody, whatever their request says."""
        name = f"django-pm.{request.accepted_renderer.format}"
        return Response(self._document(), headers={"Content-Disposition": f'inline; filename="{name}"'})

    def _document(self) -> Any:
        """What is served: made when it is first asked for, and kept.

        What drf-spectacular is told by ``custom_settings`` it tells all threads, and two that do so at once leave it
        behind for the host's own document. So one does, once in the life of a process.
        """
        with _making:
            if settings.ROOT_URLCONF not in _kept:
                _kept[settings.ROOT_URLCONF] = self._made()
            return _kept[settings.ROOT_URLCONF]

    def _made(self) -> Any:
        """In English: most of its words come from docstrings, which have no other language."""
        nobodys = self.initialize_request(HttpRequest())
        nobodys.version = None  # as DRF has it where there are none
        # What sets of choices are called is noted for each language, whoever's names they are: ours, or the host's.
        _load_enum_name_overrides.cache_clear()
        try:
            with translation.override("en"):
                return super().get(nobodys).data
        finally:
            _load_enum_name_overrides.cache_clear()


_making = threading.Lock()
_kept: dict[Any, Any] = {}
"""The document, once it has been made, by the paths that the site has."""


def _forget(**kwargs: Any) -> None:
    """It may be another one with other settings, as in a test."""
    with _making:
        _kept.clear()


setting_changed.connect(_forget, dispatch_uid="django_pm.api.schema")


class DueDateInDocument(OpenApiSerializerFieldExtension):
    """A due date may be read as null even where it may not be written so."""

    target_class = "django_pm.api.fields.DueDateField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        empty = direction == "response" or self.target.allow_null
        return {"type": ["string", "null"] if empty else "string", "format": "date-time"}


ASSETS = {
    "swagger-ui.css": ("drf_spectacular_sidecar", "swagger-ui-dist", "text/css"),
    "swagger-ui-bundle.js": ("drf_spectacular_sidecar", "swagger-ui-dist", "text/javascript"),
    "api-docs.css": ("django_pm", "", "text/css"),
    "api-docs.js": ("django_pm", "", "text/javascript"),
}


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """A page that shows the OpenAPI document and tries it out."""
    context = {"version": __version__, "api": namespace_of(API)}
    return pages.page(request, "django_pm/api_docs.html", context, policy=pages.DOCS)


@require_safe
def docs_asset(request: HttpRequest, name: str) -> HttpResponse:
    """A file of that page, straight from the package it ships in, so a host need neither install an app nor collect."""
    if name not in ASSETS:
        raise Http404
    package, folder, content_type = ASSETS[name]
    path = PurePosixPath("static", package, folder, name)
    response = HttpResponse(files(package).joinpath(str(path)).read_bytes(), content_type=content_type)
    response["Cache-Control"] = "public, max-age=3600"
    return response
