"""``/tokens/``: people make and revoke the tokens that their scripts sign in with. Tokens themselves may not."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from django_pm import access
from django_pm.api.base import ObjectViewSet
from django_pm.api.fields import InstantField, StringField, VisiblePrimaryKeyField
from django_pm.api.serializers import StrictModelSerializer
from django_pm.conf import app_settings
from django_pm.exceptions import NotAllowed
from django_pm.models import ApiToken, Project

MOST_PROJECTS = 200


class ProjectsField(serializers.ManyRelatedField):
    """The keys of the projects that a token is limited to, null for every project."""

    default_error_messages = {"max_length": _("No more than {max_length} projects.")}

    def __init__(self, **kwargs: Any) -> None:
        key = VisiblePrimaryKeyField(queryset=Project.objects.all())
        super().__init__(child_relation=key, allow_null=True, **kwargs)

    def to_internal_value(self, data: Any) -> list[Project]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        if len(data) > MOST_PROJECTS:
            self.fail("max_length", max_length=MOST_PROJECTS)
        return list(super().to_internal_value(data))

    def get_attribute(self, instance: ApiToken) -> Any:
        return None if instance.every_project else sorted(instance.projects.all(), key=lambda project: project.pk)


class ApiTokenSerializer(StrictModelSerializer):
    """A token as its user sees it: everything but the secret, which only the answer to its creation holds."""

    projects = ProjectsField(required=False)
    expires_at = InstantField(required=False, allow_null=True)
    created_at = InstantField(read_only=True)
    last_used_at = InstantField(read_only=True, allow_null=True)
    secret = StringField(read_only=True, allow_null=True, help_text="The token itself; shown once, on creation.")

    class Meta:
        model = ApiToken
        fields = ["id", "name", "scope", "projects", "expires_at", "beginning", "created_at", "last_used_at", "secret"]
        read_only_fields = ["beginning"]

    def validate_expires_at(self, value: Any) -> Any:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError(_("This is in the past."))
        return value

    def create(self, values: dict[str, Any]) -> ApiToken:
        projects = values.pop("projects", None)
        token = ApiToken(every_project=projects is None, **values)
        token.renew_secret()
        token.save()
        if projects is not None:
            token.projects.set(projects)
        return token


class ApiTokenViewSet(ObjectViewSet):
    """The tokens of whoever is signed in."""

    queryset = ApiToken.objects.all()
    serializer_class = ApiTokenSerializer
    ordering_fields = {"created_at": "created_at"}
    default_ordering = "-created_at"
    # The use of a token and the answer that told its secret are no changes of it: they hold up nobody who revokes it.
    derived_fields = {"last_used_at": None, "secret": None}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not app_settings.API_TOKENS:
            raise Http404
        super().initial(request, *args, **kwargs)
        if isinstance(request.auth, ApiToken) or access.grant_of(request.user) != access.Grant():
            raise NotAllowed(_("A token does not manage tokens. Sign in yourself."))

    def rows(self) -> QuerySet[ApiToken]:
        # A limit to a project that its user no longer sees says nothing, not even whether the project is still there.
        seen = access.visible(self.request.user, Project.objects.only("pk"))
        return super().rows().prefetch_related(Prefetch("projects", queryset=seen))

    def narrowed(self, rows: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
        return rows.filter(user=self.request.user.pk)

    def require(self, verb: access.Verb, obj: ApiToken) -> None:
        """What is narrowed to one's own may be done by oneself."""

    def candidate(self, values: dict[str, Any]) -> ApiToken:
        return ApiToken(user=self.request.user)

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(user=self.request.user)

    def written(self, serializer: BaseSerializer, code: int) -> Response:
        """As it was made: a row read again, which others may have changed, would not know the secret."""
        return self.represented(serializer.instance, code)
