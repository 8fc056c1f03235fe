"""How each object is written and read. Representations hold keys, raw choices and UTC instants: nothing per reader."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from django_pm.api.fields import (
    DueDateField,
    InstantField,
    MetadataField,
    StringField,
    TextField,
    UnverifiedKeyField,
    UserField,
    VisiblePrimaryKeyField,
)
from django_pm.conf import app_settings
from django_pm.models import Comment, Membership, Project, Role, Task
from django_pm.services.assigning import can_be_given


class StrictSerializer(serializers.Serializer):
    """Names what it does not know instead of dropping it.

    Read-only fields are ignored, so what was read can be edited and sent back.
    """

    def to_internal_value(self, data: Any) -> Any:
        unknown = (
            {name: [_("Unknown field.")] for name in data if name not in self.fields} if isinstance(data, dict) else {}
        )
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**error.detail, **unknown}) from None  # type: ignore[dict-item]
        if unknown:
            raise serializers.ValidationError(unknown)
        return values


class StrictModelSerializer(StrictSerializer, serializers.ModelSerializer):
    """The same for the columns of a model."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: StringField,
        models.TextField: TextField,
    }


class ProjectSerializer(StrictModelSerializer):
    """What tasks belong to and people are members of."""

    description = TextField(required=False, allow_blank=True)
    metadata = MetadataField(required=False)
    task_count = serializers.IntegerField(read_only=True)
    completed_task_count = serializers.IntegerField(read_only=True)
    created_at = InstantField(read_only=True)
    updated_at = InstantField(read_only=True)

    class Meta:
        model = Project
        fields = [
            "id",
            "name",
            "description",
            "time_zone",
            "metadata",
            "created_by",
            "task_count",
            "completed_task_count",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["created_by"]


class TaskSerializer(StrictModelSerializer):
    """What is to be done, by whom, until when. ``completed_at`` follows ``status``."""

    project = VisiblePrimaryKeyField(queryset=Project.objects.all())
    description = TextField(required=False, allow_blank=True)
    priority = serializers.ChoiceField(choices=Task._meta.get_field("priority").choices, required=False)
    due_date = DueDateField()
    assignee = UnverifiedKeyField(queryset=get_user_model()._default_manager.all(), required=False, allow_null=True)
    metadata = MetadataField(required=False)
    comment_count = serializers.IntegerField(read_only=True)
    completed_at = InstantField(read_only=True, allow_null=True)
    created_at = InstantField(read_only=True)
    updated_at = InstantField(read_only=True)

    class Meta:
        model = Task
        fields = [
            "id",
            "project",
            "title",
            "description",
            "status",
            "priority",
            "due_date",
            "assignee",
            "created_by",
            "completed_at",
            "comment_count",
            "metadata",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["created_by"]

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        if not app_settings.TASK_DUE_DATE_REQUIRED:
            fields["due_date"].required = False
            fields["due_date"].allow_null = True
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A task can only be given to somebody who can see it; a hidden and a missing user read the same."""
        task = self.instance
        assignee = attrs.get("assignee", task.assignee_id if task else None)
        project = attrs["project"].pk if "project" in attrs else task.project_id
        if not can_be_given(task=task, project_id=project, assignee_id=assignee):
            field = self.fields["assignee"]
            message = field.error_messages["does_not_exist"].format(pk_value=assignee)
            raise serializers.ValidationError({"assignee": [message]})
        if "assignee" in attrs:
            attrs["assignee_id"] = attrs.pop("assignee")
        return attrs


class CommentSerializer(StrictModelSerializer):
    """``author`` is display text; ``user`` is the account that wrote it."""

    author = StringField(max_length=255, required=False)
    content = TextField()
    created_at = InstantField(read_only=True)
    updated_at = InstantField(read_only=True)

    class Meta:
        model = Comment
        fields = ["id", "task", "author", "user", "content", "created_at", "updated_at"]
        read_only_fields = ["task", "user"]


class MembershipSerializer(StrictModelSerializer):
    """``user`` is said once, on adding: a role is not handed from one person to another."""

    user = UserField()
    role = serializers.ChoiceField(choices=Role.choices)

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        fields["user"].read_only = self.instance is not None
        return fields

    class Meta:
        model = Membership
        fields = ["id", "user", "role"]
