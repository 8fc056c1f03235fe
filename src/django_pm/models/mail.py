"""The queue of mail: one row for one message to one recipient, about one occurrence of one thing.

The row decides: who inserts it first has queued the message, and nobody queues it again. It carries no text. What a
message says, and whether it is still to be sent, is asked when it leaves.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class MailKind(models.TextChoices):
    """What a message is about."""

    REMINDER = "reminder", _("Reminder")
    REPORT = "report", _("Report")
    NOTICE = "notice", _("Notice")
    DIGEST = "digest", _("Digest")
    OVERDUE = "overdue", _("Overdue tasks")


class MailState(models.TextChoices):
    """Where a message is on its way. The last three are final."""

    WAITING = "waiting", _("Waiting")
    CLAIMED = "claimed", _("Claimed")
    SENDING = "sending", _("Being sent")
    SENT = "sent", _("Sent")
    SKIPPED = "skipped", _("Not to be sent any more")
    FAILED = "failed", _("Failed")


UNFINISHED = (MailState.WAITING, MailState.CLAIMED, MailState.SENDING)
KEPT_FOR = dt.timedelta(days=90)
"""How long a message is remembered. Once its occasion is past it is not needed; people may ask, though."""


class MailQuerySet(models.QuerySet["Mail"]):
    def expired(self) -> MailQuerySet:
        """Messages that ended long ago."""
        return self.exclude(state__in=UNFINISHED).filter(created_at__lt=timezone.now() - KEPT_FOR)


class Mail(models.Model):
    """A message, from its queueing to its end."""

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("recipient"), related_name="pm_mail", on_delete=models.CASCADE
    )
    kind = models.CharField(_("kind"), max_length=32, choices=MailKind)
    object_id = models.CharField(_("object"), max_length=64, help_text=_("The key of the task or report."))
    occurrence = models.CharField(
        _("occurrence"), max_length=32, help_text=_("The instant that a reminder is for, or the date of a report.")
    )
    message_id = models.UUIDField(_("message id"), default=uuid.uuid4, editable=False)
    state = models.CharField(_("state"), max_length=16, choices=MailState, default=MailState.WAITING)
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="", help_text=_("Of its last failure."))
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    repeated = models.BooleanField(
        _("repeated"),
        default=False,
        help_text=_("Sent again after a crash: the first time, the server may have taken it already."),
    )
    due_at = models.DateTimeField(_("due at"), default=timezone.now, help_text=_("When to try, or to try again."))
    created_at = models.DateTimeField(_("created at"), default=timezone.now, db_index=True)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)

    was_claimed = False
    """Of one that has just been claimed: whether somebody had claimed it before who did not end it. No column."""

    objects: ClassVar[Any] = MailQuerySet.as_manager()

    class Meta:
        verbose_name = _("mail")
        verbose_name_plural = _("mail")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "object_id", "occurrence", "recipient"], name="django_pm_mail_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=["waiting", "claimed", "sending"]),
                name="django_pm_mail_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{MailKind(self.kind).label} {self.object_id} {self.occurrence}"
