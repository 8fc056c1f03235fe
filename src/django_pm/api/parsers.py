"""Reading a request body: JSON only, bounded, and without the text that no database can keep."""

from __future__ import annotations

import json
import math
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.parsers import BaseParser

from django_pm.conf import app_settings


class BodyTooLarge(APIException):
    """The body is longer than ``MAX_BODY_BYTES``."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = _("The request body is too large.")
    default_code = "body_too_large"


class StrictJSONParser(BaseParser):
    """JSON (RFC 8259) in UTF-8, nothing more: no NaN, no number beyond a double, no NUL, no half of a surrogate pair.

    Text with a NUL or a lone surrogate is valid JSON that PostgreSQL refuses and no response can carry, so it is
    answered here with 400 and the name of the field, before any code can stumble over it.
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        limit = app_settings.MAX_BODY_BYTES
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise BodyTooLarge
        try:
            data = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise ParseError(_("JSON parse error - %s") % error) from None
        # Unescaped, neither can get through the decoder, so a body without escapes needs no walk.
        if b"\\u" in body:
            _refuse_unstorable(data)
        return data


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number out of range: {text[:40]}")
    return number


def _refuse_unstorable(data: Any) -> None:
    message = _("NUL characters and lone surrogates are not allowed.")
    if not isinstance(data, dict):
        if _is_unstorable(data):
            raise ParseError(message)
        return
    if any(_is_unstorable(key) for key in data):
        raise ParseError(message)
    if wrong := {key: [message] for key, value in data.items() if _is_unstorable(value)}:
        raise ValidationError(wrong)


def _is_unstorable(value: Any) -> bool:
    if isinstance(value, str):
        return not is_storable(value)
    if isinstance(value, dict):
        return any(_is_unstorable(part) for item in value.items() for part in item)
    return isinstance(value, list) and any(map(_is_unstorable, value))


def is_storable(text: str) -> bool:
    """Whether every database and every response can carry ``text``: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
