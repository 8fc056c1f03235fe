"""Noting what becomes of each message of a batch, before the next one leaves. For ``sending.py``.

The database knows of each message before the next one is handed over; its disk may know later, and we remember for it
until then. With PostgreSQL, unless a pooler is in between (``DISABLE_SERVER_SIDE_CURSORS``), not even the answer is
waited for: it is read when the mail server has the next message. What has been written to a connection is executed
whether or not who wrote it is still there; so whoever is killed leaves as much as if it had been waited for.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import selectors
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

from django.db import Error, InterfaceError, OperationalError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q, QuerySet
from django.utils import timezone

from django_pm.models import Mail, MailState

logger = logging.getLogger(__name__)

UNENDED = (MailState.CLAIMED, MailState.SENDING)
OTHERS = ", ".join(f"'{state.value}'" for state in MailState if state not in UNENDED)
"""The other states, for SQL. With ``state IN`` and those, PostgreSQL may read the index of what is unfinished, and so
all rows of the claim for each message."""

UNSURE = 20
"""How many messages are noted as sent before that is known to be on the database's disk (``docs/mail.md`` says why)."""

DATABASE_AWAY = 1.0
"""Seconds between two attempts to note what was sent."""

NOTE = (
    "UPDATE {table} SET state = CASE id WHEN {begun} THEN 'sending' ELSE 'sent' END,"  # noqa: S608 (no user's value)
    " attempts = CASE id WHEN {begun} THEN {attempts} ELSE attempts END,"
    " reason = CASE id WHEN {begun} THEN reason ELSE '' END,"
    " sent_at = CASE id WHEN {begun} THEN sent_at ELSE {sent_at} END{unwaited}"
    f" WHERE id IN ({{keys}}) AND due_at = {{claimed_until}} AND state NOT IN ({OTHERS})"
)
"""That one is begun and others were taken, as far as they are still claimed. It is what ``Journal.rows`` and ``update``
would do; but it is done for each message, and to make up the statement took several times as long as to execute it."""

UNWAITED = " FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unwaited"
"""What makes PostgreSQL answer an ``UPDATE`` before that is on its disk, for this transaction alone. To wait for the
disk took about as long as to write a message."""


class Taken(NamedTuple):
    """That the server took a message, and when."""

    mail: Mail
    at: dt.datetime


