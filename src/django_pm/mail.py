"""Sending what is queued in ``models/mail.py``: claim, ask whether it is still to be sent, begin, write, send, mark.

One message for each recipient, one connection for each batch. When one has been begun, some behind it are written with
it. A claim is committed before anything is sent, and the beginning and the end of each message as they come: whoever is
killed leaves at most one message that the server may have taken without our knowing. It is sent again, with the same
Message-ID, when its claim has run out. The database knows of each message before the next one leaves; its disk may know
later, and we remember for it until then.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import smtplib
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from django.core import mail as django_mail
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q, QuerySet
from django.utils import timezone, translation

from django_pm import smtp
from django_pm.conf import app_settings
from django_pm.letters import Letter, compose, letters_for
from django_pm.mime import Message
from django_pm.models import Mail, MailState, NotificationPreferences
from django_pm.models.mail import UNFINISHED

logger = logging.getLogger(__name__)

BATCH = 250
CLAIMED_FOR = dt.timedelta(minutes=3)
"""After so long a claim counts as left by a crash."""

SENDING_FOR = dt.timedelta(minutes=2)
"""After so long no further message of a batch is begun, so that no claim runs out under who holds it."""

IN_A_ROW = 25
"""How many messages are written at a time. One by one, between the steps of the talk with two servers, they take
longer: who sends had a tenth more to do."""

WRITING_FOR = 0.5
"""Seconds after which no further one is written in that row: what is written is to be sent while it is fresh."""

FRESH_FOR = dt.timedelta(seconds=5)
"""After so long it is asked again whether the rest of a batch is still to be sent."""

BACK_OFF = dt.timedelta(minutes=1)
LONGEST_BACK_OFF = dt.timedelta(hours=6)
DOUBLINGS = 9
"""After so many it is longer than that. Nothing is doubled more often: in the end no ``timedelta`` would hold it."""

HUNG_UP = (0, 421)
"""After which answers, and after none, there is no talking on."""

TOO_LARGE = 552
"""What a server says to the sender already, who announces the size of each message (RFC 1870, section 6.1)."""

UNENDED = (MailState.CLAIMED, MailState.SENDING)
OTHERS = ", ".join(f"'{state.value}'" for state in MailState if state not in UNENDED)
"""The other states, for SQL. With ``state IN`` and those, PostgreSQL may read the index of what is unfinished, and so
all rows of the claim for each message."""

UNSURE = 20
"""How many messages are noted as sent before that is known to be on the database's disk (``docs/mail.md`` says why)."""

DATABASE_AWAY = 1.0
"""Seconds between two attempts to note what was sent."""

SERVER_AWAY = dt.timedelta(minutes=2)
"""When the server is tried again that could not be reached. It is no attempt of any message."""


class ServerAway(Exception):
    """The mail server cannot be reached, or ended the conversation."""


def send_queue(*, now: dt.datetime | None = None, for_at_most: dt.timedelta = dt.timedelta.max) -> Counter[str]:
    """Send what is due until nothing is, or the time is over; how many messages ended or went on in which state."""
    ended: Counter[str] = Counter()
    began = timezone.now()
    while timezone.now() - began < for_at_most and (batch := claim(now or timezone.now())):
        with Batch(batch, now) as sending:
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
        rows.filter(pk__in=[mail.pk for mail in taken]).update(state=MailState.CLAIMED, due_at=until)
    for mail in taken:
        mail.was_claimed = mail.state in UNENDED
        mail.state, mail.due_at = MailState.CLAIMED, until
    return taken


