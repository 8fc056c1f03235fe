"""The API of tasks with that column: a serializer, a filter and a view, each a subclass of ours."""

from typing import Any

import django_filters
from django.db.models import QuerySet

from django_pm.api.fields import StringField
from django_pm.api.filters import TaskFilterSet
from django_pm.api.serializers import TaskSerializer
from django_pm.api.views import TaskViewSet
from django_pm.events import record_external_change
from django_pm.models import Task
from tests.shapes.side_table.models import TaskDetails


class BillableTaskSerializer(TaskSerializer):
    """A task, with the cost centre that pays for it, null for none. Both are written in one transaction."""

    cost_centre = StringField(source="details.cost_centre", max_length=20, allow_null=True, default=None)

    class Meta(TaskSerializer.Meta):
        fields = [*TaskSerializer.Meta.fields, "cost_centre"]

    def create(self, validated_data: dict[str, Any]) -> Task:
        cost_centre = validated_data.pop("details")["cost_centre"]
        task: Task = super().create(validated_data)
        if cost_centre is not None:
            TaskDetails.objects.create(task=task, cost_centre=cost_centre)
        return task

    def update(self, instance: Task, validated_data: dict[str, Any]) -> Task:
        details = validated_data.pop("details", None)
        task: Task = super().update(instance, validated_data)
        if details is not None:
            self._change(task, details["cost_centre"])
        return task

    def _change(self, task: Task, cost_centre: str | None) -> None:
        """The recorder knows the columns of tasks; of this one we tell it, so that who follows the project hears."""
        rows = TaskDetails.objects.filter(task=task)
        before = rows.values_list("cost_centre", flat=True).first()
        if cost_centre == before:
            return
        if cost_centre is None:
            rows.delete()
        else:
            TaskDetails.objects.update_or_create(task=task, defaults={"cost_centre": cost_centre})
        record_external_change(
            task.project_id,
            type="task.updated",
            object_type="task",
            object_id=task.pk,
            changes={"cost_centre": [before, cost_centre]},
        )


class BillableTaskFilterSet(TaskFilterSet):
    cost_centre = django_filters.CharFilter(field_name="details__cost_centre")


class BillableTaskViewSet(TaskViewSet):
    serializer_class = BillableTaskSerializer
    filterset_class = BillableTaskFilterSet

    def rows(self) -> QuerySet[Task]:
        return super().rows().select_related("details")