class Journal:
    """Of messages that were claimed together."""

    def __init__(self, mails: Sequence[Mail]) -> None:
        self._claimed_until = mails[0].due_at
        self._using = router.db_for_write(Mail)
        self._taken: Taken | None = None
        """The last, until that is noted."""
        self._unsure: list[Taken] = []
        """Those before, of which it is noted, but perhaps not on the database's disk yet."""
        self._unread: Unread | None = None
        """The last note, until its answer is read. The connection can be asked nothing else until then."""
        self._is_in_doubt = False
        """Whether one was found not to be ours any more."""

    def begin(self, mail: Mail, *, at_once: bool) -> bool:
        """Count the attempt, and note that it may be with the server from now on; whether it is still ours.

        What has become of the one before is noted by the same statement: one commit for each message. Every
        ``UNSURE`` of them, it is waited for, and with it all that was written before is on disk.

        ``at_once`` is for who hands it over next, and asks the database nothing before that: then it may be said to be
        ours before that is known. If it was not, no further one is.
        """
        self._read_answer()
        mail.attempts += 1
        before = [self._taken] if self._taken else []
        waited = len(self._unsure) + len(before) >= UNSURE
        note = Note(mail, self._unsure + before if waited else before, self._claimed_until)
        connection = connections[self._using]
        connection.ensure_connection()
        kept = _keeps_statements(connection)
        answer = Written(connection, note, waited) if kept else Executed(connection, note, waited)
        self._unread = Unread(mail, 1 + len(before), answer)
        self._taken = None
        self._unsure = self._unsure + before
        if at_once and kept and not waited and not self._is_in_doubt:
            return True
        is_ours = self._read_answer()
        if waited:
            self._unsure = []
        return is_ours

    def took(self, mail: Mail) -> None:
        """The server did, just now. That is noted with the beginning of the next one, or in the end."""
        self._taken = Taken(mail, timezone.now())

    def rows(self, mails: Collection[Mail]) -> QuerySet[Mail]:
        """These, as far as they are still ours: a claim that ran out may be somebody else's by now."""
        return self._claimed(mails, *UNENDED)

    def note_taken(self) -> None:
        """Note the end of what the server took, for good: of the last, and of those before where that was lost.

        The last is written even if it is noted. This is waited for, and with it all that was written before is on disk.
        """
        if self._taken:
            self._unsure.append(self._taken)
            self._taken = None
        self._read_answer()
        if self._unsure:
            last = self._unsure[-1]
            ours = self._claimed([each.mail for each in self._unsure], MailState.SENT, *UNENDED)
            ended = {"state": MailState.SENT, "reason": "", "sent_at": last.at}
            ours.exclude(~Q(pk=last.mail.pk), state=MailState.SENT).update(**ended)
            self._unsure = []

    def end(self) -> None:
        """``note_taken``, even if the database went away meanwhile: as soon as it is back, while the claim holds."""
        connection = connections[self._using]
        while True:
            try:
                return self.note_taken()
            except (InterfaceError, OperationalError):
                if connection.in_atomic_block or timezone.now() > self._claimed_until:
                    raise
                logger.warning("The database is away. It is asked again, to note what was sent.")
                connection.close()
                time.sleep(DATABASE_AWAY)

    def _claimed(self, mails: Collection[Mail], *states: MailState) -> QuerySet[Mail]:
        self._read_answer()
        ours = Mail.objects.using(self._using).filter(due_at=self._claimed_until)
        return ours.filter(pk__in=[mail.pk for mail in mails], state__in=states)

    def _read_answer(self) -> bool:
        """Whether the one that was begun last is ours."""
        if (unread := self._unread) is None:
            return True
        try:
            number = unread.answer.number()
        except Error:  # whatever else interrupts the reading, a worker's soft limit for instance, leaves it to be read
            self._unread = None
            raise
        self._unread = None
        # Not all is found where what was noted with it is gone. That is in nobody's way.
        if number != unread.expected and not self.rows([unread.begun]).filter(state=MailState.SENDING).exists():
            self._is_in_doubt = True
            return False
        return True


class Note(NamedTuple):
    """What is noted with the beginning of a message."""

    begun: Mail
    taken: list[Taken]
    claimed_until: dt.datetime

    @property
    def keys(self) -> list[int]:
        return [self.begun.pk, *(each.mail.pk for each in self.taken)]

    @property
    def sent_at(self) -> dt.datetime | None:
        return self.taken[-1].at if self.taken else None


class Answer(Protocol):
    """The database's, to a note."""

    def number(self) -> int:
        """How many rows it has changed. Raises what Django does."""


class Unread(NamedTuple):
    """An answer that is to be read."""

    begun: Mail
    expected: int
    """How many rows are changed if all are still ours."""
    answer: Answer


class Executed:
    """A note as Django has statements executed: the answer is there when this is made."""

    def __init__(self, connection: BaseDatabaseWrapper, note: Note, waited: bool) -> None:
        moment = connection.ops.adapt_datetimefield_value
        values: dict[str, Any] = {"begun": note.begun.pk, "attempts": note.begun.attempts}
        values |= {"sent_at": moment(note.sent_at), "claimed_until": moment(note.claimed_until)}
        places = {name: f"%({name})s" for name in values}
        keys = {f"key{place}": key for place, key in enumerate(note.keys)}
        places["keys"] = ", ".join(f"%({name})s" for name in keys)
        may_be_lost = connection.vendor == "postgresql" and not waited and not connection.in_atomic_block
        with connection.cursor() as cursor:
            cursor.execute(_statement(connection, unwaited=UNWAITED if may_be_lost else "", **places), values | keys)
            self._number = int(cursor.rowcount)

    def number(self) -> int:
        return self._number


def _statement(connection: BaseDatabaseWrapper, **places: str) -> str:
    return NOTE.format(table=connection.ops.quote_name(Mail._meta.db_table), **places)


