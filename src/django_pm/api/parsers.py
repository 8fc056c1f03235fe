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

MAX_DEPTH = 32
UNSTORABLE = _("NUL characters and lone surrogates are not allowed.")
TOO_DEEP = _("Nested too deeply.")


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
        _refuse_unstorable(data, escaped=b"\\u" in body)
        return data


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number out of range: {text[:40]}")
    return number


def _refuse_unstorable(data: Any, *, escaped: bool) -> None:
    """Raise a 400 for what no database keeps, naming the field. Without escapes, none got through the decoder."""
    fields = data if isinstance(data, dict) else {}
    wrong = {name: [reason] for name, value in fields.items() if (reason := _why_unstorable(value, escaped))}
    outside = None if isinstance(data, dict) else _why_unstorable(data, escaped)
    if outside or (escaped and not all(map(is_storable, fields))):
        raise ParseError(outside or UNSTORABLE)
    if wrong:
        raise ValidationError(wrong)


def _why_unstorable(value: Any, escaped: bool) -> Any:
    """Walks level by level: what is nested a thousand deep would exhaust the stack of whoever recurses into it."""
    level = [value]
    for _depth in range(MAX_DEPTH):
        if escaped and any(isinstance(item, str) and not is_storable(item) for item in level):
            return UNSTORABLE
        level = [part for item in level if isinstance(item, (dict, list)) for part in _parts(item)]
        if not level:
            return None
    return TOO_DEEP


def _parts(container: dict[str, Any] | list[Any]) -> list[Any]:
    return [*container, *container.values()] if isinstance(container, dict) else container


def is_storable(text: str) -> bool:
    """Whether every database and every response can carry ``text``: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
