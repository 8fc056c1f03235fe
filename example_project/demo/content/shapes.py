"""The shapes that the sample content is written in."""

from dataclasses import dataclass, field
from datetime import timedelta


def days(number: float) -> timedelta:
    """So many days; as a due date, negative is in the past."""
    return timedelta(days=number)


def hours(number: float) -> timedelta:
    """So many hours; as a due date, negative is in the past."""
    return timedelta(hours=number)


@dataclass(frozen=True)
class Person:
    """Somebody who may sign in."""

    username: str
    first_name: str
    last_name: str
    job_title: str
    superuser: bool = False


@dataclass(frozen=True)
class Note:
    """A comment: by whom, what, and how long before the seeding."""

    author: str
    content: str
    ago: timedelta


@dataclass(frozen=True)
class Job:
    """A task. `due` counts from the seeding forwards, `created` and `done` count back from it."""

    title: str
    description: str
    due: timedelta
    status: str = "pending"
    priority: str = "medium"
    assignee: str | None = None
    created: timedelta = timedelta(days=12)
    done: timedelta | None = None
    cost_centre: str = ""
    estimate_minutes: int | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Venture:
    """A project with its people and its tasks. The owner creates it and adds the others."""

    name: str
    description: str
    time_zone: str
    owner: str
    created: timedelta
    members: dict[str, str] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
