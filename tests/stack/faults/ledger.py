"""What became of everything that was written: each event at each consumer, each reminder and report at the mail server.

Asked when nobody writes and everything has come to rest. Of nothing is it enough that the numbers agree: it is compared
by id.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import psycopg

from tests.stack.faults.load import Load

MESSAGE_ID = re.compile(r"^Message-ID: <([0-9a-f-]{36})@", re.MULTILINE)
UNHEARD = "SELECT count(*) FROM django_pm_event e LEFT JOIN consumer_heard h USING (uuid) WHERE h.uuid IS NULL"
UNFINISHED = "SELECT count(*) FROM django_pm_mail WHERE state IN ('waiting', 'claimed', 'sending')"
UNREPORTED = (
    "SELECT id::text FROM django_pm_project p WHERE name = 'reported' AND created_at < now() - interval '25 hours'"
    " AND NOT EXISTS (SELECT FROM django_pm_report WHERE project_id = p.id)"
)


class Account(NamedTuple):
    """Of one consumer: what it was promised, what it never got, what came more than once, what came out of order."""

    consumer: str
    promised: int
    lost: int
    doubled: int
    disordered: int = 0
    repeats: int = 0
    """Mail that came again with the same Message-ID, as the promise allows where its sender is killed."""

    @property
    def is_kept(self) -> bool:
        return not (self.lost or self.doubled or self.disordered)

    def __str__(self) -> str:
        again = f", {self.repeats} came again under the same Message-ID" if self.repeats else ""
        return (
            f"{self.consumer:>34}: {self.promised:>6} promised, {self.lost} lost, {self.doubled} doubled, "
            f"{self.disordered} out of order{again}"
        )


class Ledger:
    """The accounts of one stack."""

    def __init__(self, database: str, load: Load, said: Any) -> None:
        self._database, self._load, self._said = database, load, said

    def rows(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self._database, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    # Rest

    def is_at_rest(self) -> bool:
        """Whether all that was written has come to wherever it goes. To be asked while nobody writes.

        What makes something is asked before what becomes of it: the other way round it could be made in between.
        """
        try:
            if self.rows(UNREPORTED) or self._soon() - {int(key) for (key,) in self._mail("reminder")}:
                return False
            [(unsent,)], [(unheard,)] = self.rows(UNFINISHED), self.rows(UNHEARD)
        except psycopg.OperationalError:
            return False
        return not (unsent or unheard) and not any(map(self._is_behind, self._load.followers))

    def _is_behind(self, follower: Any) -> bool:
        return bool(self._promised_to(follower) - {(each.project, each.seq) for each in follower.heard})

    def _mail(self, kind: str) -> list[Any]:
        return self.rows("SELECT object_id FROM django_pm_mail WHERE kind = %s", kind)

    def _soon(self) -> set[int]:
        return set(self._load.written.soon)

    # Accounts

    def accounts(self) -> Iterator[Account]:
        """What everybody was promised and got."""
        yield self._writes()
        yield self._halves()
        yield self._counts()
        for follower in self._load.followers:
            yield self._follower(follower)
        yield self._subscriber()
        for kind in ("reminder", "report"):
            yield self._letters(kind)

    def _writes(self) -> Account:
        """Each write that was answered with success is there, once, however often it was sent."""
        written = self._load.written
        lost = doubled = promised = 0
        for table, column, told in (
            ("django_pm_task", "title", written.tasks),
            ("django_pm_comment", "content", written.comments),
            ("django_pm_project", "name", written.projects),
        ):
            rows = self.rows(f"SELECT {column}, id FROM {table} WHERE {column} ~ '^w[0-9]+ '")  # noqa: S608
            there = Counter(text for text, _id in rows)
            promised += len(told)
            lost += len(set(told.items()) - set(rows))
            doubled += sum(number > 1 for number in there.values())
        return Account("writes answered with success", promised, lost, doubled)

    def _halves(self) -> Account:
        """A row without its event, an event without its row, a project without its owner."""
        halves = 0
        [(rows,)] = self.rows("SELECT count(*) FROM django_pm_event WHERE type LIKE '%%.created'")
        for table in ("task", "comment", "project"):
            [(number,)] = self.rows(
                f"SELECT count(*) FROM django_pm_{table} o FULL JOIN"  # noqa: S608
                " (SELECT object_id::bigint AS id FROM django_pm_event WHERE type = %s) e USING (id)"
                " WHERE o.id IS NULL OR e.id IS NULL",
                f"{table}.created",
            )
            halves += number
        [(ownerless,)] = self.rows(
            "SELECT count(*) FROM django_pm_project p WHERE NOT EXISTS"
            " (SELECT FROM django_pm_membership m JOIN django_pm_event e ON e.type = 'member.added'"
            " AND e.object_id = m.id::text WHERE m.project_id = p.id AND m.role = 'owner')"
        )
        return Account("rows with their events", rows, halves + ownerless, 0)

    def _counts(self) -> Account:
        """Each counter has gone through every number, one after the other, as its events tell."""
        lost = doubled = disordered = promised = 0
        for task, count in self._load.written.counts.items():
            told = self.rows(
                "SELECT changes->'title'->>0, changes->'title'->>1 FROM django_pm_event"
                " WHERE type = 'task.updated' AND object_id = %s ORDER BY seq",
                str(task),
            )
            [(title,)] = self.rows("SELECT title FROM django_pm_task WHERE id = %s", task)
            promised += count
            numbers = Counter(int(after) for _before, after in told)
            lost += len(set(range(1, count + 1)) - numbers.keys()) + (int(title) != count)
            doubled += sum(number - 1 for number in numbers.values())
            disordered += sum(int(before) + 1 != int(after) for before, after in told)
        return Account("edits of counters", promised, lost, doubled, disordered)

    def _promised_to(self, follower: Any) -> set[tuple[Any, int]]:
        person = follower.person
        begins = {person.growing: 0, person.counting: 0} | follower.begins
        numbered = "SELECT project_id, seq FROM django_pm_event WHERE project_id = ANY(%s) AND seq IS NOT NULL"
        events = self.rows(numbered, list(begins))
        return {(project, seq) for project, seq in events if seq > begins[project]}

    def _follower(self, follower: Any) -> Account:
        assert not follower.trouble, follower.trouble
        assert not follower.resets, follower.resets
        promised = self._promised_to(follower)
        heard = Counter((each.project, each.seq) for each in follower.heard)
        ids = dict(self._ids())
        foreign = sum(ids.get((each.project, each.seq)) != each.uuid for each in follower.heard)
        lost = len(promised - heard.keys()) + foreign
        doubled = sum(number - 1 for number in heard.values())
        order = _disorder((each.project, each.seq) for each in follower.heard)
        return Account(f"events on the socket of {person_of(follower)}", len(promised), lost, doubled, order)

    def _ids(self) -> Iterator[tuple[tuple[Any, int], str]]:
        for project, seq, uuid in self.rows("SELECT project_id, seq, uuid::text FROM django_pm_event"):
            yield (project, seq), uuid

    def _subscriber(self) -> Account:
        """What it notes is committed with its place, so nothing comes twice."""
        events = {uuid for (uuid,) in self.rows("SELECT uuid FROM django_pm_event")}
        rows = self.rows("SELECT uuid, project_id, seq FROM consumer_heard ORDER BY id")
        heard = Counter(uuid for uuid, _project, _seq in rows)
        doubled = sum(number - 1 for number in heard.values())
        order = _disorder((project, seq) for _uuid, project, seq in rows)
        return Account("events at the subscriber", len(events), len(events - heard.keys()), doubled, order)

    def _letters(self, kind: str) -> Account:
        """A row is one recipient, thing and occasion; the same thing by two Message-IDs would be doubled."""
        rows = self.rows("SELECT message_id::text, object_id, state FROM django_pm_mail WHERE kind = %s", kind)
        arrived = Counter(MESSAGE_ID.findall(self._said("mailpit-1.log")))
        things = Counter(key for _message, key, _state in rows)
        promised = {str(key) for key in self._soon()} if kind == "reminder" else self._reports()
        lost = len(promised - things.keys()) + sum(not arrived[message] for message, _key, _state in rows)
        known = {message for (message,) in self.rows("SELECT message_id::text FROM django_pm_mail")}
        doubled = sum(number - 1 for number in things.values()) + len(arrived.keys() - known)
        repeats = sum(arrived[message] - 1 for message, _key, _state in rows if arrived[message])
        return Account(f"{kind}s at the mail server", len(promised), lost, doubled, repeats=repeats)

    def _reports(self) -> set[str]:
        """Each is told by one event, and there is one for each project that has been there for days."""
        events = self.rows("SELECT object_id FROM django_pm_event WHERE type = 'report.generated'")
        told = Counter(key for (key,) in events)
        made = {str(key) for (key,) in self.rows("SELECT id FROM django_pm_report")}
        assert told == Counter(made), "a report without its event, or with two, or an event without its report"
        return made | {f"project {key}" for (key,) in self.rows(UNREPORTED)}


def person_of(follower: Any) -> str:
    return str(follower.person.name)


def _disorder(places: Iterable[tuple[Any, int]]) -> int:
    """How many come behind a later one of the same project."""
    heads: dict[Any, int] = {}
    number = 0
    for project, seq in places:
        number += seq <= heads.get(project, 0)
        heads[project] = max(seq, heads.get(project, 0))
    return number
