"""Turns the sample content into rows. Called by the `demo_seed` command."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_pm.models import Comment, Project, Task
from django_pm.services.members import add_member
from django_pm.services.projects import create_project

from accounts.models import User
from demo.content import PEOPLE, PROJECTS
from demo.content.shapes import Job, Note, Person, Venture
from worklog.models import TaskDetails

PASSWORD = "demo"

Accounts = Mapping[str, User]


class NotADemoError(Exception):
    """The site is not running as a demo, so it gets no accounts whose password everybody knows."""


def seed(now: datetime | None = None) -> bool:
    """Write the sample content, all of it or nothing.

    Returns False, with nothing written, when any of the sample people exist already: whatever has happened to
    the data since then is somebody's and stays. Raises `NotADemoError` outside the demo.
    """
    if not settings.DEMO:
        raise NotADemoError("The sample accounts have a known password; only a site started with PM_DEMO=1 gets them.")
    now = (now or timezone.now()).replace(second=0, microsecond=0)
    with transaction.atomic():
        if User.objects.filter(username__in=[person.username for person in PEOPLE]).exists():
            return False
        accounts = {person.username: _account(person) for person in PEOPLE}
        for venture in PROJECTS:
            _project(venture, accounts, now)
    return True


def _account(person: Person) -> User:
    return User.objects.create_user(
        person.username,
        email=f"{person.username}@example.com",
        password=PASSWORD,
        first_name=person.first_name,
        last_name=person.last_name,
        job_title=person.job_title,
        is_staff=person.superuser,
        is_superuser=person.superuser,
    )


def _project(venture: Venture, accounts: Accounts, now: datetime) -> None:
    owner = accounts[venture.owner]
    project = create_project(
        actor=owner, name=venture.name, description=venture.description, time_zone=venture.time_zone
    )
    created = now - venture.created
    Project.objects.filter(pk=project.pk).update(created_at=created, updated_at=created)
    project.memberships.update(created_at=created, updated_at=created)
    for username, role in venture.members.items():
        add_member(actor=owner, project=project, user=accounts[username], role=role)
    # Oldest first, as they would have come in: then ids and creation times tell the same story.
    for job in sorted(venture.jobs, key=lambda job: job.created, reverse=True):
        _task(job, project, owner, accounts, now)


def _task(job: Job, project: Project, owner: User, accounts: Accounts, now: datetime) -> None:
    task = Task.objects.create(
        project=project,
        title=job.title,
        description=job.description,
        status=job.status,
        priority=job.priority,
        due_date=due_date(now, job.due, project.time_zone),
        assignee=accounts[job.assignee] if job.assignee else None,
        created_by=owner,
        completed_at=now - job.done if job.done else None,
    )
    # `created_at` and `updated_at` are set by saving; a second write is the only way to tell of an earlier
    # day.
    last_change = job.done or (job.created * 0.4 if job.status == "in_progress" else job.created)
    Task.objects.filter(pk=task.pk).update(created_at=now - job.created, updated_at=now - last_change)
    if job.cost_centre or job.estimate_minutes:
        TaskDetails.objects.create(task=task, cost_centre=job.cost_centre, estimate_minutes=job.estimate_minutes)
    for note in job.notes:
        _comment(note, task, accounts[note.author], now)


def _comment(note: Note, task: Task, user: User, now: datetime) -> None:
    comment = Comment.objects.create(task=task, author=user.get_full_name(), user=user, content=note.content)
    written = now - note.ago
    Comment.objects.filter(pk=comment.pk).update(created_at=written, updated_at=written)


def due_date(now: datetime, distance: timedelta, time_zone: str) -> datetime:
    """Return a due date as people set them, `distance` away from `now`.

    Days away means the end of that working day where the project is; hours away means a full quarter.
    It never ends up on the other side of `now`.
    """
    due = now + distance
    if abs(distance) >= timedelta(days=1):
        closing = due.astimezone(ZoneInfo(time_zone)).replace(hour=17, minute=0, second=0, microsecond=0)
        if (closing < now) == (due < now):
            return closing
    spare = due.minute % 15
    return due - timedelta(minutes=spare) if due < now else due + timedelta(minutes=-spare % 15)
