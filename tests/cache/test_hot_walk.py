"""The lists of the permission walk once more, hot: nobody gets more, or less, from what is kept.

Each list is asked for three times, the third without the cache, and is the same. The walk's tests run inside of one
transaction, in which nothing is kept; here that transaction is not looked at.
"""

from types import SimpleNamespace

import pytest

from django_pm.api import lists
from tests.api.test_permission_walk import (
    test_cursors_of_another_place,
    test_cursors_of_somebody_who_sees_more,
    test_lists_hold_what_one_sees,
    test_lists_of_a_place,
    test_the_project_that_tasks_are_filtered_by,
)
from tests.api.world import World
from tests.cache.support import uncached

__all__ = [
    "test_cursors_of_another_place",
    "test_cursors_of_somebody_who_sees_more",
    "test_lists_hold_what_one_sees",
    "test_lists_of_a_place",
    "test_the_project_that_tasks_are_filtered_by",
]

KEPT = ("/projects/", "/tasks/", "/comments/", "/members/")


class HotWorld(World):
    """Asks for every list when it is kept already, by whomever, and compares it with what would be made."""

    hot = False
    asked = 0

    def ask(self, actor, method, path, data=b"", **headers):
        is_list = path.partition("?")[0].endswith(KEPT)
        if not (self.hot and method == "GET" and is_list):
            return super().ask(actor, method, path, data, **headers)
        self.asked += 1
        made, kept = (super(HotWorld, self).ask(actor, method, path, data, **headers) for _ in range(2))
        with uncached():
            plain = super().ask(actor, method, path, data, **headers)
        about = (str(actor), path)
        assert made[:2] == kept[:2] == plain[:2], about
        if tag := kept.headers.get("ETag"):
            seen = self.bodies.setdefault(tag, kept.content)
            assert seen == kept.content, about
            sights = self.sights.setdefault(tag, frozenset(actor.roles))
            assert sights == frozenset(actor.roles) or self.is_of_one_project(path), about
            again = super().ask(actor, method, path, data, **headers, If_None_Match=tag)
            assert (again.status, again.content) == (304, b""), about
        # Whoever has every tag that there is learns of what is theirs alone.
        known = ", ".join([*self.bodies][-200:])
        answer = super().ask(actor, method, path, data, **headers, If_None_Match=known)
        assert self.bodies[answer.headers["ETag"]] == plain.content if answer.status == 304 else answer[:2] == plain[:2]
        return kept

    @staticmethod
    def is_of_one_project(path):
        return "project=" in path or (path.startswith("/projects/") and "/members/" in path) or "/comments/" in path


@pytest.fixture
def world(db, caplog, monkeypatch):
    caplog.set_level("ERROR", logger="django.request")
    world = HotWorld()
    committed = SimpleNamespace(in_atomic_block=False, get_autocommit=lambda: True)
    monkeypatch.setattr(lists, "connections", {"default": committed})
    world.hot, world.bodies, world.sights = True, {}, {}
    lists.answers.local.clear()
    yield world
    assert world.bodies or not world.asked
