"""``Idempotency-Key``: a client that does not know whether its POST arrived may send it again.

The key is written first in the transaction that makes the object, so both are there or neither is. A repeat that comes
while the first is still at work waits for it at the unique index of the database, in whichever process it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connections, router
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

from django_pm.exceptions import Conflict
from django_pm.models.idempotency import IdempotencyKey

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
"""Header of an answer that made nothing, because an earlier request had."""

KEY_MAX_LENGTH = 255
WAIT_SECONDS = 5
LOCK_NOT_AVAILABLE = "55P03"


class KeyReused(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "key_reused"


def claim(request: Request, data: Any) -> IdempotencyKey | None:
    """The record of this request, None if it carries no key. Call it first in the transaction of the write.

    A record with an ``object_id`` tells of an earlier request with the same body: answer with that object. Without one
    it is this request's own; ``complete`` it when the object is there.

    Raises ``ValidationError`` for a key that is none, ``KeyReused`` if the earlier body was another one, and
    ``Conflict`` if the earlier request is still at work after ``WAIT_SECONDS``.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not (0 < len(key) <= KEY_MAX_LENGTH and key.isascii() and key.isprintable()):
        wrong = _("Expected 1 to %(most)d printable ASCII characters.") % {"most": KEY_MAX_LENGTH}
        raise ValidationError({HEADER: [wrong]})
    digest = _digest([str(request.user.pk), request.path, key])
    body = _digest(data)
    records = IdempotencyKey.objects.using(router.db_for_write(IdempotencyKey))
    with _limited_wait(records.db):
        afresh = {"body": body, "object_id": "", "created_at": timezone.now()}
        record, is_ours = records.get_or_create(digest=digest, defaults=afresh)
        if not is_ours:
            # Of two repeats that find it expired, the second waits here and finds it taken over.
            records.filter(pk=record.pk).expired().update(**afresh)
            record.refresh_from_db(using=records.db)
    if record.body != body:
        raise KeyReused(_("This key was used for a request with another body."))
    return record


def complete(record: IdempotencyKey, obj: Any) -> None:
    """Note what the request has made."""
    record.object_id = str(obj.pk)
    record.save(update_fields=["object_id"])


def _digest(value: Any) -> str:
    text = json.dumps(value, cls=JSONEncoder, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


@contextmanager
def _limited_wait(using: str) -> Iterator[None]:
    """Wait for a lock ``WAIT_SECONDS`` at most. SQLite waits when a transaction begins, as long as its ``timeout``."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)", [f"{WAIT_SECONDS}s"]
        )
        [before, _now] = cursor.fetchone()
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        raise Conflict(_("The first request with this key is still at work. Retry later.")) from error
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
