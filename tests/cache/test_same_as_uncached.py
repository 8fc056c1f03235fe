"""Whatever is written, and by whom: a list that is kept is at every moment what would be made anew.

Random acts, through the API and by a host's own calls. After each, everybody asks for the same lists: twice with the
cache, so that the second answer is a kept one, once with all tags that were ever seen, and once without the cache.
`PM_LONG_TESTS=1` makes it 150 sequences of 40 acts instead of 3 of 10.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from rest_framework.test import APIClient

from django_pm.api import lists
from django_pm.events import feed
from django_pm.events.relay import relay_events
from django_pm.events.retention import prune_all, rotate_epoch
from django_pm.models import Comment, Membership, Project, Role, Task
from tests.cache.support import plainly
from tests.events.test_rebuild import WRITES, Host
from tests.events.workers import LONG
from tests.factories import make_project, make_superuser, make_token, make_user

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES, ACTS = (150, 40) if LONG else (3, 10)

TASK_QUERIES: list[dict[str, Any]] = [
    {},
    *({"ordering": sign + column} for column in ("created_at", "updated_at", "due_date") for sign in ("", "-")),
    {"ordering": "priority", "page_size": 2},
    {"ordering": "-title", "page_size": 3, "count": "true"},
    {"page_size": 1},
    {"status": ["pending", "completed"]},
    {"status": "in_progress", "count": "true"},
    {"priority": ["high", "urgent", "none"]},
    {"due_before": "2030-01-02T00:00:00Z"},
    {"due_after": "2030-01-02T00:00:00+01:00", "ordering": "due_date", "page_size": 2},
    {"search": "dig"},
    {"search": "é", "page_size": 1},
    {"overdue": "true"},
    {"colour": "red"},
    {"page_size": "x"},
    {"project": "{project}"},
    {"project": "{project}", "count": "true", "page_size": 2, "ordering": "-updated_at"},
    {"project": "{other}", "status": "completed"},
    {"assignee": "{user}"},
]
PROJECT_QUERIES: list[dict[str, Any]] = [
    {},
    {"ordering": "name", "page_size": 1},
    {"ordering": "-updated_at"},
    {"ordering": "created_at", "count": "true"},
    {"search": "o"},
]
CHILD_QUERIES: list[dict[str, Any]] = [{}, {"page_size": 1}, {"count": "true"}]
PATHS = {
    "/tasks/": TASK_QUERIES,
    "/projects/": PROJECT_QUERIES,
    "/tasks/{task}/comments/": [*CHILD_QUERIES, {"ordering": "-created_at"}, {"ordering": "updated_at"}],
    "/projects/{project}/members/": [*CHILD_QUERIES, {"ordering": "-id"}],
    "/projects/{other}/members/": [{}],
}
LISTS = [(path, query) for path, queries in PATHS.items() for query in queries]
PLAIN = [(path, {}) for path in PATHS]

ACTS_OF_A_HOST: dict[str, Callable[[Site], Any]] = {}
"""What `tests/events/test_rebuild.py` does not do, since it changes no row that it looks at, or none at all."""


def act(method: Callable[[Site], Any]) -> Callable[[Site], Any]:
    ACTS_OF_A_HOST[method.__name__] = method
    return method


class Site:
    """A host that writes, and those who read."""

    def __init__(self, asked: list[tuple[str, dict[str, Any]]], pages: int) -> None:
        self.host = Host()
        self.host.found()
        north, south = self.projects = list(Project.objects.order_by("pk"))
        self.hidden = make_project(make_user("hermit"))
        self.task = north.tasks.order_by("pk")[0]
        self.regular = [make_user(name) for name in ("regular", "removed")]
        for user in self.regular:
            for project in (north, south):
                Membership.objects.create(project=project, user=user, role=Role.VIEWER)
        north.memberships.get(user=self.regular[1]).delete()
        self.second = make_superuser("second")
        self.token = make_token(self.host.users[0], [north])
        names = {"project": north.pk, "other": south.pk, "task": self.task.pk, "user": self.host.users[0].pk}
        self.urls = [url_of(path, query, names) for path, query in asked]
        self.most_pages = pages
        self.further: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.tags: dict[str, list[str]] = {}
        self.asked = self.kept = self.unchanged = 0

    @property
    def random(self) -> Any:
        return self.host.random

    def do(self, name: str, number: int) -> None:
        if name in WRITES:
            self.host.do(name, number)
        else:
            self.random.seed(number)
            ACTS_OF_A_HOST[name](self)

    # Who asks

    def readers(self) -> dict[str, APIClient]:
        host = self.host
        users = [host.users[0], host.boss, *self.regular, self.second, host.stranger.handler._force_user]
        readers = {}
        for user in get_user_model()._default_manager.filter(pk__in=[user.pk for user in users]):
            readers[user.get_username()] = APIClient()
            readers[user.get_username()].force_authenticate(user)
        for name, token in (("token", self.token),):
            readers[name] = APIClient(HTTP_AUTHORIZATION=f"Bearer {token.secret}")
        return readers

    def check(self) -> None:
        """Everybody is told the same with the cache and without it."""
        for name, client in self.readers().items():
            for url in [*self.urls, *self.further]:
                self.ask(name, client, url)

    def ask(self, name: str, client: APIClient, url: str) -> None:
        made, kept = client.get(url), client.get(url)
        known = self.tags.setdefault(url, [])
        seen = client.get(url, HTTP_IF_NONE_MATCH=", ".join(known[-300:])) if known else None
        plain = plainly(client, url)
        about = (name, url, plain.content)
        for answer in (made, kept):
            assert (answer.status_code, answer.content) == (plain.status_code, plain.content), (answer.content, *about)
        assert "ETag" not in plain.headers, about
        self.asked += 1
        tag = kept.headers.get("ETag")
        assert made.headers.get("ETag") in {None, tag}, about
        assert made.headers["Content-Type"] == plain.headers["Content-Type"]
        if tag is not None:
            assert self.bodies.setdefault(tag, kept.content) == kept.content, about
            self.kept += 1
        if seen is not None and seen.status_code == 304:
            assert self.bodies[seen.headers["ETag"]] == plain.content, about
            assert not seen.content
            self.unchanged += 1
        elif seen is not None:
            assert (seen.status_code, seen.content) == (plain.status_code, plain.content), about
        if tag is not None and tag not in known:
            known.append(tag)
        if plain.status_code == 200:
            self.follow(plain.json())

    def follow(self, body: dict[str, Any]) -> None:
        """A page that was once there is asked for from then on."""
        for link in (body["next"], body["previous"]):
            if link and link not in self.further and len(self.further) < self.most_pages:
                self.further.append(link)

    # What is written besides

    @act
    def stamp(self) -> None:
        """Only the time of the last change, which no save would leave."""
        rows = self.random.choice([Task, Comment, Project, Membership]).objects.all()
        time = dt.datetime(2031, 1, self.random.randint(1, 28), tzinfo=dt.UTC)
        if self.random.random() < 0.6:
            rows.filter(pk__in=[row.pk for row in self.host.some(rows)]).update(updated_at=time)
        else:
            found = self.host.some(rows)
            for row in found:
                row.updated_at = time
            rows.bulk_update(found, ["updated_at"])

    @act
    def save_a_stamp(self) -> None:
        row = self.host.pick(self.random.choice([Task, Comment, Project]).objects.all())
        if row:
            row.updated_at = dt.datetime(2032, 1, 1, tzinfo=dt.UTC)
            row.save(update_fields=self.random.choice([None, ["updated_at"]]))

    @act
    def date_back(self) -> None:
        rows = self.random.choice([Task, Comment, Project]).objects.all()
        time = dt.datetime(2019, 1, self.random.randint(1, 28), tzinfo=dt.UTC)
        rows.filter(pk__in=[row.pk for row in self.host.some(rows)]).update(created_at=time)

    @act
    def change_the_type_of_a_number(self) -> None:
        """What Python takes for equal, and JSON does not."""
        row = self.host.pick(self.random.choice([Task, Project]).objects.all())
        if row:
            value = {"n": self.random.choice([1, True, 1.0, 0, False, [1], [True], {"deep": [1, {"x": 1.0}]}])}
            rows = type(row).objects.filter(pk=row.pk)
            rows.update(metadata={"n": self.random.choice([1, [1], {"deep": [True, {"x": 1}]}])})
            self.check()
            if self.random.random() < 0.5:
                rows.update(metadata=value)
            else:
                row = rows.get()
                row.metadata = value
                row.save()

    @act
    def toggle_a_superuser(self) -> None:
        user = self.host.pick([*self.host.users, *self.regular, self.second])
        user.is_superuser = not user.is_superuser
        get_user_model()._default_manager.filter(pk=user.pk).update(is_superuser=user.is_superuser)

    @act
    def toggle_somebody(self) -> None:
        user = self.host.pick([*self.regular, self.second])
        user.is_active = not user.is_active
        user.save()

    @act
    def rename_somebody(self) -> None:
        user = self.host.pick(self.host.users)
        get_user_model()._default_manager.filter(pk=user.pk).update(password="!")

    @act
    def join_or_leave(self) -> None:
        project, user = self.host.pick(Project.objects.all()), self.host.pick(self.regular)
        if project:
            member = project.memberships.filter(user=user)
            if member.exists():
                self.random.choice([member.delete, lambda: member.get().delete()])()
            else:
                project.memberships.create(user=user, role=self.random.choice(list(Role)))

    @act
    def limit_the_token(self) -> None:
        self.token.every_project = self.random.random() < 0.2
        self.token.save()
        self.token.projects.set(self.host.some(Project.objects.all()))

    @act
    def number(self) -> None:
        feed.number_all()

    @act
    def prune(self) -> None:
        prune_all(count=self.random.randint(1, 5))
        call_command("pm_prune", verbosity=0)

    @act
    def rotate(self) -> None:
        rotate_epoch()

    @act
    def relay(self) -> None:
        relay_events()

    @act
    def forget(self) -> None:
        """Another process, which has only what all have."""
        lists.answers.local.clear()

    @act
    def lose_a_savepoint(self) -> None:
        memory, users = list(self.host.memory), list(self.host.users)
        with transaction.atomic():
            self.some_write()
            kept = list(self.host.users)
            with transaction.atomic():
                self.some_write()
                self.some_write()
                transaction.set_rollback(True)
            users, self.host.users = kept, kept
            if self.random.random() < 0.5:
                self.some_write()
                users = self.host.users
        self.host.memory, self.host.users = memory, users

    @act
    def read_inside_a_transaction(self) -> None:
        """What has not been committed is kept for nobody."""
        clients = list(self.readers().values())
        memory, users = list(self.host.memory), list(self.host.users)
        with transaction.atomic():
            self.some_write()
            for client in clients:
                for url in self.urls:
                    assert "ETag" not in client.get(url).headers
            if self.random.random() < 0.7:
                transaction.set_rollback(True)
                self.host.memory, self.host.users = memory, users

    def some_write(self) -> None:
        name = self.random.choice([name for name in WRITES if name not in {"roll_back", "together"}])
        self.host.do(name, self.random.randrange(2**16))


def url_of(path: str, query: dict[str, Any], names: dict[str, Any]) -> str:
    filled = {name: value.format(**names) if isinstance(value, str) else value for name, value in query.items()}
    return path.format(**names) + (f"?{urlencode(filled, doseq=True)}" if filled else "")


NAMES = sorted(WRITES)
OURS = sorted(ACTS_OF_A_HOST)


def test_what_is_kept_is_what_would_be_made(monkeypatch):
    counts = {"asked": 0, "kept": 0, "unchanged": 0, "acts": 0}

    class Machine(RuleBasedStateMachine):
        site: Site

        @initialize(
            asked=st.lists(st.sampled_from(LISTS), min_size=3, max_size=4),
            resync_above=st.sampled_from([1_000, 1_000, 2]),
            number_above=st.sampled_from([200, 2]),
        )
        def begin(self, asked: list[tuple[str, dict[str, Any]]], resync_above: int, number_above: int) -> None:
            monkeypatch.setattr("django_pm.models.recorder.RESYNC_ABOVE", resync_above)
            monkeypatch.setattr("django_pm.events.feed.NUMBER_ABOVE", number_above)
            lists.answers.local.clear()
            self.site = Site([*PLAIN, *asked], pages=2)
            self.site.check()

        @rule(name=st.sampled_from(NAMES), number=st.integers(0, 2**16))
        def write(self, name: str, number: int) -> None:
            self.act(name, number)

        @rule(name=st.sampled_from(OURS), number=st.integers(0, 2**16))
        def act(self, name: str, number: int) -> None:
            self.site.do(name, number)
            self.site.check()
            counts["acts"] += 1

        def teardown(self) -> None:
            if hasattr(self, "site"):
                for name in ("asked", "kept", "unchanged"):
                    counts[name] += getattr(self.site, name)
            call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=ACTS,
            deadline=None,
            database=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
            print_blob=True,
        ),
    )
    print(json.dumps(counts))  # noqa: T201
    assert counts["kept"] > counts["asked"] / 3, counts
    assert counts["unchanged"] > counts["asked"] / 5, counts
