"""What happened in a made-up project: rows as they ended up, and the changes that led there. Nothing is written here.

A story follows the rules of the models: ``completed_at`` is set exactly while a task is completed, only people who may
do something do it, and a task is given to somebody who sees it. Every time is relative to one ``now``, and everything
else comes from one random generator per project, so that a seed always tells the same.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django_pm.models import Comment, Membership, Priority, Project, Role, Status, Task
from django_pm.models.base import ProjectObject
from django_pm.models.recorder import Snapshot, values_of
from django_pm.services.seeding import words
from django_pm.services.seeding.people import Person

SPAN = dt.timedelta(days=180)
"""How long ago the oldest project began."""

OPEN_TASKS = 500
"""About how many younger tasks begin before one comes to its end: what has not happened yet is kept in memory."""

SETTING_UP = dt.timedelta(hours=1)
"""How long the owner adds members before the first task."""

LATEST = dt.timedelta(minutes=1)
"""The last thing in a story happened this long before ``now``."""

QUARTER = dt.timedelta(minutes=15)
TEAM = (4, 10)


class Step(NamedTuple):
    """One write that made an object what it is ``after``; ``before`` is None where it was created."""

    at: dt.datetime
    actor: Person
    before: Snapshot | None
    after: Snapshot


class Story:
    """One object: ``row`` as it is now, and the ``steps`` to it in their order."""

    def __init__(self, row: ProjectObject, at: dt.datetime, actor: Person) -> None:
        self.row = row
        self.steps: list[Step] = []
        row.created_at = at
        self.step(at, actor)

    def step(self, at: dt.datetime, actor: Person, **changes: Any) -> None:
        """Write ``changes`` to the row at the instant ``at``; the first step creates it."""
        for name, value in changes.items():
            setattr(self.row, name, value)
        self.row.updated_at = at
        after = values_of(self.row) or {}
        self.steps.append(Step(at, actor, self.steps[-1].after if self.steps else None, after))

    def about(self, task_id: Any) -> None:
        """Say which task a comment is about, in its row and in its steps, once that task has a key."""
        row: Any = self.row
        row.task_id = task_id
        for step in self.steps:
            step.after["task"] = task_id


class TaskStory(NamedTuple):
    """A task and what was said about it."""

    task: Story
    comments: list[Story]


class Plan(NamedTuple):
    """What one project is made of: its number in the run, its share of the tasks and comments, the number of its first
    task in the run."""

    number: int
    tasks: int
    comments: int
    first_task: int


class ProjectTeller:
    """Tells one project: first itself and its members, then its tasks in the order of their creation."""

    def __init__(self, plan: Plan, people: list[Person], *, seed: int, now: dt.datetime) -> None:
        self.plan = plan
        self.seed = seed
        self.last = now - LATEST
        self.now = now
        self.random = random.Random(f"{seed}/{plan.number}")  # noqa: S311 (made-up data, and it must repeat itself)
        self.begin = now - SPAN * self.random.uniform(0.3, 1.0)
        self.team = self._team(people)
        self.owner = self.team[0][0]
        self.workers = [person for person, role in self.team if role != Role.VIEWER]
        # Tasks follow each other in this time, and none is worked on for longer than some hundred of them take.
        self.first = self.begin + SETTING_UP
        self.pace = (self.last - self.first) / max(plan.tasks, 1)
        self.longest = min(SPAN, self.pace * OPEN_TASKS)

    def _team(self, people: list[Person]) -> list[tuple[Person, Role]]:
        """Some of the people; every role is taken where there are enough of them."""
        chosen = self.random.sample(people, min(len(people), self.random.randint(*TEAM)))
        roles = [Role.OWNER, Role.MANAGER, Role.MEMBER, Role.VIEWER]
        roles += self.random.choices(list(Role), weights=(2, 6, 1, 1), k=TEAM[1])
        return list(zip(chosen, roles, strict=False))

    def project(self) -> Story:
        """The project itself. In some the description was written later."""
        goal = self.random.choice(words.GOALS)
        row = Project(
            name=words.project_name(self.plan.number, self.seed),
            created_by_id=self.owner.key,
            time_zone=self.random.choice(("UTC", "Europe/Amsterdam", "Europe/Lisbon", "Europe/Helsinki")),
        )
        if self.random.random() < 0.7:
            row.description = goal
            return Story(row, self.begin, self.owner)
        story = Story(row, self.begin, self.owner)
        story.step(self.begin + (self.last - self.begin) * self.random.random(), self.owner, description=goal)
        return story

    def members(self, project_id: Any) -> list[Story]:
        """The team, added by the owner on the first evening."""
        return [
            Story(
                Membership(project_id=project_id, user_id=person.key, role=role.value),
                self.begin + dt.timedelta(minutes=place),
                self.owner,
            )
            for place, (person, role) in enumerate(self.team)
        ]

    def tasks(self, project_id: Any, size: int) -> Iterator[list[TaskStory]]:
        """The tasks in batches of about ``size``. Comments are spread so that some tasks have many."""
        total, comments = self.plan.tasks, self.plan.comments
        for start in range(0, total, size):
            count = min(size, total - start)
            share = comments * (start + count) // total - comments * start // total
            said = [0] * count
            for _ in range(share):
                said[int(count * self.random.random() ** 2)] += 1
            self.random.shuffle(said)
            yield [self._task(project_id, start + place, number) for place, number in enumerate(said)]

    def _task(self, project_id: Any, place: int, comments: int) -> TaskStory:
        chance = self.random.random
        created = self.first + self.pace * (place + chance())
        end = min(self.last, created + self.longest * chance())
        creator = self.random.choice(self.workers)
        row = Task(
            project_id=project_id,
            title=words.task_title(self.plan.first_task + place, self.seed),
            description=self._details(),
            priority=self.random.choices(Priority.values, weights=(30, 20, 30, 15, 5))[0],
            due_date=self._due(created),
            created_by_id=creator.key,
            assignee_id=self.random.choice(self.team)[0].key if chance() < 0.6 else None,
            metadata={"estimate_hours": self.random.randint(1, 24)} if chance() < 0.1 else {},
        )
        story = Story(row, created, creator)
        later: list[Callable[[dt.datetime, Person], None]] = self._changes(story)
        for at, change in zip(self._times(created, end, len(later)), later, strict=True):
            change(at, self.random.choice(self.workers))
        told = [self._comment(created, end) for _ in range(comments)]
        return TaskStory(story, told)

    def _changes(self, story: Story) -> list[Callable[[dt.datetime, Person], None]]:
        """What happens to a task after its creation, in order."""
        chance = self.random.random
        row: Any = story.row
        changes: list[Callable[[dt.datetime, Person], None]] = []
        if row.due_date is not None and chance() < 0.15:
            due = row.due_date + QUARTER * self.random.randint(4, 400)
            changes.append(lambda at, actor: story.step(at, actor, due_date=due))
        if chance() < 0.1:
            priority = self.random.choice([word for word in Priority.values if word != row.priority])
            changes.append(lambda at, actor: story.step(at, actor, priority=priority))
        overdue = row.due_date is not None and row.due_date < self.now
        fate = chance() + (0.25 if overdue else 0)
        if fate > 0.4:
            changes.append(
                lambda at, actor: story.step(
                    at, actor, status=Status.IN_PROGRESS.value, assignee_id=row.assignee_id or actor.key
                )
            )
        if fate > 0.6:
            for again in range(2 if chance() < 0.04 else 1):
                if again:
                    changes.append(
                        lambda at, actor: story.step(at, actor, status=Status.IN_PROGRESS.value, completed_at=None)
                    )
                changes.append(lambda at, actor: story.step(at, actor, status=Status.COMPLETED.value, completed_at=at))
        return changes

    def _comment(self, created: dt.datetime, end: dt.datetime) -> Story:
        """Something said between the two. The task's key is not known yet: ``about`` fills it in."""
        author = self.random.choice(self.workers)
        (at,) = self._times(created, end, 1)
        row = Comment(user_id=author.key, author=author.name, content=self.random.choice(words.REMARKS))
        story = Story(row, at, author)
        if self.random.random() < 0.03:
            story.step(min(at + dt.timedelta(minutes=3), self.last), author, content=f"{row.content} (Corrected.)")
        return story

    def _times(self, start: dt.datetime, end: dt.datetime, count: int) -> list[dt.datetime]:
        """``count`` instants between the two, ascending."""
        return sorted(start + (end - start) * self.random.random() for _ in range(count))

    def _due(self, created: dt.datetime) -> dt.datetime | None:
        """Around now, most of it in the next weeks, and never before the task was there; some have none."""
        if self.random.random() < 0.05:
            return None
        days = self.random.triangular(-21, 45, 5)
        due = self.now + QUARTER * round(dt.timedelta(days=days) / QUARTER)
        while due <= created:
            due += dt.timedelta(days=7)
        return due

    def _details(self) -> str:
        return " ".join(self.random.sample(words.DETAILS, self.random.choice((0, 1, 1, 2, 3))))
