"""Giving failed mail another chance, once somebody has mended what it failed for."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone

from django_pm.models import Mail, MailState


def try_again(mails: QuerySet[Mail]) -> int:
    """Queue those of ``mails`` again that have failed, their attempts forgotten; how many.

    Whether a message is still to be sent is asked when it leaves, as ever.
    """
    failed = mails.filter(state=MailState.FAILED)
    return failed.update(state=MailState.WAITING, attempts=0, due_at=timezone.now(), reason="")