class Batch:
    """Messages that were claimed together, and the connection that they share."""

    def __init__(self, mails: list[Mail], now: dt.datetime | None) -> None:
        self._mails = mails
        self._now = now
        self._until = timezone.now() + SENDING_FOR
        self._connection: Any = None
        self._preferences: dict[Any, NotificationPreferences] = {}
        self._verdicts: dict[Any, Letter | str | Exception] = {}
        self._messages: dict[Any, Message] = {}
        """What is written and not sent yet."""
        self._asked_at: dt.datetime | None = None
        self._taken: tuple[Mail, dt.datetime] | None = None
        """What the server took last, and when, until that is noted."""
        self._unsure: list[tuple[Mail, dt.datetime]] = []
        """The same of those before, of which that is noted, but perhaps not on the database's disk yet."""
        self._ended: Counter[str] = Counter()
        self.is_cut_short = False
        """Whether the next batch would fare no better: the server is away, or the time sufficed for no message."""

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._note_in_the_end()
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
                    if isinstance(verdict, Letter) and self._connection is None:
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
        self._note_taken()  # asking takes a while, and may kill us
        self._asked_at = timezone.now()
        self._verdicts, self._messages = letters_for(rest, self._now or self._asked_at), {}
        unanswered = [mail for mail in rest if isinstance(self._verdicts[mail.pk], Exception)]
        self._ended.update(self._leave_out(mail) for mail in unanswered)
        return [mail for mail in rest if mail not in unanswered]

    def _leave_out(self, mail: Mail) -> MailState:
        """Note why one is not sent: for good, or for now, where nobody can say."""
        self._note_taken()
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

    def _write(self, mail: Mail) -> None:
        letter: Any = self._verdicts[mail.pk]
        message = compose(mail, letter, self._preferences.get(mail.recipient_id))
        smtp.prepare(self._connection, message)
        self._messages[mail.pk] = message

    def _send(self, rest: list[Mail]) -> MailState:
        mail = rest[0]
        if not self._begin(mail):  # before it is written, for writing it may kill us as well as sending it
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
            sent = smtp.send(self._connection, message)
        except (smtplib.SMTPHeloError, smtplib.SMTPSenderRefused) as error:
            if error.smtp_code == TOO_LARGE:
                return self._end(mail, MailState.FAILED, _reply(error)[1])
            # It is the site that is refused: no attempt of this message.
            self._rows([mail]).update(attempts=mail.attempts - 1)
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
        self._taken = mail, timezone.now()
        return MailState.SENT

    def _connect(self) -> None:
        if self._connection is None:
            connection = _connection()
            try:
                connection.open()
                smtp.greet(connection)
            except Exception as error:  # here too backends raise what they like
                self._connection = connection
                self._disconnect()
                raise ServerAway(_said(error)) from error
            self._connection = connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except Exception:
                logger.debug("The mail server was gone already.", exc_info=True)
            self._connection = None

    def _rows(self, mails: Collection[Mail]) -> QuerySet[Mail]:
        """These, as far as they are still ours: a claim that ran out may be somebody else's by now."""
        return self._claimed(mails, *UNENDED)

    def _claimed(self, mails: Collection[Mail], *states: MailState) -> QuerySet[Mail]:
        ours = Mail.objects.using(router.db_for_write(Mail)).filter(due_at=self._mails[0].due_at)
        return ours.filter(pk__in=[mail.pk for mail in mails], state__in=states)

    def _begin(self, mail: Mail) -> bool:
        """Count the attempt, and note that it may be with the server from now on; whether it is still ours.

        What has become of the one before is noted by the same statement: one commit for each message. Every
        ``UNSURE`` of them, it is waited for, and with it all that was written before is on disk.
        """
        mail.attempts += 1
        before = [self._taken] if self._taken else []
        waiting = len(self._unsure) + len(before) >= UNSURE
        taken = self._unsure + before if waiting else before
        noted = _note(mail, taken, self._mails[0].due_at, waiting)
        self._taken = None
        self._unsure = [] if waiting else self._unsure + before
        return noted == 1 + len(before) or self._rows([mail]).filter(state=MailState.SENDING).exists()

    def _note_taken(self) -> None:
        """Note the end of what the server took, for good: of the last, and of those before where that was lost.

        The last is written even if it is noted. This is waited for, and with it all that was written before is on disk.
        """
        if self._taken:
            self._unsure.append(self._taken)
            self._taken = None
        if self._unsure:
            last, sent_at = self._unsure[-1]
            ours = self._claimed([mail for mail, _at in self._unsure], MailState.SENT, *UNENDED)
            ours.exclude(~Q(pk=last.pk), state=MailState.SENT).update(state=MailState.SENT, reason="", sent_at=sent_at)
            self._unsure = []

    def _note_in_the_end(self) -> None:
        """The same, even if the database went away meanwhile: as soon as it is back, while the claim holds."""
        connection = connections[router.db_for_write(Mail)]
        while True:
            try:
                return self._note_taken()
            except (InterfaceError, OperationalError):
                if connection.in_atomic_block or timezone.now() > self._mails[0].due_at:
                    raise
                logger.warning("The database is away. It is asked again, to note what was sent.")
                connection.close()
                time.sleep(DATABASE_AWAY)

    def _end(self, mail: Mail, state: MailState, reason: str) -> MailState:
        self._rows([mail]).update(state=state, reason=reason[:500], attempts=mail.attempts)
        return state

    def _later(self, mail: Mail, reason: str) -> MailState:
        """Full jitter (Brooker, “Exponential Backoff And Jitter”): anywhere up to a bound that doubles."""
        if mail.attempts >= app_settings.MAIL_ATTEMPTS:
            return self._end(mail, MailState.FAILED, reason)
        bound = min(BACK_OFF * 2 ** min(mail.attempts, DOUBLINGS), LONGEST_BACK_OFF)
        due_at = timezone.now() + bound * random.random()  # noqa: S311
        values = {"state": MailState.WAITING, "reason": reason[:500], "attempts": mail.attempts}
        self._rows([mail]).update(due_at=due_at, **values)
        return MailState.WAITING

    def _put_back(self, mails: list[Mail], pause: dt.timedelta, reason: str) -> int:
        """Leave these for later. What a killed one had claimed is still told from the others then."""
        values = {"reason": reason[:500], "due_at": timezone.now() + pause}
        left = [mail for mail in mails if mail.was_claimed]
        fresh = [mail for mail in mails if not mail.was_claimed]
        number = self._rows(left).update(state=MailState.CLAIMED, **values) if left else 0
        return number + self._rows(fresh).update(state=MailState.WAITING, **values)


