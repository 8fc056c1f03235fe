"""Serializer fields that say no in a sentence, where DRF's own would guess or stumble."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from django_pm.access import visible
from django_pm.conf import app_settings
from django_pm.models.fields import EARLIEST, LATEST
from django_pm.users import find_user


class InstantField(serializers.DateTimeField):
    """A point in time: any ISO 8601 offset in (none means UTC), UTC with ``Z`` out, whatever zone is active.

    Years 1900 to 9899 only, so that a day earlier and every local time can still be computed.
    """

    default_error_messages = {"range": _("Datetime value out of range.")}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("default_timezone", dt.UTC)
        kwargs.setdefault("format", "iso-8601")
        kwargs.setdefault("input_formats", ["iso-8601"])
        super().__init__(**kwargs)

    def to_internal_value(self, value: Any) -> dt.datetime:
        instant: dt.datetime = super().to_internal_value(value)
        if not EARLIEST <= instant < LATEST:
            self.fail("range")
        return instant


class DueDateField(InstantField):
    """An instant that the API may insist on, though a host's own code may have left it empty."""


class StringField(serializers.CharField):
    """A JSON string. DRF's own field would make text of a number."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class WholeNumberField(serializers.IntegerField):
    """A JSON number without a fraction. DRF's own field would make a number of a text."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        number: int = super().to_internal_value(data)
        return number


class TextField(StringField):
    """Text of any reasonable length, kept as typed (indentation is meaning in Markdown)."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        text: str = super().to_internal_value(data)
        limit = app_settings.MAX_TEXT_LENGTH
        if len(text) > limit:
            self.fail("max_length", max_length=limit)
        return text

    default_error_messages = {"max_length": _("Ensure this field has no more than {max_length} characters.")}


@extend_schema_field({"type": "object", "additionalProperties": {}})
class MetadataField(serializers.JSONField):
    """A small JSON object of the client's own."""

    default_error_messages = {
        "object": _("Expected a JSON object."),
        "size": _("Larger than {limit} bytes."),
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("object")
        limit = app_settings.MAX_METADATA_BYTES
        if len(json.dumps(data).encode()) > limit:
            self.fail("size", limit=limit)
        return data


def parse_key(model: type[models.Model], key: int | str) -> Any:
    """The primary key that ``key`` spells in its canonical form.

    Raises ``ValueError`` for anything else that Python would read as one (``"007"``, ``"1_0"``, digits of other
    scripts), so that one object has one address.
    """
    field: Any = model._meta.pk
    try:
        parsed = field.to_python(key)
        field.run_validators(parsed)
    except (ValidationError, TypeError, OverflowError):
        raise ValueError(key) from None
    if str(parsed) != str(key):
        raise ValueError(key)
    return parsed


class StrictPrimaryKeyField(serializers.PrimaryKeyRelatedField):
    """A primary key as a number or its text; a fraction is refused instead of cut off."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data == "":  # DRF's own field would read it as null
            self.fail("incorrect_type", data_type="str")
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, (int, str)):
            self.fail("incorrect_type", data_type=type(data).__name__)
        rows = self.get_queryset()
        try:
            return self.find(rows, parse_key(rows.model, data))
        except (ValueError, ObjectDoesNotExist):
            self.fail("does_not_exist", pk_value=data)

    def find(self, rows: QuerySet[Any], key: Any) -> Any:
        """What the field makes of a key; raises ``ObjectDoesNotExist`` where that is nothing."""
        return rows.get(pk=key)


class UnverifiedKeyField(StrictPrimaryKeyField):
    """A primary key, checked for its form only: whose it may be is for the serializer to say.

    Were it looked up here, the list of errors would tell whether there is such a row, whatever else is wrong.
    """

    def find(self, rows: QuerySet[Any], key: Any) -> Any:
        return key


class VisiblePrimaryKeyField(StrictPrimaryKeyField):
    """The primary key of something the signed-in user may see; what is hidden reads like what does not exist."""

    def get_queryset(self) -> QuerySet[Any]:
        return visible(self.context["request"].user, super().get_queryset())


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string"}]})
class UserField(serializers.Field):
    """A user: login name or primary key in, primary key out."""

    default_error_messages = {
        "invalid": _("Expected a login name or a primary key."),
        "does_not_exist": _("There is no such user."),
    }

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, (int, str)):
            self.fail("invalid")
        user = find_user(data)
        if user is None:
            self.fail("does_not_exist")
        return user

    def get_attribute(self, instance: Any) -> Any:
        # The key alone: reading the user would be a query for every row.
        return getattr(instance, f"{self.source}_id")

    def to_representation(self, value: Any) -> Any:
        return value
