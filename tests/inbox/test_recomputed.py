"""After random acts, by the API and by the host's own code, each inbox holds what the rules say of the log.

The rules are written a second time here, plainly: the log is read from its beginning, and who has to do with what is
kept in sets. Nothing of `services/` is asked. `PM_LONG_TESTS=1` makes it 500 sequences of 50 acts instead of 30 of 20.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_pm.events.feed import number_all
from django_pm.events.relay import relay_events
from django_pm.models import Event, Level, Membership, Notification, Role, Watched
from django_pm.services.notifications import watching
from tests import factories
from tests.api.support import shown
from tests.events.workers import LONG
from tests.inbox.conftest import ByApi, ByOrm

pytestmark = pytest.mark.django_db

NAMES = ("ada", "ben", "cleo", "dora")
PERSON = st.sampled_from(NAMES)
SOMEBODY = st.none() | PERSON
NUMBER = st.integers(0, 5)
TEXT = st.lists(PERSON | st.sampled_from(["dig", "fill"]), max_size=3)
STATUS = st.sampled_from(["pending", "in_progress", "completed"])
LEVEL = st.sampled_from([Level.WATCHING, Level.MUTED, None])


class Log:
    """Who is to be told of each event, found from the log and from what people said, in the order of the acts."""

    def __init__(self, people: dict[str, Any]) -> None:
        self.by_login = {user.get_username(): user.pk for user in people.values()}
        self.said: dict[tuple[str, Any], dict[Any, str]] = defaultdict(dict)
        self.involved: dict[Any, set[Any]] = defaultdict(set)
        self.task_of: dict[str, Any] = {}
        self.told: set[tuple[Any, Any, str]] = set()
        self.read = 0

    def go_on(self, project: Any) -> None:
        """Read what is new, which happened under what is said and who is a member at this moment."""
        members = set(Membership.objects.filter(project=project).values_list("user", flat=True))
        for event in Event.objects.filter(project_id=project.pk, pk__gt=self.read).order_by("pk"):
            self.read = event.pk
            actor = int(event.actor_id) if str(event.actor_id).isdecimal() else event.actor_id
            for user, reason in self.of(event).items():
                if user in members and str(user) != str(actor):
                    self.told.add((user, event.uuid, reason))

    def of(self, event: Event) -> dict[Any, str]:
        changes = {name: pair for name, pair in event.changes.items() if isinstance(pair, list)}
        new = {name: pair[1] for name, pair in changes.items()}
        reasons: dict[Any, str] = {}
        if event.type in ("task.created", "task.updated"):
            task = int(event.object_id)
            if event.type == "task.updated" and "status" in changes:
                reasons |= dict.fromkeys(self.hearing(task, event.project_id), "status_changed")
            assignee = self.key(new.get("assignee"))
            if assignee is not None:
                reasons[assignee] = "assigned"
            before = self.named((changes.get("description") or ["", ""])[0] or "")
            mentioned = self.named(new.get("description") or "") - before
            reasons |= dict.fromkeys(mentioned, "mentioned")
            creator = self.key(new.get("created_by"))
            self.involve(task, event, {assignee, creator, *mentioned} - {None})
        elif event.type == "comment.created":
            task, author = new["task"], self.key(new.get("user"))
            self.task_of[event.object_id] = task
            mentioned = self.named(new.get("content") or "")
            reasons |= dict.fromkeys(self.hearing(task, event.project_id), "commented")
            reasons |= dict.fromkeys(mentioned, "mentioned")
            reasons.pop(author, None)
            self.involve(task, event, {author, *mentioned} - {None})
        elif event.type == "comment.updated" and "content" in changes:
            mentioned = self.named(new["content"]) - self.named(changes["content"][0])
            reasons |= dict.fromkeys(mentioned, "mentioned")
            self.involve(self.task_of[event.object_id], event, mentioned)
        elif event.type == "member.added":
            reasons[self.key(new["user"])] = "added"
        return reasons

    def involve(self, task: Any, event: Event, users: set[Any]) -> None:
        members = set(Membership.objects.filter(project=event.project_id).values_list("user", flat=True))
        self.involved[task] |= users & members

    def hearing(self, task: Any, project: Any) -> set[Any]:
        of_task, of_project = self.said["task", task], self.said["project", project]
        everybody = self.involved[task] | of_task.keys() | of_project.keys()
        found = set()
        for user in everybody:
            level = (
                of_task.get(user) or of_project.get(user) or ("watching" if user in self.involved[task] else "muted")
            )
            if level == "watching":
                found.add(user)
        return found

    def named(self, text: str) -> set[Any]:
        return {self.by_login[login] for login in re.findall(r"@([\w.@]+)", text) if login in self.by_login}

    @staticmethod
    def key(value: Any) -> Any:
        if value is None or isinstance(value, int):
            return value
        return UUID(value)


class Acts(RuleBasedStateMachine):
    """People who work on one project, join it, leave it, watch and mute."""

    doors: dict[str, Any]

    @initialize()
    def begin(self) -> None:
        self.people = {name: factories.make_user() for name in NAMES}
        owner = factories.make_user()
        self.project = factories.make_project(owner, dict.fromkeys(self.people.values(), Role.MEMBER))
        relay_events()
        Notification.objects.all().delete()
        self.log = Log(self.people)
        self.log.read = Event.objects.latest("pk").pk
        self.tasks: list[Any] = []
        self.comments: list[Any] = []

    def words(self, text: list[str]) -> str:
        return " ".join(f"@{self.people[word].get_username()}" if word in NAMES else word for word in text)

    def is_member(self, name: str) -> bool:
        return Membership.objects.filter(project=self.project, user=self.people[name]).exists()

    def settle(self) -> None:
        """What was done is told before the next is: who may see it, and who watches, is asked when it is told."""
        number_all()
        self.log.go_on(self.project)
        relay_events()

    @rule(by=PERSON, to=SOMEBODY, text=TEXT, door=st.sampled_from(["api", "orm"]))
    def make(self, by: str, to: str | None, text: list[str], door: str) -> None:
        if self.is_member(by) and (to is None or self.is_member(to)):
            values = {"assignee": self.people[to] if to else None, "description": self.words(text)}
            if door == "api":
                values["assignee"] = shown(values["assignee"]) if to else None
            self.tasks.append(self.doors[door].task(self.people[by], self.project, **values))
            self.settle()

    @precondition(lambda self: self.tasks)
    @rule(
        by=PERSON,
        number=NUMBER,
        to=SOMEBODY,
        status=STATUS,
        text=TEXT,
        what=st.sets(st.sampled_from(["assignee", "status", "description"])),
        door=st.sampled_from(["api", "orm"]),
    )
    def edit(
        self, by: str, number: int, to: str | None, status: str, text: list[str], what: set[str], door: str
    ) -> None:
        if not self.is_member(by) or (to is not None and not self.is_member(to)):
            return
        task = self.tasks[number % len(self.tasks)]
        assignee: Any = self.people[to] if to else None
        if door == "api":
            assignee = shown(assignee) if to else None
        every = {"assignee": assignee, "status": status, "description": self.words(text)}
        self.doors[door].edit(self.people[by], task, **{name: every[name] for name in what})
        self.settle()

    @precondition(lambda self: self.tasks)
    @rule(by=PERSON, number=NUMBER, text=TEXT, door=st.sampled_from(["api", "orm"]))
    def comment(self, by: str, number: int, text: list[str], door: str) -> None:
        if self.is_member(by):
            task = self.tasks[number % len(self.tasks)]
            content = self.words(["dig", *text])
            self.comments.append((by, self.doors[door].comment(self.people[by], task, content)))
            self.settle()

    @precondition(lambda self: self.comments)
    @rule(number=NUMBER, text=TEXT, door=st.sampled_from(["api", "orm"]))
    def edit_comment(self, number: int, text: list[str], door: str) -> None:
        by, key = self.comments[number % len(self.comments)]
        if self.is_member(by):
            self.doors[door].edit_comment(self.people[by], key, self.words(["fill", *text]))
            self.settle()

    @precondition(lambda self: self.tasks)
    @rule(by=PERSON, number=NUMBER, level=LEVEL, kind=st.sampled_from(["task", "project"]))
    def say(self, by: str, number: int, level: Level | None, kind: str) -> None:
        user, key = self.people[by], self.tasks[number % len(self.tasks)].pk if kind == "task" else self.project.pk
        if level is None:
            watching.forget(user=user, kind=Watched(kind), key=key)
            self.log.said[kind, key].pop(user.pk, None)
            if kind == "task":
                self.log.involved[key].discard(user.pk)
        else:
            watching.say(user=user, kind=Watched(kind), key=key, level=level)
            self.log.said[kind, key][user.pk] = level

    @rule(who=PERSON)
    def come_or_go(self, who: str) -> None:
        rows = Membership.objects.filter(project=self.project, user=self.people[who])
        if rows.exists():
            rows.delete()
        else:
            factories.make_member(self.project, self.people[who])
        self.settle()

    @invariant()
    def the_inboxes_are_what_the_rules_say(self) -> None:
        if hasattr(self, "log"):
            mine = Notification.objects.filter(project_id=self.project.pk)
            found = set(mine.values_list("recipient", "event_uuid", "reason"))
            assert found == self.log.told


def test_each_inbox_is_what_the_rules_say(signed_in):
    Acts.doors = {"api": ByApi(signed_in), "orm": ByOrm(signed_in)}
    run_state_machine_as_test(
        Acts,
        settings=settings(
            max_examples=500 if LONG else 30,
            stateful_step_count=50 if LONG else 20,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
