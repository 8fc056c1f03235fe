"""The escalation rules of a project: its members read them, its managers make them."""

from __future__ import annotations

from typing import Any

from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.serializers import BaseSerializer

from django_pm.api.base import ObjectViewSet
from django_pm.api.fields import InstantField
from django_pm.api.serializers import StrictModelSerializer
from django_pm.api.views import NestedViewSet
from django_pm.models import EscalationRule, Project, Role
from django_pm.models.escalation import OpenStatus

CHANGEABLE = ("condition", "hours", "status", "days", "action", "role")
"""What has to go together."""


@extend_schema_field({"oneOf": [{"type": "string", "enum": OpenStatus.values}]})
class OpenStatusField(serializers.ChoiceField):
    """What a task can be stuck in, or null."""


@extend_schema_field({"oneOf": [{"$ref": "#/components/schemas/Role"}]})
class RoleField(serializers.ChoiceField):
    """A role, or null."""


class RuleSerializer(StrictModelSerializer):
    """What is done with tasks that have been overdue for ``hours``, or stuck in ``status`` for ``days``.

    ``role`` is for ``notify``: this one and those above. What condition and action have no use for is null.
    """

    status = OpenStatusField(choices=OpenStatus.choices, required=False, allow_null=True)
    role = RoleField(choices=Role.choices, required=False, allow_null=True)
    created_at = InstantField(read_only=True)

    class Meta:
        model = EscalationRule
        fields = [
            "id",
            "project",
            "name",
            "condition",
            "hours",
            "status",
            "days",
            "action",
            "role",
            "is_active",
            "created_at",
        ]
        read_only_fields = ["project"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What the condition and the action need must be there, and what they have no use for must not."""
        kept = {} if self.instance is None else {name: getattr(self.instance, name) for name in CHANGEABLE}
        useless = EscalationRule(**{**kept, **attrs}).useless()
        # What was there for another condition or action goes with it, unless it was sent.
        attrs = {**dict.fromkeys(useless), **attrs}
        if wrong := list(EscalationRule(**{**kept, **attrs}).misfits()):
            raise serializers.ValidationError({name: [sentence] for name, sentence in wrong})
        return attrs


class RuleViewSet(NestedViewSet):
    """The escalation rules of one project, the oldest first."""

    queryset = EscalationRule.objects.all()
    serializer_class = RuleSerializer
    filter_backends: list[Any] = []
    ordering_fields = {"created_at": "created_at"}
    default_ordering = "created_at"

    @cached_property
    def parent(self) -> Project:
        project: Project = self.get_visible(Project.objects.using(self.using), self.kwargs["project_id"])
        return project

    def rows(self) -> Any:
        return super().rows().filter(project=self.parent)

    def candidate(self, values: dict[str, Any]) -> Any:
        return EscalationRule(project=self.parent)

    def get_locked(self, *, for_delete: bool = False) -> Any:
        return ObjectViewSet.get_locked(self, for_delete=for_delete)  # nothing records a rule, nor its lock

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(project=self.parent)
