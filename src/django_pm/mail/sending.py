"""Sending what is queued in ``models/mail.py``: claim, ask whether it is still to be sent, begin, write, send, mark.

One message for each recipient, one connection for each batch. When one has been begun, some behind it are written with
it. A claim is committed before anything is sent, and the beginning and the end of each message as they come
(``journal.py``): whoever is killed leaves at most one message that the server may have taken without our knowing. It is
sent again, with the same Message-ID, when its claim has run out.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import smtplib
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from django.core import mail as django_mail
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils import timezone, translation

from django_pm.conf import app_settings
from django_pm.garbage import unsearched
from django_pm.mail import smtp
from django_pm.mail.journal import Journal
from django_pm.mail.letters import Letter, compose, letters_for
from django_pm.mail.mime import Message
from django_pm.models import Mail, MailState, NotificationPreferences
from django_pm.models.among import among
from django_pm.models.mail import UNFINISHED

logger = logging.getLogger(__name__)

BATCH = 250
CLAIMED_FOR = dt.timedelta(minutes=3)
"""After so long a claim counts as left by a crash."""

SENDING_FOR = dt.timedelta(minutes=2)
"""After so long no further message of a batch is begun, so that no claim runs out under who holds it."""

IN_A_ROW = 50
"""How many messages are written at a time. One by one, between the steps of the talk with two servers, they take
longer: who sends had a tenth more to do."""

WRITING_FOR = 0.5
"""Seconds after which no further one is written in that row: what is written is to be sent while it is fresh."""

FRESH_FOR = dt.timedelta(seconds=5)
"""After so long it is asked again whether the rest of a batch is still to be sent."""

SOON = dt.timedelta(seconds=1)
"""In which a message is sent, unless the server is slow."""

BACK_OFF = dt.timedelta(minutes=1)
LONGEST_BACK_OFF = dt.timedelta(hours=6)
DOUBLINGS = 9
"""After so many it is longer than that. Nothing is doubled more often: in the end no ``timedelta`` would hold it."""

HUNG_UP = (0, 421)
"""After which answers, and after none, there is no talking on."""

TOO_LARGE = 552
"""What a server says to the sender already, who announces the size of each message (RFC 1870, section 6.1)."""

SERVER_AWAY = dt.timedelta(minutes=2)
"""When the server is tried again that could not be reached. It is no attempt of any message."""


class ServerAway(Exception):
    """The mail server cannot be reached, or ended the conversation."""


def send_queue(*, now: dt.datetime | None = None, for_at_most: dt.timedelta = dt.timedelta.max) -> Counter[str]:
    """Send what is due until nothing is, or the time is over; how many messages ended or went on in which state."""
    ended: Counter[str] = Counter()
    began = timezone.now()
    while timezone.now() - began < for_at_most and (batch := claim(now or timezone.now())):
        with unsearched(), Batch(batch, now) as sending:
            ended += sending.send()
        if sending.is_cut_short:
            break
    return ended


def claim(now: dt.datetime) -> list[Mail]:
    """Take the next messages, for nobody else to take; those that have failed too often are given up."""
    using = router.db_for_write(Mail)
    rows = Mail.objects.using(using)
    until = now + CLAIMED_FOR
    with transaction.atomic(using=using):
        due = rows.filter(state__in=UNFINISHED, due_at__lte=now).order_by("due_at", "pk").select_related("recipient")
        locked = list(due.select_for_update(skip_locked=True, of=("self",))[:BATCH])
        cut_off = [mail for mail in locked if mail.state == MailState.SENDING]
        rows.filter(pk__in=[mail.pk for mail in cut_off]).update(repeated=True)
        given_up = {mail.pk for mail in cut_off if mail.attempts >= app_settings.MAIL_ATTEMPTS}
        rows.filter(pk__in=given_up).update(state=MailState.FAILED, reason="It broke whoever sent it.")
        taken = sorted((mail for mail in locked if mail.pk not in given_up), key=lambda mail: mail.pk)
        rows.filter(among("pk", [mail.pk for mail in taken])).update(state=MailState.CLAIMED, due_at=until)
    for mail in taken:
        mail.was_claimed = mail.state != MailState.WAITING
        mail.state, mail.due_at = MailState.CLAIMED, until
    return taken


class Batch:
    """Messages that were claimed together, and the connection that they share."""

    def __init__(self, mails: list[Mail], now: dt.datetime | None) -> None:
        self._mails = mails
        self._now = now
        self._journal = Journal(mails)
        self._until = timezone.now() + SENDING_FOR
        self._talk: Any = None
        """With the mail server (``smtp.Talk``), while there is any."""
        self._preferences: dict[Any, NotificationPreferences] = {}
        self._verdicts: dict[Any, Letter | str | Exception] = {}
        self._messages: dict[Any, Message] = {}
        """What is written and not sent yet."""
        self._asked_at: dt.datetime | None = None
        self._ended: Counter[str] = Counter()
        self.is_cut_short = False
        """Whether the next batch would fare no better: the server is away, or the time sufficed for no message."""

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._journal.end()
        finally:
            self._disconnect()

    def send(self) -> Counter[str]:
        self._preferences = NotificationPreferences.objects.in_bulk([mail.recipient_id for mail in self._mails])
        rest = self._mails
        while rest:
            if timezone.now() > self._until:
                self.is_cut_short = len(rest) == len(self._mails)
                self._ended[MailState.WAITING] += self._put_back(rest, dt.timedelta(0), "")
                break
            try:
                if rest := self._asked_about(rest):
                    verdict = self._verdicts[rest[0].pk]
                    if self._talk and not self._talk.may_go_on_with(self._messages.get(rest[0].pk)):
                        self._disconnect()
                    if isinstance(verdict, Letter) and self._talk is None:
                        self._connect()
                        continue  # that may have taken any time, so it is asked again
                    self._ended[self._send(rest) if isinstance(verdict, Letter) else self._leave_out(rest[0])] += 1
            except ServerAway as error:
                self.is_cut_short = True
                self._ended[MailState.WAITING] += self._put_back(rest, SERVER_AWAY, str(error))
                break
            rest = rest[1:]
        return self._ended

    def _asked_about(self, rest: list[Mail]) -> list[Mail]:
        """Those of which somebody can say whether they are still to be sent, and did not long ago.

        It is asked about all of them at once. The others are left for later here and now: to ask about one may take as
        long as the database lets it, and to ask again with the rest would, each time.
        """
        if self._asked_at is not None and timezone.now() - self._asked_at <= FRESH_FOR:
            return rest
        self._journal.note_taken()  # asking takes a while, and may kill us
        self._asked_at = timezone.now()
        self._verdicts, self._messages = letters_for(rest, self._now or self._asked_at), {}
        unanswered = [mail for mail in rest if isinstance(self._verdicts[mail.pk], Exception)]
        self._ended.update(self._leave_out(mail) for mail in unanswered)
        return [mail for mail in rest if mail not in unanswered]

    def _leave_out(self, mail: Mail) -> MailState:
        """Note why one is not sent: for good, or for now, where nobody can say."""
        self._journal.note_taken()
        verdict: Any = self._verdicts[mail.pk]
        if isinstance(verdict, str):
            return self._end(mail, MailState.SKIPPED, verdict)
        mail.attempts += 1
        return self._later(mail, _said(verdict))

    def _message(self, rest: list[Mail]) -> Message:
        """That to the first of these; some behind it are written with it. Raises what ``compose`` does.

        If that kills us, any of them may be to blame, but it is the first that has been begun. So nothing is written
        with the last attempt of one; and what a claim of somebody else's has left is written by itself, when it has
        been begun itself: then it is known who breaks whoever sends it.
        """
        first, *others = rest[:IN_A_ROW]
        if first.pk not in self._messages:
            self._write(first)
            if not first.was_claimed and first.attempts < app_settings.MAIL_ATTEMPTS:
                self._write_ahead([mail for mail in others if not mail.was_claimed])
        return self._messages.pop(first.pk)

    def _write_ahead(self, mails: list[Mail]) -> None:
        """Those that are still to be sent. What goes wrong is met again, and told, when it is its turn."""
        until = time.monotonic() + WRITING_FOR
        with suppress(Exception):
            for mail in mails:
                if time.monotonic() > until:
                    break
                if isinstance(self._verdicts[mail.pk], Letter):
                    self._write(mail)

    def _is_ready(self, mail: Mail) -> bool:
        """Whether it is written, and ours to hand over, so that nothing of the host's runs before the server has it."""
        return mail.pk in self._messages and self._talk.prepare(self._messages[mail.pk]) is not None

    def _write(self, mail: Mail) -> None:
        letter: Any = self._verdicts[mail.pk]
        message = compose(mail, letter, self._preferences.get(mail.recipient_id))
        self._talk.prepare(message)
        self._messages[mail.pk] = message

    def _send(self, rest: list[Mail]) -> MailState:
        mail = rest[0]
        # Before it is written, for writing it may kill us as well as sending it.
        if not self._journal.begin(mail, at_once=self._is_ready(mail)):
            return MailState.CLAIMED  # somebody else's by now
        try:
            message = self._message(rest)
        except ValidationError as error:
            with translation.override("en"):  # as all that is stored
                return self._end(mail, MailState.FAILED, " ".join(error.messages))
        except Exception as error:  # a template that a host broke, for instance: it may be mended by the next time
            logger.exception("A message cannot be written.")
            return self._later(mail, _said(error))
        try:
            sent = self._talk.send(message, self._following(rest))
        except (smtplib.SMTPHeloError, smtplib.SMTPSenderRefused) as error:
            if error.smtp_code == TOO_LARGE:
                return self._end(mail, MailState.FAILED, _reply(error)[1])
            # It is the site that is refused: no attempt of this message.
            self._journal.rows([mail]).update(attempts=mail.attempts - 1)
            raise ServerAway(_reply(error)[1]) from error
        except Exception as error:  # backends other than Django's own raise what they like
            code, reason = _reply(error)
            final = 500 <= code < 600
            state = self._end(mail, MailState.FAILED, reason) if final else self._later(mail, reason)
            if code in HUNG_UP:  # the next message is to have a connection of its own
                self._disconnect()  # last: to a server that hangs, not even this comes to an end
            return state
        if not sent:
            return self._later(mail, "The mail backend sent nothing, and did not say why.")
        self._journal.took(mail)
        return MailState.SENT

    def _following(self, rest: list[Mail]) -> Message | None:
        """The message behind the first of these, if it is written, and nothing is to happen before it is sent.

        It is announced to the server; were it not to follow, the talk would have to begin anew.
        """
        soon = timezone.now() + SOON
        if len(rest) == 1 or self._asked_at is None or soon - self._asked_at > FRESH_FOR or soon > self._until:
            return None
        return self._messages.get(rest[1].pk)

    def _connect(self) -> None:
        self._talk = smtp.Talk(_connection())
        try:
            self._talk.open()
        except Exception as error:  # here too backends raise what they like
            self._disconnect()
            raise ServerAway(_said(error)) from error

    def _disconnect(self) -> None:
        if self._talk:
            try:
                self._talk.close()
            except Exception:
                logger.debug("The mail server was gone already.", exc_info=True)
            self._talk = None

    def _end(self, mail: Mail, state: MailState, reason: str) -> MailState:
        self._journal.rows([mail]).update(state=state, reason=reason[:500], attempts=mail.attempts)
        return state

    def _later(self, mail: Mail, reason: str) -> MailState:
        """Full jitter (Brooker, “Exponential Backoff And Jitter”): anywhere up to a bound that doubles."""
        if mail.attempts >= app_settings.MAIL_ATTEMPTS:
            return self._end(mail, MailState.FAILED, reason)
        bound = min(BACK_OFF * 2 ** min(mail.attempts, DOUBLINGS), LONGEST_BACK_OFF)
        due_at = timezone.now() + bound * random.random()  # noqa: S311
        values = {"state": MailState.WAITING, "reason": reason[:500], "attempts": mail.attempts}
        self._journal.rows([mail]).update(due_at=due_at, **values)
        return MailState.WAITING

    def _put_back(self, mails: list[Mail], pause: dt.timedelta, reason: str) -> int:
        """Leave these for later. What a killed one had claimed is still told from the others then."""
        values = {"reason": reason[:500], "due_at": timezone.now() + pause}
        left = [mail for mail in mails if mail.was_claimed]
        fresh = [mail for mail in mails if not mail.was_claimed]
        number = self._journal.rows(left).update(state=MailState.CLAIMED, **values) if left else 0
        return number + self._journal.rows(fresh).update(state=MailState.WAITING, **values)


def _connection() -> Any:
    """The host's own mail server. Django 6.1 has named mailers, and is to forget the older way."""
    if hasattr(django_mail, "mailers"):
        return django_mail.mailers.default
    return django_mail.get_connection()


def _reply(error: Exception) -> tuple[int, str]:
    """What the server said to a message that it did not take: its code (0 for none), and its words."""
    code: int
    words: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, words = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, words = error.smtp_code, error.smtp_error
    else:
        return 0, _said(error)
    return code, f"{code} {words.decode(errors='replace') if isinstance(words, bytes) else words}"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
