"""What messages say, and whether they are still to say it: asked when they leave, of all of a kind at once.

A letter is a template and what goes into it; ``compose`` makes of it the message to one recipient.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from email.utils import parseaddr
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail.utils import DNS_NAME
from django.core.validators import validate_email
from django.db import router
from django.template.loader import get_template
from django.utils import timezone, translation
from django.utils.translation import gettext

from django_pm import users
from django_pm.conf import app_settings
from django_pm.mail.mime import Message
from django_pm.models import Mail, MailKind, NotificationPreferences, Report, Task
from django_pm.models.preferences import language_of
from django_pm.services import local_days, reminders, reports
from django_pm.services.apart import apart
from django_pm.services.notifications import digests, notices, sentences
from django_pm.services.report_pages import readable
from django_pm.services.unsubscribing import unsubscribe_url

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Letter(NamedTuple):
    """What a message says."""

    template: str
    context: dict[str, Any]
    thread: str
    """What it is about, the same for every message about it: mail programs show these together."""
    topic: str = ""
    """What its link ends; empty for all mail of its kind."""


def letters_for(mails: list[Mail], now: dt.datetime) -> dict[Any, Letter | str | Exception]:
    """By the key of the message, what it says, or why it is not to be sent any more.

    For one of which nobody can say, what went wrong, so that it is in nobody's way.
    """

    found: dict[Any, Letter | str | Exception] = {}
    _template.cache_clear()  # what a site has changed meanwhile counts from here on
    _begins_in.cache_clear()

    def ask(part: list[Mail]) -> None:
        found.update(_letters(part, now))

    def alone(mail: Mail, error: Exception) -> None:
        logger.error("Nobody can say whether a message is still to be sent.", exc_info=error)
        found[mail.pk] = error

    list(apart(ask, mails, alone, using=router.db_for_write(Mail)))
    return found


def _letters(mails: list[Mail], now: dt.datetime) -> dict[Any, Letter | str]:
    """The same, asked of all of a kind at once."""
    of_kind: dict[str, list[Mail]] = defaultdict(list)
    for mail in mails:
        of_kind[mail.kind].append(mail)
    found: dict[Any, Letter | str] = {}
    for kind, some in of_kind.items():
        found |= _KINDS[kind](some, now)
    return found


def _reminders(mails: list[Mail], now: dt.datetime) -> dict[Any, Letter | str]:
    def letter(task: Task) -> Letter:
        context = {"task": task, "project": task.project, "words": reminders.Words(task)}
        return Letter("django_pm/mail/reminder", context, f"task-{task.pk}")

    return _written(reminders.still_due(mails, now), letter)


def _reports(mails: list[Mail], now: dt.datetime) -> dict[Any, Letter | str]:
    wanted = reports.still_wanted(mails, now)
    pages = readable({report for report in wanted.values() if not isinstance(report, str)})

    def letter(report: Report) -> Letter:
        context = {"report": report, "project": report.project, **pages[report.pk]}
        return Letter("django_pm/mail/report", context, f"reports-of-project-{report.project_id}")

    return _written(wanted, letter)


def _notices(mails: list[Mail], _now: dt.datetime) -> dict[Any, Letter | str]:
    def letter(notice: notices.Notice) -> Letter:
        thread = f"task-{notice.task.pk}" if notice.task else f"project-{notice.project.pk}"
        return Letter("django_pm/mail/notice", {"words": sentences.NoticeWords(notice)}, thread, notice.reason)

    return _written(notices.still_wanted(mails), letter)


def _digests(mails: list[Mail], _now: dt.datetime) -> dict[Any, Letter | str]:
    def letter(digest: digests.Digest) -> Letter:
        return Letter("django_pm/mail/digest", {"words": sentences.DigestWords(digest)}, "digests")

    return _written(digests.still_wanted(mails), letter)


def _overdue(mails: list[Mail], now: dt.datetime) -> dict[Any, Letter | str]:
    def letter(overdue: digests.Overdue) -> Letter:
        return Letter("django_pm/mail/overdue", {"words": sentences.OverdueWords(overdue)}, "overdues")

    return _written(digests.still_overdue(mails, now), letter)


def _written(wanted: dict[Any, T | str], letter: Callable[[T], Letter]) -> dict[Any, Letter | str]:
    return {key: one if isinstance(one, str) else letter(one) for key, one in wanted.items()}


_KINDS: dict[str, Callable[[list[Mail], dt.datetime], dict[Any, Letter | str]]] = {
    MailKind.REMINDER: _reminders,
    MailKind.REPORT: _reports,
    MailKind.NOTICE: _notices,
    MailKind.DIGEST: _digests,
    MailKind.OVERDUE: _overdue,
}


def compose(mail: Mail, letter: Letter, preferences: NotificationPreferences | None) -> Message:
    """The message to one recipient, in their language and time zone. Raises ``ValidationError`` for a bad address."""
    user = mail.recipient
    address = users.email_address(user)
    if not address:
        raise ValidationError("The recipient has no e-mail address.")
    validate_email(address)
    name = users.display_name(user)
    context = {**letter.context, "recipient": user, "recipient_name": name, "site_url": app_settings.SITE_URL}
    language = _language(preferences)
    with _speaking(language), _living_in(_zone(preferences)):
        unsubscribe = unsubscribe_url(user, letter.topic or mail.kind)
        greeting, is_bidi = _begins_in(language)
        context |= {"unsubscribe_url": unsubscribe, "greeting": greeting % {"name": name}}
        context |= {"language": language, "is_bidi": is_bidi}
        subject = " ".join(render_to_string(f"{letter.template}_subject.txt", context).split())
        text = render_to_string(f"{letter.template}.txt", context)
        html = render_to_string(f"{letter.template}.html", context)
    domain = _domain(settings.DEFAULT_FROM_EMAIL)
    thread = f"<{letter.thread}@{domain}>"
    headers = {
        "Message-ID": f"<{mail.message_id}@{domain}>",
        "References": thread,
        "In-Reply-To": thread,
        "Auto-Submitted": "auto-generated",
    }
    if unsubscribe:
        headers |= {"List-Unsubscribe": f"<{unsubscribe}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    message = Message(subject=subject, body=text, to=[address], headers=headers)
    message.attach_alternative(html, "text/html")
    return message


def render_to_string(name: str, context: dict[str, Any]) -> str:
    """As Django's, which looks for the template anew each time."""
    rendered: str = _template(name).render(context)
    return rendered


