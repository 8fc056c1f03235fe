"""Made-up projects in any number, with the events that would have been recorded had they been lived through.

Called by the command ``pm_seed``, by benchmarks and by tests. It writes past the recorder, because 100,000 calls of
``save()`` take minutes; the events come from the same functions of ``event_types`` that the recorder uses, so state
rebuilt from them equals the rows.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.db import router, transaction

from django_pm import event_types
from django_pm.events.feed import number
from django_pm.models import Event, Project
from django_pm.models.base import ProjectObject
from django_pm.models.recorder import wake_after_commit
from django_pm.services.seeding import tables
from django_pm.services.seeding.people import Person, SeedingError, existing_people, made_up_people
from django_pm.services.seeding.stories import Plan, ProjectTeller, Step, Story, TaskStory

__all__ = ["ORIGIN", "Person", "Seeded", "SeedingError", "existing_people", "made_up_people", "seed_projects"]

ORIGIN = "pm_seed"
"""The origin of the events."""

BATCH = 250
"""Tasks written at once."""


class Seeded(NamedTuple):
    """How many rows were made."""

    projects: int = 0
    members: int = 0
    tasks: int = 0
    comments: int = 0
    events: int = 0

    def __add__(self, other: Any) -> Seeded:
        return Seeded(*(mine + its for mine, its in zip(self, other, strict=True)))


def seed_projects(
    *,
    projects: int,
    tasks: int,
    comments: int,
    people: list[Person],
    seed: int,
    now: dt.datetime,
    progress: Callable[[int], None] = lambda rows: None,
) -> Seeded:
    """Make ``projects`` with ``tasks`` and ``comments`` in all, lived through by ``people`` until ``now``.

    The same ``seed`` makes the same data, relative to ``now``; keys, the ids of events and epochs aside. Every project
    is one transaction, its events are numbered after it: a run that is killed leaves whole projects. ``progress`` is
    told of every batch how many projects, tasks and comments it held. Memory does not grow with the numbers.

    Raises ``SeedingError`` if the numbers contradict each other.
    """
    _check(projects, tasks, comments, people)
    total = Seeded()
    for plan in _plans(projects, tasks, comments):
        total += _Writer(ProjectTeller(plan, people, seed=seed, now=now), progress).write()
    return total


def _check(projects: int, tasks: int, comments: int, people: list[Person]) -> None:
    if min(projects, tasks, comments) < 0:
        raise SeedingError("Numbers cannot be negative.")
    if tasks and not projects:
        raise SeedingError("Tasks need a project: ask for at least one.")
    if comments and not tasks:
        raise SeedingError("Comments need a task: ask for at least one.")
    if projects and not people:
        raise SeedingError("A project needs an owner: ask for at least one person.")


def _plans(projects: int, tasks: int, comments: int) -> Iterable[Plan]:
    """Tasks in equal parts over the projects, comments in equal parts over the tasks, and nothing lost by rounding."""
    for place in range(projects):
        first, following = tasks * place // projects, tasks * (place + 1) // projects
        share = comments * following // tasks - comments * first // tasks if tasks else 0
        yield Plan(place, following - first, share, first)


class _Writer:
    """Writes one project, its tasks batch by batch, and its events in the order in which things happened.

    A batch of tasks is inserted as it ended up, while much of what happened to it lies after the creation of the next
    tasks; such events wait in a heap until the time comes.
    """

    def __init__(self, teller: ProjectTeller, progress: Callable[[int], None]) -> None:
        self.teller = teller
        self.progress = progress
        self.using = router.db_for_write(Project)
        self.project_id: Any = None
        self.made = Seeded()
        self._waiting: list[tuple[dt.datetime, int, Event]] = []
        self._order = itertools.count()

    def write(self) -> Seeded:
        with transaction.atomic(using=self.using):
            self._begin()
            for batch in self.teller.tasks(self.project_id, BATCH):
                self._append(until=batch[0].task.steps[0].at)
                self._tasks(batch)
            self._append(until=None)
            wake_after_commit({self.project_id}, using=self.using)
        number(self.project_id)
        return self.made

    def _begin(self) -> None:
        project = self.teller.project()
        self._insert([project])
        self.project_id = project.row.pk
        members = self.teller.members(self.project_id)
        self._insert(members)
        self._remember([project, *members])
        self.made += Seeded(projects=1, members=len(members))
        self.progress(1)

    def _tasks(self, batch: list[TaskStory]) -> None:
        self._insert([told.task for told in batch])
        comments = [comment for told in batch for comment in told.comments]
        for told in batch:
            for comment in told.comments:
                comment.about(told.task.row.pk)
        self._insert(comments)
        self._remember([*(told.task for told in batch), *comments])
        self.made += Seeded(tasks=len(batch), comments=len(comments))
        self.progress(len(batch) + len(comments))

    def _insert(self, stories: list[Story]) -> None:
        tables.insert([story.row for story in stories], using=self.using)

    def _remember(self, stories: list[Story]) -> None:
        for story in stories:
            for step in story.steps:
                event = _event(story.row, step, self.project_id)
                if event is not None:
                    heapq.heappush(self._waiting, (step.at, next(self._order), event))

    def _append(self, *, until: dt.datetime | None) -> None:
        """Insert the events of what happened before ``until``, or all that are left."""
        due = []
        while self._waiting and (until is None or self._waiting[0][0] < until):
            due.append(heapq.heappop(self._waiting)[2])
            if len(due) >= 4 * BATCH:
                self._insert_events(due)
                due = []
        self._insert_events(due)

    def _insert_events(self, events: list[Event]) -> None:
        tables.insert(events, using=self.using)
        self.made += Seeded(events=len(events))


def _event(row: ProjectObject, step: Step, project_id: Any) -> Event | None:
    """The event that the recorder would have appended for a step; None where nothing changed."""
    before, after = step.before, step.after
    name = event_types.event_type(row.event_kind, _unstamped(before), _unstamped(after))
    if name is None:
        return None
    return Event(
        project_id=project_id,
        type=name,
        object_type=row.event_kind,
        object_id=str(row.pk),
        actor_id=str(step.actor.key),
        actor_name=step.actor.name,
        changes=event_types.changes(before, after),
        origin=ORIGIN,
        created_at=step.at,
    )


def _unstamped(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: value for name, value in row.items() if name != "updated_at"}
