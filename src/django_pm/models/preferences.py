"""What somebody wants to be told by mail, and in which language and time zone."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Value
from django.utils.translation import gettext_lazy as _

from django_pm.models.project import validate_time_zone


def validate_language(code: str) -> None:
    """Refuse a language that the site does not have."""
    if code not in dict(settings.LANGUAGES):
        raise ValidationError(_("“%(code)s” is not a language of this site."), code="language", params={"code": code})


def language_of(preferences: NotificationPreferences | None) -> str:
    """The language that somebody has chosen, if the site (still) has it; empty if there is none."""
    chosen: str = preferences.language if preferences else ""
    return chosen if chosen and chosen in dict(settings.LANGUAGES) else ""


class NotificationPreferences(models.Model):
    """One row for each user who has ever changed something; whoever has none has the defaults."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        related_name="pm_notification_preferences",
        on_delete=models.CASCADE,
        primary_key=True,
    )
    language = models.CharField(
        _("language"),
        max_length=16,
        blank=True,
        default="",
        validators=[validate_language],
        help_text=_("Of mail; empty for the site's own."),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        default="",
        validators=[validate_time_zone],
        help_text=_("IANA name, for the times in mail; empty for the site's own."),
    )
    reminders = models.BooleanField(_("reminders"), default=True, help_text=_("Of tasks that are due soon."))
    reports = models.BooleanField(
        _("reports"), default=False, help_text=_("The daily summary of each project that one owns or manages.")
    )
    channels = models.JSONField(
        _("channels"),
        default=dict,
        db_default=Value({}, models.JSONField()),
        blank=True,
        help_text=_("By reason, where they want to be told; what is not there, the site decides."),
    )
    digest_hour = models.PositiveSmallIntegerField(
        _("hour of the digest"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(23)],
        help_text=_("From 0 to 23, in one's own time zone; empty for the site's."),
    )
    overdue_digest = models.BooleanField(
        _("overdue digest"),
        default=False,
        db_default=False,
        help_text=_("Of one's tasks that are overdue, daily while there are any."),
    )

    class Meta:
        verbose_name = _("notification preferences")
        verbose_name_plural = _("notification preferences")

    def __str__(self) -> str:
        return str(self.pk)
