"""The daily reports of a project: viewers read them, members have today's made, managers have it made anew."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from django_pm.api.fields import InstantField
from django_pm.api.openapi import ApiSchema
from django_pm.api.serializers import StrictModelSerializer
from django_pm.api.views import NestedViewSet
from django_pm.models import Project, Report
from django_pm.services import reports

COUNT = {"type": "integer", "minimum": 0}
KEY = {"type": ["integer", "string"]}
USER = {"type": ["integer", "string", "null"]}
TEXT = {"type": "string"}
DATE = {"type": "string", "format": "date"}
INSTANT = {"type": "string", "format": "date-time"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _rows(**properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": _object(**properties)}


_HAPPENED = {"created": COUNT, "completed": COUNT, "comments": COUNT}
DATA = _object(
    day=_object(date=DATE, start=INSTANT, end=INSTANT, **_HAPPENED),
    tasks=_object(total=COUNT, open=COUNT, completed=COUNT, overdue=COUNT),
    by_status={"type": "object", "additionalProperties": COUNT},
    by_priority={"type": "object", "additionalProperties": COUNT},
    by_assignee=_rows(user=USER, open=COUNT, overdue=COUNT),
    due_next=_rows(id=KEY, title=TEXT, due_date=INSTANT, assignee=USER),
    most_active=_rows(id=KEY, title=TEXT, events=COUNT),
    trend=_rows(date=DATE, complete={"type": "boolean"}, **_HAPPENED),
)


@extend_schema_field(DATA)
class DataField(serializers.JSONField):
    """What the report says; ``services/summaries.py`` tells of each part."""


class ReportSerializer(StrictModelSerializer):
    """One date of one project. With ``force`` it is made anew."""

    generated_at = InstantField(read_only=True)
    data = DataField(read_only=True)  # type: ignore[assignment]  # DRF takes declared fields out of the class
    force = serializers.BooleanField(write_only=True, default=False)

    class Meta:
        model = Report
        fields = ["id", "project", "date", "time_zone", "generated_at", "note", "data", "force"]
        read_only_fields = ["project", "date", "time_zone", "note"]


class ReportSchema(ApiSchema):
    """How the reports stand in the OpenAPI document: making one answers with what is there, too."""

    def get_operation_id(self) -> str:
        names = {"generate": "projects_reports_create", "list": "projects_reports_list"}
        return names.get(self.action, "projects_reports_retrieve")

    def get_response_serializers(self) -> Any:
        if self.action == "generate":
            return {status.HTTP_200_OK: ReportSerializer, status.HTTP_201_CREATED: ReportSerializer}
        return super().get_response_serializers()


class ReportViewSet(NestedViewSet):
    """The daily reports of one project, the latest first."""

    schema = ReportSchema()
    queryset = Report.objects.all()
    serializer_class = ReportSerializer
    filter_backends: list[Any] = []
    ordering_fields = {"date": "date"}
    default_ordering = "-date"

    @cached_property
    def parent(self) -> Project:
        project: Project = self.get_visible(Project.objects.all(), self.kwargs["project_id"])
        return project

    def rows(self) -> Any:
        return super().rows().filter(project=self.parent)

    def candidate(self, values: dict[str, Any]) -> Report:
        return Report(project=self.parent)

    def get_object(self) -> Report:
        text = self.kwargs["date"]
        try:
            date = dt.date.fromisoformat(text)
            if date.isoformat() != text:  # one report, one address
                raise ValueError(text)
            report: Report = self.get_queryset().get(date=date)
        except (ValueError, ObjectDoesNotExist):
            raise NotFound from None
        return report

    def generate(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Today's report, made if it is not there: 201, else 200. Repeating this needs no key."""
        self.authorise_creation()
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        is_forced = serializer.validated_data["force"]
        if is_forced:
            self.require("change", self.candidate({}))
        try:
            report, is_new = reports.make_today(actor=request.user, project=self.parent)
            if is_forced and not is_new:
                report = reports.rebuild(actor=request.user, report=report)
        except ObjectDoesNotExist:  # the project was deleted meanwhile
            raise NotFound from None
        return self.represented(report, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)
