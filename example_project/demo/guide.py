"""What to try first: the text that `make demo` prints and the start page shows."""

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext
from django_pm import access
from django_pm.models import Comment, Membership, Project, Role, Task

from accounts.models import User
from demo.content import PEOPLE
from demo.seeding import PASSWORD

CALLER = "ben"
"""Who the sample requests sign in as: nobody special, a member here and a manager there."""


@dataclass(frozen=True)
class Request:
    """A request to try: what it does, and the command for it."""

    what: str
    command: str


@dataclass(frozen=True)
class Account:
    """A person to sign in as, and what there is to see with these eyes."""

    username: str
    name: str
    job_title: str
    part: str


def accounts() -> list[Account]:
    """Return those of the sample people who (still) exist, with their roles as they are now."""
    members = Membership.objects.select_related("project").order_by("project_id")
    people = User.objects.filter(username__in=[person.username for person in PEOPLE]).order_by("pk")
    return [Account(user.username, user.get_full_name(), user.job_title, _part(user, members)) for user in people]


def _part(user: User, members: Iterable[Membership]) -> str:
    projects: dict[str, list[str]] = {}
    for member in members:
        if member.user_id == user.pk:
            projects.setdefault(member.role, []).append(member.project.name)
    parts = [f"{Role(role).label}: {', '.join(names)}" for role, names in projects.items()]
    return "; ".join([gettext("Superuser"), *parts] if user.is_superuser else parts)


def requests(base_url: str) -> list[Request]:
    """Return requests that work as they stand, pasted into a shell, against the site at `base_url`.

    They name rows that exist and that the caller may change, both looked up now: somebody may have deleted
    what was there at first. A request for which nothing is left is not offered.
    """
    return list(_requests(base_url.rstrip("/")))


def _requests(base_url: str) -> Iterator[Request]:
    caller = User.objects.filter(username=CALLER).first()
    if caller is None:
        return
    yield Request(
        gettext("What is overdue, the oldest first"),
        _curl(f"{base_url}/tasks/?overdue=true&ordering=due_date"),
    )
    projects = access.visible(caller, Project.objects.order_by("pk"))
    project = next((row for row in projects if access.may(caller, "add", Task(project=row))), None)
    if project is None:
        return
    due = (timezone.now() + timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    body = {
        "project": project.pk,
        "title": "Tell the support team what changes",
        "due_date": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    yield Request(gettext("Add a task to “%(name)s”") % {"name": project.name}, _curl(f"{base_url}/tasks/", body))
    tasks = project.tasks.open().order_by("due_date", "pk")
    task = next((row for row in tasks if access.may(caller, "add", Comment(task=row))), None)
    if task is not None:
        yield Request(
            gettext("Comment on “%(title)s”") % {"title": task.title},
            _curl(f"{base_url}/tasks/{task.pk}/comments/", {"content": "On it, done by tomorrow noon."}),
        )


def _curl(url: str, body: dict[str, object] | None = None) -> str:
    words = ["curl", "-u", f"{CALLER}:{PASSWORD}"]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return shlex.join([*words, url])
