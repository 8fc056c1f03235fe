"""The views that are read beside ours."""

from __future__ import annotations

import itertools
from typing import Any

from django.http import HttpResponse
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.serializers import IntegerField, ModelSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

from benchmarks.plain.models import PlainTask
from benchmarks.reading.bare import CONSTANT
from django_pm.api.lists import worth
from django_pm.api.serializers import TaskSerializer
from django_pm.api.views import TaskViewSet


class ConventionalSerializer(ModelSerializer):
    comment_count = IntegerField()

    class Meta:
        model = PlainTask
        fields = TaskSerializer.Meta.fields


class Pages(PageNumberPagination):
    page_size = 50


class ConventionalViewSet(ModelViewSet):
    """What one writes with DRF, well: numbered pages, and the comments counted by a sub-select."""

    serializer_class = ConventionalSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> Any:
        user = self.request.user
        rows = PlainTask.objects.with_counts().order_by("-created_at", "-pk")
        return rows if user.is_superuser else rows.filter(project__memberships__user=user)


class UnkeptTaskViewSet(TaskViewSet):
    """Ours, of which nothing is kept: a subclass that does not ask for it."""


class ModelTaskSerializer(TaskSerializer):
    """Does what it inherits, but is not known to: rows are left to it."""

    def to_representation(self, instance: Any) -> Any:
        return super().to_representation(instance)


class SerializedTaskViewSet(TaskViewSet):
    """Ours, of which nothing is kept, through the serializer."""

    serializer_class = ModelTaskSerializer


class MadeTaskViewSet(TaskViewSet):
    """Ours, of which nothing is ever found: each answer is made and kept in vain."""

    is_cached = True
    _numbers = itertools.count()

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        worth.note((request.user.pk, None), hit=True)  # or who only misses would soon be left alone

    @property
    def cache_version(self) -> int:  # type: ignore[override]
        return next(self._numbers)


class ConstantView(APIView):
    """The least that a view of a signed-in user can do: bytes that it has."""

    permission_classes = [IsAuthenticated]

    def get(self, request: Any) -> HttpResponse:
        return HttpResponse(CONSTANT, content_type="application/json")
