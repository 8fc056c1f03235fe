"""Pages against an oracle: whatever comes and goes between two pages, each holds just what lies behind the last one.

A reader turns pages in either direction while tasks are inserted, deleted and edited, also those that a page began or
ended with. What a page has to hold is computed in Python from the rows as they are at that moment. `PM_LONG_TESTS=1`
makes it 1,000 walks instead of 50.
"""

import bisect
import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from rest_framework.test import APIClient

from django_pm.models import Priority, Task
from tests.events.workers import LONG
from tests.factories import make_project, make_task, make_user

SIZE = 3
NOON = dt.datetime(2030, 5, 1, 12, tzinfo=dt.UTC)
COLUMNS = {
    "title": st.sampled_from(["a", "b", "c"]),
    "due_date": st.sampled_from([None, NOON, NOON + dt.timedelta(days=1)]),
    "priority": st.sampled_from(["low", "high"]),
}

positions = st.integers(0, 50)  # of the rows that there are, counted round
turns = st.tuples(st.just("turn"), st.sampled_from(["next", "next", "previous"]))
actions = st.one_of(
    turns,
    turns,
    turns,
    st.tuples(st.just("empty"), st.sampled_from(["next", "previous"])),
    st.tuples(st.just("insert"), st.fixed_dictionaries(COLUMNS)),
    st.tuples(st.just("delete"), positions),
    st.tuples(st.just("delete the edge"), st.sampled_from([0, -1])),
    st.tuples(st.just("edit"), st.tuples(positions, st.fixed_dictionaries(COLUMNS))),
)


class Reader:
    """Turns the pages of one list, and says what each of them has to be."""

    def __init__(self, client, ordering):
        self.client = client
        self.column = ordering.removeprefix("-")
        self.sign = -1 if ordering.startswith("-") else 1
        self.read(f"/tasks/?page_size={SIZE}&ordering={ordering}", self.order()[:SIZE])

    def place(self, task):
        """Where a task stands: by value and key, `-` reversing both, empty values behind in either direction."""
        value = getattr(task, self.column)
        if self.column == "priority":
            value = Priority.values.index(value)
        elif value is not None:
            value = value.timestamp() if self.column == "due_date" else ord(value)
        return (value is None, self.sign * (value or 0), self.sign * task.pk)

    def order(self):
        return sorted(self.place(task) for task in Task.objects.all())

    def read(self, url, expected):
        body = self.client.get(url).json()
        assert [row["id"] for row in body["results"]] == [self.sign * place[2] for place in expected]
        self.body, self.places = body, expected

    def turn(self, way):
        url = self.body[way]
        if url is None:
            return
        order = self.order()
        if self.places:
            self.edge = self.places[-1 if way == "next" else 0]
            after, before = bisect.bisect_right(order, self.edge), bisect.bisect_left(order, self.edge)
        else:  # an emptied page leads back to the row that it was read from, which may be there still
            after, before = bisect.bisect_left(order, self.edge), bisect.bisect_right(order, self.edge)
        self.read(url, order[after : after + SIZE] if way == "next" else order[max(0, before - SIZE) : before])

    def act(self, action, what):
        tasks = list(Task.objects.order_by("pk"))
        if action == "turn":
            self.turn(what)
        elif action == "empty":  # all that lies there, and go there
            order = self.order()
            if self.places:
                last, first = bisect.bisect_right(order, self.places[-1]), bisect.bisect_left(order, self.places[0])
                gone = order[last:] if what == "next" else order[:first]
                Task.objects.filter(pk__in=[self.sign * place[2] for place in gone]).delete()
            self.turn(what)
        elif action == "insert":
            make_task(tasks[0].project, **what)
        elif action == "delete the edge" and self.places:
            Task.objects.filter(pk=self.sign * self.places[what][2]).delete()
        elif action == "delete":
            tasks[what % len(tasks)].delete()
        elif action == "edit":
            at, values = what
            Task.objects.filter(pk=tasks[at % len(tasks)].pk).update(**values)


class TestPages(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.owner = make_user()
        cls.project = make_project(cls.owner)

    @settings(max_examples=1_000 if LONG else 50, deadline=None, derandomize=not LONG)
    @given(
        ordering=st.sampled_from(["title", "-title", "due_date", "due_date", "-due_date", "-due_date", "-priority"]),
        rows=st.lists(st.fixed_dictionaries(COLUMNS), min_size=6, max_size=14),
        walk=st.lists(actions, min_size=5, max_size=14),
    )
    def test_each_holds_what_lies_behind_the_last(self, ordering, rows, walk):
        Task.objects.bulk_create(Task(project=self.project, **fields) for fields in rows)
        client = APIClient()
        client.force_authenticate(self.owner)
        reader = Reader(client, ordering)
        for action, what in walk:
            if Task.objects.count() > 1:
                reader.act(action, what)
