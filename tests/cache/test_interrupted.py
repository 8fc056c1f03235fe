"""Somebody commits between any two statements of a reader: the list is one of before or after, and so is what is kept.

This is about the real statements (`api/lists.py`, `events/feed.py`, `events/snapshots.py`) on PostgreSQL; the order of
everything else is played in `test_coherence.py`.
"""

import json

import pytest
from django.core.cache import caches
from rest_framework.test import APIClient

from django_pm.api import lists
from django_pm.events import feed
from django_pm.models import Membership, Project, Task
from tests import factories
from tests.events.workers import Session, interrupted, without_recorder

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

PATHS = [
    "/tasks/",
    "/tasks/?project={project}",
    "/projects/",
    "/projects/{project}/members/",
    "/tasks/{task}/comments/",
]
MOST_STATEMENTS = 40


class World:
    """Two projects; `reader` sees one or both, `both` always both, `one` the first."""

    def __init__(self):
        self.both = factories.make_user()
        self.reader, self.one = factories.make_user(), factories.make_user()
        self.first, self.second = (factories.make_project(self.both) for _ in range(2))
        for user in (self.reader, self.one):
            factories.make_member(self.first, user)
        self.task = factories.make_task(self.first, title="0")
        factories.make_comment(self.task)
        factories.make_task(self.second, title="0")
        feed.number_all()

    @property
    def users(self):
        return [self.reader, self.one, self.both]

    def edit(self):
        Task.objects.filter(pk=self.task.pk).update(title=f"{int(Task.objects.get(pk=self.task.pk).title) + 1}")

    def say_nothing(self):
        """The reader sees the second project from now on, or no more, and no event tells of it."""
        with without_recorder():
            if not Membership.objects.filter(project=self.second, user=self.reader).delete()[0]:
                factories.make_member(self.second, self.reader)

    def come_or_go(self):
        if (found := Membership.objects.filter(project=self.second, user=self.reader).first()) is not None:
            found.delete()
        else:
            factories.make_member(self.second, self.reader)

    def move(self):
        """The task goes to the other project, and its comments with it."""
        Task.objects.filter(pk=self.task.pk).update(project=self.second)

    def move_back(self):
        Task.objects.filter(pk=self.task.pk).update(project=self.first)

    def all_at_once(self):
        self.edit()
        self.say_nothing()
        self.rename()

    def rename(self):
        project = Project.objects.get(pk=self.second.pk)
        project.name += "!"
        project.save()


@pytest.fixture
def world(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "cut in"}}
    caches["default"].clear()
    lists.answers.local.clear()
    return World()


def ask(path, user):
    client = APIClient()
    client.force_authenticate(user)
    response = client.get(path)
    return response.status_code, response.content


@pytest.fixture
def truth(settings):
    """What the database says, past everything that is kept."""

    def of(path, user):
        kept = settings.DJANGO_PM
        settings.DJANGO_PM = {**kept, "RESPONSE_CACHE": ""}
        try:
            return ask(path, user)
        finally:
            settings.DJANGO_PM = kept

    return of


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("change", ["edit", "say_nothing", "come_or_go", "all_at_once", "move"])
def test_a_list_is_of_before_or_after(world, truth, path, change):
    path = path.format(project=world.first.pk, task=world.task.pk)
    with Session() as somebody:
        for at in range(MOST_STATEMENTS):
            world.move_back()
            world.edit()  # so that the list has to be made
            world.rename()
            before = truth(path, world.reader)
            with interrupted(at, lambda: somebody.do(getattr(world, change))) as statements:
                found = ask(path, world.reader)
            if len(statements) <= at:
                somebody.do(getattr(world, change))
            assert found in {before, truth(path, world.reader)}, (at, statements)
            for _process in range(2):
                for user in world.users:
                    assert ask(path, user) == truth(path, user), (at, statements)
                lists.answers.local.clear()
            if len(statements) <= at:
                return
    pytest.fail(f"more than {MOST_STATEMENTS} statements: {json.dumps(statements)}")