def _keeps_statements(connection: BaseDatabaseWrapper) -> bool:
    """Whether it is psycopg's (3), the same for each transaction, and each statement is one.

    A site says that transactions get connections of others as Django has it, by ``DISABLE_SERVER_SIDE_CURSORS``.
    """
    return (
        connection.vendor == "postgresql"
        and not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        and hasattr(connection.connection, "pgconn")
        and not connection.in_atomic_block
        and connection.get_autocommit()
    )


class Written:
    """A note that has been written to PostgreSQL when this is made, to be executed by a statement that it keeps.

    To plan it takes as long as to execute it. libpq is spoken to as its documentation has it (“Asynchronous Command
    Processing”), by psycopg's own functions for that.
    """

    def __init__(self, connection: BaseDatabaseWrapper, note: Note, waited: bool) -> None:
        self._errors = connection.wrap_database_errors
        self._execute = partial(Executed, connection, note, waited)
        self._connection: Any = connection.connection
        """psycopg's."""
        at = note.sent_at.isoformat() if note.sent_at else None
        keys = note.keys + [note.begun.pk] * (KEYS[waited] - len(note.keys))
        values = (note.begun.pk, note.begun.attempts, at, note.claimed_until.isoformat(), *keys)
        with self._errors:
            if self._connection not in _KEEPING:
                _keep(connection)
                _KEEPING.add(self._connection)
            self._server = self._connection.pgconn
            self._server.consume_input()  # a server that has hung up meanwhile is noticed here, not one message later
            parameters = [None if value is None else str(value).encode() for value in values]
            self._server.send_query_prepared(KEPT_AS[waited], parameters)
            while self._server.flush():
                self._wait(selectors.EVENT_READ | selectors.EVENT_WRITE)

    def number(self) -> int:
        """Waits for the answer."""
        with self._errors:
            self._server.consume_input()
            while self._server.is_busy():
                self._wait(selectors.EVENT_READ)
            result = self._server.get_result()
            self._server.get_result()  # there is no other; this ends the statement
            error = _error_in(result)
            if not error:
                return int(result.command_tuples)
            if error.sqlstate != FORGOTTEN:
                raise error
        _KEEPING.discard(self._connection)
        return self._execute().number()

    def _wait(self, events: int) -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._server.socket, events)
            waiting.select()
        self._server.consume_input()


KEYS = {False: 2, True: UNSURE + 1}
"""How many the statements have room for. For one list of any length, PostgreSQL would plan anew each time."""

_DIGEST = hashlib.blake2b(f"{NOTE}{UNWAITED}{KEYS}".encode(), digest_size=4).hexdigest()
KEPT_AS = {waited: f"django_pm_note_{_DIGEST}_{keys}".encode() for waited, keys in KEYS.items()}
"""By names of their own: a pooler may hand on a connection on which another release has had its own kept."""

FORGOTTEN = "26000"
"""What PostgreSQL answers if it keeps no such statement, and has done nothing: the site has had it forget all, or
psycopg, which does where it binds on the server's side, and anything is rolled back."""

KEPT_ALREADY = "42P05"

_KEEPING: WeakSet[Any] = WeakSet()
"""Connections of psycopg's whose server has the statements."""


def _keep(connection: BaseDatabaseWrapper) -> None:
    """Have it keep them."""
    psycopgs: Any = connection.connection
    names = {"begun": "$1", "attempts": "$2", "sent_at": "$3", "claimed_until": "$4"}
    for waited, name in KEPT_AS.items():
        keys = ", ".join(f"${len(names) + place}" for place in range(1, KEYS[waited] + 1))
        statement = _statement(connection, unwaited="" if waited else UNWAITED, keys=keys, **names)
        error = _error_in(psycopgs.pgconn.prepare(name, statement.encode()))
        if error and error.sqlstate != KEPT_ALREADY:  # as after an attempt that was interrupted
            raise error


def _error_in(result: Any) -> Any:
    """psycopg's error for what PostgreSQL answers, if that is one."""
    from psycopg import OperationalError, errors, pq

    if result is None:
        return OperationalError("the connection is lost")
    return None if result.status == pq.ExecStatus.COMMAND_OK else errors.error_from_result(result)