def _note(begun: Mail, taken: list[tuple[Mail, dt.datetime]], claimed_until: dt.datetime, waiting: bool) -> int:
    """That the one is begun and the others were taken, as far as they are still claimed; how many that changes.

    It is what ``Batch._rows`` and ``update`` would do. But it is done for each message, and to make up the statement
    took several times as long as to execute it.
    """
    connection = connections[router.db_for_write(Mail)]
    moment = connection.ops.adapt_datetimefield_value
    key = begun.pk
    keys = [key, *(mail.pk for mail, _at in taken)]
    sent_at = taken[-1][1] if taken else None
    unwaited = "" if waiting else _unwaited(connection)
    with _preparing(connection) as cursor:
        cursor.execute(
            f"UPDATE {connection.ops.quote_name(Mail._meta.db_table)}"  # noqa: S608 (no value in it but a table's name)
            " SET state = CASE id WHEN %s THEN 'sending' ELSE 'sent' END,"
            " attempts = CASE id WHEN %s THEN %s ELSE attempts END,"
            " reason = CASE id WHEN %s THEN reason ELSE '' END,"
            " sent_at = CASE id WHEN %s THEN sent_at ELSE %s END"
            f"{unwaited} WHERE id IN ({', '.join(['%s'] * len(keys))}) AND due_at = %s AND state NOT IN ({OTHERS})",
            [key, key, begun.attempts, key, key, moment(sent_at), *keys, moment(claimed_until)],
        )
        return int(cursor.rowcount)


def _preparing(connection: BaseDatabaseWrapper) -> Any:
    """A cursor by which PostgreSQL is asked to plan a statement once, if the site has set ``prepare_threshold``.

    To plan the one above takes as long as to execute it. Django's own cursor puts values into statements itself, so no
    two are the same.
    """
    if connection.vendor != "postgresql" or connection.settings_dict["OPTIONS"].get("prepare_threshold") is None:
        return connection.cursor()
    from psycopg import Cursor

    connection.ensure_connection()
    return connection.make_cursor(Cursor(connection.connection))  # type: ignore[arg-type]


def _unwaited(connection: BaseDatabaseWrapper) -> str:
    """What makes PostgreSQL answer an ``UPDATE`` before that is on its disk, for this transaction alone.

    To wait for the disk took about as long as to write a message. See ``Batch._note_taken``.
    """
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        return ""
    return " FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unwaited"


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
