"""Conditional requests: ``ETag``, ``If-None-Match`` and ``If-Match`` (RFC 9110, sections 8.8.3 and 13).

A tag is ``"<row>.<derived>"``: a digest of the columns of the object itself, and one of what its representation tells
of other rows, such as counts. A reader's copy is unchanged if both are. A writer is held up by a change of the row
only: somebody's comment changes the count of comments, and must not stop an edit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from django.utils.http import parse_etags
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

DIGEST_BYTES = 12


class PreconditionFailed(APIException):
    """What the client took the object for is no longer so; nothing was changed."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_detail = _("This has changed since you read it. Read it again and retry.")
    default_code = "precondition_failed"


def entity_tag(representation: Mapping[str, Any], derived: Collection[str]) -> str:
    """The tag of an object, quotes included; ``derived`` names what is represented of other rows."""
    row = {name: value for name, value in representation.items() if name not in derived}
    rest = {name: representation[name] for name in derived}
    return f'"{_digest(row)}.{_digest(rest)}"'


def is_unchanged(request: Request, tag: str) -> bool:
    """Whether the reader has this very representation already (``If-None-Match``)."""
    header = request.headers.get("If-None-Match")
    return header is not None and _names(header, tag, _whole)


def require_seen(request: Request, tag: str) -> None:
    """Raise ``PreconditionFailed`` unless the client means the object as it is now.

    Call it under the lock of the row, before writing it.
    """
    if_match = request.headers.get("If-Match")
    if if_match is not None and not _names(if_match, tag, _row):
        raise PreconditionFailed
    if request.method not in SAFE_METHODS and is_unchanged(request, tag):  # "only if there is none": there is
        raise PreconditionFailed


def is_conditional(request: Request) -> bool:
    """Whether a write depends on what the client has seen."""
    return "If-Match" in request.headers or "If-None-Match" in request.headers


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, cls=JSONEncoder, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def _names(header: str, tag: str, part: Any) -> bool:
    named = parse_etags(header)
    return named == ["*"] or part(tag) in {part(other) for other in named}


def _whole(tag: str) -> str:
    # A proxy that compresses marks the tag as weak; what it stands for is the same.
    return tag.removeprefix("W/").strip('"')


def _row(tag: str) -> str:
    return _whole(tag).partition(".")[0]
