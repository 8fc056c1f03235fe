"""The views beside ours: what one writes with DRF in ten minutes, and our own views over plain models."""

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from benchmarks.plain.models import PlainMembership, PlainProject, PlainTask
from django_pm.api.fields import VisiblePrimaryKeyField
from django_pm.api.serializers import TaskSerializer
from django_pm.api.views import TaskViewSet
from django_pm.models import Role, Task

WRITERS = [Role.MEMBER, Role.MANAGER, Role.OWNER]


def may_write(user: Any, project_id: Any) -> bool:
    """The same rule as the default policy's for tasks, in one query as there."""
    return PlainMembership.objects.filter(project=project_id, user=user, role__in=WRITERS).exists()


class PlainTaskSerializer(ModelSerializer):
    class Meta:
        model = PlainTask
        fields = [name for name in TaskSerializer.Meta.fields if name != "comment_count"]
        read_only_fields = ["created_by"]


class MayWrite(BasePermission):
    def has_object_permission(self, request: Any, view: Any, obj: PlainTask) -> bool:
        return request.method in SAFE_METHODS or may_write(request.user, obj.project_id)


class PlainTaskViewSet(ModelViewSet):
    """Plain DRF: ModelViewSet, ModelSerializer, the same authentication and the same rule of who may write."""

    serializer_class = PlainTaskSerializer
    permission_classes = [IsAuthenticated, MayWrite]

    def get_queryset(self) -> Any:
        return PlainTask.objects.filter(project__memberships__user=self.request.user)

    def perform_create(self, serializer: Any) -> None:
        if not may_write(self.request.user, serializer.validated_data["project"].pk):
            raise PermissionDenied
        serializer.save(created_by=self.request.user)


class UnrecordedTaskSerializer(TaskSerializer):
    project = VisiblePrimaryKeyField(queryset=PlainProject.objects.all())

    class Meta(TaskSerializer.Meta):
        model = PlainTask


class UnrecordedTaskViewSet(TaskViewSet):
    """Our own view over the plain model: what it costs beyond plain DRF without recording anything."""

    queryset = PlainTask.objects.all()
    serializer_class = UnrecordedTaskSerializer

    def candidate(self, values: dict[str, Any]) -> Task:
        return Task(project_id=values["project"].pk)

    def authorise_change(self, instance: Any, values: dict[str, Any]) -> None:
        """Nothing moves here."""