@functools.lru_cache(maxsize=64)
def _template(name: str) -> Any:
    """Looked up once for all messages of which ``letters_for`` is asked together: what a site changes counts soon."""
    return get_template(name)


@functools.lru_cache(maxsize=64)
def _begins_in(_language: str) -> tuple[str, bool]:
    """The greeting in the language in force, which is this one, and whether it is written from right to left.

    Looked up as often as templates are.
    """
    return gettext("Hello %(name)s,"), translation.get_language_bidi()


def _speaking(language: str) -> AbstractContextManager[Any]:
    """This language in force. It mostly is, and to see that costs half of what it does to set and reset it."""
    return nullcontext() if translation.get_language() == language else translation.override(language)


def _living_in(zone: str) -> AbstractContextManager[Any]:
    """The same of a time zone."""
    return nullcontext() if timezone.get_current_timezone_name() == zone else timezone.override(zone)


@functools.lru_cache(maxsize=8)
def _domain(sender: str) -> str:
    """Where messages come from, and so their names."""
    return parseaddr(sender)[1].rpartition("@")[2] or str(DNS_NAME)


def _language(preferences: NotificationPreferences | None) -> str:
    """The one that will be in force: a site without translations has only its own."""
    return (language_of(preferences) if settings.USE_I18N else "") or settings.LANGUAGE_CODE


def _zone(preferences: NotificationPreferences | None) -> str:
    chosen = preferences.time_zone if preferences else ""
    return chosen if chosen and local_days.find_zone(chosen) else settings.TIME_ZONE
